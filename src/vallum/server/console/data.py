"""Data: the models one may read, their records as a list, grouped, and as files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final

from vallum.kernel import AccessDenied, VallumError
from vallum.schema import NUMBER_TYPES, Field, Model
from vallum.server.console.cells import Shown, shown
from vallum.server.console.export import as_xlsx
from vallum.server.console.filters import (
    OPERATORS,
    Condition,
    Wanted,
    columns_of,
    groupable,
    listable,
    search_names,
)
from vallum.server.console.seen import Found, Seen, seen
from vallum.server.console.site import Ask, Site, model_label
from vallum.server.pages import Answer, Download, Page, Pages, as_csv, as_json, twin
from vallum.server.pages.failures import failure_of

__all__ = ["pages"]

pages: Pages[Site] = Pages()
pages.entry("Data", "/data", "database", section="Data", key="d")

LIMIT: Final = 50
MOST_EXPORTED: Final = 20_000
MOST_GROUPS: Final = 200


@pages.get("/data")
def models(visit: Ask) -> Answer:
    """The models one may read."""
    eyes = seen(visit)
    text = visit.query.text("q").casefold()
    rows = [
        {"model": model.name, "label": model_label(model)}
        for model in eyes.models()
        if text in model.name or text in model_label(model).casefold()
    ]
    answer = twin(visit, "models", rows)
    return answer if answer is not None else Page("models.html", {"rows": rows, "seen": eyes})


@pages.get("/data/{model:str}")
def records(visit: Ask) -> Answer:
    """The records of a model."""
    eyes, model = seen(visit), visit.site.model(visit.parts["model"])
    eyes.check(model)
    listing = Listing(visit, eyes, model)
    kind = visit.query.text("format")
    if kind in ("csv", "json", "xlsx"):
        return listing.export(kind)
    return Page("records.html", listing.values())


class Listing:
    """A list of records in the making."""

    def __init__(self, visit: Ask, eyes: Seen, model: Model) -> None:
        self._visit, self._eyes, self._model = visit, eyes, model
        self._fields = eyes.fields(model)
        self._described = eyes.own.fields_get(model.name)
        asked = [c for part in visit.query.all("col") for c in part.split(",")]
        self._columns = columns_of(model, self._fields, asked or visit.kept(f"columns-{model.name}"))

    def values(self) -> dict[str, Any]:
        """Everything the page shows; an error of the filters is shown beside them."""
        visit, model = self._visit, self._model
        values: dict[str, Any] = {
            "model": model,
            "label": model_label(model),
            "seen": self._eyes,
            "columns": [(name, self._label(name), self._sort(name)) for name in self._columns],
            "choices": self._choices(),
            "groupings": self._groupings(),
            "listable": [(n, self._label(n)) for n, f in self._fields.items() if listable(f)],
            "suffix": self._suffix,
            "writable": self._may("write"),
            "creatable": self._may("create"),
            "found": None,
            "groups": None,
            "failure": None,
            "wanted": None,
            "marked": self._eyes.marked(model) if visit.query.text("marks") else ((), ()),
            "operators": OPERATORS,
        }
        try:
            wanted = Wanted.parse(visit.query)
            values["wanted"] = wanted
            values["conditions"] = [(self._words(c), self._without(wanted, c)) for c in wanted.conditions]
            values |= self._grouped(wanted) if wanted.group else self._listed(wanted)
        except VallumError as error:
            values["failure"] = failure_of(error)
            values.setdefault("conditions", [])
        return values

    @property
    def _suffix(self) -> str:
        return f"?as={self._eyes.other.id}" if self._eyes.other else ""

    def _may(self, operation: str) -> bool:
        site = self._visit.site
        return (
            site.writable
            and self._eyes.other is None
            and self._eyes.own.can(operation, self._model.name).allowed
        )

    def _domain(self, wanted: Wanted) -> list[Any]:
        names = [n for n in search_names(self._model) if n.partition(".")[0] in self._fields]
        return wanted.full(self._model, names)

    # lists

    def _listed(self, wanted: Wanted) -> dict[str, Any]:
        first = self._visit.query.number("from")
        found = self._eyes.search(
            self._model,
            self._domain(wanted),
            limit=LIMIT,
            offset=first,
            order=wanted.order,
            archived=wanted.archived,
        )
        return {"found": found, "rows": list(self._rows(found)), "first": first, "step": LIMIT}

    def _rows(self, found: Found) -> Iterator[tuple[int, str, list[Shown]]]:
        lang = self._visit.viewer.lang
        known = frozenset(m.name for m in self._eyes.models())
        names = self._eyes.names(self._model, found.ids)
        choices = {n: dict(self._described.get(n, {}).get("selection", ())) for n in self._columns}
        for row in self._eyes.read(self._model, found.ids, self._columns):
            cells = [
                shown(self._fields[n], row.get(n), choices[n], lang, self._suffix, known)
                for n in self._columns
            ]
            yield row["id"], names.get(row["id"], f"#{row['id']}"), cells

    # groups

    def _grouped(self, wanted: Wanted) -> dict[str, Any]:
        """Counts, and sums of the columns that are numbers; through another's eyes counts alone."""
        spec = wanted.group
        name = spec.partition(":")[0]
        field = self._model.field(name)
        if name not in self._fields:
            raise AccessDenied(f"the field `{field}` is not open here")
        eyes = self._eyes
        sums = [] if eyes.other else [n for n in self._columns if self._summable(n)]
        domain = self._domain(wanted)
        if eyes.other is not None:
            return {"groups": None, "found": None, "only_own": True}
        rows = eyes.own.read_group(
            self._model.name,
            domain,
            [spec],
            ["__count", *(f"{n}:sum" for n in sums)],
            limit=MOST_GROUPS,
            active_test=not wanted.archived,
        )
        choices = dict(self._described.get(name, {}).get("selection", ()))
        most = max((row["__count"] for row in rows), default=1) or 1
        groups = [
            (
                self._group_name(field, spec, row[spec], choices),
                self._within(wanted, field, spec, row[spec]),
                row["__count"],
                max(1, round(100 * row["__count"] / most)),
                [row[f"{n}:sum"] for n in sums],
            )
            for row in rows
        ]
        return {
            "groups": groups,
            "sums": [(n, self._label(n)) for n in sums],
            "group_label": self._label(name),
        }

    def _summable(self, name: str) -> bool:
        field = self._fields[name]
        return field.type in NUMBER_TYPES and field.stored and name != "id"

    def _group_name(self, field: Field, spec: str, value: Any, choices: Mapping[Any, str]) -> str:
        if value is None or value is False:
            return "no" if field.type == "boolean" else "(empty)"
        if isinstance(value, tuple):
            return value[1] if isinstance(value[1], str) else f"#{value[0]}"
        if isinstance(value, date):
            grain = spec.partition(":")[2] or "month"
            text = value.strftime({"year": "%Y", "month": "%B %Y"}.get(grain, "%Y-%m-%d"))
            return f"Q{(value.month + 2) // 3} {value.year}" if grain == "quarter" else text
        return choices.get(value, "yes" if value is True else str(value))

    def _within(self, wanted: Wanted, field: Field, spec: str, value: Any) -> str:
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
        return self._visit.here(
            group=None, c=[str(c) for c in conditions], **{"from": None, "f": None, "o": None, "v": None}
        )

    # files

    def export(self, kind: str) -> Answer:
        """All records that match, as a file; told to the trail."""
        visit, model = self._visit, self._model
        wanted = Wanted.parse(visit.query)
        found = self._eyes.search(
            model,
            self._domain(wanted),
            limit=MOST_EXPORTED,
            offset=0,
            order=wanted.order,
            archived=wanted.archived,
        )
        columns = self._exported_columns()
        rows = self._eyes.read(model, found.ids, columns)
        facts = {"model": model.name, "records": len(rows), "format": kind, "fields": list(columns)}
        visit.site.told(visit, "export", **facts)
        plain_rows = [
            {"id": row["id"], **{n: _exported(self._fields[n], row.get(n)) for n in columns}} for row in rows
        ]
        if kind == "json":
            return Download(as_json(plain_rows), "application/json", None)
        if kind == "csv":
            return Download(as_csv(plain_rows), "text/csv", f"{model.name}.csv")
        header = ["id", *(self._label(n) for n in columns)]
        content = as_xlsx(header, [list(row.values()) for row in plain_rows], model_label(model))
        return Download(
            content, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", f"{model.name}.xlsx"
        )

    def _exported_columns(self) -> tuple[str, ...]:
        """The columns, and first what a record is called: the page shows that as the link."""
        called = self._model.rec_name or "name"
        return tuple(dict.fromkeys((*([called] if called in self._fields else []), *self._columns)))

    # the controls above the list

    def _label(self, name: str) -> str:
        return str(self._described.get(name, {}).get("string") or name)

    def _sort(self, name: str) -> tuple[str, str]:
        """The address that sorts by the column, and how it is sorted now."""
        field = self._fields[name]
        if not (field.stored and field.column) and name != "id":
            return "", ""
        now = self._visit.query.text("order")
        state = {f"{name} asc": "ascending", f"{name} desc": "descending"}.get(now, "")
        following = f"{name} desc" if state == "ascending" else f"{name} asc"
        return self._visit.here(order=following, **{"from": None}), state

    def _choices(self) -> list[tuple[str, str]]:
        searched = [
            n for n, f in self._fields.items() if (f.stored or f.search) and f.type not in ("binary", "json")
        ]
        return sorted(((n, self._label(n)) for n in searched), key=lambda pair: pair[1].casefold())

    def _groupings(self) -> list[tuple[str, str]]:
        found = []
        for name, field in self._fields.items():
            if not groupable(field):
                continue
            if field.type in ("date", "datetime"):
                found += [
                    (f"{name}:{grain}", f"{self._label(name)} ({grain})") for grain in ("month", "year")
                ]
            else:
                found.append((name, self._label(name)))
        return [("", "no groups"), *sorted(found, key=lambda pair: pair[1].casefold())]

    def _words(self, condition: Condition) -> str:
        value = condition.value
        field = self._model.fields.get(condition.field)
        if (
            field is not None
            and field.comodel
            and value.isdigit()
            and field.comodel in self._visit.site.vallum.schema
        ):
            value = self._record_name(field.comodel, int(value))
        return f"{self._label(condition.field)} {OPERATORS[condition.operator]} {value}".strip()

    def _record_name(self, model: str, record: int) -> str:
        try:
            found = self._eyes.own.name_search(model, "", [("id", "=", record)], limit=1)
        except VallumError:
            found = []
        return str(found[0][1]) if found else f"#{record}"

    def _without(self, wanted: Wanted, gone: Condition) -> str:
        left = [str(c) for c in wanted.conditions if c != gone]
        return self._visit.here(c=left or None, **{"from": None, "f": None, "o": None, "v": None})


def _exported(field: Field, value: Any) -> Any:
    if value is False and field.type != "boolean":
        return None
    if isinstance(value, tuple) and len(value) == 2:
        return value[1] if isinstance(value[1], str) else value[0]
    if isinstance(value, bytes | memoryview):
        return f"{len(value)} bytes"
    return value


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
