"""A value is read as its field's type, or refused by the field's name."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.enforce.values.commands import Command, Step, parse_commands, steps
from vallum.enforce.values.parse import parsed
from vallum.kernel import InvalidValue
from vallum.schema import Column, Field


class Size(StrEnum):
    SMALL = "small"


def field(kind: str, **more: Any) -> Field:
    return Field(model="thing", name="it", type=kind, **more)


INT4 = Column(type="int4")
NUMERIC = Column(type="numeric")
MONEY = Column(type="numeric", precision=5, scale=2)
FLOAT8 = Column(type="float8")
SHORT = Column(type="varchar", size=3)
ID = Column(type="uuid")
STAMP = Column(type="timestamp")
ZONED = Column(type="timestamptz")
NOON = datetime.fromisoformat("2026-03-01T12:00:00")
PARIS = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("kind", "column", "value", "read"),
    [
        ("boolean", None, None, False),
        ("boolean", None, True, True),
        ("boolean", None, 0, False),
        ("integer", INT4, None, None),
        ("integer", INT4, False, None),
        ("integer", INT4, -(2**31), -(2**31)),
        ("integer", Column(type="int8"), 2**63 - 1, 2**63 - 1),
        ("float", FLOAT8, 3, 3.0),
        ("float", FLOAT8, Decimal("0.1"), 0.1),
        ("monetary", NUMERIC, 0.1, Decimal("0.1")),
        ("monetary", NUMERIC, 10**30, Decimal(10**30)),
        ("monetary", MONEY, 999.99, Decimal("999.99")),
        ("char", SHORT, "äöü", "äöü"),
        ("char", SHORT, "", ""),
        ("char", None, Size.SMALL, "small"),
        ("char", ID, "6BA7B8109DAD11D180B400C04FD430C8", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        ("char", ID, UUID(int=1), str(UUID(int=1))),
        ("selection", None, "a", "a"),
        ("date", None, "2026-03-01", NOON.date()),
        ("date", None, NOON.date(), NOON.date()),
        ("datetime", STAMP, "2026-03-01 12:00:00", NOON),
        ("datetime", STAMP, "2026-03-01T13:00:00+01:00", NOON),
        ("datetime", STAMP, NOON.replace(tzinfo=PARIS), NOON - timedelta(hours=1)),
        ("datetime", STAMP, date.fromisoformat("2026-03-01"), NOON.replace(hour=0)),
        ("datetime", ZONED, "2026-03-01 12:00:00", NOON.replace(tzinfo=UTC)),
        ("many2one", INT4, 7, 7),
        ("many2one", INT4, (7, "Name"), 7),
        ("many2one", INT4, [7, None], 7),
        ("many2one", INT4, False, None),
        ("reference", None, "res.partner,07", "res.partner,7"),
        ("binary", None, b"\x00", b"\x00"),
        ("binary", None, "AAE=", b"\x00\x01"),
        ("json", None, False, False),
        ("json", None, {"a": [1, (2.5, None)]}, {"a": [1, [2.5, None]]}),
        ("json", None, None, None),
    ],
)
def test_value_is_read_as_its_type(kind: str, column: Column | None, value: Any, read: Any) -> None:
    """Into the one Python type that the column takes."""
    found = parsed(field(kind, selection=("a", "b") if kind == "selection" else ()), column, value)
    assert (found, type(found)) == (read, type(read))


HUGE = 10**5_000


@pytest.mark.parametrize(
    ("kind", "column", "value"),
    [
        ("boolean", None, "false"),
        ("boolean", None, 2),
        ("integer", INT4, 2**31),
        ("integer", Column(type="int2"), 40_000),
        pytest.param("integer", INT4, HUGE, id="huge integer"),
        ("integer", INT4, True),
        ("integer", INT4, 1.0),
        ("integer", INT4, "1"),
        ("float", FLOAT8, float("nan")),
        ("float", FLOAT8, float("inf")),
        pytest.param("float", FLOAT8, HUGE, id="huge float"),
        ("float", FLOAT8, True),
        ("float", FLOAT8, "1.5"),
        ("float", Column(type="float4"), 1e39),
        ("monetary", NUMERIC, float("-inf")),
        ("monetary", NUMERIC, Decimal("NaN")),
        ("monetary", NUMERIC, Decimal("1e999999")),
        ("monetary", NUMERIC, Decimal("1e-999999")),
        pytest.param("monetary", NUMERIC, HUGE, id="huge amount"),
        ("monetary", MONEY, 1000),
        ("monetary", MONEY, 999.999),
        pytest.param("monetary", MONEY, -(10**300), id="negative"),
        ("char", SHORT, "four"),
        ("char", None, "a\x00b"),
        ("char", None, "\ud800"),
        ("char", None, b"bytes"),
        ("char", None, 7),
        ("char", None, ["a"]),
        ("char", ID, "not-a-uuid"),
        ("text", None, "\x00"),
        ("html", None, "\udfff"),
        ("selection", None, "c"),
        ("selection", None, True),
        ("date", None, "2026-02-30"),
        ("date", None, "2026-03-01 12:00:00"),
        ("date", None, NOON),
        ("date", None, 20260301),
        ("datetime", STAMP, "yesterday"),
        ("datetime", STAMP, "1" * 50),
        ("datetime", STAMP, datetime.max.replace(tzinfo=timezone(-timedelta(hours=12)))),
        ("datetime", STAMP, 0),
        ("many2one", INT4, "7"),
        ("many2one", INT4, True),
        ("many2one", INT4, 0),
        ("many2one", INT4, -1),
        ("many2one", INT4, 2**31),
        pytest.param("many2one", INT4, HUGE, id="huge id"),
        ("many2one", INT4, [7, 8]),
        ("many2one", INT4, {"id": 7}),
        ("reference", None, "res.partner"),
        ("reference", None, "res.partner,0"),
        ("reference", None, "res.partner,-1"),
        ("reference", None, "res.partner,²"),
        ("binary", None, "no base64!"),
        ("binary", None, 5),
        ("json", None, {"a": float("nan")}),
        ("json", None, {1: "a"}),
        ("json", None, {"a\x00": 1}),
        ("json", None, ["\ud800"]),
        ("json", None, {"a": {1, 2}}),
        pytest.param("json", None, HUGE, id="huge in json"),
    ],
)
def test_what_is_of_another_type_is_refused(kind: str, column: Column | None, value: Any) -> None:
    """The error names the field, and does not fail over what it shows."""
    with pytest.raises(InvalidValue, match=r"thing\.it"):
        parsed(field(kind, selection=("a", "b") if kind == "selection" else ()), column, value)


def test_json_nested_without_end_is_refused() -> None:
    """Before Python's own stack ends."""
    value: Any = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(InvalidValue, match="too deep"):
        parsed(field("json"), None, value)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("<p>Fine <b class='x'>indeed</b></p>", '<p>Fine <b class="x">indeed</b></p>'),
        ("<script>alert(1)</script>Text", "Text"),
        ("<img src=x onerror=alert(1)>", '<img src="x">'),
        ('<a href="javascript:alert(1)">a</a>', '<a rel="noopener noreferrer">a</a>'),
    ],
)
def test_html_loses_what_runs(given: str, stored: str) -> None:
    """Whoever reads it later runs nothing of the one who wrote it."""
    assert parsed(field("html"), None, given) == stored


KINDS = ("boolean", "integer", "float", "monetary", "char", "html", "date", "datetime", "many2one", "json")


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.dates()))
def test_any_value_is_read_or_refused(value: Any) -> None:
    """Nothing else is raised, whatever the type."""
    for kind in (
        "boolean",
        "integer",
        "float",
        "monetary",
        "char",
        "html",
        "date",
        "datetime",
        "many2one",
        "json",
    ):
        with suppress(InvalidValue):
            parsed(field(kind), NUMERIC if kind == "monetary" else None, value)


LINES = Field(model="order", name="lines", type="one2many", comodel="line", inverse="order_id")


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (None, [Step(Command.CLEAR)]),
        (False, [Step(Command.CLEAR)]),
        ([], []),
        ([3, 1, 3], [Step(Command.SET, (3, 1))]),
        ([(0, 0, {"a": 1})], [Step(Command.CREATE, (), {"a": 1})]),
        ([[0, "virtual", {}]], [Step(Command.CREATE, (), {})]),
        ([(1, 5, {"a": 1})], [Step(Command.UPDATE, (5,), {"a": 1})]),
        ([(2, 5), (3, 6, 0), (4, 7)], [Step(Command(n), (n + 3,)) for n in (2, 3, 4)]),
        ([(5,), (5, 0, 0)], [Step(Command.CLEAR), Step(Command.CLEAR)]),
        ([(6, 0, [2, 1])], [Step(Command.SET, (2, 1))]),
    ],
)
def test_commands_are_read(value: Any, read: list[Step]) -> None:
    """As lists or tuples, with Odoo's padding or without."""
    assert list(parse_commands(LINES, value)) == read


@pytest.mark.parametrize(
    "value",
    [
        "5",
        {"a": 1},
        7,
        True,
        [None],
        [()],
        [(7, 1)],
        [(-1, 1)],
        [(True, 1)],
        [("0", 0, {})],
        [(0, 0, None)],
        [(0, 0, {1: 2})],
        [(1, 5)],
        [(1, "5", {})],
        [(2,)],
        [(3, None)],
        [(4, True)],
        [(4, -1)],
        [(4, 2**63)],
        [(6, 0)],
        [(6, 0, "12")],
        [(6, 0, [1, "2"])],
        [(1, 2, {}, 3)],
        [1, (4, 2)],
    ],
)
def test_what_is_no_command_is_refused(value: Any) -> None:
    """None is skipped or guessed."""
    with pytest.raises(InvalidValue, match=r"order\.lines"):
        parse_commands(LINES, value)


def test_commands_of_records_are_done_together_and_in_order() -> None:
    """Of each record in its own order; the same kinds of several records at once."""
    new, link = Step(Command.CREATE, (), {}), Step(Command.LINK, (1,))
    clear = Step(Command.CLEAR)
    rounds = [
        (kind, [(record, len(run)) for record, run in batch])
        for kind, batch in steps({1: [new, new, link], 2: [new, clear], 3: [link], 4: []})
    ]
    assert rounds == [
        (Command.CREATE, [(1, 2), (2, 1)]),
        (Command.LINK, [(3, 1)]),
        (Command.LINK, [(1, 1)]),
        (Command.CLEAR, [(2, 1)]),
    ]
