"""What `explain` finds: every reason for which an actor may or may not do something.

Pure. Values of records are kept apart (`LeafReason.actual`), so that they can be left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from vallum.analysis.paths import Grant, GroupPath
from vallum.analysis.truth import UNREADABLE, text_of
from vallum.analysis.verdict import Finding
from vallum.domain import And, Domain, Or, to_list
from vallum.kernel import Operation, VallumError
from vallum.policy import Actor, Decision, RecordRule

__all__ = ["Actual", "Explanation", "FieldReason", "LeafReason", "RuleReason", "ScopeReason"]

Status = Literal["passed", "failed", "error", "not evaluated"]


@dataclass(frozen=True, slots=True)
class Actual:
    """What a record really holds: a scalar, an id, or a tuple of ids."""

    value: Any

    def __str__(self) -> str:
        if self.value is UNREADABLE:
            return "a value that code computes"
        if self.value is None or self.value == ():
            return "empty"
        return repr(self.as_json())

    def as_json(self) -> Any:
        """The value, ready for JSON; null where code computes it."""
        value = self.value
        if value is UNREADABLE:
            return None
        if isinstance(value, tuple):
            return [Actual(v).as_json() for v in value]
        if isinstance(value, datetime):
            return value.isoformat(sep=" ")
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, Decimal):
            return float(value)
        return value if isinstance(value, bool | int | float | str | None) else str(value)


@dataclass(frozen=True, slots=True)
class LeafReason:
    """A condition that the record does not meet; `actual` None where values were not asked for."""

    condition: Domain
    actual: Actual | None = None

    def __str__(self) -> str:
        text = f"`{text_of(self.condition)}`"
        return text if self.actual is None else f"{text}, it is {self.actual}"

    def as_dict(self) -> dict[str, Any]:
        """The condition, ready for JSON."""
        found: dict[str, Any] = {"condition": text_of(self.condition), "domain": to_list(self.condition)}
        if self.actual is not None:
            found["actual"] = self.actual.as_json()
        return found


@dataclass(frozen=True, slots=True)
class RuleReason(Finding):
    """A record rule and whether the record passes it. `path`: how it applies, None for a global rule."""

    rule: RecordRule
    status: Status
    domain: Domain | None
    path: GroupPath | None = None
    failing: tuple[LeafReason, ...] = ()
    error: VallumError | None = None

    @property
    def label(self) -> str:
        """The rule's xml id, or its name."""
        return self.rule.xml_id or self.rule.name or f"record rule {self.rule.id}"

    def __str__(self) -> str:
        kind = f"for {self.path}" if self.path else "global"
        text = f"record rule `{self.label}` ({kind})"
        if self.error is not None:
            return f"{text} cannot be evaluated: {self.error}"
        if self.failing:
            joint = (
                " or " if isinstance(self.domain, Or) else " and " if isinstance(self.domain, And) else "; "
            )
            return f"{text} asks for " + joint.join(map(str, self.failing))
        return f"{text} {self.status}"

    def as_dict(self) -> dict[str, Any]:
        """The rule, ready for JSON."""
        return {
            "rule": {"id": self.rule.id, "xml_id": self.rule.xml_id, "name": self.rule.name},
            "status": self.status,
            "domain": None if self.domain is None else to_list(self.domain),
            "path": self.path.as_dict() if self.path else None,
            "failing": [leaf.as_dict() for leaf in self.failing],
            "error": self.error.as_dict() if self.error else None,
        }


@dataclass(frozen=True, slots=True)
class ScopeReason(Finding):
    """The rules on one record: all global ones hold, one of the groups', and those of the parents.

    `record_id` None: they were not evaluated, or the `_inherits` parent's record is missing.
    """

    model: str
    record_id: int | None
    global_rules: tuple[RuleReason, ...] = ()
    group_rules: tuple[RuleReason, ...] = ()
    parents: tuple[tuple[str, ScopeReason], ...] = ()
    missing: bool = False
    error: VallumError | None = None

    @property
    def restricted(self) -> bool:
        """Whether any rule applies."""
        return bool(self.global_rules or self.group_rules or self.parents)

    @property
    def errors(self) -> tuple[VallumError, ...]:
        """Errors of rules, the parents' included; one is enough to deny."""
        own = (r.error for r in (*self.global_rules, *self.group_rules) if r.error is not None)
        above = (e for _, parent in self.parents for e in parent.errors)
        return (*own, *above) if self.error is None else (self.error, *own, *above)

    @property
    def passed(self) -> bool:
        """Whether the record passes. Only what was evaluated counts as passed."""
        return (
            not self.missing
            and not self.errors
            and all(r.status == "passed" for r in self.global_rules)
            and (not self.group_rules or any(r.status == "passed" for r in self.group_rules))
            and all(parent.passed for _, parent in self.parents)
        )

    def failures(self) -> Iterator[str]:
        """Why the record does not pass, a sentence each."""
        where = f"`{self.model}` {self.record_id}"
        if self.error is not None:
            yield f"the record of `{self.model}` it belongs to cannot be found: {self.error}"
            return
        if self.missing:
            yield f"the record of `{self.model}` it belongs to is missing"
            return
        for rule in self.global_rules:
            if rule.status != "passed":
                yield f"{where}: {rule}"
        if self.group_rules and not any(r.status == "passed" for r in self.group_rules):
            if len(self.group_rules) > 1:
                yield f"{where}: none of the {len(self.group_rules)} group rules lets it through"
            yield from (f"{where}: {rule}" for rule in self.group_rules)
        else:
            yield from (f"{where}: {rule}" for rule in self.group_rules if rule.error is not None)
        for via, parent in self.parents:
            yield from (f"through `{via}`: {text}" for text in parent.failures())

    def as_dict(self) -> dict[str, Any]:
        """The rules, ready for JSON."""
        return {
            "model": self.model,
            "record_id": self.record_id,
            "global_rules": [r.as_dict() for r in self.global_rules],
            "group_rules": [r.as_dict() for r in self.group_rules],
            "parents": [{"via": via, **parent.as_dict()} for via, parent in self.parents],
            "missing": self.missing,
        }


@dataclass(frozen=True, slots=True)
class FieldReason(Finding):
    """Whether a field is open. `groups` is its expression, `by` the group that lets the actor in.

    `shut_by_code`: an override of the model's code shuts it.
    """

    field: str
    groups: str | None
    admitted: bool
    by: GroupPath | None = None
    shut_by_code: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The field, ready for JSON."""
        return {
            "field": self.field,
            "groups": self.groups,
            "admitted": self.admitted,
            "by": self.by.as_dict() if self.by else None,
            "shut_by_code": self.shut_by_code,
        }


@dataclass(frozen=True, slots=True)
class Explanation(Finding):
    """Whether an actor may do something, and why.

    `rules` is None for the superuser. `exists` is None where no record is asked about, or
    where records live in code. `inexact` names code that decides as well.
    """

    allowed: bool
    actor: Actor
    operation: Operation
    model: str
    record_id: int | None
    field: str | None
    right: Decision
    grants: tuple[Grant, ...]
    needed_groups: tuple[str, ...]
    field_access: FieldReason | None
    rules: ScopeReason | None
    exists: bool | None
    inexact: tuple[str, ...] = ()

    def reasons(self) -> list[str]:
        """Why, in sentences: what speaks against it first, else what allows it."""
        against = list(self._against())
        found = against or list(self._in_favour())
        return [*found, *(f"inexact: {text}, which decides as well" for text in self.inexact)]

    def _against(self) -> Iterator[str]:
        login = self.actor.login
        if not self.right.allowed:
            yield f"{login} has no access right to {self.operation} `{self.model}`; " + (
                "it is granted to " + ", ".join(f"`{g}`" for g in self.needed_groups)
                if self.needed_groups
                else "nobody has it"
            )
        access = self.field_access
        if access is not None and not access.admitted:
            why = "by code of its model" if access.shut_by_code else f"it is for `{access.groups}`"
            yield f"the field `{self.model}.{access.field}` is shut to {login}: {why}"
        if self.exists is False:
            yield f"`{self.model}` {self.record_id} does not exist"
        elif self.rules is not None and self.record_id is not None and not self.rules.passed:
            yield from self.rules.failures()
        elif self.rules is not None:
            yield from (f"a record rule of `{self.model}` fails: {error}" for error in self.rules.errors)

    def _in_favour(self) -> Iterator[str]:
        login = self.actor.login
        if self.right.superuser:
            yield f"{login} is the superuser: access rights and record rules do not bind"
            return
        yield f"{login} may {self.operation} `{self.model}` by " + ", ".join(map(str, self.grants))
        access = self.field_access
        if access is not None and access.groups:
            yield f"the field `{self.model}.{access.field}` is open" + (
                f" by {access.by}" if access.by else ""
            )
        if self.rules is None or not self.rules.restricted:
            yield f"no record rule restricts {login} on `{self.model}`"
        elif self.record_id is None:
            yield f"record rules of `{self.model}` decide record by record"
        else:
            yield from _passed(self.rules)

    def as_dict(self) -> dict[str, Any]:
        """The explanation, ready for JSON."""
        return {
            "allowed": self.allowed,
            "actor": {
                "user_id": self.actor.user_id,
                "login": self.actor.login,
                "companies": list(self.actor.companies),
                "superuser": self.actor.superuser,
            },
            "operation": self.operation.value,
            "model": self.model,
            "record_id": self.record_id,
            "field": self.field,
            "exists": self.exists,
            "right": {
                "allowed": self.right.allowed,
                "granting": [g.as_dict() for g in self.grants],
                "needed_groups": list(self.needed_groups),
            },
            "field_access": None if self.field_access is None else self.field_access.as_dict(),
            "rules": None if self.rules is None else self.rules.as_dict(),
            "inexact": list(self.inexact),
            "reasons": self.reasons(),
        }


def _passed(scope: ScopeReason) -> Iterator[str]:
    for rule in (*scope.global_rules, *scope.group_rules):
        if rule.status == "passed":
            yield f"`{scope.model}` {scope.record_id}: {rule}"
    for via, parent in scope.parents:
        yield from (f"through `{via}`: {text}" for text in _passed(parent))
