"""Which columns of a model which users may read.

Pure. A column is open to who has the right to read the model and is let in by the field's
groups (and by known code): both at once, which no membership of one role can say. So users
are sorted by what they may read, and each set of users gets a role.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vallum.enforce.application import Application
from vallum.kernel import AccessDenied, Operation
from vallum.policy import Actor, decide
from vallum.schema import Field, Model

__all__ = ["ColumnGrant", "column_grants"]


@dataclass(frozen=True, slots=True)
class ColumnGrant:
    """Columns that exactly these users may read; None: the whole relation."""

    model: str
    members: frozenset[int]
    columns: tuple[str, ...] | None


def column_grants(
    application: Application, model: Model, columns: Sequence[str], actors: Iterable[Actor]
) -> list[ColumnGrant]:
    """The grants of a model: one for the columns open to all its readers, one for each smaller circle."""
    readers = [a for a in actors if decide(application.policy, a, Operation.READ, model.name).allowed]
    if not readers:
        return []
    known = [c for c in columns if c == "id" or _is_column(model.fields.get(c))]
    circles: dict[frozenset[int], list[str]] = {}
    everyone = frozenset(a.user_id for a in readers)
    for column in known:
        field = model.fields.get(column)
        open_to = everyone if field is None else _open_to(application, field, readers)
        if open_to:
            circles.setdefault(open_to, []).append(column)
    if len(circles) == 1 and len(circles.get(everyone, ())) == len(columns):
        return [ColumnGrant(model.name, everyone, None)]
    return [ColumnGrant(model.name, members, tuple(found)) for members, found in circles.items()]


def _is_column(field: Field | None) -> bool:
    return field is not None and field.stored and field.column is not None


def _open_to(application: Application, field: Field, readers: Sequence[Actor]) -> frozenset[int]:
    guarded = field.groups or field.model in application.named.field_access
    if not guarded:
        return frozenset(a.user_id for a in readers)
    return frozenset(a.user_id for a in readers if _is_open(application, field, a))


def _is_open(application: Application, field: Field, actor: Actor) -> bool:
    try:
        application.access(actor).check_field(field)
    except AccessDenied:
        return False
    return True
