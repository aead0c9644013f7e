"""Records as files: plain values, and a spreadsheet.

Pure. Text stays text: nothing in it is taken for a formula, a link or a number.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from vallum.schema import Field

__all__ = ["as_xlsx", "plain_value"]

_LONGEST: Final = 32_767
_OPTIONS: Final = {
    "in_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
    "remove_timezone": True,
    "nan_inf_to_errors": True,
}


def as_xlsx(header: Sequence[str], rows: Iterable[Sequence[Any]], title: str) -> bytes:
    """A workbook with one sheet: a line of labels, then the rows."""
    # Loaded with the first sheet: the library takes 5 MiB of a worker.
    import xlsxwriter

    file = io.BytesIO()
    with xlsxwriter.Workbook(file, _OPTIONS) as book:
        sheet = book.add_worksheet("".join(c for c in title if c not in "[]:*?/\\'")[:31] or "Records")
        bold = book.add_format({"bold": True})
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        moment = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        for column, label in enumerate(header):
            sheet.write_string(0, column, label[:_LONGEST], bold)
        for line, row in enumerate(rows, start=1):
            for column, value in enumerate(row):
                if value is None or value == []:
                    continue
                if isinstance(value, bool):
                    sheet.write_boolean(line, column, value)
                elif isinstance(value, int | float | Decimal):
                    sheet.write_number(line, column, float(value))
                elif isinstance(value, datetime):
                    sheet.write_datetime(line, column, value, moment)
                elif isinstance(value, date):
                    sheet.write_datetime(line, column, value, day)
                else:
                    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
                    sheet.write_string(line, column, text[:_LONGEST])
        sheet.freeze_panes(1, 0)
        sheet.autofit()
    return file.getvalue()


def plain_value(field: Field, value: Any) -> Any:
    """A value as a file holds it: of a link the name, of bytes how many."""
    if value is False and field.type != "boolean":
        return None
    if isinstance(value, tuple) and len(value) == 2:
        return value[1] if isinstance(value[1], str) else value[0]
    if isinstance(value, bytes | memoryview):
        return f"{len(value)} bytes"
    return value
