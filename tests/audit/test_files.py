"""Files of exports, archives and proofs: for their owner alone, made anew, whole or not there."""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.support.audit import Trail
from vallum.audit import AuditRefused
from vallum.audit.files import new_file


@contextmanager
def open_to_all() -> Iterator[None]:
    """A process that takes no care of what it makes."""
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file of this process grows beyond so many bytes."""
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)


ENDS: Final = (".jsonl", ".json", ".py", ".gz")


def _now(log: Trail) -> str:
    return str(log.one("SELECT clock_timestamp()::text"))


def _left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_exports_proofs_and_archives_are_for_their_owner_alone(log: Trail, tmp_path: Path) -> None:
    """Whatever the process's mask says."""
    log.execute("INSERT INTO customer VALUES (1, 'x')")
    log.sequence()
    with open_to_all():
        for arguments in (
            ("export", "--output", "export.jsonl"),
            ("prove", "0", "--output", "proof.json", "--with-checker", "check.py"),
            ("retention", "--before", _now(log), "--archive", "archive.gz", "--yes"),
        ):
            full = [str(tmp_path / word) if word.endswith(ENDS) else word for word in arguments]
            done = log.command(*full)
            assert done.code == 0, done.err
    made = [path for path in tmp_path.iterdir() if path.is_file()]
    assert {"export.jsonl", "export.jsonl.sig", "proof.json", "check.py", "archive.gz"} == {
        path.name for path in made
    }
    assert {path.stat().st_mode & 0o777 for path in made} == {0o600}


@pytest.mark.tampering("file planted where one is to be written")
@pytest.mark.parametrize("planted", ["file", "link", "dangling"])
def test_nothing_that_is_there_is_written_to(log: Trail, tmp_path: Path, planted: str) -> None:
    """A file of that name, a link to another one, a link to where none is: all stay as they are."""
    log.execute("INSERT INTO customer VALUES (1, 'x')")
    log.sequence()
    victim, target = tmp_path / "victim", tmp_path / "target"
    if planted != "dangling":
        victim.write_text("precious")
    if planted == "file":
        victim.rename(target)
    else:
        target.symlink_to(victim)
    for arguments in (
        ("export", "--output", str(target)),
        ("prove", "0", "--output", str(target)),
        ("prove", "0", "--with-checker", str(target)),
        ("retention", "--before", _now(log), "--archive", str(target), "--yes"),
    ):
        before = _left(tmp_path)
        done = log.command(*arguments)
        assert done.code == 2, done.out
        assert "is there" in done.err
        assert _left(tmp_path) == before
    assert target.is_symlink() == (planted != "file")
    if planted == "dangling":
        assert not victim.exists()
    else:
        assert target.read_text() == "precious"


def test_signature_of_an_export_that_cannot_be_made_leaves_no_export(log: Trail, tmp_path: Path) -> None:
    """Both, or neither."""
    log.sequence()
    (tmp_path / "e.jsonl.sig").touch()
    assert log.command("export", "--output", str(tmp_path / "e.jsonl")).code == 2
    assert _left(tmp_path) == ["e.jsonl.sig", "log"]


@pytest.mark.tampering("disk full")
def test_disk_that_is_full_leaves_nothing(tmp_path: Path) -> None:
    """An error says so; what was written is gone."""
    with full_disk(4096), pytest.raises((AuditRefused, OSError)), new_file(tmp_path / "f") as file:
        file.write(b"x" * 100_000)
    assert _left(tmp_path) == []


def test_file_that_somebody_makes_meanwhile_is_kept(tmp_path: Path) -> None:
    """Also between the look and the end."""

    def meanwhile() -> None:
        with new_file(tmp_path / "f") as file:
            file.write(b"ours")
            (tmp_path / "f").write_text("theirs")

    with pytest.raises(AuditRefused, match="is there"):
        meanwhile()
    assert (tmp_path / "f").read_text() == "theirs"
    assert _left(tmp_path) == ["f"]


def test_error_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    """Neither under its name nor beside it."""

    def failing() -> None:
        with new_file(tmp_path / "f") as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert _left(tmp_path) == []


def test_file_system_without_links_is_written_to_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole, for its owner alone; what is there is kept there too."""

    def link(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", link)
    with new_file(tmp_path / "f") as file:
        file.write(b"whole")
    assert (tmp_path / "f").read_bytes() == b"whole"
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600
    with pytest.raises(AuditRefused), new_file(tmp_path / "g"):
        (tmp_path / "g").write_text("theirs")
    assert _left(tmp_path) == ["f", "g"]


def test_folder_that_is_not_there_is_an_error_that_names_it(log: Trail, tmp_path: Path) -> None:
    """What, where, and how to mend it."""
    log.sequence()
    done = log.command("export", "--output", str(tmp_path / "none" / "e"), "--json")
    assert done.code == 2
    assert str(tmp_path / "none" / "e") in done.err
