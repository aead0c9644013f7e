"""Tables, and their twins: the same rows as JSON and CSV, at the same address with `format=`.

Pure. Cells of a CSV that a spreadsheet would take for a formula are marked as text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from vallum.server.pages.answers import Answer, Download, Visit

__all__ = ["as_csv", "as_json", "twin"]

Rows = Sequence[Mapping[str, Any]]

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def twin(visit: Visit[Any], name: str, rows: Rows) -> Answer | None:
    """The rows in the format the address asks for; None where it asks for the page."""
    wanted = visit.query.text("format")
    if wanted == "json":
        return Download(as_json(rows), "application/json", None)
    if wanted == "csv":
        return Download(as_csv(rows), "text/csv", f"{name}.csv")
    return None


def as_json(rows: object) -> bytes:
    """JSON, indented for people.

    >>> as_json([{"a": 1}])
    b'[\\n  {\\n    "a": 1\\n  }\\n]'
    """
    return msgspec.json.format(msgspec.json.encode(rows, enc_hook=str), indent=2)


def as_csv(rows: Rows) -> bytes:
    """CSV with a line of names; columns in the order of the first row.

    >>> as_csv([{"a": "=1+1", "b": -5}]).decode("utf-8-sig")
    "a,b\\r\\n'=1+1,-5\\r\\n"
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in columns])
    return text.getvalue().encode("utf-8-sig")


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        return value
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, date):
        return value.isoformat()
    text = value if isinstance(value, str) else "; ".join(map(str, value)) if _many(value) else str(value)
    text = text.replace("\x00", "")
    return f"'{text}" if text.startswith(_FORMULA) else text


def _many(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset)
