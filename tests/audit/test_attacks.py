"""Attacks by a superuser of the database, each performed: which command reports it, naming which event."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.audit import Trail
from vallum.audit import LogForked, Who, stamp
from vallum.audit.anchors import FileAnchor
from vallum.kernel import FixedClock


@pytest.fixture
def signed(log: Trail) -> Trail:
    """Three customers, one of them changed; all of it signed."""
    log.execute(
        "INSERT INTO customer SELECT i, 'customer ' || i, i FROM generate_series(1, 300) i",
        "UPDATE customer SET amount = 1000 WHERE id = 7",
    )
    log.sequence()
    assert log.codes("verify", "--values") == []
    assert log.codes("coverage", "--rows") == []
    assert log.codes("gaps") == []
    return log


@pytest.mark.tampering("event edited")
def test_edited_event_is_named_by_verify(signed: Trail) -> None:
    """A value changed in the log after it was signed."""
    at = signed.index_of("key = '7'")
    signed.execute(f"UPDATE vallum.audit_leaf SET entry = replace(entry, '1000', '1') WHERE index = {at}")
    assert signed.codes("verify") == [("altered", at)]


@pytest.mark.tampering("event deleted")
def test_deleted_event_is_named_by_verify_and_gaps(signed: Trail) -> None:
    """An event taken out of the log after it was signed."""
    at = signed.index_of("key = '7'")
    signed.execute(f"DELETE FROM vallum.audit_leaf WHERE index = {at}")
    assert signed.codes("verify") == [("missing", at)]
    assert signed.codes("gaps") == [("missing", at)]


@pytest.mark.tampering("events reordered")
def test_reordered_events_are_named_by_verify(signed: Trail) -> None:
    """Two events that changed places."""
    signed.execute(
        "UPDATE vallum.audit_leaf a SET entry = b.entry, at = b.at, key = b.key, seed = b.seed,"
        " secret = b.secret"
        " FROM vallum.audit_leaf b WHERE (a.index, b.index) IN ((10, 11), (11, 10))"
    )
    assert signed.codes("verify") == [("reordered", 10), ("reordered", 11)]


@pytest.mark.tampering("event filed where no search finds it")
def test_hidden_event_is_named_by_verify(signed: Trail) -> None:
    """An event filed under another record, so that no search finds it."""
    at = signed.index_of("key = '7'")
    signed.execute(f"UPDATE vallum.audit_leaf SET key = '8' WHERE index = {at}")
    assert signed.codes("verify") == [("index", at)]


@pytest.mark.tampering("erasable value changed")
def test_altered_erasable_value_is_named_and_never_shown(signed: Trail) -> None:
    """A personal value that is not part of the entry itself."""
    at = signed.index_of("key = '9'")
    signed.execute(
        f"UPDATE vallum.audit_leaf SET secret = replace(secret, 'customer 9', 'forged') WHERE index = {at}"
    )
    assert signed.codes("verify", "--values") == [("value", at)]
    shown = signed.command("search", "--record", "customer,9", "--json").json
    assert shown[0]["new"]["name"] == "(altered)"
    assert shown[0]["altered"] == ["new.name"]


@pytest.mark.tampering("trigger disabled")
def test_disabled_trigger_is_named_by_coverage(signed: Trail) -> None:
    """While it is off."""
    signed.execute("SET vallum.audit_own = 'on'", "ALTER TABLE customer DISABLE TRIGGER zz_vallum_audit_u")
    assert [code for code, _ in signed.codes("coverage")] == ["trigger-disabled"]


@pytest.mark.tampering("trigger disabled")
def test_disabled_trigger_is_on_again_at_once_where_ddl_is_watched(signed: Trail) -> None:
    """And that somebody altered the table is in the log."""
    signed.execute(
        "ALTER TABLE customer DISABLE TRIGGER zz_vallum_audit_u",
        "UPDATE customer SET amount = 5 WHERE id = 1",
    )
    signed.sequence()
    assert signed.rows()[-1]["new"] == {"amount": 5}
    assert "table-altered" in {entry["kind"] for entry in signed.entries()}


@pytest.mark.tampering("trigger off and on again")
def test_change_while_a_trigger_was_off_is_named_by_coverage_of_rows(signed: Trail) -> None:
    """Off, changed, on again: nothing but the row tells."""
    at = signed.index_of("key = '7'")
    signed.execute(
        "SET vallum.audit_own = 'on'",
        "ALTER TABLE customer DISABLE TRIGGER zz_vallum_audit_u",
        "UPDATE customer SET amount = 1 WHERE id = 7",
        "ALTER TABLE customer ENABLE ALWAYS TRIGGER zz_vallum_audit_u",
    )
    assert signed.codes("coverage") == []
    assert signed.codes("coverage", "--rows") == [("row-differs", at)]


@pytest.mark.tampering("trigger off and on again")
def test_row_deleted_and_row_brought_back_unseen_are_named(signed: Trail) -> None:
    """Deletions and insertions are differences as well."""
    signed.execute("DELETE FROM customer WHERE id = 20")
    signed.sequence()
    gone = signed.index_of("key = '20'")
    signed.execute(
        "SET vallum.audit_own = 'on'",
        "ALTER TABLE customer DISABLE TRIGGER ALL",
        "INSERT INTO customer VALUES (20, 'back')",
        "DELETE FROM customer WHERE id = 21",
        "ALTER TABLE customer ENABLE TRIGGER ALL",
        *(f"ALTER TABLE customer ENABLE ALWAYS TRIGGER zz_vallum_audit_{op}" for op in "iudt"),
    )
    found = signed.codes("coverage", "--rows")
    assert set(found) == {("row-differs", gone), ("row-differs", signed.index_of("key = '21'"))}


@pytest.mark.tampering("replica role")
def test_replica_role_bypasses_nothing(signed: Trail) -> None:
    """The setting that switches ordinary triggers off."""
    signed.execute("SET session_replication_role = replica", "UPDATE customer SET amount = 3 WHERE id = 7")
    signed.execute("SET session_replication_role = origin")
    signed.sequence()
    assert signed.rows()[-1]["new"] == {"amount": "3"}
    assert signed.codes("coverage", "--rows") == []


@pytest.mark.tampering("function replaced")
def test_replaced_function_is_named_by_coverage(signed: Trail) -> None:
    """A function of ours that does nothing any more."""
    name = signed.one("SELECT function || 'u' FROM vallum.audit_table WHERE relation = 'public.customer'")
    signed.execute(
        f"CREATE OR REPLACE FUNCTION vallum.{name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
        " AS 'BEGIN RETURN NULL; END'"
    )
    assert signed.codes("coverage") == [
        ("function-changed", signed.index_of("entry LIKE '%audit-enabled%' AND relation = 'public.customer'"))
    ]


@pytest.mark.tampering("function replaced")
def test_replaced_function_is_named_although_the_database_vouches_for_it(signed: Trail) -> None:
    """A forged act of enabling, without the actor key, is not believed."""
    at = signed.index_of("entry LIKE '%audit-enabled%' AND relation = 'public.customer'")
    name = signed.one("SELECT function || 'u' FROM vallum.audit_table WHERE relation = 'public.customer'")
    signed.execute(
        f"CREATE OR REPLACE FUNCTION vallum.{name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
        " AS 'BEGIN RETURN NULL; END'",
        "UPDATE vallum.audit_table SET digest = 'forged'",
        """SELECT vallum.audit_record('audit-enabled', '{"digest":"forged","columns":{},"key":["id"]}',
           'public.customer', NULL)""",
    )
    signed.sequence()
    assert ("function-changed", at) in signed.codes("coverage")


@pytest.mark.tampering("trigger on the inbox")
def test_foreign_trigger_on_the_inbox_is_named_by_coverage(signed: Trail) -> None:
    """One that would throw events away."""
    signed.execute(
        "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER aaa BEFORE INSERT ON vallum.audit_inbox FOR EACH ROW EXECUTE FUNCTION swallow()",
    )
    assert [code for code, _ in signed.codes("coverage")] == ["trigger-foreign"]


@pytest.mark.tampering("inbox written to by hand")
def test_event_that_is_none_becomes_an_alarm_and_keeps_no_other_waiting(signed: Trail) -> None:
    """Whoever owns the tables can write anything into the inbox, and cannot stop the trail by it."""
    signed.execute(
        "INSERT INTO vallum.audit_inbox (content) VALUES ('x')",
        "INSERT INTO vallum.audit_inbox SELECT nextval('vallum.audit_event_id'), pg_current_xact_id(), now(),"
        " 'write', 'public.customer', ',\"id\":1', ',\"name\":5', concat_ws(chr(31), 1, 2, 'a', 'b', 'c')",
        "INSERT INTO vallum.audit_inbox SELECT nextval('vallum.audit_event_id'), pg_current_xact_id(), now(),"
        " 'write', 'public.customer', ',\"id\":1}{', '', '1'",
        "UPDATE customer SET name = 'still seen'",
    )
    signed.sequence()
    assert [alarm.code for alarm in signed.alarms].count("event-malformed") == 3
    assert set(signed.rows()[-1]["new"]) == {"name"}
    assert signed.one("SELECT count(*) FROM vallum.audit_inbox") == 0
    assert "event-malformed" in {code for code, _ in signed.codes("gaps")}


@pytest.mark.tampering("event deleted before it is sequenced")
def test_event_deleted_before_it_is_sequenced_becomes_an_entry(signed: Trail) -> None:
    """A transaction knows how many events it has; the alarm is part of the log for good."""
    with signed.connection.transaction():
        for n in range(5):
            signed.connection.execute("UPDATE customer SET amount = amount + 1 WHERE id = %s", (n + 1,))
    signed.execute("DELETE FROM vallum.audit_inbox WHERE who ^@ ('3' || chr(31))")
    signed.sequence()
    alarm = signed.entries()[-1]
    assert alarm["kind"] == "alarm"
    assert alarm["detail"] == {"code": "events-missing", "missing": "3", "of": 5, "tx": alarm["detail"]["tx"]}
    assert signed.codes("gaps") == [("events-missing", signed.index_of("actor = 'sequencer'"))]
    assert [a.code for a in signed.alarms] == ["events-missing"]


@pytest.mark.tampering("transaction deleted before it is sequenced")
def test_whole_transaction_deleted_before_it_is_sequenced_shows_in_its_rows(signed: Trail) -> None:
    """Events and their number: only the rows tell."""
    at = signed.index_of("key = '1'")
    signed.execute(
        "UPDATE customer SET amount = 77 WHERE id = 1",
        "DELETE FROM vallum.audit_inbox",
        "DELETE FROM vallum.audit_footer",
    )
    signed.sequence()
    assert signed.codes("gaps") == []
    assert signed.codes("coverage", "--rows") == [("row-differs", at)]


@pytest.mark.tampering("row removed beneath PostgreSQL")
def test_row_removed_beneath_postgresql_shows_in_coverage_of_rows(signed: Trail) -> None:
    """As `heap_force_kill` does: no trigger can see it. The row's page is emptied by hand."""
    signed.execute("CREATE TABLE kept AS SELECT * FROM customer WHERE id <> 30")
    at = signed.index_of("key = '30'")
    signed.execute("SET vallum.audit_own = 'on'", "SET allow_system_table_mods = on")
    old, new = (
        signed.one(f"SELECT relfilenode FROM pg_class WHERE relname = '{name}'")
        for name in ("customer", "kept")
    )
    # The table reads another file from now on: nothing was executed on its rows.
    signed.execute(
        f"UPDATE pg_class SET relfilenode = {new} WHERE relname = 'customer'",
        f"UPDATE pg_class SET relfilenode = {old} WHERE relname = 'kept'",
    )
    signed.execute(
        "SET enable_indexscan = off", "SET enable_indexonlyscan = off", "SET enable_bitmapscan = off"
    )
    assert ("row-differs", at) in signed.codes("coverage", "--rows")


@pytest.mark.tampering("tail truncated, database consistent")
def test_truncated_tail_passes_alone_and_fails_against_an_anchor(signed: Trail, tmp_path: Path) -> None:
    """A database and a folder made consistent with each other again: only who kept more knows better."""
    older = tmp_path / "older"
    shutil.copytree(signed.home.folder, older)
    anchor = tmp_path / "anchor"
    size = signed.one("SELECT size FROM vallum.audit_state")
    frontier = signed.one("SELECT frontier FROM vallum.audit_state")
    signed.execute("UPDATE customer SET amount = 99 WHERE id = 9")
    signed.sequence(anchors=[FileAnchor(anchor)])
    signed.execute(
        f"DELETE FROM vallum.audit_leaf WHERE index >= {size}",
        f"DELETE FROM vallum.audit_checkpoint WHERE size > {size}",
    )
    signed.connection.execute("UPDATE vallum.audit_state SET size = %s, frontier = %s", (size, frontier))
    shutil.rmtree(signed.home.folder)
    older.rename(signed.home.folder)
    assert signed.codes("verify") == []
    assert signed.codes("verify", "--against", str(anchor)) == [("size-below-anchor", size)]
    assert signed.codes("gaps", "--against", str(anchor)) == [("size-below-anchor", size)]


@pytest.mark.tampering("history rewritten by who holds the key")
def test_rewritten_history_fails_against_an_anchor(signed: Trail, tmp_path: Path) -> None:
    """Even by whoever holds the log's key: the root was another."""
    anchor = tmp_path / "anchor"
    anchor.write_bytes(signed.home.checkpoint.read_bytes())
    at = signed.index_of("key = '7'")
    signed.execute(f"UPDATE vallum.audit_leaf SET entry = replace(entry, '1000', '1') WHERE index = {at}")
    from vallum.audit.tree import Frontier, leaf_hash

    tree = Frontier()
    for (entry,) in signed.connection.execute(
        "SELECT entry FROM vallum.audit_leaf ORDER BY index"
    ).fetchall():
        tree.add(leaf_hash(entry.encode()))
    signed.connection.execute("UPDATE vallum.audit_state SET frontier = %s", (tree.to_bytes(),))
    for name in ("signed.json", "checkpoint"):
        (signed.home.folder / name).unlink()
    shutil.rmtree(signed.home.folder / "tile")
    signed.execute("DELETE FROM vallum.audit_checkpoint")
    signed.sequence()
    assert signed.codes("verify") == []
    assert [code for code, _ in signed.codes("verify", "--against", str(anchor))] == ["forked"]


@pytest.mark.tampering("older backup restored")
def test_older_backup_is_not_signed_and_shows_its_size(signed: Trail) -> None:
    """The database restored, the folder not."""
    size, frontier = signed.connection.execute("SELECT size, frontier FROM vallum.audit_state").fetchall()[0]
    signed.execute("UPDATE customer SET amount = 99 WHERE id = 9")
    signed.sequence()
    signed.execute(f"DELETE FROM vallum.audit_leaf WHERE index >= {size}")
    signed.connection.execute("UPDATE vallum.audit_state SET size = %s, frontier = %s", (size, frontier))
    with pytest.raises(LogForked, match="a backup was restored"):
        signed.sequence()
    assert ("size-below-anchor", size) in signed.codes("verify")
    assert ("size-below-anchor", size) in signed.codes("gaps")


@pytest.mark.tampering("clock set back")
def test_clock_set_back_refuses_to_sign_and_loses_nothing(log: Trail) -> None:
    """Events go into the log; a signature waits for the time."""
    clock = FixedClock(datetime(2026, 3, 1, 12, tzinfo=UTC))
    log.execute("INSERT INTO customer VALUES (1, 'first')")
    size = log.sequence(clock=clock)
    clock.advance(timedelta(hours=-1))
    log.execute("INSERT INTO customer VALUES (2, 'second')")
    with pytest.raises(LogForked, match="clock was set back"):
        log.sequence(clock=clock)
    signed = log.home.signed()
    assert signed is not None
    assert signed.size == size
    clock.advance(timedelta(hours=2))
    assert log.sequence(clock=clock) == size + 1
    assert log.codes("verify") == []


@pytest.mark.tampering("actor forged")
def test_forged_actor_is_recorded_as_unverified(log: Trail) -> None:
    """A stamp of another transaction, and one somebody made up: the database role stands in their place."""
    with log.connection.transaction():
        stamp(log.connection, log.key, Who(5, "marie", "192.0.2.1", "r1"))
        stolen = log.one("SELECT current_setting('vallum.audit_stamp')")
        log.execute("INSERT INTO customer VALUES (1, 'hers')")
    for n, forged in enumerate(
        (stolen, stolen.replace("5\x1f", "6\x1f", 1), "5\x1fmarie\x1f\x1f\x1f" + "0" * 64), 2
    ):
        with log.connection.transaction():
            log.connection.execute("SELECT set_config('vallum.audit_stamp', %s, true)", (forged,))
            log.execute(f"INSERT INTO customer VALUES ({n}, 'forged')")
    log.sequence()
    hers, *others = [row["actor"] for row in log.rows()]
    assert (hers["id"], hers["verified"], hers["request"]) == (5, True, "r1")
    assert others == [{"role": "postgres", "verified": False, "forged": True}] * 3


@pytest.mark.tampering("search path of the writer")
def test_evil_search_path_changes_nothing(log: Trail) -> None:
    """Functions run as the owner: names that a writer puts before PostgreSQL's own are not looked at."""
    grab = "$$ BEGIN RAISE 'grabbed'; END $$"
    log.execute(
        "CREATE SCHEMA evil",
        "CREATE FUNCTION evil.grab(text, text) RETURNS text LANGUAGE plpgsql AS " + grab,
        "CREATE OPERATOR evil.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.grab)",
        "CREATE FUNCTION evil.same(text, text) RETURNS boolean LANGUAGE plpgsql AS " + grab,
        "CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.same)",
        "CREATE FUNCTION evil.same(numeric, numeric) RETURNS boolean LANGUAGE plpgsql AS " + grab,
        "CREATE OPERATOR evil.= (LEFTARG = numeric, RIGHTARG = numeric, FUNCTION = evil.same)",
        "CREATE FUNCTION evil.plus(integer, integer) RETURNS integer LANGUAGE plpgsql AS " + grab,
        "CREATE OPERATOR evil.+ (LEFTARG = integer, RIGHTARG = integer, FUNCTION = evil.plus)",
        *(
            f"CREATE FUNCTION evil.{name} LANGUAGE plpgsql AS " + grab
            for name in (
                "current_setting(text, boolean) RETURNS text",
                "current_setting(text) RETURNS text",
                "set_config(text, text, boolean) RETURNS text",
                "nextval(regclass) RETURNS bigint",
                "pg_current_xact_id() RETURNS xid8",
                "clock_timestamp() RETURNS timestamptz",
                "to_json(anyelement) RETURNS json",
                "concat_ws(text, VARIADIC text[]) RETURNS text",
            )
        ),
        "CREATE DOMAIN evil.text AS pg_catalog.text CHECK (VALUE IS NULL)",
        "SET search_path = evil, pg_catalog, public",
        "INSERT INTO customer VALUES (1, 'a', 1)",
        "UPDATE customer SET name = 'b', amount = 2",
        "DELETE FROM customer",
        "INSERT INTO customer VALUES (2, 'a', 1)",
        "TRUNCATE customer CASCADE",
        "RESET search_path",
    )
    log.sequence()
    assert [row["op"] for row in log.rows()] == ["create", "write", "unlink", "create", "truncate"]
    assert not any("careful" in row for row in log.rows())


@pytest.mark.tampering("act of retention forged")
def test_forged_act_of_retention_is_not_believed(signed: Trail) -> None:
    """Whoever deletes events may say so in the log; without the actor key it is worth nothing."""
    from vallum.audit.runs import digest_of_runs

    at = signed.index_of("key = '7'")
    detail = json.dumps({"missing": digest_of_runs([(at, at + 1)]), "count": 1})
    signed.connection.execute("SELECT vallum.audit_record('retention', %s, NULL, NULL)", (detail,))
    signed.sequence()
    signed.execute(f"DELETE FROM vallum.audit_leaf WHERE index = {at}")
    assert ("missing", at) in signed.codes("verify")
    assert ("missing", at) in signed.codes("gaps")
