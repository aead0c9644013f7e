"""Values in the form in which Odoo puts them into JSON and XML.

Pure. A date is `2026-11-25`, a datetime `2026-11-25 20:53:00` in UTC, an empty value False, a
many2one a pair of id and name, content of a binary field base64 text or, with `bin_size`, its size.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from typing import Any, Final

from vallum.schema import Field, Model

__all__ = ["moment", "plain", "shape"]

Record = dict[str, Any]
_UNITS: Final = ("bytes", "Kb", "Mb", "Gb", "Tb")
_STEP: Final = 1024


def shape(model: Model, records: list[Record], *, bin_size: bool, encoded: bool) -> list[Record]:
    """The records, their values in Odoo's form; changed in place.

    `encoded`: binary columns hold base64 text, as in a database of Odoo's own.
    """
    if not records:
        return records
    for name in records[0]:
        change = _change(model.fields.get(name), bin_size=bin_size, encoded=encoded)
        if change is not None:
            for record in records:
                value = record[name]
                if value is not False:
                    record[name] = change(value)
    return records


def _change(field: Field | None, *, bin_size: bool, encoded: bool) -> Callable[[Any], Any] | None:
    kind = field.type if field is not None else ""
    if kind == "datetime":
        return moment
    if kind == "date":
        return date.isoformat
    if kind == "binary":
        if bin_size:
            return lambda value: _size(bytes(value), encoded=encoded)
        return _decoded if encoded else _encoded
    return None


def moment(value: datetime) -> str:
    """A datetime as Odoo writes it, whole seconds.

    >>> moment(datetime(2026, 11, 25, 20, 53, 0, 250))
    '2026-11-25 20:53:00'
    """
    return value.isoformat(" ", "seconds")


def _decoded(value: Any) -> str:
    return bytes(value).decode("ascii", "replace")


def _encoded(value: Any) -> str:
    return base64.b64encode(bytes(value)).decode("ascii")


def _size(value: bytes, *, encoded: bool) -> str:
    """The size of content for people.

    >>> _size(b"x" * 2048, encoded=False)
    '2.00 Kb'
    """
    size = float(len(value) * 3 // 4 if encoded else len(value))
    unit = 0
    while size >= _STEP and unit < len(_UNITS) - 1:
        size /= _STEP
        unit += 1
    return f"{size:.2f} {_UNITS[unit]}"


def plain(value: Any) -> Any:
    """A value of any form, moments as text; for answers that are made of no field.

    >>> plain({"since": [date(2026, 1, 2)]})
    {'since': ['2026-01-02']}
    """
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, str | bytes | bytearray | memoryview):
        return value if isinstance(value, str) else _encoded(value)
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    return value
