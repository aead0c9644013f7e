"""Logs: one JSON object a line on standard error.

Invariant: no body, query, header, login, password, key or cookie is ever a part of a line. What was
called is told by the names of routes, models and methods; who called, by the user's id.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Final

import msgspec

from vallum.kernel import Clock, SystemClock

__all__ = ["JsonFormatter", "configure", "write"]

_ENCODER: Final = msgspec.json.Encoder(enc_hook=str)
_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def write(event: str, details: dict[str, Any], clock: Clock, level: str = "info") -> None:
    """One line. A reader that has gone is not worth an error."""
    line = {"time": clock.now(), "level": level, "event": event, **details}
    try:
        # One write: lines of several threads and processes do not run into each other.
        sys.stderr.buffer.write(_ENCODER.encode(line) + b"\n")
        sys.stderr.buffer.flush()
    except (BrokenPipeError, ValueError):
        pass


class JsonFormatter(logging.Formatter):
    """Lines of the libraries' own logging, their exceptions by kind alone."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__()
        self._clock = clock or SystemClock()

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        line: dict[str, Any] = {
            "time": self._clock.now(),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        line.update({k: v for k, v in record.__dict__.items() if k not in _STANDARD})
        if record.exc_info and record.exc_info[0] is not None:
            line["kind"] = record.exc_info[0].__name__
        return _ENCODER.encode(line).decode()


def configure() -> None:
    """Send everything that is logged in this process to standard error, in JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # These say what is said here already, or more than may be said.
    for name in ("granian.access", "httpx", "litestar"):
        logging.getLogger(name).setLevel(logging.WARNING)
