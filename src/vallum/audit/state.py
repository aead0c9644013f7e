"""The sequencer's own memory outside of the database: what was signed, and what went wrong.

What is here holds against the database: a log that is shorter than what was signed, or another, is refused.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from vallum.audit.entries import instant
from vallum.audit.errors import LogForked, SequencedElsewhere
from vallum.audit.tiles import write_durably

__all__ = ["Alarm", "Home", "Signed"]

_FORMAT: Final = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True, slots=True)
class Signed:
    """The newest checkpoint that was signed: never another root for its size, nothing below it."""

    origin: str
    size: int
    root: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that a person must look at."""

    at: str
    code: str
    what: str

    def as_dict(self) -> dict[str, str]:
        """For a program."""
        return {"at": self.at, "code": self.code, "what": self.what}


class Home:
    """A log's folder: keys, tiles, the newest checkpoint, alarms."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def signing_key(self) -> Path:
        """Where the key is that signs checkpoints."""
        return self.folder / "signing.key"

    @property
    def actor_key(self) -> Path:
        """Where the key is that applications stamp actors with."""
        return self.folder / "actor.key"

    @property
    def checkpoint(self) -> Path:
        """The newest checkpoint, as others may fetch it."""
        return self.folder / "checkpoint"

    def signed(self) -> Signed | None:
        """What was signed last; None before the first time. Raises: LogForked, OSError."""
        path = self.folder / "signed.json"
        try:
            data = json.loads(path.read_bytes())
            at = datetime.strptime(data["at"], _FORMAT).replace(tzinfo=UTC)
            return Signed(data["origin"], data["size"], bytes.fromhex(data["root"]), at)
        except FileNotFoundError:
            if self.checkpoint.exists():
                raise LogForked(
                    "the record of what was signed is gone", where=str(path), fix="restore it from its copy"
                ) from None
            return None
        except (ValueError, KeyError, TypeError):
            raise LogForked("the record of what was signed cannot be read", where=str(path)) from None

    def remember(self, signed: Signed) -> None:
        """Keep, before it is shown to anybody, what is signed. Raises: OSError."""
        data = {
            "origin": signed.origin,
            "size": signed.size,
            "root": signed.root.hex(),
            "at": instant(signed.at),
        }
        write_durably(self.folder / "signed.json", json.dumps(data).encode() + b"\n", 0o600)

    def alarm(self, alarm: Alarm) -> None:
        """Add an alarm; where even that fails, whoever is told by the sequencer knows it all the same."""
        line = json.dumps(alarm.as_dict(), ensure_ascii=False) + "\n"
        try:
            with (self.folder / "alarms.jsonl").open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError:
            return

    def alarms(self, last: int = 100) -> list[Alarm]:
        """The newest alarms, the newest last."""
        try:
            lines = (self.folder / "alarms.jsonl").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in lines[-last:]:
            try:
                found.append(Alarm(**json.loads(line)))
            except (ValueError, TypeError):
                continue
        return found

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One sequencer a folder. Raises: SequencedElsewhere."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SequencedElsewhere(
                    "another sequencer works in this folder", where=str(self.folder), fix="stop it first"
                ) from None
            yield
        finally:
            os.close(descriptor)
