"""Read the approved changes of an application's policy, in the order in which they were approved.

Reads only. Whoever can write to this table decides the policy, as whoever can write to its files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from vallum.policy.change import Change

__all__ = ["TABLE", "read_changes"]

TABLE: Final = "vallum.policy_change"


class Queryable(Protocol):
    """What this reader needs of a database: rows of a statement."""

    def rows(self, statement: str, params: Any = None) -> Sequence[tuple[Any, ...]]:
        """All rows of one statement."""


def read_changes(database: Queryable) -> list[Change]:
    """The changes in force; none where nobody has ever proposed one."""
    if database.rows("SELECT to_regclass(%s)", (TABLE,))[0][0] is None:
        return []
    rows = database.rows(
        f"SELECT id, kind, xml_id, before, after FROM {TABLE} WHERE state = 'approved' ORDER BY turn"  # noqa: S608
    )
    return [
        Change(kind=kind, xml_id=xml_id, before=before, after=after, source=f"change {number}")
        for number, kind, xml_id, before, after in rows
    ]
