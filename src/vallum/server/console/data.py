"""Data: the models one may read, their records as a list, grouped, and as files."""

from __future__ import annotations

from typing import Final

from vallum.schema import Model
from vallum.server.console.export import as_xlsx
from vallum.server.console.listing import Listing
from vallum.server.console.seen import seen
from vallum.server.console.site import Ask, Site, model_label
from vallum.server.pages import Answer, Download, Page, Pages, as_csv, as_json, twin

__all__ = ["pages"]

pages: Pages[Site] = Pages()
pages.entry("Data", "/data", "database", section="Data", key="d")

_XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


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
        return _file(visit, model, listing, kind)
    return Page("records.html", listing.values())


def _file(visit: Ask, model: Model, listing: Listing, kind: str) -> Answer:
    """All records that match, as a file; told to the trail."""
    columns, labels, rows = listing.exported()
    visit.site.told(visit, "export", model=model.name, records=len(rows), format=kind, fields=list(columns))
    if kind == "json":
        return Download(as_json(rows), "application/json", None)
    if kind == "csv":
        return Download(as_csv(rows), "text/csv", f"{model.name}.csv")
    content = as_xlsx(["id", *labels], [list(row.values()) for row in rows], model_label(model))
    return Download(content, _XLSX, f"{model.name}.xlsx")
