"""What triggers write: changed columns only, of every kind of table, value and way to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.audit import Trail, trail
from vallum.audit.install import Hand, disable, drop_all, plan, refresh


def _last(log: Trail) -> dict[str, Any]:
    log.sequence()
    return log.rows()[-1]


def test_update_holds_what_changed_and_nothing_else(log: Trail) -> None:
    """Old and new value of the changed columns."""
    log.execute("INSERT INTO customer VALUES (1, 'a', 1.50)", "UPDATE customer SET amount = 2")
    row = _last(log)
    assert (row["op"], row["key"], row["old"], row["new"]) == (
        "write",
        {"id": 1},
        {"amount": "1.50"},
        {"amount": "2"},
    )


def test_update_that_changes_nothing_is_no_event(log: Trail) -> None:
    """Nothing happened."""
    log.execute("INSERT INTO customer VALUES (1, 'a')", "UPDATE customer SET name = name")
    log.sequence()
    assert len(log.rows()) == 1


def test_cascade_of_a_foreign_key_is_recorded(log: Trail) -> None:
    """Which an application never sees."""
    log.execute(
        "INSERT INTO customer VALUES (1, 'a')",
        "INSERT INTO purchase VALUES (5, 1, 10)",
        "DELETE FROM customer",
    )
    log.sequence()
    assert sorted((row["table"], row["op"]) for row in log.rows()[2:]) == [
        ("public.customer", "unlink"),
        ("public.purchase", "unlink"),
    ]


def test_truncate_holds_every_row(log: Trail) -> None:
    """Each with its old values, and the numbers of the transaction go on."""
    log.execute("INSERT INTO customer VALUES (1, 'a'), (2, 'b')")
    with log.connection.transaction():
        log.execute("TRUNCATE customer CASCADE", "INSERT INTO customer VALUES (3, 'c')")
    log.sequence()
    rows = log.rows()[2:]
    assert [(row["op"], row["key"]["id"], row["n"]) for row in rows] == [
        ("truncate", 1, 1),
        ("truncate", 2, 2),
        ("create", 3, 3),
    ]
    assert log.alarms == []


VALUES = """
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%');
CREATE TABLE kinds (
    id bigint PRIMARY KEY, i int8, n numeric, f float8, t text, b bytea, d date, ts timestamp, tz timestamptz,
    iv interval, j json, jb jsonb, a text[], m mood, e email, u uuid, ip inet, tt time, c char(4),
    r int4range, g integer GENERATED ALWAYS AS (7) STORED, "we""ird ' col%s" text);
"""
ROW = """INSERT INTO kinds
  (id, i, n, f, t, b, d, ts, tz, iv, j, jb, a, m, e, u, ip, tt, c, r, "we""ird ' col%s")
VALUES (1, 9223372036854775807, 'NaN', 'NaN', E'a"\\\\b\\n\\u2028é', '\\x00ff', '2026-03-01', 'infinity',
  '2026-03-01 12:00+02', '1 day 2 hours', '{"a" : 1.50}', '{"b": 1e400}',
  ARRAY['x', NULL, 'y"z'], 'happy', 'a@b',
  '5b1f5f0e-5d0c-4d0e-8f5e-111111111111', '192.0.2.1/24', '12:00:01.5', 'ab', '[1,5)', 'w')"""
EXPECTED = {
    "id": 1,
    "i": "9223372036854775807",
    "n": "NaN",
    "f": "NaN",
    "t": 'a"\\b\n\u2028é',
    "b": "00ff",
    "d": "2026-03-01",
    "ts": "infinity",
    "tz": "2026-03-01T10:00:00",
    "iv": "1 day 02:00:00",
    "j": '{"a" : 1.50}',
    "a": '{x,NULL,"y\\"z"}',
    "m": "happy",
    "e": "a@b",
    "u": "5b1f5f0e-5d0c-4d0e-8f5e-111111111111",
    "ip": "192.0.2.1/24",
    "tt": "12:00:01.5",
    "c": "ab",
    "r": "[1,5)",
    "we\"ird ' col%s": "w",
}


@pytest.mark.tampering("values of every kind")
def test_values_of_every_kind_are_exact_whatever_the_session_is_set_to(pg_dsn: str, tmp_path: Path) -> None:
    """NaN, bytes, arrays, big numbers, infinity: as PostgreSQL writes them, and they can be put back."""
    with trail(pg_dsn, tmp_path / "log", VALUES, {"public.kinds": {}}) as log:
        log.execute(
            "SET datestyle = 'German'",
            "SET intervalstyle = 'iso_8601'",
            "SET bytea_output = 'escape'",
            "SET timezone = 'Asia/Tokyo'",
            ROW,
            "RESET ALL",
        )
        log.sequence()
        shown = log.command("search", "--json").json[0]["new"]
        assert {name: shown[name] for name in EXPECTED} == EXPECTED
        assert "g" not in shown
        assert log.codes("coverage", "--rows") == []
        before = log.one("SELECT k::text FROM kinds k")
        log.execute("DELETE FROM kinds")
        log.sequence()
        at = log.index_of("op = 'd'")
        done = log.command("restore-values", "kinds,1", "--to-before", str(at), "--yes", "--json")
        assert done.code == 0, done.err
        assert done.json["inserted"] is True
        assert log.one("SELECT k::text FROM kinds k") == before


@pytest.mark.tampering("value of 100 MB")
@pytest.mark.slow
def test_value_of_100_mb_is_recorded_by_its_digest(log: Trail) -> None:
    """What is longer than 256 KiB: its length and SHA-256, never the whole of it twice."""
    log.execute("INSERT INTO customer VALUES (1, repeat('x', 104857600))", "UPDATE customer SET amount = 1")
    log.sequence()
    shown = log.command("search", "--record", "customer,1", "--json").json
    assert shown[1]["new"]["name"]["bytes"] == 104857600
    assert len(shown[1]["new"]["name"]["digest"]) == 64
    assert shown[0]["new"] == {"amount": "1"}


@pytest.mark.tampering("table without a primary key")
def test_table_without_a_key_is_recorded_whole(pg_dsn: str, tmp_path: Path) -> None:
    """Nothing else says which row it was; the plan tells."""
    with trail(
        pg_dsn, tmp_path / "log", "CREATE TABLE loose (a integer, b text)", {"public.loose": {}}
    ) as log:
        assert "no primary key" in plan(log.connection, {"public.loose": {}})[0].notes[0]
        log.execute("INSERT INTO loose VALUES (1, 'x')", "UPDATE loose SET a = 2", "UPDATE loose SET a = a")
        log.sequence()
        shown = log.command("search", "--json").json[:3]
        assert [(event["op"], event["old"], event["new"]) for event in reversed(shown)] == [
            ("create", None, {"a": 1, "b": "x"}),
            ("write", {"a": 1, "b": "x"}, {"a": 2, "b": "x"}),
            ("write", {"a": 2, "b": "x"}, {"a": 2, "b": "x"}),
        ]
        assert not any("key" in event for event in shown)


def test_unique_index_without_nulls_stands_in_for_a_primary_key(pg_dsn: str, tmp_path: Path) -> None:
    """As for the identity of a replica."""
    table = "CREATE TABLE coded (code text NOT NULL UNIQUE, v integer)"
    with trail(pg_dsn, tmp_path / "log", table, {"public.coded": {"code": "plain"}}) as log:
        log.execute("INSERT INTO coded VALUES ('a', 1)", "UPDATE coded SET v = 2")
        row = _last(log)
        assert (row["key"], row["old"]) == ({"code": "a"}, {"v": 1})


@pytest.mark.tampering("columns renamed, dropped, added")
def test_renamed_dropped_and_added_columns_break_no_write_and_lose_no_value(log: Trail) -> None:
    """The table is watched row by row until the sequencer has renewed its functions."""
    log.execute(
        "INSERT INTO customer VALUES (1, 'a', 1)",
        "ALTER TABLE customer RENAME COLUMN name TO title",
        "ALTER TABLE customer DROP COLUMN active",
        "ALTER TABLE customer ADD COLUMN extra integer",
        "UPDATE customer SET title = 'b', extra = 5",
    )
    row = _last(log)
    assert row["careful"] is True
    assert set(row["new"]) == {"title", "extra"}
    assert (
        "audit-enabled" in {entry["kind"] for entry in log.entries()[-3:]}
        or refresh(log.connection, Hand(log.key)) == []
    )
    log.execute("UPDATE customer SET extra = 6")
    log.sequence()
    assert "careful" not in log.rows()[-1]
    assert log.codes("coverage", "--rows") == []


@pytest.mark.tampering("columns renamed, dropped, added")
def test_renamed_column_breaks_no_write_where_ddl_is_not_watched(log: Trail) -> None:
    """Without the event trigger, which only a superuser may make; where it goes, functions are renewed."""
    log.execute("INSERT INTO customer VALUES (1, 'a', 1)", "DROP EVENT TRIGGER vallum_audit_altered")
    assert refresh(log.connection, Hand(log.key)) == ["public.customer", "public.purchase"]
    log.execute(
        "ALTER TABLE customer RENAME COLUMN name TO title",
        "UPDATE customer SET title = 'b'",
    )
    row = _last(log)
    assert row["careful"] is True
    assert set(row["old"]) == {"title"}


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize(
    "alteration",
    [
        "ALTER TABLE thing ALTER COLUMN v TYPE json USING to_json(v)",
        "ALTER TABLE thing DROP COLUMN w",
        "DROP TYPE colour CASCADE",
        "DROP DOMAIN amount CASCADE",
        "DROP SCHEMA parts CASCADE",
        "ALTER TABLE base RENAME COLUMN b TO bb",
    ],
)
def test_no_alteration_breaks_a_write(pg_dsn: str, tmp_path: Path, alteration: str, watched: bool) -> None:
    """Columns may change their type, or go with a type, a domain, a schema, or with what they inherit."""
    tables = """
    CREATE SCHEMA parts; CREATE TYPE colour AS ENUM ('red'); CREATE DOMAIN amount AS numeric;
    CREATE DOMAIN parts.size AS integer; CREATE TABLE base (id integer PRIMARY KEY, b integer);
    CREATE TABLE thing (v integer, w integer, c colour, d amount, s parts.size, PRIMARY KEY (id))
        INHERITS (base)
    """
    with trail(pg_dsn, tmp_path / "log", tables, {"public.base": {}, "public.thing": {}}) as log:
        if not watched:
            log.execute("DROP EVENT TRIGGER vallum_audit_altered")
            refresh(log.connection, Hand(log.key))
        log.execute(
            "INSERT INTO thing (id, v, w) VALUES (1, 1, 1)",
            alteration,
            "INSERT INTO thing (id, v) VALUES (2, '7')",
            "UPDATE thing SET v = '8'",
            "DELETE FROM thing WHERE id = 2",
        )
        log.sequence()
        rows = log.rows()
        assert [row["op"] for row in rows] == ["create", "create", "write", "write", "unlink"]
        assert [row["new"]["v"] for row in rows[2:4]] in ([8, 8], ["8", "8"])
        assert [alarm.code for alarm in log.alarms if alarm.code != "table-altered"] == []


def test_roles_are_told_apart_whatever_they_are_called(log: Trail) -> None:
    """A name cannot be another one, nor a process, an address or a stamp."""
    role = f'a"b\x1fnone\x1f7 {log.connection.info.backend_pid}'
    quoted = '"' + role.replace('"', '""') + '"'
    log.execute(f"CREATE ROLE {quoted}", f"GRANT INSERT ON customer TO {quoted}")
    try:
        log.execute(f"SET ROLE {quoted}", "INSERT INTO customer VALUES (1)", "RESET ROLE")
        row = _last(log)
        assert row["db"]["acting"] == role
        assert "forged" not in row["actor"]
    finally:
        log.execute(f"REVOKE ALL ON customer FROM {quoted}", f"DROP ROLE {quoted}")


@pytest.mark.tampering("partitioned and inherited tables")
def test_partitions_are_recorded_as_their_table(pg_dsn: str, tmp_path: Path) -> None:
    """Written to through the table or directly; truncated alone or together; attached later."""
    tables = """
    CREATE TABLE sale (id integer, year integer, v integer, PRIMARY KEY (id, year)) PARTITION BY LIST (year);
    CREATE TABLE sale_25 PARTITION OF sale FOR VALUES IN (25);
    CREATE TABLE sale_26 PARTITION OF sale FOR VALUES IN (26);
    """
    with trail(pg_dsn, tmp_path / "log", tables, {"public.sale": {}}) as log:
        log.execute(
            "INSERT INTO sale VALUES (1, 25, 1), (2, 26, 1)",
            "SET session_replication_role = replica",
            "INSERT INTO sale_26 VALUES (3, 26, 1)",
            "RESET session_replication_role",
            "UPDATE sale SET v = 2 WHERE id = 1",
            "TRUNCATE sale_25",
            "CREATE TABLE sale_27 PARTITION OF sale FOR VALUES IN (27)",
            "INSERT INTO sale VALUES (4, 27, 1)",
        )
        log.sequence()
        found = [(row["op"], row["key"]["id"]) for row in log.rows()]
        assert found == [
            ("create", 1),
            ("create", 2),
            ("create", 3),
            ("write", 1),
            ("truncate", 1),
            ("create", 4),
        ]
        assert {row["table"] for row in log.rows()} == {"public.sale"}
        refresh(log.connection, Hand(log.key))
        log.execute("TRUNCATE sale")
        log.sequence()
        assert sorted(row["key"]["id"] for row in log.rows() if row["op"] == "truncate") == [1, 2, 3, 4]
        assert log.codes("coverage", "--rows") == []


@pytest.mark.tampering("partitioned and inherited tables")
def test_tables_that_inherit_are_audited_with_their_parent(pg_dsn: str, tmp_path: Path) -> None:
    """Triggers are not inherited; the plan names the children."""
    tables = (
        "CREATE TABLE base (id integer PRIMARY KEY, v integer); CREATE TABLE heir (w integer) INHERITS (base)"
    )
    with trail(pg_dsn, tmp_path / "log", tables, {"public.base": {}}) as log:
        log.execute("INSERT INTO heir VALUES (1, 2, 3)", "UPDATE base SET v = 5")
        log.sequence()
        assert [row["table"] for row in log.rows()] == ["public.heir", "public.heir"]


def test_hidden_column_tells_only_that_it_changed(pg_dsn: str, tmp_path: Path) -> None:
    """A secret is nowhere in the trail, not as a digest either."""
    table = "CREATE TABLE account (id integer PRIMARY KEY, password text, note text)"
    with trail(pg_dsn, tmp_path / "log", table, {"public.account": {"password": "hidden"}}) as log:
        log.execute(
            "INSERT INTO account VALUES (1, 'hunter2', 'n')", "UPDATE account SET password = 'hunter3'"
        )
        log.execute("ALTER TABLE account ADD COLUMN x integer", "UPDATE account SET password = 'hunter4'")
        log.sequence()
        assert log.rows()[1]["new"] == {"password": {"hidden": True}}
        assert (
            log.one("SELECT count(*) FROM vallum.audit_leaf WHERE entry ~ 'hunter' OR secret ~ 'hunter'") == 0
        )


def test_set_constraints_immediate_raises_no_alarm(log: Trail) -> None:
    """A count that was written early is no loss."""
    with log.connection.transaction():
        log.execute("SET CONSTRAINTS ALL IMMEDIATE")
        log.connection.execute("INSERT INTO customer SELECT i, 'x' FROM generate_series(1, 5) i")
        log.execute("UPDATE customer SET name = 'y'")
    log.sequence()
    assert log.alarms == []
    assert len(log.rows()) == 10


def test_role_without_rights_on_the_trail_writes_events_and_reads_none(log: Trail) -> None:
    """Triggers run as the owner; nobody else reaches the inbox."""
    role = f"clerk_{log.connection.info.backend_pid}"
    log.execute(
        f"CREATE ROLE {role}",
        f"GRANT INSERT ON customer TO {role}",
        f"SET ROLE {role}",
        "INSERT INTO customer VALUES (1)",
    )
    for statement in (
        "SELECT FROM vallum.audit_inbox",
        "DELETE FROM vallum.audit_inbox",
        "SELECT vallum.audit_record('x', '{}', NULL, NULL)",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            log.execute(statement)
    log.execute("RESET ROLE")
    row = _last(log)
    assert row["db"]["acting"] == role
    log.execute(f"REVOKE ALL ON customer FROM {role}", f"DROP ROLE {role}")


def test_baseline_holds_the_rows_that_were_there(pg_dsn: str, tmp_path: Path) -> None:
    """So that a later check sees changes of rows nobody has written to since."""

    def fill(connection: psycopg.Connection[Any]) -> None:
        connection.execute("INSERT INTO customer VALUES (1, 'old'), (2, 'older')")

    with trail(pg_dsn, tmp_path / "log", wanted={}, prepare=fill) as log:
        log.enable({"public.customer": {}}, baseline=True)
        log.sequence()
        assert [(row["op"], row["key"]["id"]) for row in log.rows()] == [("baseline", 1), ("baseline", 2)]
        log.execute("SET session_replication_role = replica", "SET vallum.audit_own = 'on'")
        log.execute(
            "ALTER TABLE customer DISABLE TRIGGER ALL", "UPDATE customer SET name = 'new' WHERE id = 2"
        )
        assert ("row-differs", log.index_of("key = '2'")) in log.codes("coverage", "--rows")


def test_disabling_leaves_the_past_and_dropping_leaves_nothing(log: Trail) -> None:
    """Not a trigger, function, table or schema."""
    log.execute("INSERT INTO customer VALUES (1, 'a')")
    disable(log.connection, ["public.customer"], Hand(log.key))
    log.execute("INSERT INTO customer VALUES (2, 'b')")
    log.sequence()
    # Nobody says any more what is personal: all of it is kept so that it can be erased.
    assert [set(row["key"]["id"]) for row in log.rows()] == [{"sha256"}]
    assert log.entries()[-1]["kind"] == "audit-disabled"
    assert log.codes("coverage") == []
    assert drop_all(log.connection) == 1
    assert log.one("SELECT to_regnamespace('vallum')") is None
    assert log.one("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'zz%'") == 0
    assert log.one("SELECT count(*) FROM pg_event_trigger") == 0


@pytest.mark.tampering("table that others lock")
def test_locked_table_is_left_as_it_was_after_a_short_wait(
    log: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A live database is not brought to a halt."""
    from vallum.audit import AuditRefused, install

    monkeypatch.setattr(install, "LOCK_TIMEOUT", "50ms")
    monkeypatch.setattr(install, "ATTEMPTS", 2)
    log.execute("CREATE TABLE busy (id integer PRIMARY KEY)")
    with psycopg.connect(log.dsn) as other:
        other.execute("INSERT INTO busy VALUES (1)")
        with pytest.raises(AuditRefused, match="hold the table locked"):
            log.enable({"public.busy": {}})
    assert log.one("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'busy'::regclass") == 0
