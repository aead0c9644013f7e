"""Read the approved changes of an application's policy, in the order in which they were approved.

Reads only. Whoever can write to this table decides the policy, as whoever can write to its files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import psycopg

from vallum.kernel import SettingsError
from vallum.policy.change import Change

__all__ = ["TABLE", "are_there", "read_changes"]

TABLE: Final = "vallum.policy_change"
# Told without a right on the schema: who may not look at it must not take it for missing.
_IS_THERE: Final = (
    "SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = 'vallum' AND c.relname = 'policy_change'"
)


class Queryable(Protocol):
    """What this reader needs of a database: rows of a statement."""

    def rows(self, statement: str, params: Any = None) -> Sequence[tuple[Any, ...]]:
        """All rows of one statement."""


def are_there(database: Queryable) -> bool:
    """Whether anybody has ever proposed a change."""
    return bool(database.rows(_IS_THERE))


def read_changes(database: Queryable) -> list[Change]:
    """The changes in force; none where nobody has ever proposed one.

    Raises: SettingsError (the connection may not read them: what is in force is not known).
    """
    if not are_there(database):
        return []
    statement = f"SELECT id, kind, xml_id, before, after FROM {TABLE} WHERE state = 'approved' ORDER BY turn"  # noqa: S608
    try:
        rows = database.rows(statement)
    except psycopg.errors.InsufficientPrivilege as error:
        raise SettingsError(
            "the approved changes of the policy may not be read by this connection",
            where=TABLE,
            fix=f"GRANT USAGE ON SCHEMA vallum and SELECT ON {TABLE} to its role",
        ) from error
    return [
        Change(kind=kind, xml_id=xml_id, before=before, after=after, source=f"change {number}")
        for number, kind, xml_id, before, after in rows
    ]
