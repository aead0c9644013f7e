"""When each of those who can last did: from the trail, and honest where it does not know.

Invariant: of a record or a field only whoever may read it learns when it was used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from vallum.audit.usage import last_uses
from vallum.kernel import Operation, VallumError
from vallum.schema import Model
from vallum.server.console.site import Ask

__all__ = ["LastUsed", "last_used"]


@dataclass(frozen=True, slots=True)
class LastUsed:
    """By user's id when; `unknown`: why nothing is known; `since`: what is older is not known.

    `others`: it was done as well by somebody whom the trail cannot name.
    """

    at: Mapping[int, datetime] = field(default_factory=dict)
    since: datetime | None = None
    unknown: str = ""
    others: bool = False


def last_used(visit: Ask, model: Model, operation: Operation) -> LastUsed:
    """What the trail tells of the address's record, field or model."""
    trail = visit.site.audit
    record, name = visit.query.number("record", most=2**62), visit.query.text("field")
    if trail is None:
        return LastUsed(unknown="no audit trail is kept")
    if not _open(visit, model, record, name):
        return LastUsed(unknown="only who may read it is told when it was used")
    column = name if name and operation is not Operation.READ else None
    try:
        with trail.connection() as connection:
            found = last_uses(
                connection,
                f"public.{model.table}",
                operation.value,
                model=model.name,
                key=str(record) if record else None,
                column=column,
            )
    except VallumError:
        return LastUsed(unknown="the trail cannot be read here")
    if found.since is None:
        what = "reads of it are not recorded" if operation is Operation.READ else "its table is not audited"
        return LastUsed(unknown=what)
    return LastUsed(found.at, found.since, "", found.others)


def _open(visit: Ask, model: Model, record: int, name: str) -> bool:
    """Whether the viewer may read the record and the field that are asked about."""
    if not record and not name:
        return True
    eyes = visit.site.eyes(visit)
    try:
        if name and name not in eyes.fields(model.name):
            return False
        return not record or bool(eyes.search(model.name, [("id", "=", record)], active_test=False))
    except VallumError:
        return False
