"""Records of a list in groups: counts, sums of the columns that are numbers, and the way into each group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

from vallum.kernel import AccessDenied
from vallum.schema import NUMBER_TYPES, Field, Model
from vallum.server.console.filters import Condition, Wanted
from vallum.server.console.seen import Seen
from vallum.server.console.site import Ask
from vallum.server.pages.formats import period

__all__ = ["grouped"]

MOST_GROUPS: Final = 200


def grouped(
    visit: Ask, eyes: Seen, model: Model, wanted: Wanted, domain: list[Any], columns: Sequence[str]
) -> dict[str, Any]:
    """Counts, and sums of those columns that are numbers; through another's eyes nothing is told.

    Raises: UnknownField, AccessDenied.
    """
    spec = wanted.group
    name = spec.partition(":")[0]
    field, fields = model.field(name), eyes.fields(model)
    if name not in fields:
        raise AccessDenied(f"the field `{field}` is not open here")
    if eyes.other is not None:
        return {"groups": None, "found": None, "only_own": True}
    described = eyes.own.fields_get(model.name)
    sums = [n for n in columns if _summable(fields[n])]
    rows = eyes.own.read_group(
        model.name,
        domain,
        [spec],
        ["__count", *(f"{n}:sum" for n in sums)],
        limit=MOST_GROUPS,
        active_test=not wanted.archived,
    )
    choices = dict(described.get(name, {}).get("selection", ()))
    most = max((row["__count"] for row in rows), default=1) or 1
    groups = [
        (
            _group_name(field, spec, row[spec], choices, visit.viewer.lang),
            _within(visit, wanted, field, spec, row[spec]),
            row["__count"],
            max(1, round(100 * row["__count"] / most)),
            [row[f"{n}:sum"] for n in sums],
        )
        for row in rows
    ]

    def label(name: str) -> str:
        return str(described.get(name, {}).get("string") or name)

    return {"groups": groups, "sums": [(n, label(n)) for n in sums], "group_label": label(name)}


def _summable(field: Field) -> bool:
    return field.type in NUMBER_TYPES and field.stored and field.name != "id"


def _group_name(field: Field, spec: str, value: Any, choices: Mapping[Any, str], lang: str) -> str:
    if value is None or value is False:
        return "no" if field.type == "boolean" else "(empty)"
    if isinstance(value, tuple):
        return value[1] if isinstance(value[1], str) else f"#{value[0]}"
    if isinstance(value, date):
        return period(value, spec.partition(":")[2] or "month", lang)
    return choices.get(value, "yes" if value is True else str(value))


def _within(visit: Ask, wanted: Wanted, field: Field, spec: str, value: Any) -> str:
    """The address of a group's records."""
    conditions = list(wanted.conditions)
    if isinstance(value, date):
        end = _end(value, spec.partition(":")[2] or "month")
        conditions += [Condition(field.name, ">=", str(value)), Condition(field.name, "<", str(end))]
    elif value is None or value is False:
        conditions.append(Condition(field.name, "unset", ""))
    else:
        plain_value = value[0] if isinstance(value, tuple) else "yes" if value is True else value
        conditions.append(Condition(field.name, "=", str(plain_value)))
    return visit.here(
        group=None, c=[str(c) for c in conditions], **{"from": None, "f": None, "o": None, "v": None}
    )


def _end(start: date, grain: str) -> date:
    """The first moment behind a period."""
    if grain in ("hour", "day", "week"):
        step = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}[grain]
        return start + step
    months = {"month": 1, "quarter": 3, "year": 12}.get(grain, 1)
    total = start.year * 12 + start.month - 1 + months
    year, month = divmod(total, 12)
    if isinstance(start, datetime):
        return start.replace(year=year, month=month + 1, day=1)
    return date(year, month + 1, 1)
