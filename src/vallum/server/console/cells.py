"""Values of records as cells: what each kind of field looks like, and where it leads.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from html import unescape
from typing import Any, Final

from vallum.schema import NUMBER_TYPES, Field
from vallum.server.pages.formats import plain, short, url_part

__all__ = ["Shown", "shown"]

_TAG: Final = re.compile(r"<[^>]*>")
_LONG: Final = 10_000


@dataclass(frozen=True, slots=True)
class Shown:
    """A value to look at. `href`: where it leads; `moment`: a time, shown in the reader's zone."""

    text: str
    href: str = ""
    moment: datetime | None = None
    number: bool = False
    empty: bool = False


def shown(
    field: Field,
    value: Any,
    choices: Mapping[Any, str],
    lang: str,
    suffix: str = "",
    known: frozenset[str] = frozenset(),
) -> Shown:
    """A value of a field. `choices`: labels of a selection; `known`: models that links may lead to."""
    if value is None or value == () or value == [] or (value is False and field.type != "boolean"):
        return Shown("", empty=True)
    if isinstance(value, tuple) and field.type == "many2one":
        name = value[1] if isinstance(value[1], str) else None
        href = (
            f"/data/{url_part(field.comodel)}/{value[0]}{suffix}"
            if name is not None and field.comodel in known
            else ""
        )
        return Shown(name or f"#{value[0]}", href)
    if isinstance(value, datetime):
        return Shown(plain(value), moment=value)
    if field.type == "selection":
        return Shown(choices.get(value, str(value)))
    if field.type == "html":
        return Shown(short(unescape(_TAG.sub(" ", str(value))).strip(), _LONG))
    text = plain(value, lang)
    return Shown(short(text, _LONG), number=field.type in NUMBER_TYPES and not isinstance(value, bool))
