"""Check that an actor may do something with given records: with all of them, or with none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from vallum.domain import Env, Filter, root
from vallum.domain.filter import ALWAYS
from vallum.domain.sql import Scope
from vallum.enforce.query.eyes import Eyes, among, batches, own_id, record_ids
from vallum.enforce.statement import Compiled
from vallum.kernel import (
    AccessDenied,
    Operation,
    UnknownOperation,
    UnknownRecord,
    UnsupportedDomain,
    VallumError,
    shown,
)
from vallum.policy import refused
from vallum.schema import Model

__all__ = ["check", "check_statement", "in_scope", "missing", "named_operation"]

_SHOWN: Final = 10
# Models whose code asks for access to the record they belong to, whatever their own rules say.
_OF_OTHERS: Final = frozenset({"ir.attachment", "mail.activity", "mail.message"})


def check(eyes: Eyes, model: str, ids: Iterable[int], operation: Operation | str) -> None:
    """Raise unless the actor may do this with every one of the records.

    Whoever is restricted is not told which of them exist: a record that is gone and one
    out of scope are refused with the same words. Without ids the access rights alone are asked, as in Odoo.
    Raises: AccessDenied, UnknownRecord (superuser only), UnsupportedDomain (code decides).
    """
    target, wanted = eyes.model(model), named_operation(operation)
    given = record_ids(ids)
    access = eyes.access
    if wanted is Operation.READ and given:
        eyes.check_open(target)
    elif access is not None and not access.may(target, wanted):
        raise refused(access.policy, access.actor, wanted, model)
    if not given:
        # Of no record there is nothing more to ask: neither a table nor code has a say.
        return
    statement = check_statement(eyes, target, wanted)
    allowed = {row[0] for some in batches(given) for row in eyes.rows(statement, ids=some)}
    lacking = [i for i in dict.fromkeys(given) if i not in allowed]
    if lacking:
        raise missing(eyes, target, lacking, wanted)


def check_statement(eyes: Eyes, model: Model, operation: Operation, *, locked: bool = False) -> Compiled:
    """The statement that tells which of the ids bound as `ids` are in the scope of an operation.

    `locked`: the rows stay as they are found until the transaction ends, but for what it does itself.

    Raises: UnsupportedDomain (code decides).
    """

    def build(env: Env) -> sa.Select[Any]:
        scope = Scope(root(model))
        condition = scope.where(in_scope(eyes, model, operation, env.with_active_test(False)))
        chosen = among(own_id(scope))
        found = sa.select(own_id(scope)).select_from(scope.from_clause()).where(condition, chosen)
        if not locked:
            return found
        # In one order for all, so that two that lock the same rows wait for one another.
        kept = operation is Operation.WRITE
        return found.order_by(own_id(scope)).with_for_update(of=scope.table, key_share=kept)

    return eyes.prepared(("check", model.name, operation, locked), build)


def named_operation(name: Operation | str) -> Operation:
    """The operation of that name.

    Raises: UnknownOperation.
    """
    try:
        return Operation(name)
    except ValueError:
        raise UnknownOperation(f"{shown(name)} is no operation", fix="use " + ", ".join(Operation)) from None


def in_scope(eyes: Eyes, model: Model, operation: Operation, env: Env) -> Filter:
    """The records with which the actor's rules allow the operation; rights are not part of it.

    Raises: UnsupportedDomain (code decides), AccessDenied (no right to read, where that is asked).
    """
    access = eyes.access
    if operation is Operation.READ:
        return eyes.every_record(model, env)
    if access is None:
        return ALWAYS
    if model.name in _OF_OTHERS:
        raise UnsupportedDomain(
            f"who may {operation} `{model.name}` follows from the records they belong to, by code",
            fix="check the access to those records",
        )
    return access.rules(model, env, operation)


def missing(eyes: Eyes, model: Model, ids: Sequence[int], operation: Operation) -> VallumError:
    """The error for records that the actor may not touch, or that do not exist."""
    named = ", ".join(map(str, ids[:_SHOWN])) + (f" and {len(ids) - _SHOWN} more" * (len(ids) > _SHOWN))
    if eyes.access is None:
        return UnknownRecord(f"no `{model.name}` with the id {named}")
    return AccessDenied(
        f"{eyes.login} may not {operation} these records of `{model.name}`, or they do not exist: {named}",
        fix="the record rules of the model decide",
    )
