"""What a column holds, as Odoo's `read` shows it.

Pure. NULL is False, except in numbers, where it is 0; decimals become floats.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from vallum.schema import Field

__all__ = ["number", "shown"]

_EMPTY: Final = {"integer": 0, "many2one_reference": 0, "float": 0.0, "monetary": 0.0}


def shown(field: Field, value: Any) -> Any:
    """A value of the field as it is read."""
    if value is None:
        return False if field.name == "id" else _EMPTY.get(field.type, False)
    return number(value)


def number(value: Any) -> Any:
    """A value with its decimals as floats."""
    return float(value) if isinstance(value, Decimal) else value
