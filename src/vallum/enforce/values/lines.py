"""Carry out commands on the records behind x2many fields, as the actor.

Records are made, changed and deleted with the rights and rules of their own model. A link may be made only
to a record that the actor may read, and only links that the actor sees are taken away: those to records
out of sight stay, as in Odoo.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vallum.enforce.query.check import check
from vallum.enforce.query.lines import lines_of, relation
from vallum.enforce.values import writer
from vallum.enforce.values.call import Call
from vallum.enforce.values.commands import Command, Step, steps
from vallum.kernel import InvalidValue, Operation
from vallum.schema import Field, Model

__all__ = ["apply_lines"]

Batch = Sequence[tuple[int, Sequence[Step]]]


def apply_lines(call: Call, model: Model, records: Mapping[int, Mapping[str, Sequence[Step]]]) -> None:
    """Carry out the commands for each record, field by field.

    Raises: AccessDenied, UnknownRecord (superuser only), InvalidValue, MissingValue, psycopg.Error.
    """
    names = dict.fromkeys(name for given in records.values() for name in given)
    for name in names:
        field = model.field(name)
        lines = (_Many if field.type == "many2many" else _One)(call.deeper(), field)
        of = {record: given[name] for record, given in records.items() if given.get(name)}
        for command, batch in steps(of):
            _HANDLERS[command](lines, batch)


@dataclass(frozen=True, slots=True)
class _Lines:
    """The records behind one field. `_Many` and `_One` say how they are tied to it."""

    call: Call
    field: Field

    @property
    def comodel(self) -> str:
        return self.field.comodel or ""

    def update(self, batch: Batch) -> None:
        for _, given in batch:
            for step in given:
                writer.write(self.call, self.comodel, step.ids, step.values or {})

    def delete(self, batch: Batch) -> None:
        writer.unlink(self.call, self.comodel, [i for _, given in batch for step in given for i in step.ids])

    def clear(self, batch: Batch) -> None:
        self.set([(record, [Step(Command.SET)]) for record, _ in batch])

    def set(self, batch: Batch) -> None:
        """The last of several counts: the ones before it would be undone by it."""
        wanted = {record: given[-1].ids for record, given in batch}
        held = self.held(wanted)
        self.take([(record, i) for record in wanted for i in held[record] if i not in wanted[record]])
        self.add([(record, i) for record, ids in wanted.items() for i in ids if i not in held[record]])

    def unlink(self, batch: Batch) -> None:
        held = self.held(record for record, _ in batch)
        pairs = _pairs(batch)
        self.check_seen(i for record, i in pairs if i not in held[record])
        self.take([(record, i) for record, i in pairs if i in held[record]])

    def link(self, batch: Batch) -> None:
        held = self.held(record for record, _ in batch)
        self.add([(record, i) for record, i in _pairs(batch) if i not in held[record]])

    def held(self, records: Iterable[int]) -> dict[int, list[int]]:
        """Per record the records behind the field that the actor sees, inactive ones among them."""
        return lines_of(self.call.eyes, self.field, records, active_test=False)

    def check_seen(self, ids: Iterable[int]) -> None:
        """Raise unless the actor may read all of them."""
        wanted = list(dict.fromkeys(ids))
        if wanted:
            check(self.call.eyes, self.comodel, wanted, Operation.READ)

    def create(self, batch: Batch) -> None:
        raise NotImplementedError

    def add(self, pairs: Sequence[tuple[int, int]]) -> None:
        raise NotImplementedError

    def take(self, pairs: Sequence[tuple[int, int]]) -> None:
        raise NotImplementedError


class _Many(_Lines):
    """A many2many field: pairs in a relation table."""

    __slots__ = ()

    def create(self, batch: Batch) -> None:
        owners = [record for record, given in batch for _ in given]
        made = writer.create(self.call, self.comodel, [s.values or {} for _, given in batch for s in given])
        self._tie(list(zip(owners, made, strict=True)))

    def add(self, pairs: Sequence[tuple[int, int]]) -> None:
        self.check_seen(i for _, i in pairs)
        self._tie(pairs)

    def take(self, pairs: Sequence[tuple[int, int]]) -> None:
        self.call.rows.unlink(self._relation(), pairs)

    def _tie(self, pairs: Sequence[tuple[int, int]]) -> None:
        self.call.rows.link(self._relation(), pairs)

    def _relation(self) -> tuple[str, str, str]:
        relation(self.field)  # raises where it is not known
        found = (self.field.relation or "", self.field.column1 or "", self.field.column2 or "")
        self.call.touched.add(found[0])
        return found


class _One(_Lines):
    """A one2many field: records whose many2one field leads back."""

    __slots__ = ()

    @property
    def inverse(self) -> str:
        if self.field.inverse is None:
            raise InvalidValue(f"`{self.field}` has no field that leads back")
        return self.field.inverse

    def create(self, batch: Batch) -> None:
        records = [{**(s.values or {}), self.inverse: record} for record, given in batch for s in given]
        writer.create(self.call, self.comodel, records, frozenset({self.inverse}))

    def add(self, pairs: Sequence[tuple[int, int]]) -> None:
        self.check_seen(i for _, i in pairs)
        for record in dict.fromkeys(record for record, _ in pairs):
            self._point([i for owner, i in pairs if owner == record], record)

    def take(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Lines that the database would delete with their owner are deleted, others are let go."""
        ids = [i for _, i in pairs]
        column = self.call.storage.of(self.comodel).get(self.inverse)
        if column is not None and column.on_delete == "CASCADE":
            writer.unlink(self.call, self.comodel, ids)
        elif ids:
            self._point(ids, None)

    def _point(self, ids: Sequence[int], record: int | None) -> None:
        trusted = frozenset({self.inverse})
        writer.write(self.call, self.comodel, ids, {self.inverse: record}, trusted=trusted)


def _pairs(batch: Batch) -> list[tuple[int, int]]:
    return [(record, i) for record, given in batch for step in given for i in step.ids]


_HANDLERS: Final[Mapping[Command, Callable[[Any, Batch], None]]] = {
    Command.CREATE: lambda lines, batch: lines.create(batch),
    Command.UPDATE: lambda lines, batch: lines.update(batch),
    Command.DELETE: lambda lines, batch: lines.delete(batch),
    Command.UNLINK: lambda lines, batch: lines.unlink(batch),
    Command.LINK: lambda lines, batch: lines.link(batch),
    Command.CLEAR: lambda lines, batch: lines.clear(batch),
    Command.SET: lambda lines, batch: lines.set(batch),
}
