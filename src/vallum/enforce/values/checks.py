"""Record rules around a write: on the records before it, locked, and on those it leaves behind.

Of given ids all are in scope or none is written. A row that somebody else is changing is waited for, and
looked at again as they leave it; rows out of scope are neither locked nor waited for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from vallum.domain import Env, root
from vallum.domain.sql import Scope, sql_type
from vallum.enforce.query.check import check_statement, in_scope, missing
from vallum.enforce.query.eyes import among, batches, own_id
from vallum.enforce.values.call import Call
from vallum.kernel import AccessDenied, Operation
from vallum.schema import Model

__all__ = ["check_left", "lock"]


def lock(call: Call, model: Model, ids: Sequence[int], operation: Operation) -> dict[int, Any]:
    """Lock the records until the transaction ends; per id the version, None where the model has none.

    Raises: AccessDenied, UnknownRecord (superuser only), UnsupportedDomain (code decides).
    """
    version = call.version_field(model)

    def build(env: Env) -> sa.Select[Any]:
        scope = Scope(root(model))
        condition = scope.where(in_scope(call.eyes, model, operation, env.with_active_test(False)))
        own = own_id(scope)
        columns: list[sa.ColumnElement[Any]] = [own]
        if version is not None:
            kind = sql_type(call.storage.of(model.name)[version].type)
            columns.append(sa.column(version, kind, _selectable=scope.table))
        statement = sa.select(*columns).select_from(scope.from_clause()).where(condition, among(own))
        return statement.order_by(own).with_for_update(of=scope.table, key_share=operation is Operation.WRITE)

    statement = call.eyes.prepared(("lock", model.name, operation), build)
    found: dict[int, Any] = {}
    for some in batches(sorted(ids)):
        for row in call.eyes.rows(statement, ids=some):
            found[row[0]] = row[1] if version is not None else None
    lacking = [i for i in dict.fromkeys(ids) if i not in found]
    if lacking:
        raise missing(call.eyes, model, lacking, operation)
    return found


def check_left(call: Call, model: Model, ids: Sequence[int], operation: Operation) -> None:
    """Check that the rules allow the operation on the records as they are now.

    Raises: AccessDenied, UnsupportedDomain (code decides).
    """
    if call.eyes.access is None:
        return

    statement = check_statement(call.eyes, model, operation)
    allowed = {row[0] for some in batches(list(ids)) for row in call.eyes.rows(statement, ids=some)}
    refused = [place for place, i in enumerate(ids, 1) if i not in allowed]
    if refused:
        verb = "create" if operation is Operation.CREATE else f"leave, by a {operation},"
        which = ", ".join(map(str, refused[:10])) + (", …" if len(refused) > 10 else "")
        raise AccessDenied(
            f"{call.eyes.login} may not {verb} such records of `{model.name}`: number {which} of {len(ids)}",
            fix="the record rules of the model decide",
        )
