"""What a list of records is asked for: conditions, order, columns and groups, read from an address.

Pure. A condition is written `field~operator~value`, once for each; `domain` takes Odoo's own notation.
Which of it the viewer may ask is decided where it is searched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import msgspec

from vallum.domain import parse, parse_text, to_list
from vallum.kernel import InvalidValue, MalformedDomain
from vallum.schema import NUMBER_TYPES, Field, Model
from vallum.server.pages import Query

__all__ = ["OPERATORS", "Condition", "Wanted", "columns_of", "groupable", "listable", "operators_for"]

_TEXT: Final = ("ilike", "=", "!=", "not ilike", "set", "unset")
_NUMBER: Final = ("=", "!=", ">", ">=", "<", "<=", "set", "unset")
_LINK: Final = ("ilike", "=", "!=", "child_of", "set", "unset")

OPERATORS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ilike": "contains",
        "not ilike": "does not contain",
        "=": "is",
        "!=": "is not",
        ">": "is above",
        ">=": "is at least",
        "<": "is below",
        "<=": "is at most",
        "child_of": "is or lies below",
        "set": "is there",
        "unset": "is empty",
    }
)
_YES: Final = frozenset({"1", "yes", "true", "y", "on"})
_MOMENTS: Final = frozenset({"date", "datetime"})
_UNLISTED: Final = frozenset(
    {
        "one2many",
        "many2many",
        "binary",
        "html",
        "text",
        "json",
        "properties",
        "properties_definition",
        "serialized",
        "reference",
    }
)
_UNGROUPED: Final = frozenset(
    {"one2many", "binary", "json", "properties", "properties_definition", "html", "text", "serialized"}
)
_FIRST: Final = (
    "name",
    "default_code",
    "ref",
    "partner_id",
    "email",
    "phone",
    "login",
    "user_id",
    "date_order",
    "date",
    "invoice_date",
    "date_deadline",
    "stage_id",
    "state",
    "amount_total",
    "expected_revenue",
    "product_id",
    "company_id",
)
_DULL: Final = frozenset(
    {
        "id",
        "create_uid",
        "create_date",
        "write_uid",
        "write_date",
        "parent_path",
        "display_name",
        "sequence",
        "color",
        "active",
    }
)
COLUMNS: Final = 7


@dataclass(frozen=True, slots=True)
class Condition:
    """One line of the domain builder."""

    field: str
    operator: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Condition:
        """
        >>> Condition.parse("name~ilike~a~b")
        Condition(field='name', operator='ilike', value='a~b')
        """
        field, _, rest = text.partition("~")
        operator, _, value = rest.partition("~")
        if operator not in OPERATORS:
            raise MalformedDomain(f"no operator `{operator:.20}`", fix="choose one of the list")
        return cls(field, operator, value)

    def __str__(self) -> str:
        return f"{self.field}~{self.operator}~{self.value}"

    def leaf(self, model: Model) -> list[Any]:
        """The condition in Odoo's notation.

        Raises: UnknownField, InvalidValue.
        """
        field = model.field(self.field)
        if self.operator in ("set", "unset"):
            if field.type == "boolean":
                return [field.name, "=", self.operator == "set"]
            return [field.name, "!=" if self.operator == "set" else "=", False]
        return [field.name, self.operator, _value(field, self.value, self.operator)]


def _value(field: Field, text: str, operator: str) -> Any:
    text = text.strip()
    if field.type == "boolean":
        return text.casefold() in _YES
    if operator in ("ilike", "not ilike"):
        return text
    if field.type in NUMBER_TYPES or field.name == "id" or field.type == "many2one_reference":
        return _number(field, text)
    if field.relational:
        if text.isascii() and text.isdigit():
            return int(text)
        return text or False
    if field.type in _MOMENTS or field.type == "selection":
        return text or False
    return text


def _number(field: Field, text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        number = float("nan")
    if number != number or number in (float("inf"), float("-inf")):
        raise InvalidValue(
            f"`{text:.40}` is no number", fix=f"give a number for {field.string or field.name}"
        )
    return number


def operators_for(field: Field) -> tuple[str, ...]:
    """The operators that make sense for a field."""
    if field.type == "boolean":
        return ("=",)
    if field.type in NUMBER_TYPES or field.type in _MOMENTS:
        return _NUMBER
    return _LINK if field.relational else _TEXT


@dataclass(frozen=True, slots=True)
class Wanted:
    """A list as an address asks for it."""

    text: str
    conditions: tuple[Condition, ...]
    domain: str
    order: str
    group: str
    archived: bool

    @classmethod
    def parse(cls, query: Query) -> Wanted:
        """What the address says.

        Raises: MalformedDomain.
        """
        conditions = [Condition.parse(c) for c in query.all("c") if c]
        if query.text("f"):
            # A line just filled in: a condition like the others from now on.
            conditions.append(Condition.parse(f"{query.text('f')}~{query.text('o', '=')}~{query.text('v')}"))
        return cls(
            query.text("q"),
            tuple(conditions),
            query.text("domain"),
            query.text("order"),
            query.text("group"),
            bool(query.text("archived")),
        )

    def full(self, model: Model, names: Iterable[str]) -> list[Any]:
        """All of it as one domain. `names`: the fields that free text is looked for in.

        Raises: MalformedDomain and kin, UnknownField, InvalidValue.
        """
        parts: list[Any] = [condition.leaf(model) for condition in self.conditions]
        if self.text:
            leaves: list[Any] = [[name, "ilike", self.text] for name in names]
            parts = [*(["|"] * (len(leaves) - 1)), *leaves, *parts] if leaves else [[0, "=", 1]]
        return [*parts, *_typed(self.domain)]


def _typed(text: str) -> list[Any]:
    """A domain as somebody typed it: JSON, or a literal of Python.

    Raises: MalformedDomain.
    """
    if not text:
        return []
    try:
        return to_list(parse(msgspec.json.decode(text)))
    except RecursionError:
        raise MalformedDomain("the domain is nested too deep", fix="write a simpler one") from None
    except msgspec.DecodeError:
        return to_list(parse_text(text))


def search_names(model: Model) -> tuple[str, ...]:
    """The fields that free text is looked for in: what a record of the model is called by."""
    named = model.rec_names_search or ((model.rec_name,) if model.rec_name else ())
    found = tuple(n for n in named if n.partition(".")[0] in model.fields)
    return found or (("name",) if "name" in model.fields else ())


def listable(field: Field) -> bool:
    """Whether a field makes a column of a list."""
    return field.type not in _UNLISTED and field.name not in ("parent_path",)


def groupable(field: Field) -> bool:
    """Whether records can be grouped by a field."""
    return field.stored and field.type not in _UNGROUPED and field.name not in ("id", "parent_path")


def columns_of(model: Model, open_fields: Mapping[str, Field], asked: Iterable[str]) -> tuple[str, ...]:
    """The columns of a list: those asked for that are open, else the most telling ones."""
    chosen = tuple(dict.fromkeys(n for n in asked if n in open_fields and n in model.fields))
    if chosen:
        return chosen
    called = model.rec_name or "name"
    usual = [n for n in _FIRST if n != called and n in open_fields and listable(open_fields[n])]
    rest = [
        name
        for name, field in open_fields.items()
        if listable(field)
        and field.stored
        and field.column
        and name not in _DULL
        and name != called
        and not name.startswith(("message_", "activity_"))
    ]
    return tuple(dict.fromkeys((*usual, *rest)))[:COLUMNS]
