"""From SQLAlchemy statements to text and values that psycopg runs."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy.dialects import postgresql
from sqlalchemy.sql import ClauseElement

__all__ = ["Compiled", "compiled"]

_DIALECT: Final = postgresql.dialect(paramstyle="pyformat")  # type: ignore[no-untyped-call]

Compiled = tuple[str, dict[str, Any]]


def compiled(statement: ClauseElement) -> Compiled:
    """The text of a statement and the values to bind."""
    result = statement.compile(dialect=_DIALECT)
    return str(result), dict(result.params)
