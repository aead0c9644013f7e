"""Keep the order of what is applied, so that it can be undone from its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import psycopg

from vallum.enforce.roles.expressions import HELPERS
from vallum.enforce.roles.items import Item

__all__ = ["renumber"]

Connection: TypeAlias = psycopg.Connection[Any]


def renumber(connection: Connection, items: Sequence[Item]) -> None:
    """Put what is applied in the order of a plan: what stays from an earlier one has the numbers of that."""
    connection.execute(
        f"UPDATE {HELPERS}.applied a SET position = o.place"  # noqa: S608
        " FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY o(kind, name, place)"
        " WHERE a.kind = o.kind AND a.name = o.name AND a.position <> o.place",
        ([item.kind for item in items], [item.name for item in items]),
    )
