"""Golden files: what the product writes, held against what it wrote when someone last looked.

`make golden` writes them anew and fails where that changes one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Golden"]


@dataclass(frozen=True, slots=True)
class Golden:
    """The folder of golden files; `write` says whether to write them instead of comparing."""

    folder: Path
    write: bool

    def check(self, name: str, text: str) -> None:
        """Hold `text` against the file of that name."""
        if not text.strip():
            raise AssertionError(f"nothing to hold against {name}: an empty corpus proves nothing")
        path = self.folder / name
        text = text.rstrip("\n") + "\n"
        if self.write:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        assert path.exists(), f"{path.name} is missing: run `make golden`"
        assert text == path.read_text(encoding="utf-8"), f"{path.name} differs: look, then run `make golden`"
