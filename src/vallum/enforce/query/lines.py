"""The records behind x2many fields: those the actor may read, in the order of their model.

Inactive ones are left out unless asked for; the field's own domain and context hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement, FromClause

from vallum.domain import Env, root
from vallum.domain.sql import Scope
from vallum.enforce.query.eyes import Eyes, among, batches, own_id
from vallum.enforce.query.order import order_keys, sorted_by
from vallum.kernel import UnsupportedDomain
from vallum.schema import Field

__all__ = ["check_lines", "lines_of", "relation"]


def check_lines(eyes: Eyes, field: Field, env: Env) -> None:
    """Raise where the records behind a stored x2many field cannot be read.

    Raises: AccessDenied, UnsupportedDomain, UnknownField.
    """
    if not _hidden(eyes, field):
        _select(eyes, field, env)


def lines_of(eyes: Eyes, field: Field, ids: Iterable[int], *, active_test: bool) -> dict[int, list[int]]:
    """Per record the ids behind a stored x2many field."""
    found: dict[int, list[int]] = {i: [] for i in ids}
    if not found or _hidden(eyes, field):
        return found
    key = ("lines", str(field), active_test)
    statement = eyes.prepared(key, lambda env: _select(eyes, field, env.with_active_test(active_test)))
    for some in batches(list(found)):
        for parent, child in eyes.rows(statement, ids=some):
            found[parent].append(child)
    return found


def _hidden(eyes: Eyes, field: Field) -> bool:
    """Whether the field is read as empty: Odoo 18 asks for no right on the comodel of a many2many.

    There it would show the ids all the same; here none. Otherwise a missing right is refused.
    """
    access = eyes.access
    if access is None or field.type != "many2many" or eyes.application.schema.version >= 19:
        return False
    return not access.readable(eyes.model(field.comodel or ""))


def _select(eyes: Eyes, field: Field, env: Env) -> sa.Select[Any]:
    lowering = eyes.application.lowering
    comodel = lowering.comodel(field, env)
    inner = env.through(field)
    scope = Scope(root(comodel))
    condition = scope.where(lowering.search(comodel, lowering.field_domain(field, env), inner))
    parent, link, on = _parent(eyes, scope, field, inner)
    keys = order_keys(eyes, scope, comodel, None, inner)
    start = scope.from_clause()
    if link is not None and on is not None:
        start = sa.join(start, link, on)
    statement = sa.select(parent, own_id(scope)).select_from(start).where(condition, among(parent))
    return statement.order_by(*sorted_by(keys))


def _parent(
    eyes: Eyes, scope: Scope, field: Field, env: Env
) -> tuple[ColumnElement[Any], FromClause | None, ColumnElement[bool] | None]:
    """The id of the record a line belongs to, and the relation table to join, if any."""
    if field.type == "many2many":
        link, own, other = relation(field)
        return own, link, other == own_id(scope)
    _, inverse = eyes.application.lowering.inverse(field, env)
    # The field itself is open: whether its inverse is does not matter.
    return scope.ref(eyes.application.lowering.ref(inverse, env.sudo(), scope.root)), None, None


def relation(field: Field, alias: str = "link") -> tuple[FromClause, ColumnElement[int], ColumnElement[int]]:
    """The relation table of a many2many field, and its columns for this side and the other one.

    Raises: UnsupportedDomain.
    """
    if not (field.relation and field.column1 and field.column2):
        raise UnsupportedDomain(f"the relation table of `{field}` is not known")
    link = sa.table(field.relation).alias(alias)
    own: ColumnElement[int] = sa.column(field.column1, sa.Integer(), _selectable=link)
    return link, own, sa.column(field.column2, sa.Integer(), _selectable=link)
