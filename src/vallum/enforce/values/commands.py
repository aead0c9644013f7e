"""Read the commands for an x2many field, strictly: Odoo's numbers 0 to 6.

Pure. `None` and False empty the field; a list of ids is what the field shall hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import groupby
from typing import Any

from vallum.kernel import InvalidValue, shown
from vallum.schema import Field

__all__ = ["Command", "Step", "parse_commands", "steps"]


class Command(IntEnum):
    """What to do with the records behind a field."""

    CREATE = 0
    UPDATE = 1
    DELETE = 2
    UNLINK = 3
    LINK = 4
    CLEAR = 5
    SET = 6


@dataclass(frozen=True, slots=True)
class Step:
    """One command. `values` of those made or changed, `ids` of those it is about."""

    command: Command
    ids: tuple[int, ...] = ()
    values: Mapping[str, Any] | None = None


def parse_commands(field: Field, value: Any) -> tuple[Step, ...]:
    """The commands in their order.

    Raises: InvalidValue.

    >>> lines = Field(model="sale.order", name="order_line", type="one2many")
    >>> parse_commands(lines, [(4, 7), [3, 8]])[1]
    Step(command=<Command.UNLINK: 3>, ids=(8,), values=None)
    """
    if value is None or value is False:
        return (Step(Command.CLEAR),)
    if not isinstance(value, list | tuple):
        raise _wrong(field, value)
    if value and all(type(item) is int for item in value):
        return (Step(Command.SET, _ids(field, value)),)
    return tuple(_step(field, item) for item in value)


def _step(field: Field, item: Any) -> Step:
    if not isinstance(item, list | tuple) or not item or type(item[0]) is not int or len(item) > 3:
        raise _wrong(field, item)
    try:
        command = Command(item[0])
    except ValueError:
        raise _wrong(field, item) from None
    second = item[1] if len(item) > 1 else None
    third = item[2] if len(item) > 2 else None
    match command:
        case Command.CREATE:
            return Step(command, values=_values(field, third if len(item) > 2 else {}))
        case Command.UPDATE:
            return Step(command, _ids(field, [second]), _values(field, third))
        case Command.CLEAR:
            return Step(command)
        case Command.SET:
            return Step(command, _ids(field, third))
    return Step(command, _ids(field, [second]))


def _values(field: Field, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise _wrong(field, value)
    return value


def _ids(field: Field, value: Any) -> tuple[int, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(field, value)
    for item in value:
        if type(item) is not int or not 0 < item < 2**63:
            raise _wrong(field, item)
    return tuple(dict.fromkeys(value))


def _wrong(field: Field, value: Any) -> InvalidValue:
    return InvalidValue(
        f"{shown(value)} is no command for `{field}`",
        fix="give a list of (0, 0, {…}), (1, id, {…}), (2, id), (3, id), (4, id), (5,) and (6, 0, [ids])",
    )


def steps(of: Mapping[int, Sequence[Step]]) -> Iterator[tuple[Command, list[tuple[int, list[Step]]]]]:
    """The commands of several records in rounds: of each record the next ones of a kind, kinds together.

    The commands of one record keep their order, those of different records do not meet.
    """
    waiting = {
        record: [(kind, list(run)) for kind, run in groupby(given, lambda s: s.command)]
        for record, given in of.items()
    }
    place = 0
    while any(place < len(runs) for runs in waiting.values()):
        for kind in Command:
            batch = [
                (record, runs[place][1])
                for record, runs in waiting.items()
                if place < len(runs) and runs[place][0] is kind
            ]
            if batch:
                yield kind, batch
        place += 1
