"""What happened to accounts, told to whoever keeps a record: one function everything passes through.

Invariant: an event holds names and numbers, never a password, token, code or key.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

__all__ = ["Event", "Events"]

_LOG: Final = logging.getLogger("vallum.identity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened: `kind` (`session.started`), to which account, done by whom, from where."""

    kind: str
    at: datetime
    account_id: int | None = None
    by: str = ""
    address: str = ""
    request_id: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The event for a program."""
        return {
            "kind": self.kind,
            "at": self.at.isoformat(),
            "account_id": self.account_id,
            "by": self.by,
            "address": self.address,
            "request_id": self.request_id,
            **dict(self.facts),
        }


class Events:
    """Hands events to the log and to its sinks. A sink that fails is an error of whoever acts: it denies."""

    def __init__(self, *sinks: Callable[[Event], None]) -> None:
        self.sinks = list(sinks)

    def record(self, event: Event) -> None:
        """Tell it."""
        _LOG.info("%s", event.kind, extra={"event": event.as_dict()})
        for sink in self.sinks:
            sink(event)
