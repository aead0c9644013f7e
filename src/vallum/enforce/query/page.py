"""Page through records by keyset: each page begins behind the last record of the one before.

A cursor is that record's id and nothing more; what it is sorted by is looked up again, as
the actor. So a cursor tells nothing, may come from anyone, and a record out of the
actor's sight is no cursor: where it would stand among the others stays unknown.
Records that come, go or move meanwhile are neither repeated nor skipped among the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement

from vallum.domain import Domain, Env, root
from vallum.domain.sql import Scope
from vallum.enforce.query.eyes import Eyes, natural, own_id, record_ids
from vallum.enforce.query.order import Key, given_order, order_keys, sorted_by
from vallum.kernel import UnknownRecord
from vallum.schema import Model

__all__ = ["Page", "page"]


@dataclass(frozen=True, slots=True)
class Page:
    """Some ids in order, and the cursor of the next page: None where there is none."""

    ids: tuple[int, ...]
    next: int | None


def page(
    eyes: Eyes,
    model: str,
    domain: Any,
    *,
    limit: int,
    order: str | None,
    after: int | None,
    active_test: bool,
) -> Page:
    """The page behind the record `after`, or the first one."""
    target = eyes.model(model)
    size = natural("limit", limit)["limit"]
    order = given_order(order)
    at = None if after is None else _position(eyes, target, order, *record_ids([after]))

    def build(env: Env, parsed: Domain) -> sa.Select[Any]:
        seeing = env.with_active_test(active_test)
        scope = Scope(root(target))
        condition = scope.where(eyes.where(target, parsed, seeing))
        keys = order_keys(eyes, scope, target, order, seeing)
        if at is not None:
            condition = sa.and_(condition, _behind(keys, at))
        statement = sa.select(own_id(scope)).where(condition).order_by(*sorted_by(keys))
        bound = sa.bindparam("limit", type_=sa.BigInteger())
        return statement.select_from(scope.from_clause()).limit(bound)

    # Which values are NULL shapes the statement; the values themselves are bound.
    shape = None if at is None else tuple(value is None for value in at)
    values = {f"at_{i}": value for i, value in enumerate(at or ()) if value is not None}
    statement = eyes.searched(("page", model, active_test, order, shape), domain, build)
    ids = [row[0] for row in eyes.rows(statement, limit=size + 1, **values)]
    more = len(ids) > size > 0
    return Page(tuple(ids[:size]), ids[size - 1] if more else None)


def _position(eyes: Eyes, model: Model, order: str | None, after: int) -> tuple[Any, ...]:
    """What the cursor's record is sorted by.

    Raises: UnknownRecord where it is gone, or out of the actor's sight.
    """

    def build(env: Env) -> sa.Select[Any]:
        scope = Scope(root(model))
        condition = scope.where(eyes.every_record(model, env))
        keys = order_keys(eyes, scope, model, order, env)
        chosen = own_id(scope) == sa.bindparam("after", type_=sa.BigInteger())
        values = [key.value for key in keys]
        return sa.select(*values).select_from(scope.from_clause()).where(condition, chosen)

    rows = eyes.rows(eyes.prepared(("position", model.name, order), build), after=after)
    if not rows:
        raise UnknownRecord(
            f"the cursor {after} is no record of `{model.name}` any more",
            fix="begin again with the first page",
        )
    return rows[0]


def _behind(keys: list[Key], at: tuple[Any, ...]) -> ColumnElement[bool]:
    """Rows that come after a position: equal in some keys, behind it in the next one."""
    ways: list[ColumnElement[bool]] = []
    equal: list[ColumnElement[bool]] = []
    for i, (key, value) in enumerate(zip(keys, at, strict=True)):
        bound = None if value is None else sa.bindparam(f"at_{i}", type_=key.value.type)
        after = _after(key, bound)
        if after is not None:
            ways.append(sa.and_(*equal, after))
        equal.append(key.value.is_(None) if bound is None else key.value == bound)
    behind = sa.or_(sa.false(), *ways)
    first = keys[0]
    if at[0] is None or (first.nullable and not first.starts_with_null):
        return behind
    # Implied by the rest; stated alone it lets an index on the first key be used.
    start = sa.bindparam("at_0", type_=first.value.type)
    return sa.and_(first.value <= start if first.descending else first.value >= start, behind)


def _after(key: Key, bound: ColumnElement[Any] | None) -> ColumnElement[bool] | None:
    """Values behind one value of a key; None where there are none."""
    if bound is None:
        return key.value.is_not(None) if key.starts_with_null else None
    later: ColumnElement[bool] = key.value < bound if key.descending else key.value > bound
    if key.nullable and not key.starts_with_null:
        return sa.or_(later, key.value.is_(None))
    return later
