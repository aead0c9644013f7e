"""An explanation in words: each step from a person over groups, rights and rules to a record.

Invariant: what a record holds is read through the viewer's own eyes; what they may not read is not said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vallum.analysis import Explanation, LeafReason, RuleReason, ScopeReason
from vallum.domain import Condition
from vallum.facade import Session
from vallum.kernel import VallumError
from vallum.policy import User
from vallum.schema import Model
from vallum.server.console import words
from vallum.server.console.site import Site, model_label
from vallum.server.pages.formats import plain

__all__ = ["Step", "Teller"]


@dataclass(frozen=True, slots=True)
class Step:
    """A sentence of the explanation. `kind`: allowed, refused or neither."""

    kind: str
    title: str
    text: str
    detail: str = ""


class Teller:
    """Says an explanation in words, with what the viewer may know of the record."""

    def __init__(self, site: Site, eyes: Session, model: Model, found: Explanation, user: User) -> None:
        self._site, self._eyes, self._model, self._found, self._user = site, eyes, model, found, user
        self._values: dict[tuple[str, int], dict[str, Any]] = {}
        self._names: dict[tuple[str, int], str | None] = {}
        self.record_name = self._record_name()

    def _record_name(self) -> str:
        if self._found.record_id is None:
            return ""
        name = self._called(self._model.name, self._found.record_id)
        return name or f"{model_label(self._model)} #{self._found.record_id}"

    def answer(self) -> str:
        """The answer in a sentence."""
        found = self._found
        what = self._what()
        text = f"{self.person} {words.may(found.allowed, found.operation)} {what}."
        if found.allowed and found.record_id is None and found.rules is not None and found.rules.restricted:
            text = f"{self.person} may {words.OPERATIONS[found.operation]} {what} that record rules leave."
        return text

    def as_dict(self) -> dict[str, Any]:
        """The explanation as it is shown, ready for JSON."""
        found = self._found
        return {
            "allowed": found.allowed,
            "user_id": self._user.id,
            "operation": found.operation.value,
            "model": found.model,
            "record": found.record_id,
            "field": found.field,
            "answer": self.answer(),
            "reasons": [
                {"kind": s.kind, "title": s.title, "text": s.text, "detail": s.detail} for s in self.steps()
            ],
        }

    @property
    def person(self) -> str:
        """Who the explanation is about."""
        return self._user.name or self._user.login

    def _what(self) -> str:
        label = model_label(self._model)
        field = (
            f"the field {words.field_title(self._site.vallum.schema, self._model, self._found.field)} of "
            if self._found.field
            else ""
        )
        return f"{field}{self.record_name}" if self.record_name else f"{field}records of {label}"

    def steps(self) -> Iterator[Step]:
        """The reasons, in the order in which Odoo decides."""
        found = self._found
        if found.right.superuser:
            yield Step("allowed", "Superuser", f"{self.person} is the superuser: no right and no rule binds.")
            return
        yield self._right()
        if found.field_access is not None:
            yield self._field()
        if found.exists is False:
            yield Step("refused", "Record", f"{model_label(self._model)} #{found.record_id} does not exist.")
        elif found.rules is not None:
            yield from self._rules(found.rules, "")
        for text in found.inexact:
            yield Step(
                "notice", "Code decides as well", f"{text}: Odoo may refuse more than rights and rules say."
            )

    def _right(self) -> Step:
        found = self._found
        verb = words.OPERATIONS[found.operation]
        label = model_label(self._model)
        if not found.right.allowed:
            needed = ", ".join(self._group(name) for name in found.needed_groups)
            fix = f"It is granted to: {needed}." if needed else "Nobody has such a right."
            return Step("refused", "Access right", f"No access right lets {self.person} {verb} {label}.", fix)
        said = []
        for grant in found.grants[:4]:
            via = "everyone has it" if grant.path is None else f"through {words.path_words(grant.path)}"
            said.append(f"“{grant.right.name or grant.right.xml_id}” ({via})")
        more = f" and {len(found.grants) - 4} more" if len(found.grants) > 4 else ""
        return Step("allowed", "Access right", f"May {verb} {label} by {'; '.join(said)}{more}.")

    def _group(self, label: str) -> str:
        group = self._site.vallum.policy.group_ids.get(label)
        return self._site.vallum.policy.groups[group].name if group is not None else label

    def _field(self) -> Step:
        access = self._found.field_access
        if access is None:
            return Step("", "", "")
        title = words.field_title(self._site.vallum.schema, self._model, access.field)
        if not access.admitted:
            named = ", ".join(self._group(n.strip().lstrip("!")) for n in (access.groups or "").split(","))
            why = "code of its model shuts it" if access.shut_by_code else f"it is for: {named}"
            return Step("refused", "Field", f"The field {title} is shut: {why}.")
        how = (
            f", open through {words.path_words(access.by)}"
            if access.by
            else ", open to everyone who may read the record"
        )
        return Step("allowed", "Field", f"The field {title}{how}.")

    def _rules(self, scope: ScopeReason, via: str) -> Iterator[Step]:
        if scope.missing:
            yield Step("refused", "Record", f"The record of {scope.model} it belongs to is missing.")
            return
        if not scope.restricted:
            yield Step(
                "allowed", "Record rules", f"No record rule restricts {self.person} here: all records count."
            )
            return
        for rule in scope.global_rules:
            yield self._rule(scope, rule, "Rule for everyone", via)
        alone = len(scope.group_rules) == 1
        passed = any(rule.status == "passed" for rule in scope.group_rules)
        if scope.group_rules and scope.record_id is not None and not passed and not alone:
            yield Step("refused", "Rules of groups", "One of these must let the record through; none does.")
        for rule in scope.group_rules:
            kind = None if alone or rule.status != "failed" or not passed else ""
            yield self._rule(scope, rule, "Rule of a group", via, kind)
        for field, parent in scope.parents:
            yield from self._rules(parent, field)

    def _rule(
        self, scope: ScopeReason, rule: RuleReason, title: str, via: str, kind: str | None = None
    ) -> Step:
        shown = {"passed": "allowed", "failed": "refused", "error": "refused"}.get(rule.status, "")
        model = self._site.model(scope.model)
        name = f"“{words.rule_title(rule)}”"
        path = f" for {words.path_words(rule.path)}" if rule.path else ""
        where = f" (of {model_label(model)}, through {via})" if via else ""
        if rule.error is not None:
            return Step(
                "refused",
                title,
                f"{name}{path}{where} cannot be read, and so refuses: {rule.error.what}",
                rule.rule.domain,
            )
        if rule.failing:
            leaves = "; and ".join(self.leaf(scope, rule, leaf) for leaf in rule.failing)
            return Step(
                shown if kind is None else kind,
                title,
                f"{name}{path}{where} asks that {leaves}.",
                rule.rule.domain,
            )
        verb = "lets it through" if rule.status == "passed" else "decides record by record"
        if rule.status == "not evaluated" and scope.record_id is not None:
            verb = "does not matter: another rule lets every record through"
        return Step(shown if kind is None else kind, title, f"{name}{path}{where} {verb}.", rule.rule.domain)

    def leaf(self, scope: ScopeReason, rule: RuleReason, leaf: LeafReason) -> str:
        """A condition that fails, and what the record holds instead, where the viewer may know it."""
        model = self._site.model(scope.model)
        schema = self._site.vallum.schema
        if not words.safe_words(leaf.condition, rule.rule.domain):
            return "something holds that depends on what the person's own records say"
        text = words.condition_words(schema, model, leaf.condition, self._named)
        actual = self._actual(scope, leaf)
        return f"{text}, and here it is {actual}" if actual is not None else text

    def _actual(self, scope: ScopeReason, leaf: LeafReason) -> str | None:
        condition = leaf.condition
        if not isinstance(condition, Condition) or scope.record_id is None or "." in condition.path:
            return None
        model = self._site.model(scope.model)
        if condition.path not in model.fields:
            return None
        values = self._read(model.name, scope.record_id, condition.path)
        if values is None:
            return None
        value = values.get(condition.path)
        if value is False and model.fields[condition.path].type != "boolean":
            return "empty"
        return plain(value) or "empty"

    def _read(self, model: str, record: int, field: str) -> dict[str, Any] | None:
        """One field of a record as the viewer reads it; None where they may not."""
        try:
            rows = self._eyes.read(model, [record], [field], active_test=False)
        except VallumError:
            return None
        return rows[0] if rows else None

    def _named(self, model: Model, path: str, record: int) -> str | None:
        """What a record is called that a path of fields leads to."""
        target = words.target_of(self._site.vallum.schema, model, path)
        if target is None:
            return None
        if target.name == "res.users":
            user = self._site.vallum.users.get(record)
            return (user.name or user.login) if user else None
        return self._called(target.name, record)

    def _called(self, model: str, record: int) -> str | None:
        key = (model, record)
        if key not in self._names:
            self._names[key] = self._name(model, record)
        return self._names[key]

    def _name(self, model: str, record: int) -> str | None:
        try:
            found = self._eyes.name_search(model, "", [("id", "=", record)], limit=1)
        except VallumError:
            return None
        return str(found[0][1]) if found and found[0][1] else None
