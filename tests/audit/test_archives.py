"""Archives of retention: held against the tree, and erased in without a proof less."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.audit import Trail
from vallum.audit import AuditRefused, Who, stamp
from vallum.audit.archives import Rewritten, known_archives
from vallum.audit.check_proof import check
from vallum.audit.proofs import prove

FIRST = ("erase", "--record", "customer,1", "--reason", "x", "--yes")


@pytest.fixture
def archived(log: Trail, tmp_path: Path) -> Path:
    """Two archives of what marie did to two customers; what came later is in the log."""
    for n in (1, 2):
        log.execute(f"INSERT INTO customer VALUES ({n}, 'secret name {n}')")
        with log.connection.transaction():
            stamp(log.connection, log.key, Who(7, "marie", "192.0.2.7"))
            log.execute(f"UPDATE customer SET name = 'other name {n}' WHERE id = {n}")
        log.sequence()
        _retain(log, tmp_path / "archives" / f"{n}.gz")
    log.execute("UPDATE customer SET name = 'newest name' WHERE id = 1")
    log.sequence()
    return tmp_path / "archives"


def _retain(log: Trail, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    now = log.one("SELECT clock_timestamp()::text")
    done = log.command("retention", "--before", now, "--archive", str(path), "--yes")
    assert done.code == 0, done.err


def _erase(log: Trail, *more: str) -> dict[str, Any]:
    done = log.command("erase", "--reason", "asked to", "--yes", "--json", *more)
    assert done.code == (1 if done.json["unreached"] else 0), done.err
    found: dict[str, Any] = done.json
    log.sequence()
    return found


def _content(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode()


def _codes(log: Trail, path: Path) -> list[str]:
    done = log.command("check-archive", str(path), "--json")
    assert done.code == (1 if done.json["problems"] else 0), done.err
    return [problem["code"] for problem in done.json["problems"]]


@pytest.mark.tampering("subject erased")
def test_erasure_reaches_archives_and_leaves_every_entry_provable(log: Trail, archived: Path) -> None:
    """Values and salts of the record go from the log and both kinds of place; entries are as they were."""
    before = [json.loads(line)["entry"] for line in _content(archived / "1.gz").splitlines()]
    told = _erase(log, "--record", "customer,1", "--archive", str(archived))
    assert (told["values"], told["unreached"]) == (2, [])
    assert told["archives"] == [{"archive": str(archived / "1.gz"), "events": 2, "values": 3}]
    kept = _content(archived / "1.gz")
    assert "secret name" not in kept
    assert "other name" not in kept
    assert "marie" in kept
    assert [json.loads(line)["entry"] for line in kept.splitlines()] == before
    assert "secret name 2" in _content(archived / "2.gz")
    assert _codes(log, archived / "1.gz") == _codes(log, archived / "2.gz") == []
    assert log.codes("verify", "--values") == []
    bundle = prove(log.connection, log.home, log.one("SELECT max(index) FROM vallum.audit_leaf"))
    assert check(bundle, bundle["log_key"], [])["size"]
    assert (archived / "1.gz").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in archived.iterdir()) == ["1.gz", "2.gz"]


def test_erasure_of_an_actor_reaches_archives(log: Trail, archived: Path) -> None:
    """Login and address go from each, what was changed stays; again there is nothing left to erase."""
    told = _erase(
        log, "--actor", "7", "--archive", str(archived / "1.gz"), "--archive", str(archived / "2.gz")
    )
    assert [at["values"] for at in told["archives"]] == [2, 2]
    for n in (1, 2):
        assert "marie" not in _content(archived / f"{n}.gz")
        assert f"other name {n}" in _content(archived / f"{n}.gz")
    again = _erase(log, "--actor", "7", "--archive", str(archived))
    assert (again["values"], again["archives"]) == (0, [])
    assert _codes(log, archived / "2.gz") == []


def test_archives_that_were_not_reached_are_named_and_recorded(log: Trail, archived: Path) -> None:
    """By the command, which ends with 1, and in the act itself."""
    done = log.command(
        "erase", "--record", "customer,1", "--reason", "x", "--yes", "--archive", str(archived / "2.gz")
    )
    assert done.code == 1
    assert "1.gz is not reached" in done.out
    log.sequence()
    assert log.entries()[-1]["detail"]["unreached"] == ["1.gz"]
    # Found later, also under another name.
    (archived / "1.gz").rename(archived / "moved")
    told = _erase(log, "--record", "customer,1", "--archive", str(archived))
    assert [at["values"] for at in told["archives"]] == [3]


def test_copy_from_before_an_erasure_is_told_and_can_be_erased(log: Trail, archived: Path) -> None:
    """Its content is known, and known to be an old one."""
    copy = (archived / "1.gz").read_bytes()
    _erase(log, "--record", "customer,1", "--archive", str(archived))
    (archived / "1.gz").write_bytes(copy)
    assert _codes(log, archived / "1.gz") == ["archive-old"]
    _erase(log, "--record", "customer,1", "--archive", str(archived))
    assert "secret name" not in _content(archived / "1.gz")
    assert _codes(log, archived / "1.gz") == []


@pytest.mark.tampering("archive changed")
def test_file_that_is_no_archive_of_the_log_is_left_alone(log: Trail, archived: Path, tmp_path: Path) -> None:
    """Named itself it is an error, in a folder it is passed over; nothing is erased then or recorded."""
    other = tmp_path / "other.gz"
    changed = _content(archived / "1.gz").replace("secret name 1", "secret name 9")
    other.write_bytes(gzip.compress(changed.encode()))
    (archived / "notes.txt").write_text("no archive")
    size = log.one("SELECT size FROM vallum.audit_state")
    for path in (other, archived / "notes.txt", archived / "none"):
        done = log.command(
            "erase", "--record", "customer,1", "--reason", "x", "--yes", "--archive", str(path)
        )
        assert done.code == 2, done.out
        assert str(path) in done.err
    assert log.sequence() == size
    assert _erase(log, "--record", "customer,1", "--archive", str(archived))["unreached"] == []
    assert (archived / "notes.txt").read_text() == "no archive"
    assert "archive" in _codes(log, other)
    assert "value" in _codes(log, other)


@pytest.mark.tampering("archive changed")
def test_archive_whose_entry_was_changed_is_told_with_the_event(log: Trail, archived: Path) -> None:
    """It does not lead to the tree any more."""
    changed = _content(archived / "1.gz").replace('\\"op\\":\\"write\\"', '\\"op\\":\\"unlink\\"')
    (archived / "1.gz").write_bytes(gzip.compress(changed.encode()))
    done = log.command("check-archive", str(archived / "1.gz"), "--json")
    codes = {(problem["code"], problem["index"]) for problem in done.json["problems"]}
    index = json.loads(changed.splitlines()[1])["index"]
    assert codes == {("altered", index), ("archive", None)}


def test_archive_that_cannot_be_replaced_is_an_error_and_can_be_erased_again(
    log: Trail, archived: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that the values are still there; what is in the log is gone."""

    def replace(made: Rewritten) -> None:
        raise AuditRefused("the archive cannot be replaced", where=str(made.path))

    with monkeypatch.context() as patched:
        patched.setattr(Rewritten, "replace", replace)
        done = log.command(
            "erase", "--record", "customer,1", "--reason", "x", "--yes", "--archive", str(archived)
        )
    assert done.code == 2
    assert "cannot be replaced" in done.err
    assert "secret name" in _content(archived / "1.gz")
    log.sequence()
    told = _erase(log, "--record", "customer,1", "--archive", str(archived))
    assert [at["values"] for at in told["archives"]] == [3]
    assert "secret name" not in _content(archived / "1.gz")


def test_damaged_archive_is_an_error_that_names_it(log: Trail, archived: Path) -> None:
    """Cut off in the middle, or no archive at all."""
    whole = (archived / "1.gz").read_bytes()
    for data in (whole[: len(whole) // 2], b"\x1f\x8b" + os.urandom(50), b""):
        (archived / "1.gz").write_bytes(data)
        done = log.command("check-archive", str(archived / "1.gz"))
        assert done.code != 0


def test_act_that_nobody_vouches_for_declares_no_archive(log: Trail, archived: Path) -> None:
    """Whoever may write to the trail cannot have a file of theirs taken for an archive."""
    known = known_archives(log.connection)
    detail = json.dumps({"archive": {"file": "x", "sha256": "00"}})
    log.connection.execute("SELECT vallum.audit_record('retention', %s, NULL, NULL)", (detail,))
    told = json.dumps({"archives": [{"was": known[0].digests[0], "sha256": "00"}]})
    log.connection.execute("SELECT vallum.audit_record('erasure', %s, NULL, NULL)", (told,))
    log.sequence()
    assert known_archives(log.connection) == known
