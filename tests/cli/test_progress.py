"""Progress: told by the library, drawn by the command line."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from vallum.cli.progress import BarProgress
from vallum.kernel import NO_PROGRESS, Progress


def drawn(*, terminal: bool) -> str:
    out = io.StringIO()
    bar = BarProgress(Console(file=out, force_terminal=terminal, width=80))
    bar.start(3, "reading models")
    bar.advance(2)
    bar.start(None, "proving")
    bar.advance()
    bar.done()
    bar.done()
    return out.getvalue()


def test_bar_on_terminal_shows_stage_and_count() -> None:
    """Who watches sees what is being done and how far it is."""
    assert "reading models" in drawn(terminal=True)
    assert "2/3" in drawn(terminal=True)


def test_bar_without_terminal_says_nothing() -> None:
    """A log file gets no bars."""
    assert drawn(terminal=False) == ""


def test_bar_advanced_before_start_is_harmless() -> None:
    """A report out of turn breaks nothing."""
    BarProgress(Console(file=io.StringIO())).advance()


@pytest.mark.parametrize("progress", [NO_PROGRESS, BarProgress()])
def test_progress_keeps_the_protocol(progress: object) -> None:
    """Both can be handed to the library."""
    assert isinstance(progress, Progress)
