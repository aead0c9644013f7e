"""Which columns of a model which users may read.

Pure. A column is open to who has the right to read the model and is let in by the field's
groups (and by known code): both at once, which no membership of one role can say. So users
are sorted by what they may read, and each set of users gets a role. Users of the same
groups may read the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vallum.enforce.application import Application
from vallum.kernel import AccessDenied, Operation
from vallum.policy import Actor, decide
from vallum.schema import Field, Model

__all__ = ["ColumnGrant", "Readers"]

Circle = frozenset[int]


@dataclass(frozen=True, slots=True)
class ColumnGrant:
    """Columns that exactly these users may read; None: the whole relation."""

    model: str
    members: Circle
    columns: tuple[str, ...] | None


class Readers:
    """Who may read what, of the users that get roles."""

    def __init__(self, application: Application, actors: Iterable[Actor]) -> None:
        self._application = application
        self._alike: dict[tuple[Circle, bool], list[Actor]] = {}
        for actor in actors:
            self._alike.setdefault((actor.groups, actor.superuser), []).append(actor)
        self._models: dict[str, Circle] = {}

    def of_model(self, model: str) -> Circle:
        """Who has the right to read a model."""
        found = self._models.get(model)
        if found is None:
            policy = self._application.policy
            found = frozenset(
                actor.user_id
                for alike in self._alike.values()
                if decide(policy, alike[0], Operation.READ, model).allowed
                for actor in alike
            )
            self._models[model] = found
        return found

    def of_field(self, field: Field) -> Circle:
        """Who has the right to read a field's model, and is let in by the field."""
        readers = self.of_model(field.model)
        by_code = field.model in self._application.named.field_access
        if not (field.groups or by_code):
            return readers
        found: set[int] = set()
        for alike in self._alike.values():
            among = [a for a in alike if a.user_id in readers]
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
        circles: dict[Circle, list[str]] = {}
        for column in columns:
            circle = everyone if column == "id" else self._of_column(model.fields, column)
            if circle:
                circles.setdefault(circle, []).append(column)
        if len(circles) == 1 and len(circles.get(everyone, ())) == len(columns):
            return [ColumnGrant(model.name, everyone, None)]
        return [ColumnGrant(model.name, members, tuple(found)) for members, found in circles.items()]

    def _of_column(self, fields: Mapping[str, Field], column: str) -> Circle:
        field = fields.get(column)
        if field is None or not field.stored or field.column is None:
            return frozenset()
        return self.of_field(field)
