"""What a statement that writes says of its rows and columns.

Pure. Invariant: only what a statement says surely is told; the rest is an error or nothing.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import operators, visitors

from vallum.kernel import AccessDenied

__all__ = ["binds", "bound_to", "column_name", "id_keys"]


def column_name(statement: Any, key: Any) -> str:
    """The column that a key of values stands for."""
    columns = statement.table.c
    if isinstance(key, sa.Column):
        return str(key.name)
    name = str(getattr(key, "key", key))
    entity = statement._propagate_attrs.get("plugin_subject")
    prop = entity.mapper.attrs.get(name) if entity is not None else None
    if prop is not None and isinstance(getattr(prop, "columns", (None,))[0], sa.Column):
        return str(prop.columns[0].name)
    if name in columns:
        return str(columns[name].name)
    raise AccessDenied(f"a value for `{name}`, which is no column of `{statement.table.name}`")


def binds(where: Any) -> list[sa.BindParameter[Any]]:
    """The parameters of a condition."""
    if where is None:
        return []
    return [e for e in visitors.iterate(where) if isinstance(e, sa.BindParameter)]


def _conjuncts(where: Any) -> list[Any]:
    if isinstance(where, sa.sql.elements.BooleanClauseList) and where.operator is operators.and_:
        return [c for part in where.clauses for c in _conjuncts(part)]
    return [] if where is None else [where]


def bound_to(statement: Any, table: Any, column: str) -> str | None:
    """The parameter that a statement's condition holds a column equal to."""
    for part in _conjuncts(getattr(statement, "whereclause", None)):
        if isinstance(part, sa.BinaryExpression) and part.operator is operators.eq:
            left, right = part.left, part.right
            named = isinstance(left, sa.Column) and left.table is table and left.name == column
            if named and isinstance(right, sa.BindParameter) and right.required:
                return str(right.key)
    return None


def id_keys(statement: Any) -> list[str]:
    """The parameter that names the row a flush changes, where it is such a statement."""
    key = bound_to(statement, statement.table, "id")
    return [] if key is None else [key]
