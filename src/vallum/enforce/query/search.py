"""Find records: ids in order, and how many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement

from vallum.domain import Domain, Env, root
from vallum.domain.sql import Scope
from vallum.enforce.query.eyes import Eyes, natural, own_id
from vallum.enforce.query.order import given_order, order_keys, sorted_by
from vallum.schema import Model

__all__ = ["bounded", "count", "found", "search"]

_BOUND: Final = {name: sa.bindparam(name, type_=sa.BigInteger()) for name in ("limit", "offset")}


def search(
    eyes: Eyes,
    model: str,
    domain: Any,
    *,
    active_test: bool,
    limit: int | None,
    offset: int,
    order: str | None,
) -> list[int]:
    """The ids of the records found, in order."""
    target = eyes.model(model)
    bounds = {**natural("limit", limit, none=True), **natural("offset", offset)}

    def build(env: Env, parsed: Domain) -> sa.Select[Any]:
        return bounded(found(eyes, target, parsed, env.with_active_test(active_test), order), limit)

    key = ("search", model, active_test, given_order(order), limit is None)
    return [row[0] for row in eyes.rows(eyes.searched(key, domain, build), **bounds)]


def found(
    eyes: Eyes,
    model: Model,
    domain: Domain,
    env: Env,
    order: str | None,
    values: Callable[[Scope], Iterable[ColumnElement[Any]]] = lambda _: (),
) -> sa.Select[Any]:
    """The statement of a search: ids, and what `values` makes of its scope, in order."""
    scope = Scope(root(model))
    condition = scope.where(eyes.where(model, domain, env))
    keys = order_keys(eyes, scope, model, order, env)
    statement = sa.select(own_id(scope), *values(scope)).where(condition).order_by(*sorted_by(keys))
    return statement.select_from(scope.from_clause())


def bounded(statement: sa.Select[Any], limit: int | None) -> sa.Select[Any]:
    """The statement with a limit and an offset that are bound when it runs."""
    if limit is not None:
        statement = statement.limit(_BOUND["limit"])
    return statement.offset(_BOUND["offset"])


def count(eyes: Eyes, model: str, domain: Any, *, active_test: bool, limit: int | None) -> int:
    """How many records are found; counting stops at the limit."""
    target = eyes.model(model)
    bounds = natural("limit", limit, none=True)

    def build(env: Env, parsed: Domain) -> sa.Select[Any]:
        scope = Scope(root(target))
        condition = scope.where(eyes.where(target, parsed, env.with_active_test(active_test)))
        start = scope.from_clause()
        if limit is None:
            return sa.select(sa.func.count()).select_from(start).where(condition)
        some = sa.select(own_id(scope)).select_from(start).where(condition).limit(_BOUND["limit"])
        return sa.select(sa.func.count()).select_from(some.subquery())

    key = ("count", model, active_test, limit is None)
    return int(eyes.rows(eyes.searched(key, domain, build), **bounds)[0][0])
