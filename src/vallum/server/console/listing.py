"""A list of records as its page shows it: columns, rows or groups, and the controls above them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from vallum.kernel import VallumError
from vallum.schema import Model
from vallum.server.console.cells import Shown, shown
from vallum.server.console.export import plain_value
from vallum.server.console.filters import (
    OPERATORS,
    Condition,
    Wanted,
    columns_of,
    groupable,
    listable,
    search_names,
)
from vallum.server.console.grouping import grouped
from vallum.server.console.seen import Found, Seen
from vallum.server.console.site import Ask, model_label
from vallum.server.pages.failures import failure_of

__all__ = ["Listing"]

LIMIT: Final = 50
MOST_EXPORTED: Final = 20_000


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
            if wanted.group:
                domain = self._domain(wanted)
                values |= grouped(visit, self._eyes, model, wanted, domain, self._columns)
            else:
                values |= self._listed(wanted)
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

    def exported(self) -> tuple[tuple[str, ...], list[str], list[dict[str, Any]]]:
        """All records that match, for a file: columns, their labels, and plain values by column.

        Raises: as searching and reading do.
        """
        wanted = Wanted.parse(self._visit.query)
        found = self._eyes.search(
            self._model,
            self._domain(wanted),
            limit=MOST_EXPORTED,
            offset=0,
            order=wanted.order,
            archived=wanted.archived,
        )
        # First what a record is called: the page shows that as the link.
        called = self._model.rec_name or "name"
        first = [called] if called in self._fields else []
        columns = tuple(dict.fromkeys((*first, *self._columns)))
        rows = [
            {"id": row["id"], **{n: plain_value(self._fields[n], row.get(n)) for n in columns}}
            for row in self._eyes.read(self._model, found.ids, columns)
        ]
        return columns, [self._label(n) for n in columns], rows

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
