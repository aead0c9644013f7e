"""Archives of events that retention let go: which there are, whether one is whole, and erasing in them.

An archive is a file of entries with the values they commit to. What is erased in it is value and salt, as in
the log: its entries stay, and lead to the same tree. The log declares each content that an archive may have.
Invariant: no archive is touched that the log does not know by its content; it is replaced as a whole.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import secrets
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg

from vallum.audit.errors import AuditRefused, LogForked
from vallum.audit.files import open_new, wait_for_disk
from vallum.audit.problem import Problem
from vallum.audit.search import Event, event_of
from vallum.audit.tiles import TileReader
from vallum.audit.tree import leaf_hash
from vallum.audit.values import salted, without
from vallum.kernel import NO_PROGRESS, Progress

__all__ = ["Archive", "Rewritten", "check_archive", "known_archives", "rewritten", "sort_out"]

Connection = psycopg.Connection[Any]
Labels = Callable[[Event, Sequence[str]], Sequence[str]]
_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class Archive:
    """What the log says of an archive: its name then, and the contents it may have, the newest last."""

    file: str
    digests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rewritten:
    """An archive without what was erased, ready to take its place. `path`: of the one that is there."""

    path: Path
    beside: Path
    archive: Archive
    was: str
    sha256: str
    events: int
    values: int

    def declared(self) -> dict[str, Any]:
        """What the act of erasure says of it."""
        told = {"file": self.archive.file, "was": self.was, "sha256": self.sha256}
        return {**told, "events": self.events, "values": self.values}

    def replace(self) -> None:
        """Put it in the place of the one that is there. Raises: AuditRefused."""
        try:
            self.beside.replace(self.path)
            wait_for_disk(self.path.parent)
        except OSError as error:
            raise AuditRefused(
                f"the archive cannot be replaced, and still holds what was erased: {error.strerror}",
                where=str(self.path),
                fix="mend that, and erase once more",
            ) from None


def known_archives(connection: Connection) -> list[Archive]:
    """The archives that acts of retention declare, the oldest first. Raises: psycopg.Error."""
    rows = connection.execute(
        "SELECT entry FROM vallum.audit_leaf WHERE op IS NULL AND entry IS NOT NULL"
        ' AND (entry LIKE \'%"kind":"retention"%\' OR entry LIKE \'%"kind":"erasure"%\') ORDER BY index'
    )
    found: list[Archive] = []
    for (entry,) in rows:
        content = json.loads(entry)
        if not content["actor"].get("verified"):
            continue
        if content["kind"] == "retention":
            told = content["detail"]["archive"]
            found.append(Archive(told["file"], (told["sha256"],)))
        elif content["kind"] == "erasure":
            for told in content["detail"].get("archives", ()):
                found = [
                    Archive(at.file, (*at.digests, told["sha256"])) if told["was"] in at.digests else at
                    for at in found
                ]
    return found


def sort_out(
    known: Sequence[Archive], paths: Iterable[Path], progress: Progress = NO_PROGRESS
) -> tuple[dict[Path, tuple[Archive, str]], list[Archive]]:
    """The archives among these files and folders, each with its content's digest; and those not among them.

    Raises: AuditRefused (a file that is named is no archive of this log).
    """
    found: dict[Path, tuple[Archive, str]] = {}
    for path, named in _files(paths):
        digest = _digest(path, progress) if named or _is_packed(path) else None
        archive = next((at for at in known if digest in at.digests), None)
        if archive is not None and digest is not None:
            found[path] = (archive, digest)
        elif named:
            raise AuditRefused("the log knows no archive of this content", where=str(path))
    reached = {id(archive) for archive, _ in found.values()}
    return found, [archive for archive in known if id(archive) not in reached]


def _files(paths: Iterable[Path]) -> Iterator[tuple[Path, bool]]:
    """Each file, and whether it was named itself."""
    for path in paths:
        if path.is_dir():
            yield from ((file, False) for file in sorted(path.iterdir()) if file.is_file())
        else:
            yield path, True


def _is_packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of an archive. Raises: AuditRefused."""
    try:
        with gzip.open(path) as packed:
            yield from packed
    except FileNotFoundError:
        raise AuditRefused("there is no such archive", where=str(path)) from None
    except (OSError, EOFError, zlib.error) as error:
        raise AuditRefused(f"the archive cannot be read: {error}", where=str(path)) from None


def _digest(path: Path, progress: Progress) -> str:
    digest = hashlib.sha256()
    for line in _lines(path):
        digest.update(line)
        progress.advance()
    return digest.hexdigest()


def _event(line: bytes, where: Path) -> tuple[Event, bytes | None, str | None]:
    try:
        at = json.loads(line)
        seed = bytes.fromhex(at["seed"]) if at["seed"] else None
        return event_of(at["index"], at["entry"], seed, at["secret"]), seed, at["secret"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise AuditRefused("the archive is damaged", where=str(where)) from None


@contextmanager
def rewritten(
    path: Path, archive: Archive, was: str, labels: Labels, progress: Progress = NO_PROGRESS
) -> Iterator[Rewritten | None]:
    """The archive without these labels' values, beside it on disk until it takes its place; None: none there.

    `labels`: those to go, of an event's. Raises: AuditRefused, OSError.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        digest, events, values = hashlib.sha256(), 0, 0
        with os.fdopen(open_new(beside), "wb") as file:
            with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as packed:
                for line in _lines(path):
                    kept, count = _without(line, path, labels)
                    digest.update(kept)
                    packed.write(kept)
                    events, values = events + bool(count), values + count
                    progress.advance()
            file.flush()
            os.fsync(file.fileno())
        made = Rewritten(path, beside, archive, was, digest.hexdigest(), events, values)
        yield made if values else None
    finally:
        beside.unlink(missing_ok=True)


def _without(line: bytes, path: Path, labels: Labels) -> tuple[bytes, int]:
    event, seed, secret = _event(line, path)
    gone = labels(event, list(salted(seed, secret))) if secret else ()
    if not gone:
        return line, 0
    at = {
        "index": event.index,
        "entry": event.entry,
        "seed": None,
        "secret": without(seed, secret or "", gone),
    }
    return json.dumps(at, ensure_ascii=False).encode() + b"\n", len(gone)


def check_archive(
    path: Path, known: Sequence[Archive], tiles: TileReader, progress: Progress = NO_PROGRESS
) -> tuple[int, list[Problem]]:
    """How many events an archive has, and what is wrong with it: held against the tree and the log's word.

    Raises: AuditRefused, OSError.
    """
    digest, count = hashlib.sha256(), 0
    problems: list[Problem] = []
    for line in _lines(path):
        digest.update(line)
        count += 1
        if len(problems) < _SHOWN:
            problems += _wrong(_event(line, path)[0], tiles)
        progress.advance()
    found = next((at for at in known if digest.hexdigest() in at.digests), None)
    if found is None:
        problems.append(Problem("archive", "the log declares no archive of this content"))
    elif digest.hexdigest() != found.digests[-1]:
        problems.append(
            Problem("archive-old", "values of this archive were erased since: it still holds them")
        )
    return count, problems


def _wrong(event: Event, tiles: TileReader) -> Iterator[Problem]:
    try:
        signed = next(tiles.leaves(event.index, event.index + 1), None)
    except (OSError, LogForked):
        signed = None
    if signed != leaf_hash(event.entry.encode()):
        yield Problem("altered", f"event {event.index:,} is not the one that was signed", event.index)
    for label in event.altered:
        what = f"the value of {label} of event {event.index:,} is not the one recorded"
        yield Problem("value", what, event.index)
