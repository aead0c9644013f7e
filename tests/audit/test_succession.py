"""A standby that lagged takes over: what is detected, by which command, and how the log goes on."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.audit.test_anchors import witnessing
from tests.support.audit import ORIGIN, Trail, trail
from tests.support.replica import Pair, replicated
from vallum.audit import AuditRefused, LogForked
from vallum.audit.anchors import FileAnchor, WitnessAnchor
from vallum.audit.check_proof import check
from vallum.audit.notes import Checkpoint, Note
from vallum.audit.proofs import log_key, prove
from vallum.audit.succession import plan_succession
from vallum.audit.tree import Frontier, leaf_hash
from vallum.postgres import connect

SUCCESSOR = f"{ORIGIN}/successor-1"


@pytest.fixture
def lagging(log: Trail) -> Trail:
    """A log of three batches, whose database then is as it was after the second one."""
    for n in range(2):
        log.execute(f"INSERT INTO customer SELECT i, 'batch {n}' FROM generate_series({n}0, {n}4) i")
        log.sequence()
    before = log.connection.execute("SELECT size, frontier FROM vallum.audit_state").fetchone()
    log.execute("INSERT INTO customer SELECT i, 'lost' FROM generate_series(20, 22) i")
    size = log.sequence()
    assert before is not None
    log.connection.execute("DELETE FROM vallum.audit_leaf WHERE index >= %s", (before[0],))
    log.connection.execute("DELETE FROM vallum.audit_checkpoint WHERE size > %s", (before[0],))
    log.connection.execute("UPDATE vallum.audit_state SET size = %s, frontier = %s", before)
    assert size == before[0] + 3
    return log


def _succeed(log: Trail, *more: str) -> dict[str, object]:
    done = log.command("succeed", "--reason", "failover", "--yes", "--json", *more)
    assert done.code == 0, done.err
    found: dict[str, object] = done.json
    return found


@pytest.mark.tampering("failover to a standby that lags")
@pytest.mark.slow
def test_standby_that_lagged_takes_over_and_the_log_goes_on_by_a_successor(tmp_path: Path) -> None:
    """By streaming: `sequence` refuses, `gaps` and `verify` name the place; what waited is not lost."""
    anchor = tmp_path / "anchor"
    with replicated("shop") as pair:
        with trail(pair.dsn, tmp_path / "log") as log:
            log.execute("INSERT INTO customer VALUES (1, 'known to both')")
            kept = log.sequence(anchors=[FileAnchor(anchor)])
            # Written, and not sequenced: the standby has it in its inbox.
            log.execute("INSERT INTO customer VALUES (2, 'captured on both')")
            pair.caught_up()
            pair.part()
            log.execute("INSERT INTO customer VALUES (3, 'lost')")
            signed = log.sequence(anchors=[FileAnchor(anchor)])
            assert (kept, signed) == (3, 5)
        _take_over(pair, tmp_path / "log", anchor, kept, signed)


def _take_over(pair: Pair, folder: Path, anchor: Path, kept: int, signed: int) -> None:
    pair.promote()
    with connect(pair.replica, readonly=False, autocommit=True) as connection:
        log = Trail(pair.replica, folder, connection)
        with pytest.raises(LogForked, match="5 were signed"):
            log.sequence()
        assert log.alarms[-1].code == "audit-log-forked"
        assert ("size-below-anchor", kept) in log.codes("gaps")
        assert ("size-below-anchor", kept) in log.codes("verify")
        told = _succeed(log)
        assert (told["kept"], told["lost"], told["waiting"], told["origin"]) == (kept, 2, 1, SUCCESSOR)
        entries = log.entries()
        first = next(entry for entry in entries if entry["kind"] == "succession")
        assert first["detail"]["lost"] == f"{kept}-{signed}"
        assert Checkpoint.parse(Note.parse(first["detail"]["checkpoint"]).text).size == signed
        # What the standby had captured has a new place, behind the first entry.
        assert [e["new"] is not None for e in entries[-1:]] == [True]
        assert log.one("SELECT index FROM vallum.audit_leaf WHERE key = '2'") == signed + 1
        log.execute("INSERT INTO customer VALUES (4, 'after')")
        log.sequence(anchors=[FileAnchor(anchor)])
        # All anchored checkpoints, those of the log before as well.
        assert log.command("verify", "--against", str(anchor)).code == 0
        assert log.codes("gaps") == []
        assert log.codes("coverage", "--rows") == []


def test_successor_declares_the_loss_and_keeps_what_was_there(lagging: Trail) -> None:
    """Old events, proofs and the old checkpoint hold; the first entry names predecessor and places."""
    bundle = prove(lagging.connection, lagging.home, 4)
    kept = Note.parse(lagging.home.checkpoint.read_text())
    told = _succeed(lagging)
    lost = Checkpoint.parse(kept.text).size
    detail = lagging.entries()[-1]["detail"]
    assert (detail["predecessor"], detail["origin"], detail["size"]) == (ORIGIN, SUCCESSOR, lost)
    assert (detail["reason"], detail["kept"], told["lost"]) == ("failover", lost - 3, 3)
    assert detail["by"].startswith("system:")
    assert check(bundle, bundle["log_key"], [])["index"] == 4
    after = prove(lagging.connection, lagging.home, 4)
    assert check(after, str(told["key"]), [])["log"] == SUCCESSOR
    assert lagging.codes("verify") == []
    assert lagging.codes("gaps") == []
    saved = lagging.home.folder / f"predecessor-{lost}.checkpoint"
    assert lagging.command("verify", "--against", str(saved), "--json").json["against"] == 1
    assert "succession" in lagging.command("search", "--kind", "succession").out


def test_more_that_goes_after_a_succession_is_missed(lagging: Trail) -> None:
    """The declaration covers its places, and no others."""
    _succeed(lagging)
    lagging.execute("INSERT INTO customer VALUES (30, 'later')")
    lagging.sequence()
    lagging.execute("DELETE FROM vallum.audit_leaf WHERE index = 3")
    assert ("missing", 3) in lagging.codes("verify")
    assert ("missing", 3) in lagging.codes("gaps")


def test_retention_after_a_succession_declares_both(lagging: Trail, tmp_path: Path) -> None:
    """The places that were lost stay declared; the first entry of a successor stays."""
    _succeed(lagging)
    now = lagging.one("SELECT clock_timestamp()::text")
    done = lagging.command("retention", "--before", now, "--archive", str(tmp_path / "a.gz"), "--yes")
    assert done.code == 0, done.err
    assert lagging.codes("verify") == []
    assert lagging.one("SELECT count(*) FROM vallum.audit_leaf WHERE entry LIKE '%succession%'") == 1


def test_succession_of_a_successor_has_the_next_number(lagging: Trail) -> None:
    """And checkpoints of both logs before it are held against it."""
    first = lagging.home.folder / "first"
    first.write_text(lagging.home.checkpoint.read_text())
    _succeed(lagging)
    second = lagging.home.folder / "second"
    before = lagging.connection.execute("SELECT size, frontier FROM vallum.audit_state").fetchone()
    assert before is not None
    lagging.execute("INSERT INTO customer VALUES (40, 'lost too')")
    lagging.sequence()
    second.write_text(lagging.home.checkpoint.read_text())
    lagging.connection.execute("DELETE FROM vallum.audit_leaf WHERE index >= %s", (before[0],))
    lagging.connection.execute("UPDATE vallum.audit_state SET size = %s, frontier = %s", before)
    assert _succeed(lagging)["origin"] == f"{ORIGIN}/successor-2"
    assert lagging.codes("verify", "--against", str(first), "--against", str(second)) == []


def test_log_that_is_whole_has_no_successor(log: Trail) -> None:
    """Nothing is declared lost that is there; nor under its own name."""
    log.sequence()
    done = log.command("succeed", "--reason", "x", "--yes")
    assert done.code == 2
    assert "not needed" in done.err


@pytest.mark.tampering("failover to a standby that lags")
def test_another_history_has_no_successor(lagging: Trail) -> None:
    """Somebody rewrote what is left, with a state that fits it: that is no standby that lagged."""
    lagging.execute("UPDATE vallum.audit_leaf SET entry = replace(entry, 'create', 'unlink') WHERE index = 5")
    tree = Frontier()
    rows = lagging.connection.execute("SELECT entry FROM vallum.audit_leaf ORDER BY index").fetchall()
    for (entry,) in rows:
        tree.add(leaf_hash(entry.encode()))
    lagging.connection.execute("UPDATE vallum.audit_state SET frontier = %s", (tree.to_bytes(),))
    with pytest.raises(LogForked, match="not the first"):
        plan_succession(lagging.connection, lagging.home)
    assert lagging.command("succeed", "--reason", "x", "--yes").code == 2


def test_succession_that_is_cut_off_after_the_database_is_gone_on_with(
    lagging: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder follows; a sequencer signs nothing in between; nothing is declared twice."""

    class Cut(Exception):
        """The power went."""

    def remember(*_: object) -> None:
        raise Cut

    with monkeypatch.context() as patched:
        patched.setattr("vallum.audit.state.Home.remember", remember)
        with pytest.raises(Cut):
            _cut(lagging)
    with pytest.raises(LogForked, match="this folder is of the log"):
        lagging.sequence()
    _succeed(lagging)
    assert lagging.codes("verify") == []
    assert lagging.one("SELECT count(*) FROM vallum.audit_leaf WHERE entry LIKE '%succession%'") == 1
    # And with another name it is another log.
    lagging.connection.execute("UPDATE vallum.audit_state SET origin = 'log.example/other'")
    with pytest.raises(LogForked, match="not `log"):
        plan_succession(lagging.connection, lagging.home)


def _cut(log: Trail) -> None:
    from vallum.audit.succession import succeed
    from vallum.kernel import SystemClock

    plan = plan_succession(log.connection, log.home)
    succeed(log.connection, log.home, plan, SystemClock(), by="test", reason="r")


def test_tiles_that_are_not_those_signed_carry_no_successor(lagging: Trail) -> None:
    """They are what the successor grows on."""
    tile = next(path for path in (lagging.home.folder / "tile").rglob("*") if path.is_file())
    data = bytearray(tile.read_bytes())
    data[0] ^= 1
    for path in tile.parent.iterdir():
        path.write_bytes(data[: path.stat().st_size])
    with pytest.raises(LogForked):
        plan_succession(lagging.connection, lagging.home)


def test_sequencer_at_work_keeps_others_from_declaring(lagging: Trail) -> None:
    """One at a time in a folder; the database is as it was."""
    with lagging.home.alone():
        assert lagging.command("succeed", "--reason", "x", "--yes").code == 2
    assert lagging.one("SELECT origin FROM vallum.audit_state") == ORIGIN


def test_name_of_a_successor_is_its_own(lagging: Trail) -> None:
    """Given, or made; never the one before."""
    with pytest.raises(AuditRefused, match="name of its own"):
        plan_succession(lagging.connection, lagging.home, ORIGIN)
    assert _succeed(lagging, "--origin", "log.example/second")["origin"] == "log.example/second"


@pytest.mark.tampering("succession forged")
def test_application_cannot_declare_a_succession(log: Trail) -> None:
    """Neither by the library nor by SQL: only the log's own word counts."""
    from vallum.audit import record

    with pytest.raises(AuditRefused):
        record(log.connection, "succession", {})
    log.execute("INSERT INTO customer SELECT i, 'x' FROM generate_series(1, 5) i")
    log.sequence()
    from vallum.audit.runs import digest_of_runs

    detail = f'{{"missing": "{digest_of_runs([(4, 5)])}", "places": "4-5"}}'
    log.connection.execute("SELECT vallum.audit_record('succession', %s, NULL, NULL)", (detail,))
    log.sequence()
    log.execute("DELETE FROM vallum.audit_leaf WHERE index = 4")
    assert ("missing", 4) in log.codes("verify")


def test_witness_takes_the_successor_under_its_own_key(lagging: Trail, tmp_path: Path) -> None:
    """Once it is told of it; the log before it stays what it was."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from vallum.audit.notes import COSIGNATURE, Signer
    from vallum.audit.witness import Witness
    from vallum.kernel import SystemClock

    with httpx.Client() as client, witnessing(lagging, tmp_path / "w") as (url, key):
        anchor = WitnessAnchor(url, key.text, client=client)
        _succeed(lagging)
        lagging.execute("INSERT INTO customer VALUES (50, 'x')")
        lagging.sequence(anchors=[anchor])
        assert lagging.alarms[-1].code == "audit-anchor"
    signer = Signer("witness.example/w2", Ed25519PrivateKey.generate(), COSIGNATURE)
    told = Witness(signer, {SUCCESSOR: (log_key(lagging.home, SUCCESSOR),)}, tmp_path / "w2", SystemClock())
    note = lagging.home.checkpoint.read_text()
    assert told.add_checkpoint(f"old 0\n\n{note}".encode()).status == 200
