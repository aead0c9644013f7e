"""From a filter with open places to the text of a row level security policy.

Pure. What looks at the row alone stays in the policy, where indexes serve it. What looks
into other tables becomes a helper function that runs as its owner, as record rules are
read by the superuser in Odoo: it takes the role that asks, and gives ids.
Invariant: a policy mentions no table but its own, so policies never meet each other.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql import ClauseElement, ColumnElement, FromClause

from vallum.domain.ast import Open
from vallum.domain.filter import (
    All,
    Always,
    Bound,
    Compare,
    Filter,
    Holds,
    Ids,
    IsNull,
    Joined,
    Like,
    Linked,
    No,
    OneOf,
    PerCompany,
    Ref,
    Root,
    RowSet,
    Some,
    Union,
    Within,
)
from vallum.domain.sql import Scope

__all__ = ["HELPERS", "Helper", "Library", "Policies", "body_of", "text"]

HELPERS: Final = "vallum_private"
_DIALECT: Final = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
_WHO: Final[ColumnElement[Any]] = sa.literal_column("$1")
_ASKER: Final[ColumnElement[Any]] = sa.literal_column("current_user")


def text(statement: ClauseElement) -> str:
    """A statement or an expression with its values written out, quoted by SQLAlchemy."""
    return str(statement.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))


@dataclass(frozen=True, slots=True)
class Helper:
    """A function `(who name) → set of ids` in the schema of helpers."""

    name: str
    body: str

    @property
    def qualified(self) -> str:
        """The function with its schema."""
        return f"{HELPERS}.{self.name}"


@dataclass(slots=True)
class Library:
    """The helpers and places that policies came to need, each once. `schema`: where the tables are."""

    schema: str
    helpers: dict[str, Helper] = field(default_factory=dict)
    places: dict[Open, int] = field(default_factory=dict)

    def place(self, place: Open) -> int:
        """The number of a place."""
        return self.places.setdefault(place, len(self.places) + 1)

    def helper(self, statement: ClauseElement) -> Helper:
        """The helper of a statement: its name follows from its text."""
        return self.text_helper(text(statement))

    def text_helper(self, body: str) -> Helper:
        """The helper of a statement that is written already."""
        name = "rows_" + hashlib.sha256(body.encode()).hexdigest()[:16]
        return self.helpers.setdefault(name, Helper(name, body))


@dataclass(frozen=True, slots=True)
class _Places:
    """Reads places through the helper that knows the asking role's values."""

    library: Library
    who: ColumnElement[Any]

    def array(self, place: Open, kind: Any) -> ColumnElement[Any]:
        number: ColumnElement[int] = sa.literal_column(str(self.library.place(place)))
        name = "texts" if isinstance(kind, sa.String | sa.Text) else "ints"
        call = getattr(getattr(sa.func, HELPERS), name)(self.who, number)
        cast = "text[]" if name == "texts" else "int[]"
        return sa.literal_column(f"(SELECT {text(call)})::{cast}")


class _Body(Scope):
    """Inside a helper: every table is named with its schema, the asker is the argument."""

    def __init__(self, root: Root, library: Library, names: Any = None) -> None:
        self.library = library
        super().__init__(root, names, _Places(library, _WHO))

    def source(self, name: str, alias: str) -> FromClause:
        return sa.table(name, schema=self.library.schema).alias(alias)

    def inner(self, root: Root) -> Scope:
        return _Body(root, self.library, self.names)


def body_of(root: Root, library: Library) -> Scope:
    """The scope of a helper's statement."""
    return _Body(root, library)


class Policies(Scope):
    """The expression of a policy on the table of `root`."""

    def __init__(self, root: Root, library: Library) -> None:
        self.library = library
        super().__init__(root, None, _Places(library, _ASKER))

    def start(self) -> FromClause:
        return sa.table(self.root.table)

    def expression(self, condition: Filter) -> str:
        """The text of USING."""
        return text(self._split(condition))

    def _split(self, condition: Filter) -> ColumnElement[bool]:
        """What looks at the row alone as it is; the rest as a set of ids."""
        if _is_plain(condition):
            return self.where(condition)
        match condition:
            case All(parts):
                return sa.and_(*(self._split(p) for p in parts))
            case Some(parts):
                return sa.or_(*(self._split(p) for p in parts))
            case Within(ref, rows) if ref.row == self.root and not _is_per_company(ref):
                return self._within_helper(ref, rows)
            case No(Within(ref, rows)) if ref.row == self.root and not _is_per_company(ref):
                return sa.not_(self._within_helper(ref, rows))
            case Linked(row, relation, column1, column2, rows) if row == self.root:
                return self._linked_helper(relation, column1, column2, rows)
            case No(Linked(row, relation, column1, column2, rows)) if row == self.root:
                return sa.not_(self._linked_helper(relation, column1, column2, rows))
        return self._whole(condition)

    def _call(self, statement: ClauseElement) -> Any:
        helper = self.library.helper(statement)
        return sa.select(sa.literal_column(f"{helper.qualified}(current_user)"))

    def _within_helper(self, ref: Ref, rows: RowSet) -> ColumnElement[bool]:
        body = _Body(Root(self.root.table), self.library)
        return self.ref(ref).in_(self._call(body.rows(rows)))

    def _linked_helper(
        self, relation: str, column1: str, column2: str, rows: RowSet | None
    ) -> ColumnElement[bool]:
        body = _Body(Root(self.root.table), self.library)
        link = body.source(relation, "link")
        own = sa.column(column1, sa.Integer(), _selectable=link)
        statement = sa.select(own).select_from(link)
        if rows is not None:
            statement = statement.where(body._among(sa.column(column2, sa.Integer(), _selectable=link), rows))
        return sa.column("id", sa.Integer(), _selectable=self.table).in_(self._call(statement))

    def _whole(self, condition: Filter) -> ColumnElement[bool]:
        """A part that cannot be taken apart: the ids of all rows that pass it."""
        body = _Body(Root(self.root.table), self.library)
        where = body.where(condition)
        found = sa.column("id", sa.Integer(), _selectable=body.table)
        statement = sa.select(found).select_from(body.from_clause()).where(where)
        return sa.column("id", sa.Integer(), _selectable=self.table).in_(self._call(statement))


def _is_per_company(ref: Ref) -> bool:
    return isinstance(ref.form, PerCompany)


def _is_plain(condition: Filter) -> bool:
    """Whether a condition looks at the row alone."""
    match condition:
        case Always():
            return True
        case All(parts) | Some(parts):
            return all(_is_plain(p) for p in parts)
        case No(part) | Holds(part, _):
            return _is_plain(part)
        case Compare(ref, _, _) | OneOf(ref, _) | Like(ref, _, _, _, _) | IsNull(ref):
            return _is_own(ref)
        case Within(ref, rows):
            return _is_own(ref) and _needs_no_table(rows)
    return type(condition).__name__ == "Admits"


def _is_own(ref: Ref) -> bool:
    if isinstance(ref.row, Joined):
        return False
    return not (isinstance(ref.form, PerCompany) and ref.form.comodel_table is not None)


def _needs_no_table(rows: RowSet) -> bool:
    if isinstance(rows, Union):
        return all(_needs_no_table(part) for part in rows.parts)
    return isinstance(rows, Ids | Bound)
