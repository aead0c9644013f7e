"""Read CSV files of the security model, `ir.model.access.csv` above all.

The file's name says the model, as in Odoo. A header or a value that is not understood
is an error: a right read wrongly is worse than one not read.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from vallum.kernel import MalformedPolicy
from vallum.policy.readers.modules.literal import Command, Ref, qualify
from vallum.policy.readers.modules.records import ALIASES, FIELDS, IGNORED, Kind, Records, Value

__all__ = ["boolean", "model_of", "read_csv"]

_TRUE: Final = frozenset({"1", "true", "t", "yes", "y", "on"})
_FALSE: Final = frozenset({"", "0", "false", "f", "no", "n", "off"})
_BY_XML_ID: Final = frozenset({Kind.MODEL, Kind.ONE, Kind.MANY})


@dataclass(frozen=True, slots=True)
class _Column:
    """What a column holds; `kind` None: the xml id, or nothing that decides."""

    name: str
    kind: Kind | None = None


def model_of(file_name: str) -> str:
    """The model of a CSV file's rows.

    >>> model_of("ir.model.access-more.csv")
    'ir.model.access'
    """
    return file_name.rsplit(".", 1)[0].split("-")[0]


def read_csv(raw: bytes, *, model: str, module: str, label: str, records: Records) -> None:
    """Write every row of a CSV file into `records`.

    Raises: MalformedPolicy.
    """
    rows = _rows(raw, label)
    line, header = next(rows, (1, []))
    if not header:
        raise MalformedPolicy(
            "an empty CSV file", where=f"{label}:1", fix="write a header line, or remove it"
        )
    columns = _columns(header, model, f"{label}:{line}")
    for line, cells in rows:
        where = f"{label}:{line}"
        if len(cells) < len(columns) or any(cells[len(columns) :]):
            raise MalformedPolicy(
                f"{len(cells)} values for {len(columns)} columns", where=where, fix="quote values with commas"
            )
        xml_id, values = None, dict[str, Value]()
        for column, cell in zip(columns, cells, strict=False):
            if column.kind is not None:
                values[column.name] = _value(column.kind, cell, module, where)
            elif column.name == "id" and cell.strip():
                xml_id = qualify(cell.strip(), module, where)
        records.write(model, xml_id, values, where, noupdate=False)


def boolean(text: str, where: str) -> bool:
    """A truth value as data files write it.

    Raises: MalformedPolicy.
    """
    word = text.strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise MalformedPolicy(f"`{text}` is neither true nor false", where=where, fix="write 1 or 0")


def _rows(raw: bytes, label: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with its first line's number."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise MalformedPolicy(
            "the file is not UTF-8", where=f"{label}:{line}", fix="save it as UTF-8"
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise MalformedPolicy(f"not a CSV file: {error}", where=f"{label}:{line}") from error


def _columns(header: list[str], model: str, where: str) -> list[_Column]:
    columns = [_column(name.strip(), model, where) for name in header]
    names = [column.name for column in columns]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise MalformedPolicy(f"the column `{min(doubled)}` is there twice", where=where)
    if "id" not in names:
        raise MalformedPolicy("no column `id`", where=where, fix="give every row an xml id")
    return columns


def _column(title: str, model: str, where: str) -> _Column:
    name, _, suffix = title.replace(":", "/").partition("/")
    name = ALIASES.get((model, name), name)
    kind = FIELDS[model].get(name)
    if title == "id" or (kind is None and suffix in {"", "id"} and name in IGNORED.get(model, ())):
        return _Column(name)
    if kind is None:
        near = get_close_matches(name, ["id", *FIELDS[model]], n=1)
        raise MalformedPolicy(
            f"`{model}` has no column `{title}`", where=where, fix=f"use `{near[0]}`" if near else None
        )
    wanted = "id" if kind in _BY_XML_ID else ""
    if suffix != wanted:
        raise MalformedPolicy(
            f"the column `{title}` cannot be read", where=where, fix=f"use `{name}{':id' if wanted else ''}`"
        )
    return _Column(name, kind)


def _value(kind: Kind, cell: str, module: str, where: str) -> Value:
    """The value of a cell; an empty one is Odoo's False."""
    names = [name.strip() for name in cell.split(",") if name.strip()]
    match kind:
        case Kind.TEXT:
            return cell or None
        case Kind.BOOL:
            return boolean(cell, where)
        case Kind.INT:
            if not cell.strip().removeprefix("-").isdecimal():
                raise MalformedPolicy(f"`{cell}` is not a whole number", where=where)
            return int(cell)
        case Kind.MODEL | Kind.ONE:
            return Ref(qualify(cell.strip(), module, where), where) if names else None
        case Kind.MANY:
            return (Command("set", tuple(Ref(qualify(name, module, where), where) for name in names)),)
