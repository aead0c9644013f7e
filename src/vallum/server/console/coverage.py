"""Audit coverage: what is audited since when and how, by triggers nobody touched; rows on demand.

What is told are names of tables, columns and keys of rows, and no value of any.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from vallum.audit.canonical import Json
from vallum.audit.coverage import Enabled, check_rows, check_triggers, enabled_by_log
from vallum.audit.problem import Problem
from vallum.kernel import Progress, VallumError
from vallum.server.console.site import Ask, Site, model_label
from vallum.server.console.trail import trail_of
from vallum.server.pages import Answer, NotFound, Page, Pages, Stream, twin
from vallum.server.pages.environment import render
from vallum.server.pages.failures import failure_of
from vallum.server.pages.progress import run

__all__ = ["pages"]

pages: Pages[Site] = Pages()
pages.entry("Coverage", "/audit/coverage", "shield-check", section="Audit", key="v", who="oversees")


@dataclass(frozen=True, slots=True)
class Row:
    """An audited table: from which event on, columns kept otherwise than as they are, and what is wrong."""

    table: str
    model: str
    label: str
    since: int
    columns: int
    special: tuple[tuple[str, str], ...]
    problems: tuple[Problem, ...]

    def as_dict(self) -> dict[str, Json]:
        """For a program."""
        return {
            "table": self.table,
            "model": self.model or None,
            "since_event": self.since,
            "columns": self.columns,
            "modes": dict(self.special),
            "problems": [problem.what for problem in self.problems],
        }


@pages.get("/audit/coverage", who="oversees")
def coverage(visit: Ask) -> Answer:
    """The audited tables, and what of triggers and functions is not as it was made."""
    values: dict[str, Any] = {"failure": None, "rows": (), "elsewhere": (), "unaudited": (), "good": False}
    try:
        with trail_of(visit.site).connection() as connection:
            enabled, problems = enabled_by_log(connection), check_triggers(connection)
    except VallumError as error:
        if visit.query.text("format"):
            raise
        return Page("coverage.html", values | {"failure": failure_of(error)})
    rows = [_row(visit.site, name, known, problems) for name, known in sorted(enabled.items())]
    answer = twin(visit, "coverage", [row.as_dict() for row in rows])
    if answer is not None:
        return answer
    placed = {problem.what for row in rows for problem in row.problems}
    values |= {
        "rows": rows,
        "elsewhere": [problem for problem in problems if problem.what not in placed],
        "unaudited": _unaudited(visit.site, enabled),
        "good": bool(rows) and not problems,
        "problems": problems,
    }
    return Page("coverage.html", values)


def _row(site: Site, table: str, known: Enabled, problems: Iterable[Problem]) -> Row:
    model = next((m for m in site.models if f"public.{m.table}" == table), None)
    special = tuple(sorted((name, mode) for name, mode in known.modes.items() if mode != "plain"))
    own = tuple(p for p in problems if p.index == known.index or table in p.what.split())
    return Row(
        table,
        model.name if model else "",
        model_label(model) if model else "",
        known.index,
        len(known.modes),
        special,
        own,
    )


def _unaudited(site: Site, enabled: Iterable[str]) -> list[tuple[str, str]]:
    """Models that somebody may change by right, and whose table is not audited."""
    covered = set(enabled)
    rights = site.vallum.policy.rights_by_model
    return [
        (model.name, model_label(model))
        for model in site.models
        if model.relation and not model.transient and model.name in rights
        if f"public.{model.table}" not in covered
    ]


@pages.get("/audit/coverage/rows", who="oversees")
def comparing_rows(visit: Ask) -> Answer:
    """Each row against its newest event; told as it goes.

    Raises: NotFound, for a table that is not audited.
    """
    trail, table = trail_of(visit.site), visit.query.text("table")
    with trail.connection() as connection:
        enabled = enabled_by_log(connection)
    if table and table not in enabled:
        raise NotFound(f"`{table:.80}` is not audited", fix="choose one of the list")

    def work(progress: Progress) -> list[Problem]:
        with trail.connection() as connection:
            return check_rows(connection, [table] if table else None, progress)

    def finish(found: list[Problem]) -> dict[str, Any]:
        tables = 1 if table else len(enabled)
        values = {"found": found[:200], "total": len(found), "tables": tables, "viewer": visit.viewer}
        return {"html": render("coverage_rows.html", values)}

    return Stream(lambda: run(work, finish))
