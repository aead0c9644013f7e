"""Lists of what is proven, and the pages of docs/reference that name the tests that prove it.

A test names what it proves by a mark: `@pytest.mark.asvs("6.2.1")`. `make MARK` runs the tests that bear
the mark and writes the page of its list; a test holds the page's names against the marks.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

__all__ = ["Catalogue", "Results"]

ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A list of things to prove, by name, in the order of the page.

    `mark`: the mark by which tests name one, the target of `make` and the name of the page. `deviations`:
    where it is otherwise than one would think, and why.
    """

    mark: str
    title: str
    intro: tuple[str, ...]
    head: tuple[str, str]
    items: Mapping[str, str]
    deviations: Mapping[str, str] = field(default_factory=dict)

    @property
    def page(self) -> Path:
        """The page of the list."""
        return ROOT / "docs" / "reference" / f"{self.mark}.md"

    def marked(self) -> dict[str, list[str]]:
        """The tests that name an item, by item: `tests/…/test_x.py::test_y`."""
        found: dict[str, list[str]] = defaultdict(list)
        for path in sorted((ROOT / "tests").rglob("test_*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    continue
                for name in self._names(node):
                    found[name].append(f"{path.relative_to(ROOT)}::{node.name}")
        return dict(found)

    def _names(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
        return [
            argument.value
            for mark in node.decorator_list
            if isinstance(mark, ast.Call)
            and isinstance(mark.func, ast.Attribute)
            and mark.func.attr == self.mark
            for argument in mark.args
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
        ]

    def table(self, results: Mapping[str, str]) -> str:
        """The page. `results`: what became of each test, by name."""
        first, second = self.head
        lines = [f"# {self.title}", "", *self.intro, ""]
        lines += [f"| {first} | {second} | tests | result |", "|---|---|---|---|"]
        tests = self.marked()
        for item, what in self.items.items():
            names = tests.get(item, [])
            said = {results.get(name, "not run") for name in names}
            result = "no test names it" if not names else ", ".join(sorted(said))
            shown = "<br>".join(f"`{name.removeprefix('tests/')}`" for name in names)
            lines.append(f"| {item} | {what} | {shown} | {result} |")
        if self.deviations:
            lines += ["", "## Deviations", "", f"| {first} | what is different, and why |", "|---|---|"]
            lines += [
                f"| {item} | {self.deviations[item]} |" for item in self.items if item in self.deviations
            ]
        return "\n".join(lines) + "\n"

    def rows(self) -> dict[str, list[str]]:
        """The cells of the page as it is, by item."""
        lines = self.page.read_text(encoding="utf-8").splitlines()
        cells = [
            [cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line[:2] == "| "
        ]
        return {row[0]: row for row in cells if len(row) == 4 and row[0] in self.items}


class Results:
    """A plugin that keeps what became of each test, and writes the page at the end."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._found: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of one test; the worst of all counts."""
        name = report.nodeid.partition("[")[0]
        worst = {"passed": 0, "skipped": 1, "failed": 2}
        if report.when == "call" or report.outcome != "passed":
            known = self._found.get(name, "passed")
            self._found[name] = max(known, report.outcome, key=lambda outcome: worst[outcome])

    def pytest_sessionfinish(self) -> None:
        """Write it."""
        self._catalogue.page.write_text(self._catalogue.table(self._found), encoding="utf-8")
