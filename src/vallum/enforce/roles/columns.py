"""Which columns of a model which users may read, and which they may fill.

Pure. A column is open to who has the right on the model and is let in by the field's
groups (and by known code): both at once, which no membership of one role can say. So users
are sorted by what they may do, and each set of users gets a role. Users of the same
groups may do the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from vallum.enforce.application import Application
from vallum.kernel import AccessDenied, Operation
from vallum.policy import Actor, decide
from vallum.schema import MAGIC_FIELDS, Field, Model

__all__ = ["PRIVILEGES", "ColumnGrant", "Holders"]

Circle = frozenset[int]
PRIVILEGES: Final = {
    Operation.READ: "SELECT",
    Operation.WRITE: "UPDATE",
    Operation.CREATE: "INSERT",
    Operation.UNLINK: "DELETE",
}
# The sequence gives the id, and the stamp says who and when: whoever could fill these could pretend,
# and by an id that is taken learn what is there.
_NEVER_FILLED: Final = frozenset({"id", *MAGIC_FIELDS})


@dataclass(frozen=True, slots=True)
class ColumnGrant:
    """Columns that exactly these users may read, or what `privilege` says; None: the whole relation."""

    model: str
    members: Circle
    columns: tuple[str, ...] | None
    privilege: str = "SELECT"


class Holders:
    """Who may do what, of the users that get roles."""

    def __init__(self, application: Application, actors: Iterable[Actor]) -> None:
        self._application = application
        self._alike: dict[tuple[Circle, bool], list[Actor]] = {}
        for actor in actors:
            self._alike.setdefault((actor.groups, actor.superuser), []).append(actor)
        self._models: dict[tuple[str, Operation], Circle] = {}

    def of_model(self, model: str, operation: Operation = Operation.READ) -> Circle:
        """Who has the right to the operation on a model."""
        found = self._models.get((model, operation))
        if found is None:
            policy = self._application.policy
            found = frozenset(
                actor.user_id
                for alike in self._alike.values()
                if decide(policy, alike[0], operation, model).allowed
                for actor in alike
            )
            self._models[model, operation] = found
        return found

    def of_field(self, field: Field, operation: Operation = Operation.READ) -> Circle:
        """Who has the right to the operation on a field's model, and is let in by the field."""
        holders = self.of_model(field.model, operation)
        by_code = field.model in self._application.named.field_access
        if not (field.groups or by_code):
            return holders
        found: set[int] = set()
        for alike in self._alike.values():
            among = [a for a in alike if a.user_id in holders]
            if by_code:
                found.update(a.user_id for a in among if self._is_open(field, a))
            elif among and self._is_open(field, among[0]):
                found.update(a.user_id for a in among)
        return frozenset(found)

    def _is_open(self, field: Field, actor: Actor) -> bool:
        try:
            self._application.access(actor).check_field(field)
        except AccessDenied:
            return False
        return True

    def grants(self, model: Model, columns: Sequence[str]) -> list[ColumnGrant]:
        """The grants of a model: one for the columns open to all its readers, one for each smaller circle."""
        everyone = self.of_model(model.name)
        if not everyone:
            return []
        circles = self._circles(model, columns, Operation.READ)
        if len(circles) == 1 and len(circles.get(everyone, ())) == len(columns):
            return [ColumnGrant(model.name, everyone, None)]
        return [ColumnGrant(model.name, members, tuple(found)) for members, found in circles.items()]

    def filled(self, model: Model, columns: Sequence[str], operation: Operation) -> list[ColumnGrant]:
        """The grants to change or make a model's records: of columns, by the circles that may fill them."""
        kept = [column for column in columns if column not in _NEVER_FILLED]
        privilege = PRIVILEGES[operation]
        return [
            ColumnGrant(model.name, members, tuple(found), privilege)
            for members, found in self._circles(model, kept, operation).items()
        ]

    def _circles(self, model: Model, columns: Sequence[str], operation: Operation) -> dict[Circle, list[str]]:
        circles: dict[Circle, list[str]] = {}
        for column in columns:
            circle = (
                self.of_model(model.name, operation)
                if column == "id"
                else self._of_column(model.fields, column, operation)
            )
            if circle:
                circles.setdefault(circle, []).append(column)
        return circles

    def _of_column(self, fields: Mapping[str, Field], column: str, operation: Operation) -> Circle:
        field = fields.get(column)
        if field is None or not field.stored or field.column is None:
            return frozenset()
        return self.of_field(field, operation)
