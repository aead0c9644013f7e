"""Undo everything even where something of it is gone already, so that it can be made anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import psycopg

from vallum.enforce.roles.apply import drop
from vallum.enforce.roles.catalogue import is_applied
from vallum.enforce.roles.expressions import HELPERS
from vallum.enforce.roles.items import Item, role_item

__all__ = ["clear", "renumber"]

Connection: TypeAlias = psycopg.Connection[Any]


def clear(connection: Connection) -> int:
    """Undo what was applied, within one transaction; says how much that was.

    A role that somebody has dropped is made again first, and grants go with their roles: PostgreSQL has
    no REVOKE IF EXISTS for a role, table or column that is gone.

    Raises: RolesRefused. Nothing is changed then.
    """
    grants = 0
    with connection.transaction():
        if is_applied(connection):
            gone = connection.execute(
                f"SELECT name FROM {HELPERS}.applied WHERE kind IN ('role', 'user')"  # noqa: S608
                " AND name NOT IN (SELECT rolname FROM pg_roles) ORDER BY position"
            ).fetchall()
            for (name,) in gone:
                connection.execute(role_item(name).make.encode())
            grants = connection.execute(
                f"DELETE FROM {HELPERS}.applied WHERE kind = 'grant'"  # noqa: S608
            ).rowcount
        return drop(connection) + grants


def renumber(connection: Connection, items: Sequence[Item]) -> None:
    """Put what is applied in the order of a plan: what stays from an earlier one has the numbers of that."""
    connection.execute(
        f"UPDATE {HELPERS}.applied a SET position = o.place"  # noqa: S608
        " FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY o(kind, name, place)"
        " WHERE a.kind = o.kind AND a.name = o.name AND a.position <> o.place",
        ([item.kind for item in items], [item.name for item in items]),
    )
