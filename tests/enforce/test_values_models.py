"""Every type, delegated parents, lines and links, on a small application of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import vallum
from tests.enforce import workshop
from tests.support.undone import undone
from vallum.kernel import (
    AccessDenied,
    Conflict,
    ConstraintRefused,
    InvalidValue,
    MissingValue,
    ReadonlyField,
)
from vallum.postgres import EmbeddedServer


@pytest.fixture(scope="module")
def place(pg_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The application's database and policy."""
    name = f"workshop_{os.getpid()}"
    dsn = pg_server.create_database(name)
    workshop.create(dsn)
    yield dsn, workshop.policy(tmp_path_factory.mktemp("policy"))
    pg_server.drop_database(name)


@pytest.fixture
def shop(place: tuple[str, Path]) -> Iterator[vallum.Vallum]:
    """The application, in a transaction that is rolled back."""
    dsn, policy = place
    with vallum.open(dsn, metadata=workshop.Base, policy=policy, writable=True) as opened, undone(opened):
        yield opened


@pytest.fixture
def will(shop: vallum.Vallum) -> vallum.Session:
    """A worker."""
    return shop.as_user("will")


@pytest.fixture
def bess(shop: vallum.Vallum) -> vallum.Session:
    """The boss."""
    return shop.as_user("bess")


def raw(shop: vallum.Vallum, table: str, record: int) -> dict[str, Any]:
    """A row as it is stored."""
    with shop.application.database.transaction() as connection:
        cursor = connection.execute(f"SELECT * FROM {table} WHERE id = %s".encode(), (record,))
        names = [c.name for c in cursor.description or ()]
        row = cursor.fetchone()
    assert row is not None
    return dict(zip(names, row, strict=True))


# Types


FULL: dict[str, Any] = {
    "name": "All",
    "note": "Note",
    "code": "X",
    "page": "<b>Bold</b><script>1</script>",
    "flag": False,
    "small": 7,
    "whole": 8,
    "large": 2**40,
    "ratio": 0.5,
    "price": 12.345,
    "day": "2026-03-01",
    "at": "2026-03-01 12:00:00",
    "zoned": "2026-03-01 12:00:00",
    "state": "done",
    "colour": "b",
    "content": "AAE=",
    "data": {"a": [1, None]},
    "plain": ["x"],
    "mark": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    "loud": "hey",
    "title": "Title",
    "due": "2026-03-02",
    "owner": 5,
    "edits": 3,
    "about": "machine,1",
    "res_model": "machine",
    "res_id": 1,
}
STORED: dict[str, Any] = {
    **FULL,
    "page": "<b>Bold</b>",
    "price": Decimal("12.35"),
    "day": date.fromisoformat("2026-03-01"),
    "at": datetime.fromisoformat("2026-03-01T12:00:00"),
    "zoned": datetime(2026, 3, 1, 12, tzinfo=UTC),
    "content": b"\x00\x01",
    "mark": UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
    "loud": "HEY",
    "title": {"en_US": "Title"},
    "due": {"1": "2026-03-02"},
    "owner": {"1": 5},
    "doubled": 16,
}


@pytest.fixture
def machine(shop: vallum.Vallum) -> None:
    """The machine with the id 1."""
    shop.application.database.rows(
        "INSERT INTO machine (id, name, owner_id, revision) VALUES (1, 'First', 2, 1) ON CONFLICT DO NOTHING"
    )


@pytest.mark.usefixtures("machine")
def test_every_type_is_stored_as_given(shop: vallum.Vallum, will: vallum.Session) -> None:
    """By create, and the same by write."""
    created = will.create("thing", FULL)
    assert raw(shop, "thing", created) == {**STORED, "id": created}
    written = will.create("thing", {})
    will.write("thing", written, {**FULL, "code": "Y"})
    assert raw(shop, "thing", written) == {**STORED, "id": written, "code": "Y"}


@pytest.mark.usefixtures("machine")
def test_every_type_can_be_emptied(shop: vallum.Vallum, will: vallum.Session) -> None:
    """None and False are no value; what is per company keeps that there is none."""
    thing = will.create("thing", FULL)
    for empty in (None, False):
        will.write("thing", thing, {name: empty for name in FULL if name not in ("name", "data", "plain")})
    will.write("thing", thing, {"data": None, "plain": None, "edits": None, "zoned": None})
    row = raw(shop, "thing", thing)
    assert (row["due"], row["owner"]) == ({"1": None}, {"1": None})
    left = {n: v for n, v in row.items() if v is not None}
    assert left == {"id": thing, "name": "All", "flag": False, "due": {"1": None}, "owner": {"1": None}}


def test_batch_of_unlike_records_keeps_its_order_and_defaults(
    shop: vallum.Vallum, will: vallum.Session
) -> None:
    """Some with values, some with the application's defaults, some with the table's own."""
    ids = will.create(
        "thing",
        [{"name": "A"}, {"code": "B", "state": "done"}, {"name": "C", "day": "2020-01-01", "small": 1}, {}],
    )
    assert len(set(ids)) == 4
    rows = [raw(shop, "thing", i) for i in ids]
    assert [r["name"] for r in rows] == ["A", "unnamed", "C", "unnamed"]
    assert [r["code"] for r in rows] == ["C0", "B", "C0", "C0"]
    assert [r["state"] for r in rows] == ["new", "done", "new", "new"]
    assert [r["day"].year > 2020 for r in rows] == [True, True, False, True]
    assert [r["flag"] for r in rows] == [True] * 4


def test_defaults_may_ask_for_other_values(shop: vallum.Vallum, will: vallum.Session) -> None:
    """As in SQLAlchemy, by the context's parameters."""
    assert raw(shop, "thing", will.create("thing", {"code": "Q"}))["note"] == "about Q"


def test_what_the_application_sets_at_updates_is_set(shop: vallum.Vallum, will: vallum.Session) -> None:
    """`onupdate`, computed in Python or by PostgreSQL; a value given has precedence."""
    thing = will.create("thing", {"code": "Q"})
    will.write("thing", thing, {"name": "N"})
    row = raw(shop, "thing", thing)
    assert row["edits"] == 7
    assert row["zoned"] is not None
    will.write("thing", thing, {"edits": 1})
    assert raw(shop, "thing", thing)["edits"] == 1


def test_defaults_are_told(will: vallum.Session) -> None:
    """Python's, PostgreSQL's and the table's own; not of what nobody sets."""
    found = will.default_get("thing", ["code", "flag", "name", "state", "day", "edits", "id", "whole"])
    assert found == {
        "code": "C0",
        "flag": True,
        "name": "unnamed",
        "state": "new",
        "day": found["day"],
        "edits": 0,
    }
    assert isinstance(found["day"], date)
    assert will.default_get("robot")["language"] == "en"


@pytest.mark.parametrize("name", ["id", "doubled"])
def test_columns_that_postgresql_makes_are_not_set(will: vallum.Session, name: str) -> None:
    """Ids and computed columns."""
    with pytest.raises(ReadonlyField, match=name):
        will.create("thing", {name: 1})


def test_version_column_is_not_set(will: vallum.Session) -> None:
    """It is counted."""
    with pytest.raises(ReadonlyField, match="revision"):
        will.create("machine", {"name": "M", "revision": 5})


@pytest.mark.parametrize(
    ("values", "match"),
    [({"whole": 1000}, "thing_whole_check"), ({"code": "U", "small": 1}, r"`code` .* `small` .* of `thing`")],
)
def test_constraints_are_named(will: vallum.Session, values: dict[str, Any], match: str) -> None:
    """Checks by name, unique ones by their fields, whether PostgreSQL named them or somebody else."""
    will.create("thing", {"code": "U", "small": 1})
    with pytest.raises(ConstraintRefused, match=match):
        will.create("thing", values)


@pytest.mark.parametrize(
    "values",
    [
        {"about": "machine,99"},
        {"about": "part,99"},
        {"res_model": "machine", "res_id": 99},
    ],
)
def test_references_lead_to_what_may_be_read(will: vallum.Session, values: dict[str, Any]) -> None:
    """As many2one fields do."""
    with pytest.raises(AccessDenied, match="or they do not exist"):
        will.create("thing", values)


def test_reference_without_its_model_is_refused(will: vallum.Session) -> None:
    """A number points nowhere by itself."""
    with pytest.raises(InvalidValue, match="res_model"):
        will.create("thing", {"res_id": 1})


def test_reference_into_the_model_that_is_stored_is_checked(bess: vallum.Session) -> None:
    """Where only the number is written."""
    part = bess.create("part", {"name": "P"})
    thing = bess.create("thing", {"res_model": "part", "res_id": part})
    bess.write("thing", thing, {"res_id": part})
    with pytest.raises(AccessDenied):
        bess.write("thing", thing, {"res_id": part + 1})


# Versions


def test_version_column_counts_and_guards(shop: vallum.Vallum, will: vallum.Session) -> None:
    """From 1 on; a stale number is a conflict."""
    machine = will.create("machine", {"name": "M"})
    assert raw(shop, "machine", machine)["revision"] == 1
    will.write("machine", machine, {"name": "N"}, version=1)
    assert raw(shop, "machine", machine)["revision"] == 2
    with pytest.raises(Conflict) as caught:
        will.write("machine", [machine], {"name": "O"}, version=1)
    assert caught.value.ids == (machine,)
    with pytest.raises(InvalidValue):
        will.write("machine", [machine], {"name": "O"}, version="two")


def test_model_without_versions_says_so(will: vallum.Session) -> None:
    """Instead of writing all the same."""
    machine = will.create("machine", {"name": "M"})
    screw = will.create("screw", {"name": "S", "machine_id": machine})
    with pytest.raises(InvalidValue, match="no versions"):
        will.write("screw", screw, {"name": "T"}, version=1)


# Delegated parents


def test_delegated_parent_is_created_and_written(shop: vallum.Vallum, will: vallum.Session) -> None:
    """Its fields are the child's too."""
    robot = will.create("robot", {"name": "R", "language": "fr", "owner_id": 2})
    machine = raw(shop, "robot", robot)["machine_id"]
    assert raw(shop, "machine", machine)["name"] == "R"
    will.write("robot", robot, {"name": "R2", "screw_ids": [(0, 0, {"name": "S"})]})
    assert raw(shop, "machine", machine)["name"] == "R2"
    assert len(will.read("machine", [machine], ["screw_ids"])[0]["screw_ids"]) == 1
    with pytest.raises(MissingValue, match=r"machine\.name"):
        will.create("robot", {"language": "de"})


def test_given_parent_is_written_with_its_own_rules(will: vallum.Session, bess: vallum.Session) -> None:
    """One in reach is taken as it is, or written; one out of reach is refused."""
    own = will.create("machine", {"name": "Own", "owner_id": 2})
    robot = will.create("robot", {"machine_id": own})
    assert will.read("robot", [robot], ["name"])[0]["name"] == "Own"
    will.create("robot", {"machine_id": own, "name": "Renamed"})
    assert will.read("machine", [own], ["name"])[0]["name"] == "Renamed"
    foreign = bess.create("machine", {"name": "Boss's", "owner_id": 3})
    with pytest.raises(AccessDenied):
        will.create("robot", {"machine_id": foreign, "name": "Stolen"})
    with pytest.raises(AccessDenied):
        will.write("robot", robot, {"machine_id": foreign})


def test_parents_rules_hold_for_the_child(will: vallum.Session, bess: vallum.Session) -> None:
    """Who may not write the machine writes no robot made of it."""
    robot = bess.create("robot", {"name": "R", "owner_id": 3})
    for attempt in (
        lambda: will.write("robot", robot, {"language": "es"}),
        lambda: will.unlink("robot", robot),
        lambda: will.copy("robot", robot),
    ):
        with pytest.raises(AccessDenied):
            attempt()
    with pytest.raises(AccessDenied):
        will.create("robot", {"name": "For the boss", "owner_id": 3})


def test_parents_shut_fields_are_shut_for_the_child(will: vallum.Session, bess: vallum.Session) -> None:
    """Delegation is no way around."""
    with pytest.raises(AccessDenied, match="place"):
        will.create("robot", {"name": "R", "place": "Hall"})
    assert bess.read("robot", [bess.create("robot", {"name": "R", "place": "Hall"})], ["place"])[0]["place"]


def test_copy_copies_the_parent_too(shop: vallum.Vallum, will: vallum.Session) -> None:
    """The copy has a parent of its own, with what shall differ; types go over as they are stored."""
    robot = will.create("robot", {"name": "R", "owner_id": 2, "language": "fr"})
    copied = will.copy("robot", robot, {"name": "R2"})
    first, second = raw(shop, "robot", robot), raw(shop, "robot", copied)
    assert first["machine_id"] != second["machine_id"]
    assert second["language"] == "fr"
    row = raw(shop, "machine", second["machine_id"])
    assert (row["name"], row["owner_id"], row["revision"]) == ("R2", 2, 1)


@pytest.mark.usefixtures("machine")
def test_copy_of_every_type_is_the_same(shop: vallum.Vallum, will: vallum.Session) -> None:
    """Nothing is converted twice; of values per company, the current one's."""
    thing = will.create("thing", FULL)
    shop.application.database.rows(
        'UPDATE thing SET due = due || \'{"2": "2020-01-01"}\', title = title || \'{"fr_FR": "Titre"}\''
    )
    copied = will.copy("thing", thing, {"code": "Z"})
    expected = {**STORED, "code": "Z", "id": copied, "title": {"en_US": "Title", "fr_FR": "Titre"}}
    assert raw(shop, "thing", copied) == expected


# Lines


def screws(user: vallum.Session, machine: int) -> list[str]:
    """The names of a machine's screws."""
    return [
        r["name"] for r in user.search_read("screw", [("machine_id", "=", machine)], ["name"], order="id")
    ]


def test_lines_are_created_changed_and_deleted(will: vallum.Session) -> None:
    """Commands 0, 1 and 2, for several records at once as well."""
    one, two = will.create(
        "machine",
        [
            {"name": "1", "screw_ids": [(0, 0, {"name": "a"}), (0, 0, {"name": "b"})]},
            {"name": "2", "screw_ids": [(0, 0, {"name": "c"})]},
        ],
    )
    assert (screws(will, one), screws(will, two)) == (["a", "b"], ["c"])
    first, second = will.search("screw", [("machine_id", "=", one)], order="id")
    will.write("machine", one, {"screw_ids": [(1, first, {"name": "A"}), (2, second), (0, 0, {"name": "d"})]})
    assert screws(will, one) == ["A", "d"]
    will.write("machine", [one, two], {"screw_ids": [(0, 0, {"name": "both"})]})
    assert (screws(will, one), screws(will, two)) == (["A", "d", "both"], ["c", "both"])


def test_line_belongs_to_the_record_whatever_its_values_say(will: vallum.Session) -> None:
    """A machine given among the values is not obeyed, so that no foreign one is reached."""
    other = will.create("machine", {"name": "other"})
    mine = will.create("machine", {"name": "m", "screw_ids": [(0, 0, {"name": "a", "machine_id": other})]})
    assert (screws(will, mine), screws(will, other)) == (["a"], [])


def test_lines_that_go_with_their_record_are_deleted_when_taken_out(will: vallum.Session) -> None:
    """Commands 3, 5 and 6, since the column says ON DELETE CASCADE."""
    lines = [(0, 0, {"name": n}) for n in "abcd"]
    machine = will.create("machine", {"name": "m", "screw_ids": lines})
    a, b, c, d = will.search("screw", [("machine_id", "=", machine)], order="id")
    will.write("machine", machine, {"screw_ids": [(3, a)]})
    assert will.exists("screw", [a, b, c, d]) == [b, c, d]
    will.write("machine", machine, {"screw_ids": [(6, 0, [c])]})
    assert will.exists("screw", [a, b, c, d]) == [c]
    will.write("machine", machine, {"screw_ids": [(5,)]})
    assert will.exists("screw", [a, b, c, d]) == []


def test_rules_for_unlink_guard_lines_that_are_taken_out(will: vallum.Session) -> None:
    """A line that may not be deleted keeps all of them."""
    machine = will.create(
        "machine",
        {"name": "m", "screw_ids": [(0, 0, {"name": "a"}), (0, 0, {"name": "long", "length": 150})]},
    )
    refused: list[Any] = [[(5,)], [(6, 0, [])], False, [(2, i) for i in will.search("screw", [])]]
    for commands in refused:
        with pytest.raises(AccessDenied, match="unlink"):
            will.write("machine", machine, {"screw_ids": commands})
    assert screws(will, machine) == ["a", "long"]


def test_lines_that_outlive_their_record_are_let_go(bess: vallum.Session) -> None:
    """Commands 3, 4, 5 and 6 where the column says ON DELETE SET NULL."""
    one, two = bess.create("machine", [{"name": "1"}, {"name": "2"}])
    a, b, c = bess.create("sticker", [{"name": n} for n in "abc"])

    def held(machine: int) -> list[int]:
        return bess.search("sticker", [("machine_id", "=", machine)], order="id")

    bess.write("machine", one, {"sticker_ids": [(4, a), (4, b)]})
    assert held(one) == [a, b]
    bess.write("machine", two, {"sticker_ids": [(6, 0, [b, c])]})
    assert (held(one), held(two)) == ([a], [b, c])
    bess.write("machine", two, {"sticker_ids": [(3, b), (3, a)]})
    assert (held(one), held(two)) == ([a], [c])
    bess.write("machine", one, {"sticker_ids": None})
    assert bess.exists("sticker", [a, b, c]) == [a, b, c]
    assert held(one) == []


def test_lines_need_the_rights_of_their_own_model(will: vallum.Session, bess: vallum.Session) -> None:
    """A worker may write stickers, and neither make nor delete them, by whichever field."""
    machine = will.create("machine", {"name": "m"})
    sticker = bess.create("sticker", {"name": "s"})
    part = bess.create("part", {"name": "p"})
    for commands in (
        {"sticker_ids": [(0, 0, {"name": "x"})]},
        {"sticker_ids": [(2, sticker)]},
        {"part_ids": [(0, 0, {"name": "x"})]},
        {"part_ids": [(1, part, {"name": "x"})]},
        {"part_ids": [(2, part)]},
    ):
        with pytest.raises(AccessDenied, match="no access right"):
            will.write("machine", machine, commands)
    will.write("machine", machine, {"sticker_ids": [(4, sticker), (1, sticker, {"name": "S"})]})
    will.write("machine", machine, {"part_ids": [(4, part)]})
    assert will.read("machine", [machine], ["sticker_ids", "part_ids"]) == [
        {"id": machine, "sticker_ids": [sticker], "part_ids": [part]}
    ]


def test_links_lead_only_to_what_the_actor_sees(
    shop: vallum.Vallum, will: vallum.Session, bess: vallum.Session
) -> None:
    """Hidden and missing records are refused with the same words, whatever the command."""
    machine = will.create("machine", {"name": "m"})
    part = shop.sudo().create("part", {"name": "hidden", "secret": True})
    sticker = shop.sudo().create("sticker", {"name": "hidden", "secret": True})
    for field, hidden in (("part_ids", part), ("sticker_ids", sticker)):
        for make in (lambda i: (4, i), lambda i: (3, i), lambda i: (6, 0, [i])):
            texts = set()
            for record in (hidden, 10**6):
                with pytest.raises(AccessDenied) as caught:
                    will.write("machine", machine, {field: [make(record)]})
                texts.add(str(caught.value).replace(str(record), "ID"))
            assert len(texts) == 1


def test_hidden_links_stay(shop: vallum.Vallum, will: vallum.Session) -> None:
    """Emptying a field takes away what the actor sees of it, inactive records included."""
    seen, resting, hidden = shop.sudo().create(
        "part", [{"name": "a"}, {"name": "b", "active": False}, {"name": "c", "secret": True}]
    )
    machine = shop.sudo().create("machine", {"name": "m", "part_ids": [seen, resting, hidden]})
    will.write("machine", machine, {"part_ids": [(5,)]})
    links = shop.application.database.rows(
        "SELECT part_id FROM machine_part WHERE machine_id = %s", (machine,)
    )
    assert links == [(hidden,)]


def test_links_are_made_once(shop: vallum.Vallum, bess: vallum.Session) -> None:
    """Also where the relation table would take a pair twice."""
    part, other = bess.create("part", [{"name": "p"}, {"name": "q"}])
    machine = bess.create("machine", {"name": "m", "part_ids": [(4, part), (4, part)]})
    bess.write("machine", machine, {"part_ids": [(4, part), (0, 0, {"name": "r"}), (3, other)]})
    count = shop.application.database.rows(
        "SELECT count(*), count(DISTINCT part_id) FROM machine_part WHERE machine_id = %s", (machine,)
    )
    assert count == [(2, 2)]


def test_records_within_records_have_a_limit(shop: vallum.Vallum) -> None:
    """Before Python's own stack ends."""
    deep: dict[str, Any] = {"name": "bottom"}
    for level in range(40):
        field = "node_ids" if level % 2 else "leaf_ids"
        deep = {"name": "node", field: [(0, 0, deep)]}
    with pytest.raises(InvalidValue, match="too deep"):
        shop.sudo().create("node", deep)


def test_delete_follows_the_database(shop: vallum.Vallum, bess: vallum.Session) -> None:
    """Lines go, or stay without their record, as their columns say."""
    sticker = bess.create("sticker", {"name": "s"})
    machine = bess.create(
        "machine", {"name": "m", "screw_ids": [(0, 0, {"name": "a"})], "sticker_ids": [(4, sticker)]}
    )
    screw = bess.search("screw", [("machine_id", "=", machine)])
    bess.unlink("machine", machine)
    assert bess.exists("screw", screw) == []
    assert raw(shop, "sticker", sticker)["machine_id"] is None
