"""Which columns of a model which users may read, and which they may fill.

Pure. A column is open to who has the right on the model and is let in by the field's
groups (and by known code): both at once, which no membership of one role can say. So users
are sorted by what they may do, and each set of users gets a role. Users of the same
groups may do the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from vallum.enforce.application import Application
from vallum.kernel import Operation
from vallum.policy import Actor, ActorAccess, decide, may_read_field
from vallum.schema import MAGIC_FIELDS, Field, Model

if TYPE_CHECKING:
    from vallum.domain.env import Access
    from vallum.domain.named import FieldAccess

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


class _AsksForMoreError(Exception):
    """Code that asks for more than groups."""


class _GroupsAlone:
    """An actor's access, as far as it is the same for all actors of the same groups."""

    def __init__(self, access: ActorAccess) -> None:
        self.readable, self.may, self.in_group = access.readable, access.may, access.in_group

    def __getattr__(self, name: str) -> Any:
        raise _AsksForMoreError(name)


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
        code = self._application.named.field_access.get(field.model)
        if not (field.groups or code):
            return holders
        found: set[int] = set()
        for alike in self._alike.values():
            among = [a for a in alike if a.user_id in holders]
            if among and may_read_field(self._application.policy, among[0], field):
                found.update(
                    a.user_id for a in (among if code is None else self._by_code(field, code, among))
                )
        return frozenset(found)

    def _by_code(self, field: Field, code: FieldAccess, alike: Sequence[Actor]) -> Iterable[Actor]:
        """Those of the same groups that known code lets in: all or none, where it asks for groups alone."""
        schema = self._application.schema
        model = schema.model(field.model)
        groups_alone = cast("Access", _GroupsAlone(self._application.access(alike[0])))
        try:
            return alike if code(model, field, groups_alone, schema.version) else ()
        except _AsksForMoreError:
            access = self._application.access
            return [a for a in alike if code(model, field, access(a), schema.version)]

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
