"""Where hashes are computed: on threads of this process, or in processes apart.

A command hashes once and needs no process for it. A server is shared: a thread that steps back holds the
interpreter's lock while it waits for a core, and everybody waits with it; so its hashes are computed apart.
Invariant: each thread that hashes has a helper of its own; one that has died, is stuck, or answers something
else is replaced, and what it was asked is asked once more.
Invariant: an answer names the request it is of; a line that names another is none.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import threading
from base64 import b64decode, b64encode
from itertools import count
from pathlib import Path
from typing import Any, Final, Protocol

import argon2

from vallum.identity.passwords import helper
from vallum.kernel import VallumError

__all__ = ["Apart", "Engine", "HashingFailed", "Here"]

_SCRIPT: Final = Path(helper.__file__)
_LIBRARIES: Final = Path(argon2.__file__).parent.parent
# Seconds until a helper counts as stuck: many times what a hash takes on a machine where all others go first.
_LONGEST: Final = 60.0


class HashingFailed(VallumError):
    """Nothing can be hashed: nobody is let in."""

    code = "hashing-failed"


class Engine(Protocol):
    """Answers requests as `helper.perform` does."""

    def perform(self, request: dict[str, Any]) -> Any:
        """Raises: HashingFailed."""
        ...

    def begin(self) -> None:
        """Called once in each thread that will ask."""
        ...

    def close(self) -> None:
        """End."""
        ...


class Here:
    """In the thread that asks, which steps back for all others of the machine where that is possible."""

    def perform(self, request: dict[str, Any]) -> Any:
        """The answer."""
        return helper.perform(request)

    def begin(self) -> None:
        """Step back."""
        with contextlib.suppress(AttributeError, OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), helper.NICE)

    def close(self) -> None:
        """Nothing is left behind."""


class Apart:
    """In a process for each thread that asks; started when it is needed first."""

    def __init__(self) -> None:
        self._own = threading.local()
        self._all: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()
        self._numbers = count(1)

    def perform(self, request: dict[str, Any]) -> Any:
        """The answer; of a new helper where the old one has died.

        Raises: HashingFailed.
        """
        for _ in range(2):
            number = next(self._numbers)
            line = json.dumps({**request, "number": number}).encode() + b"\n"
            try:
                helper = self._helper()
            except OSError:
                # No process, no memory or no files are left: the next moment may have some.
                continue
            answer = self._asked(helper, line, number)
            if answer is not None:
                return answer[1]
        raise HashingFailed(
            "passwords cannot be hashed just now", fix="try again; then ask whoever runs Vallum"
        )

    def begin(self) -> None:
        """The first request starts the helper."""

    def close(self) -> None:
        """End all helpers: they end with their input."""
        with self._lock:
            for process in self._all:
                self._end(process)
            self._all.clear()

    def _helper(self) -> subprocess.Popen[bytes]:
        known: subprocess.Popen[bytes] | None = getattr(self._own, "process", None)
        if known is not None and known.poll() is None:
            return known
        # Neither the environment, with its secrets, nor files of ours: a helper has its two pipes.
        made = subprocess.Popen(
            [sys.executable, "-P", "-s", str(_SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": str(_LIBRARIES)},
        )
        with self._lock:
            if known is not None and known in self._all:
                self._all.remove(known)
                self._end(known)
            self._all.append(made)
        self._own.process = made
        return made

    @staticmethod
    def _asked(process: subprocess.Popen[bytes], line: bytes, number: int) -> list[Any] | None:
        """The request's number and its answer; None where there is none, and then the helper is ended."""
        answer: list[Any] | None = None
        try:
            found = _exchanged(process, line)
            answer = found if isinstance(found, list) and len(found) == 2 and found[0] == number else None
        except (OSError, ValueError):
            pass
        finally:
            # Also where something else is raised: an answer that comes late would be taken for another's.
            if answer is None:
                process.kill()
                process.wait()
        return answer

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.wait()


def _exchanged(process: subprocess.Popen[bytes], line: bytes) -> Any:
    """What comes back for a line within the time there is. Raises: OSError, ValueError."""
    if process.stdin is None or process.stdout is None:
        return None
    process.stdin.write(line)
    process.stdin.flush()
    with selectors.DefaultSelector() as waiting:
        waiting.register(process.stdout, selectors.EVENT_READ)
        # An answer is shorter than what a pipe takes at once: where some of it is there, all is.
        return json.loads(process.stdout.readline()) if waiting.select(_LONGEST) else None


def encoded(secret: bytes) -> str:
    """Bytes within a request."""
    return b64encode(secret).decode()


def decoded(text: str) -> bytes:
    """Bytes within an answer."""
    return b64decode(text)
