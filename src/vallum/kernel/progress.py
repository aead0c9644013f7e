"""Progress of a long operation, told to whoever wants to show it.

Pure. A library function takes a `Progress` and reports; `cli` draws the bar.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["NO_PROGRESS", "NoProgress", "Progress"]


@runtime_checkable
class Progress(Protocol):
    """Where an operation reports how far it is: `start`, any number of `advance`, `done`."""

    def start(self, total: int | None, label: str) -> None:
        """A stage begins; `total` steps, or None where nobody knows. It ends the stage before."""
        ...

    def advance(self, n: int = 1) -> None:
        """`n` more steps are done."""
        ...

    def done(self) -> None:
        """The stage has ended."""
        ...


@dataclass(frozen=True, slots=True)
class NoProgress:
    """Nobody is watching."""

    def start(self, total: int | None, label: str) -> None:
        """Say nothing."""

    def advance(self, n: int = 1) -> None:
        """Say nothing."""

    def done(self) -> None:
        """Say nothing."""


NO_PROGRESS = NoProgress()
