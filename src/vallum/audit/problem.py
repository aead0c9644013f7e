"""What checks of the trail find: `verify`, `gaps` and `coverage` speak of it alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Problem"]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and with which event."""

    code: str
    what: str
    index: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """For a program."""
        return {"code": self.code, "what": self.what, "index": self.index}
