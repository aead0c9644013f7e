"""The record rules of a model as policies, and as a helper that gives the ids one may read or change.

Pure. Rules are read once for all actors; what differs by actor is bound to places.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement

from vallum.domain import Env, Filter, Lowering, root
from vallum.domain.ast import Open
from vallum.domain.open import open_domain
from vallum.enforce.roles.expressions import HELPERS, Helper, Library, Policies, body_of
from vallum.kernel import Operation
from vallum.policy import Policy, RecordRule
from vallum.schema import Model, Schema

__all__ = ["ModelRules", "RowPolicy", "RuleCompiler"]

USER, PARTNER, COMPANIES = (
    Open("user.id", False),
    Open("user.partner_id.id", False),
    Open("company_ids", True),
)


@dataclass(frozen=True, slots=True)
class RowPolicy:
    """One policy of a table, for one operation. `groups` None: for everyone; `using` is SQL.

    `free_of`: for those in none of these groups alone.
    """

    name: str
    using: str
    permissive: bool
    groups: frozenset[int] | None = None
    operation: Operation = Operation.READ
    free_of: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class ModelRules:
    """The rules of a model that hold for an operation, lowered over its root.

    `code`: what its code says of them, as helpers that give ids.
    """

    model: Model
    operation: Operation
    global_filters: tuple[tuple[RecordRule, Filter], ...]
    group_filters: tuple[tuple[RecordRule, Filter], ...]
    parents: tuple[tuple[str, ModelRules], ...]
    code: tuple[Helper, ...] = ()

    @property
    def restricted(self) -> bool:
        """Whether anything restricts anybody."""
        return bool(self.global_filters or self.group_filters or self.parents or self.code)

    @property
    def ruled_groups(self) -> frozenset[int]:
        """The groups that have rules of their own."""
        return frozenset().union(*(rule.groups for rule, _ in self.group_filters))


class RuleCompiler:
    """Compiles the rules of one application. Keeps what it read of each model."""

    def __init__(
        self, policy: Policy, schema: Schema, lowering: Lowering, env: Env, library: Library
    ) -> None:
        self._policy = policy
        self._schema = schema
        self._lowering = lowering
        self._library = library
        self._env = replace(
            env.sudo().with_active_test(False), user_id=USER, partner_id=PARTNER, companies=(COMPANIES,)
        )
        self._rules: dict[tuple[str, Operation], ModelRules] = {}

    def rules(
        self, model: Model, operation: Operation = Operation.READ, path: tuple[str, ...] = ()
    ) -> ModelRules:
        """The rules of a model for an operation, its delegated parents included.

        Raises: UnsupportedDomain and kin for a rule that has no one form for all.
        """
        key = (model.name, operation)
        found = self._rules.get(key)
        if found is None:
            found = self._rules[key] = self._read(model, operation, path)
        return found

    def _read(self, model: Model, operation: Operation, path: tuple[str, ...]) -> ModelRules:
        parents = []
        for parent, via in model.inherits.items():
            if parent in path or (self._schema.version >= 19 and not model.field(via).stored):
                continue
            inherited = self.rules(self._schema.model(parent), operation, (*path, model.name))
            if inherited.restricted:
                parents.append((via, inherited))
        rules = [r for r in self._policy.rules_by_model.get(model.name, ()) if operation in r.operations]
        return ModelRules(
            model,
            operation,
            tuple((r, self._filter(model, r)) for r in rules if r.is_global),
            tuple((r, self._filter(model, r)) for r in rules if not r.is_global),
            tuple(parents),
        )

    def _filter(self, model: Model, rule: RecordRule) -> Filter:
        where = rule.source or f"record rule {rule.id}"
        domain = open_domain(rule.domain, where=where)
        return self._lowering.lower(model, domain, self._env, root(model))

    # as policies on a table

    def policies(self, rules: ModelRules) -> list[RowPolicy]:
        """The policies of a table whose rows are guarded: even where nothing restricts, one that says so."""
        at, operation = root(rules.model), rules.operation
        # PostgreSQL wants another name for each operation; reading has the plain one.
        end = "" if operation is Operation.READ else f"_{operation}"
        found = [
            RowPolicy(
                f"vallum_rule_{rule.id}{end}", self._expression(at, condition), False, operation=operation
            )
            for rule, condition in rules.global_filters
        ]
        for via, parent in rules.parents:
            called = _called(via, self.within(parent))
            found.append(RowPolicy(f"vallum_{via}{end}", called, False, operation=operation))
        found.extend(
            RowPolicy(f"vallum_code{end}", _called("id", helper), False, operation=operation)
            for helper in rules.code
        )
        found.extend(
            RowPolicy(
                f"vallum_rule_{rule.id}{end}",
                self._expression(at, condition),
                True,
                rule.groups,
                operation=operation,
            )
            for rule, condition in rules.group_filters
        )
        groups = sorted(rules.ruled_groups)
        fallback = f"(SELECT {_free('current_user', groups)})" if groups else "true"
        found.append(
            RowPolicy(f"vallum_no_rule{end}", fallback, True, operation=operation, free_of=rules.ruled_groups)
        )
        return found

    def _expression(self, at: Any, condition: Filter) -> str:
        return Policies(at, self._library).expression(condition)

    # as a set of ids

    def within(self, rules: ModelRules) -> Helper:
        """The helper that gives the ids of a model's records that the rules leave the asking role."""
        body = body_of(root(rules.model), self._library)
        own: ColumnElement[int] = sa.column("id", sa.Integer(), _selectable=body.table)
        where = [body.where(condition) for _, condition in rules.global_filters]
        for via, parent in rules.parents:
            helper = self.within(parent)
            column: ColumnElement[int] = sa.column(via, sa.Integer(), _selectable=body.table)
            where.append(column.in_(sa.select(sa.literal_column(f"{helper.qualified}($1)"))))
        for helper in rules.code:
            where.append(own.in_(sa.select(sa.literal_column(f"{helper.qualified}($1)"))))
        if rules.group_filters:
            ways: list[ColumnElement[bool]] = [
                sa.literal_column(f"(SELECT {_free('$1', sorted(rules.ruled_groups))})", sa.Boolean())
            ]
            for rule, condition in rules.group_filters:
                member = sa.literal_column(f"(SELECT {_member('$1', sorted(rule.groups))})", sa.Boolean())
                ways.append(sa.and_(member, body.where(condition)))
            where.append(sa.or_(*ways))
        statement = sa.select(own).select_from(body.from_clause()).where(*where)
        return self._library.helper(statement)


def _called(column: str, helper: Helper) -> str:
    return f'"{column}" IN (SELECT {helper.qualified}(current_user))'


def _member(who: str, groups: list[int]) -> str:
    return f"{HELPERS}.member_of({who}, ARRAY[{', '.join(map(str, groups))}]::int[])"


def _free(who: str, groups: list[int]) -> str:
    return f"{HELPERS}.free_of({who}, ARRAY[{', '.join(map(str, groups))}]::int[])"
