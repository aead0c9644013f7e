"""Nothing lost and nothing doubled: many writers, savepoints, long transactions, and kill -9 at each step."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.support.audit import ORIGIN, Trail
from vallum.audit import AuditRefused, Fenced, Home, KeyRefused, LogForked
from vallum.audit.notes import Checkpoint, Note
from vallum.audit.tree import EMPTY

WRITERS = 32
TURNS = 12


def _write(dsn: str, writer: int, kept: Counter[int]) -> None:
    """Transactions with savepoints, some of them rolled back; counts what was committed."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for turn in range(TURNS):
            with connection.transaction(force_rollback=turn % 5 == 4):
                for part in range(3):
                    with connection.transaction(force_rollback=part == 1):
                        number = writer * 1_000 + turn * 10 + part
                        connection.execute("INSERT INTO customer VALUES (%s, 'w')", (number,))
                    if part != 1 and turn % 5 != 4:
                        kept[number] += 1


@pytest.mark.tampering("racing writers, savepoints, a long transaction")
@pytest.mark.slow
def test_writers_with_savepoints_and_a_long_transaction_lose_and_double_nothing(log: Trail) -> None:
    """32 writers beside a sequencer that takes turns all the while."""
    kept: Counter[int] = Counter()
    with psycopg.connect(log.dsn) as long, log.sequencer().running() as worker:
        long.execute("INSERT INTO customer VALUES (-1, 'long')")
        threads = [threading.Thread(target=_write, args=(log.dsn, n, kept)) for n in range(WRITERS)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            worker.step()
        for thread in threads:
            thread.join()
        worker.step()
        long.commit()
        kept[-1] += 1
        worker.step()
    assert len(kept) == 1 + WRITERS * 2 * sum(turn % 5 != 4 for turn in range(TURNS))
    assert Counter(row["key"]["id"] for row in log.rows()) == kept
    assert log.alarms == []
    for row in log.rows():
        assert 1 <= row["n"] <= row["of"]
    assert log.one("SELECT count(*) FROM vallum.audit_inbox") == 0
    assert log.codes("verify") == []


DRIVER = """
import os, signal, sys
from pathlib import Path
from vallum.audit import Home, Sequencer

def die(step):
    if step == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)

with Sequencer(sys.argv[1], Home(Path(sys.argv[2])), on_step=die).running() as worker:
    worker.step()
"""


@pytest.mark.tampering("sequencer killed at each step")
@pytest.mark.slow
@pytest.mark.parametrize("step", ["copied", "committed", "tiled", "signed", "published"])
def test_killed_at_a_step_goes_on_without_loss_and_with_one_root_a_size(log: Trail, step: str) -> None:
    """Whatever was half done is made good; no size ever has a second root."""
    log.execute("INSERT INTO customer SELECT i, 'first' FROM generate_series(1, 300) i")
    log.sequence()
    roots: dict[int, bytes] = {}
    for turn in range(2):
        log.execute(
            "INSERT INTO customer SELECT i, 'more'"
            f" FROM generate_series({turn * 100 + 301}, {turn * 100 + 400}) i"
        )
        command = [sys.executable, "-c", DRIVER, log.dsn, str(log.home.folder), step]
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False
        )
        assert done.returncode == -signal.SIGKILL
        _remember(roots, log.home)
    log.sequence()
    _remember(roots, log.home)
    assert sorted(row["key"]["id"] for row in log.rows()) == list(range(1, 501))
    assert log.one("SELECT count(*) FROM vallum.audit_inbox") == 0
    for (note,) in log.connection.execute("SELECT note FROM vallum.audit_checkpoint"):
        checkpoint = Checkpoint.parse(Note.parse(note).text)
        assert roots.setdefault(checkpoint.size, checkpoint.root) == checkpoint.root
    assert log.codes("verify") == []


def _remember(roots: dict[int, bytes], home: Home) -> None:
    signed = home.signed()
    if signed is not None:
        assert roots.setdefault(signed.size, signed.root) == signed.root


@pytest.mark.tampering("processes killed while events commit")
def test_writer_killed_before_its_commit_leaves_no_event(log: Trail) -> None:
    """The event and the change are one transaction."""
    with psycopg.connect(log.dsn) as writer:
        writer.execute("INSERT INTO customer VALUES (1, 'never')")
        log.connection.execute("SELECT pg_terminate_backend(%s)", (writer.info.backend_pid,))
        writer.close()
    log.sequence()
    assert log.rows() == []
    assert log.alarms == []


@pytest.mark.tampering("two sequencers")
def test_second_sequencer_is_refused_and_a_takeover_fences_the_first(log: Trail, tmp_path: Path) -> None:
    """One writes; the other finds out before it writes anything."""
    copied = tmp_path / "other-machine"
    with log.sequencer().running() as first:
        first.step()
        shutil.copytree(log.home.folder, copied)
        with (
            pytest.raises(AuditRefused, match="another sequencer writes"),
            log.sequencer(home=Home(copied)).running(),
        ):
            pass
        with pytest.raises(AuditRefused, match="in this folder"), log.sequencer(takeover=True).running():
            pass
        with log.sequencer(home=Home(copied), takeover=True).running() as second:
            log.execute("INSERT INTO customer VALUES (1, 'once')")
            with pytest.raises(Fenced):
                first.step()
            assert second.step().events == 1
    assert [row["key"]["id"] for row in log.rows()] == [1]


@pytest.mark.tampering("state of the log changed")
def test_state_changed_by_another_hand_is_not_gone_on_with(log: Trail) -> None:
    """What the sequencer knows and what the database says are not the same: nothing is signed."""
    log.execute("INSERT INTO customer VALUES (1, 'a')")
    with log.sequencer().running() as worker:
        size = worker.step().size
        log.connection.execute("UPDATE vallum.audit_state SET frontier = %s", (EMPTY * size.bit_count(),))
        log.execute("INSERT INTO customer VALUES (2, 'b')")
        with pytest.raises(LogForked, match="another hand"):
            worker.step()
    assert [alarm.code for alarm in log.alarms] == ["audit-log-forked"]
    assert log.one("SELECT count(*) FROM vallum.audit_inbox") == 1


@pytest.mark.tampering("log edited between commit and signature")
def test_leaf_edited_between_commit_and_signature_is_not_signed(log: Trail) -> None:
    """After a crash the entries are hashed again, and held against the state."""
    log.execute("INSERT INTO customer VALUES (1, 'a')")
    command = [sys.executable, "-c", DRIVER, log.dsn, str(log.home.folder), "committed"]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False)
    log.execute("UPDATE vallum.audit_leaf SET entry = replace(entry, 'create', 'write') WHERE op = 'i'")
    with pytest.raises(LogForked, match="not those that the log's state stands for"):
        log.sequence()


@contextmanager
def _files_of_at_most(size: int) -> Iterator[None]:
    """A disk that is full: no file of this process grows beyond so many bytes."""
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.tampering("disk full")
def test_disk_that_is_full_signs_nothing_and_loses_nothing(log: Trail) -> None:
    """Events are safe in the database; the signature comes when there is room."""
    with log.sequencer().running() as worker:
        worker.step()
        before = log.home.signed()
        log.execute("INSERT INTO customer SELECT i, 'a' FROM generate_series(1, 600) i")
        with _files_of_at_most(64):
            assert worker.step().events == 600
        assert log.home.signed() == before
        assert [alarm.code for alarm in log.alarms] == ["tiles"]
        log.execute("INSERT INTO customer VALUES (1000, 'b')")
        worker.step()
    signed = log.home.signed()
    assert signed is not None
    assert signed.size == log.one("SELECT size FROM vallum.audit_state")
    assert log.codes("verify") == []


@pytest.mark.tampering("key readable by others")
@pytest.mark.parametrize("name", ["signing.key", "actor.key"])
def test_key_that_others_can_read_is_refused(log: Trail, name: str) -> None:
    """And it is said which, and how to mend it; events wait in the inbox."""
    (log.home.folder / name).chmod(0o644)
    log.execute("INSERT INTO customer VALUES (1, 'a')")
    with pytest.raises(KeyRefused, match="others may read the key") as refused:
        log.sequence()
    assert refused.value.where == str(log.home.folder / name)
    (log.home.folder / name).chmod(0o600)
    assert log.sequence() == 3


@pytest.mark.tampering("key missing")
@pytest.mark.parametrize("name", ["signing.key", "actor.key"])
def test_key_that_is_gone_is_refused_and_not_made_anew(log: Trail, name: str) -> None:
    """A new key would be another log."""
    (log.home.folder / name).unlink()
    with pytest.raises(KeyRefused, match="cannot be read"):
        log.sequence()
    assert not (log.home.folder / name).exists()
    assert log.command("sequence", "--once").code == 2


@pytest.mark.tampering("record of what was signed removed")
def test_record_of_what_was_signed_that_is_gone_stops_the_sequencer(log: Trail) -> None:
    """Without it nothing keeps a second root from being signed."""
    log.sequence()
    (log.home.folder / "signed.json").unlink()
    with pytest.raises(LogForked, match="record of what was signed is gone"):
        log.sequence()


def test_origin_of_the_log_is_in_its_checkpoint(log: Trail) -> None:
    """As its owner named it."""
    log.sequence()
    assert log.home.checkpoint.read_text().splitlines()[0] == ORIGIN
