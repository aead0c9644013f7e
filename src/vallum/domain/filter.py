"""What a domain means: a small algebra that every back end must know, and nothing more.

Pure. Lowering (`lower18`, `lower19`) turns a domain into a filter once its fields are
known: version differences, NULL rules, names, hierarchies and record rules are all
settled there. A filter has the three-valued logic of SQL; only rows for which it is
true pass.

A `Row` is the record at hand: the root of a selection, or the record that a many2one
of another row leads to (an outer join: all its columns are NULL where there is none).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeGuard, get_args

from vallum.domain.ast import Open

__all__ = [
    "ALWAYS",
    "FILTERS",
    "NEVER",
    "ROW_SETS",
    "Admits",
    "All",
    "Always",
    "Bound",
    "Compare",
    "Filter",
    "Hierarchy",
    "Holds",
    "Ids",
    "Implying",
    "IsNull",
    "Joined",
    "Like",
    "Linked",
    "No",
    "NotEmpty",
    "OneOf",
    "PerCompany",
    "Plain",
    "Property",
    "Ref",
    "Root",
    "Row",
    "RowSet",
    "Select",
    "Some",
    "Translated",
    "Union",
    "Within",
    "every",
    "is_filter",
    "is_rows",
    "some",
]


@dataclass(frozen=True, slots=True)
class Root:
    """The record a selection ranges over, of `table`."""

    table: str


@dataclass(frozen=True, slots=True)
class Joined:
    """The record of `table` whose id is the value of `via`; absent where that is NULL."""

    via: Ref
    table: str


Row: TypeAlias = Root | Joined


@dataclass(frozen=True, slots=True)
class Plain:
    """The column as it is. `type` is the PostgreSQL type."""

    type: str


@dataclass(frozen=True, slots=True)
class Translated:
    """A jsonb column of texts by language; the first of `languages` that has one."""

    languages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PerCompany:
    """A jsonb column of values by company id, with a fallback for companies without one.

    `comodel_table` is set for many2one: an id of a record that is gone counts as NULL.
    """

    company: int | None
    type: str
    fallback: Any = None
    comodel_table: str | None = None


@dataclass(frozen=True, slots=True)
class Property:
    """A part of a date or datetime column, such as `year_number`."""

    part: str
    tz: str | None = None


Form: TypeAlias = Plain | Translated | PerCompany | Property


@dataclass(frozen=True, slots=True)
class Ref:
    """A value of a row: a column, read in one of the forms."""

    row: Row
    column: str
    form: Form


@dataclass(frozen=True, slots=True)
class Always:
    """True or false whatever the row."""

    value: bool


@dataclass(frozen=True, slots=True)
class All:
    """SQL AND."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """SQL OR."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class No:
    """SQL NOT: unknown stays unknown."""

    part: Filter


@dataclass(frozen=True, slots=True)
class Holds:
    """IS TRUE, or IS NOT TRUE: never unknown."""

    part: Filter
    expected: bool


@dataclass(frozen=True, slots=True)
class IsNull:
    """The value is NULL."""

    ref: Ref


@dataclass(frozen=True, slots=True)
class Compare:
    """`ref operator value` with one of = != < <= > >=."""

    ref: Ref
    operator: str
    value: Any


@dataclass(frozen=True, slots=True)
class OneOf:
    """The value is among these; none of them is NULL."""

    ref: Ref
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Like:
    """LIKE, or ILIKE where `fold`; `cast` reads a value that is not text as text."""

    ref: Ref
    pattern: str
    fold: bool
    unaccent: bool = False
    cast: bool = False


@dataclass(frozen=True, slots=True)
class Ids:
    """These ids."""

    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Select:
    """The values of `column` in the rows that pass `where`; NULL may be among them."""

    column: Ref
    where: Filter


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """The ids of the seeds and all below them, or above them where `up`.

    With `path` the column of materialised paths (`1/4/9/`) is used; otherwise the
    column `parent` is followed. Where the parent is a field of a delegated record,
    `delegate` names the column that leads there and its table; upwards, the parents
    found there are followed within that table.
    """

    table: str
    seeds: RowSet
    up: bool
    parent: str
    path: str | None = None
    delegate: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Implying:
    """The ids of these groups and of all groups that imply one of them."""

    groups: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Bound:
    """The values that are bound to a place when the filter is used; False is not among them."""

    place: Open


@dataclass(frozen=True, slots=True)
class Union:
    """The values of all these."""

    parts: tuple[RowSet, ...]


RowSet: TypeAlias = Ids | Select | Hierarchy | Implying | Bound | Union


@dataclass(frozen=True, slots=True)
class Within:
    """SQL `ref IN (rows)`: unknown where `ref` is not found and NULL is among the rows."""

    ref: Ref
    rows: RowSet


@dataclass(frozen=True, slots=True)
class Linked:
    """The row is linked to one of `rows` (to anything where None) in a relation table."""

    row: Row
    relation: str
    column1: str
    column2: str
    rows: RowSet | None


@dataclass(frozen=True, slots=True)
class Admits:
    """No value, or False, is bound to a place."""

    place: Open


@dataclass(frozen=True, slots=True)
class NotEmpty:
    """There is a row at all, whichever the row at hand."""

    rows: RowSet


Filter: TypeAlias = (
    Always | All | Some | No | Holds | IsNull | Compare | OneOf | Like | Within | Linked | NotEmpty | Admits
)

FILTERS: Final = get_args(Filter)
ROW_SETS: Final = get_args(RowSet)
ALWAYS: Final = Always(True)
NEVER: Final = Always(False)


def is_rows(value: object) -> TypeGuard[RowSet]:
    """Whether a value is a set of rows rather than a plain value."""
    return isinstance(value, ROW_SETS)


def is_filter(value: object) -> TypeGuard[Filter]:
    """Whether a value is a filter."""
    return isinstance(value, FILTERS)


def every(parts: Iterable[Filter]) -> Filter:
    """The conjunction, flattened and without what is always true."""
    kept: list[Filter] = []
    for part in parts:
        if part == NEVER:
            return NEVER
        if isinstance(part, All):
            kept.extend(part.parts)
        elif part != ALWAYS:
            kept.append(part)
    return All(tuple(kept)) if len(kept) > 1 else kept[0] if kept else ALWAYS


def some(parts: Iterable[Filter]) -> Filter:
    """The disjunction, flattened and without what is never true."""
    kept: list[Filter] = []
    for part in parts:
        if part == ALWAYS:
            return ALWAYS
        if isinstance(part, Some):
            kept.extend(part.parts)
        elif part != NEVER:
            kept.append(part)
    return Some(tuple(kept)) if len(kept) > 1 else kept[0] if kept else NEVER
