"""The syntax of a domain: conditions joined by and, or, not.

Pure. A domain is an immutable tree; `And` and `Or` hold two or more children and never
a child of their own kind, so that a long chain is wide, not deep.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias

__all__ = [
    "FALSE",
    "TRUE",
    "And",
    "Condition",
    "Constant",
    "Domain",
    "Not",
    "Open",
    "Or",
    "Value",
    "all_of",
    "any_of",
    "conditions",
    "negate",
    "to_list",
]

Scalar: TypeAlias = "bool | int | float | Decimal | str | date | datetime"
Value: TypeAlias = "Scalar | tuple[Any, ...] | Domain"


@dataclass(frozen=True, slots=True)
class Constant:
    """A domain of all records, or of none."""

    value: bool


@dataclass(frozen=True, slots=True)
class Condition:
    """`(path, operator, value)`; the value of `any` and its kin is a domain.

    `None` is spelled `False`, as in Odoo.
    """

    path: str
    operator: str
    value: Any

    @property
    def head(self) -> str:
        """The first field of the path."""
        return self.path.partition(".")[0]

    @property
    def rest(self) -> str:
        """The path behind its first field, empty where there is none."""
        return self.path.partition(".")[2]


@dataclass(frozen=True, slots=True)
class Open:
    """A place in a value that is filled per actor: `expression` says with what.

    `many`: it stands for a list of values, otherwise for one value or none.
    """

    expression: str
    many: bool

    @property
    def may_be_false(self) -> bool:
        """Whether some actor may have no value here."""
        return not self.many and self.expression not in ("user.id", "uid")


@dataclass(frozen=True, slots=True)
class And:
    """All children hold."""

    children: tuple[Domain, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One child holds at least."""

    children: tuple[Domain, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The child does not hold."""

    child: Domain


Domain: TypeAlias = Constant | Condition | And | Or | Not

TRUE: Final = Constant(True)
FALSE: Final = Constant(False)


def all_of(children: Iterable[Domain]) -> Domain:
    """The conjunction, flattened; of nothing it is TRUE."""
    parts: list[Domain] = []
    for child in children:
        if child == FALSE:
            return FALSE
        if isinstance(child, And):
            parts.extend(child.children)
        elif child != TRUE:
            parts.append(child)
    return And(tuple(parts)) if len(parts) > 1 else parts[0] if parts else TRUE


def any_of(children: Iterable[Domain]) -> Domain:
    """The disjunction, flattened; of nothing it is FALSE."""
    parts: list[Domain] = []
    for child in children:
        if child == TRUE:
            return TRUE
        if isinstance(child, Or):
            parts.extend(child.children)
        elif child != FALSE:
            parts.append(child)
    return Or(tuple(parts)) if len(parts) > 1 else parts[0] if parts else FALSE


def negate(domain: Domain) -> Domain:
    """The negation; two of them cancel out."""
    if isinstance(domain, Constant):
        return FALSE if domain.value else TRUE
    return domain.child if isinstance(domain, Not) else Not(domain)


def conditions(domain: Domain) -> Iterator[Condition]:
    """The conditions of this level: those inside `any` are not among them."""
    todo: list[Domain] = [domain]
    while todo:
        current = todo.pop()
        if isinstance(current, Condition):
            yield current
        elif isinstance(current, And | Or):
            todo.extend(reversed(current.children))
        elif isinstance(current, Not):
            todo.append(current.child)


def to_list(domain: Domain) -> list[Any]:
    """The domain in Odoo's prefix notation, ready for JSON.

    >>> to_list(Or((Condition("a", "=", 1), Condition("b", "in", (2, 3)))))
    ['|', ['a', '=', 1], ['b', 'in', [2, 3]]]
    """
    match domain:
        case Constant(value):
            return [[1, "=", 1]] if value else [[0, "=", 1]]
        case Condition(path, operator, value):
            return [[path, operator, _plain(value)]]
        case Not(child):
            return ["!", *to_list(child)]
        case And(children) | Or(children):
            sign = "&" if isinstance(domain, And) else "|"
            items = [item for child in children for item in to_list(child)]
            return [sign] * (len(children) - 1) + items


def _plain(value: Any) -> Any:
    if isinstance(value, Constant | Condition | And | Or | Not):
        return to_list(value)
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, date):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value
