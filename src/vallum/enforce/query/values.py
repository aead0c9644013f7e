"""What a column holds, as Odoo's `read` shows it.

Pure. NULL is False, except in numbers, where it is 0; decimals become floats.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from vallum.schema import Field

__all__ = ["number", "shown", "shown_all"]

_WITHOUT_DECIMALS: Final = frozenset(
    {"char", "text", "html", "selection", "boolean", "date", "datetime", "many2one", "binary"}
)
_EMPTY: Final = {"integer": 0, "many2one_reference": 0, "float": 0.0, "monetary": 0.0}


def shown(field: Field, value: Any) -> Any:
    """A value of the field as it is read."""
    if value is None:
        return False if field.name == "id" else _EMPTY.get(field.type, False)
    return number(value)


def shown_all(field: Field, values: list[Any]) -> list[Any]:
    """Values of the field as they are read; only columns of numbers are looked at for decimals."""
    empty = False if field.name == "id" else _EMPTY.get(field.type, False)
    if field.type in _WITHOUT_DECIMALS:
        return [empty if value is None else value for value in values]
    return [empty if value is None else number(value) for value in values]


def number(value: Any) -> Any:
    """A value with its decimals as floats."""
    return float(value) if isinstance(value, Decimal) else value
