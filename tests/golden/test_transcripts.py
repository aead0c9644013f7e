"""The transcripts in the documents are what the command line says."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

import vallum
from examples.trading import SECURITY, Base
from tests.support.command import run
from tests.support.company import METADATA, POLICY
from tests.support.golden import Golden
from vallum.cli import tour, tour_screen

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"(?<=^```console\n)(.*?)(?=^```$)", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", ["reference/cli.md", "tutorial/first-steps.md"])
def test_transcripts_are_real(
    name: str, company: str, golden: Golden, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever follows a document sees what it shows."""
    monkeypatch.setenv("VALLUM_DSN", company)
    monkeypatch.setenv("VALLUM_METADATA", METADATA)
    monkeypatch.setenv("VALLUM_POLICY", POLICY)
    monkeypatch.chdir(tmp_path)
    text = (DOCS / name).read_text(encoding="utf-8")
    renewed = BLOCK.sub(lambda block: "".join(_transcript(block[1], company)), text)
    assert "$ vallum" in renewed
    Golden(DOCS, golden.write).check(name, renewed)


def _transcript(block: str, company: str) -> Iterator[str]:
    """The commands of a block, each with what it says now."""
    code = 0
    for line in block.splitlines():
        if not line.startswith("$ "):
            continue
        yield f"{line}\n"
        if line == "$ echo $?":
            yield f"{code}\n"
            continue
        program, *arguments = shlex.split(line.removeprefix("$ "))
        assert program == "vallum", line
        if arguments == ["demo"]:
            yield _plain(_demo(company))
        else:
            done = run(*arguments)
            code = done.code
            yield _plain(done.out + done.err)


def _plain(text: str) -> str:
    """Without the blanks at the ends of lines that fill a table."""
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def _demo(company: str) -> str:
    """The screen of `vallum demo`, of the company that is there already."""
    console = Console(file=io.StringIO(), width=100, highlight=False)
    with vallum.open(company, metadata=Base, policy=SECURITY) as opened:
        where = tour_screen.Where(company, DOCS.parent, DOCS.parent, running=False)
        for part in tour_screen.screen(tour.look(opened), where):
            console.print(part)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
