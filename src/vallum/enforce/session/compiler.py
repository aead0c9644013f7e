"""The wall: where SQL is written, every table becomes what the actor sees of it.

A statement reaches PostgreSQL through its dialect's compiler and in no other way. Here that compiler
writes each table that is read as `(SELECT open columns FROM table WHERE rules)`, wherever it stands:
joins, eager loads, subqueries, CTEs, secondary tables. PostgreSQL flattens that into the same plan as a
condition written by hand.
Invariant: what the compiler cannot read (text, unlisted functions, tables without a policy) it refuses.
Whoever can replace the session's engine, or register compilers with SQLAlchemy, can do without this wall.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy import util
from sqlalchemy.sql import elements, visitors

from vallum.enforce.session.criteria import Criteria, Signature, View
from vallum.enforce.session.language import FUNCTIONS, check_operator, check_text, check_type, refused_text
from vallum.kernel import AccessDenied

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

__all__ = ["Rules", "StatementCache", "guarded_dialect"]

CACHE_SIZE: Final = 500


class Rules:
    """What a compiler goes by: the actor's criteria, and what the team allows besides."""

    def __init__(self, criteria: Criteria, texts: frozenset[str], functions: frozenset[str]) -> None:
        self.criteria = criteria
        self.texts = texts
        self.functions = FUNCTIONS | functions


def guarded_dialect(dialect: Dialect, rules: Rules) -> Dialect:
    """A copy of the dialect that writes SQL under the rules; the original is left alone."""
    copied: Any = copy.copy(dialect)
    base: Any = dialect.statement_compiler
    copied.statement_compiler = _guarded_compiler(base)
    copied.identifier_preparer = copy.copy(dialect.identifier_preparer)
    preparer: Any = type(dialect.identifier_preparer)
    copied.identifier_preparer.__class__ = _guarded_preparer(preparer)
    copied.type_compiler_instance = copy.copy(dialect.type_compiler_instance)
    types: Any = type(dialect.type_compiler_instance)
    copied.type_compiler_instance.__class__ = _guarded_types(types)
    copied.vallum_rules = rules
    return copied  # type: ignore[no-any-return]


@cache
def _guarded_preparer(base: Any) -> Any:
    return type(f"Guarded{base.__name__}", (_Names, base), {})


@cache
def _guarded_types(base: Any) -> Any:
    return type(f"Guarded{base.__name__}", (_Types, base), {})


@cache
def _guarded_compiler(base: Any) -> Any:
    return type(f"Guarded{base.__name__}", (_Guarded, base), {})


class StatementCache(util.LRUCache[Any, Any]):
    """Compiled statements of one actor; one whose rules have changed with the time is compiled anew."""

    def __init__(self, criteria: Criteria) -> None:
        super().__init__(CACHE_SIZE)
        self._criteria = criteria

    def get(self, key: Any, default: Any = None) -> Any:
        found = super().get(key, default)
        if found is None:
            return default
        views: dict[str, Signature | None] = getattr(found, "vallum_views", {})
        for table, signature in views.items():
            view = self._criteria.view(table)
            if (None if view is None else view.signature) != signature:
                return default
        return found


# The methods below override those of the compiler that this is mixed into.
_Base: Any = object


class _Names(_Base):  # type: ignore[misc]
    """Mixed into the preparer of a dialect: no name is written that would have to be quoted and is not."""

    def quote(self, ident: Any, *args: Any) -> Any:
        if getattr(ident, "quote", None) is False and self._requires_quotes(ident.lower()):
            raise refused_text(str(ident))
        return super().quote(ident, *args)


class _Types(_Base):  # type: ignore[misc]
    """Mixed into the compiler of types: the length, the precision and the fields of a type hold no SQL."""

    def process(self, type_: Any, **kw: Any) -> Any:
        written = super().process(type_, **kw)
        check_type(str(written))
        return written


class _Guarded(_Base):  # type: ignore[misc]
    """Mixed into the compiler of a dialect."""

    _trusted = 0
    _names: Any = None

    def __init__(self, dialect: Any, statement: Any, *args: Any, **kw: Any) -> None:
        self.vallum_views: dict[str, Signature | None] = {}
        # By table: the columns that the statement itself names.
        self.vallum_read: dict[str, set[str]] = {}
        if statement is not None:
            _check_elements(statement)
        super().__init__(dialect, statement, *args, **kw)

    @property
    def _rules(self) -> Rules:
        found: Rules = self.dialect.vallum_rules
        return found

    # tables and columns

    def visit_table(self, table: Any, asfrom: bool = False, iscrud: bool = False, **kw: Any) -> Any:
        if self._trusted or not asfrom:
            return super().visit_table(table, asfrom=asfrom, iscrud=iscrud, **kw)
        if getattr(table, "schema", None):
            raise AccessDenied(f"no policy covers the table `{table.schema}.{table.name}`")
        if table in (kw.get("fromhints") or ()):
            raise refused_text(str(kw["fromhints"][table]))
        view = self._rules.criteria.view(table.name)
        self.vallum_views[table.name] = None if view is None else view.signature
        self.vallum_read.setdefault(table.name, set())
        if view is None or iscrud:
            return super().visit_table(table, asfrom=asfrom, iscrud=iscrud, **kw)
        linter = kw.get("from_linter")
        if linter:
            linter.froms[table] = table.fullname
        return self._filtered(view) + self._own_name(table, kw)

    def _own_name(self, table: Any, kw: dict[str, Any]) -> Any:
        """The name a table goes by, unless an alias around it gives one."""
        around = kw.get("enclosing_alias")
        if around is not None and around.element is table:
            return ""
        anonymous = (kw.get("ambiguous_table_name_map") or {}).get(table.name)
        if anonymous is not None:
            name = self._truncated_identifier("alias", anonymous)
            return self.get_render_as_alias_suffix(self.preparer.format_alias(None, name))
        return self.get_render_as_alias_suffix(self.preparer.quote(table.name))

    def _filtered(self, view: View) -> str:
        statement, self._names = view.select(self._names)
        self._trusted += 1
        try:
            return f"({statement._compiler_dispatch(self, asfrom=True)})"
        finally:
            self._trusted -= 1

    def visit_column(self, column: Any, *args: Any, **kw: Any) -> Any:
        if not self._trusted:
            self._check_column(column)
        return super().visit_column(column, *args, **kw)

    def _check_column(self, column: Any) -> None:
        if column.is_literal:
            check_text(str(column.name))
        table = column.table
        while isinstance(table, sa.sql.selectable.AliasedReturnsRows) and table.named_with_column:
            table = table.element
        if isinstance(table, sa.TableClause):
            self._rules.criteria.check_column(table.name, column.name)
            self.vallum_read.setdefault(table.name, set()).add(str(column.name))
        elif table is None and not column.is_literal and (self.isupdate or self.isdelete or self.isinsert):
            raise AccessDenied(f"the column `{column.name}` names no table", fix="take it from its table")

    def visit_cte(self, cte: Any, *args: Any, **kw: Any) -> Any:
        if not self._trusted and self._rules.criteria.known(str(cte.name)):
            raise AccessDenied(f"a CTE cannot be called `{cte.name}`: a table is", fix="give it another name")
        return super().visit_cte(cte, *args, **kw)

    # what is said in words of SQL

    def visit_function(self, func: Any, *args: Any, **kw: Any) -> Any:
        packages = tuple(func.packagenames)
        name = ".".join((*packages, func.name)).lower().removeprefix("pg_catalog.")
        if not self._trusted and name not in self._rules.functions:
            raise AccessDenied(
                f"the function `{name}` is not known to read nothing but its arguments",
                fix="where it does not, allow it by name: `guard(…, functions={…})`",
            )
        return super().visit_function(func, *args, **kw)

    def visit_textclause(self, textclause: Any, *args: Any, **kw: Any) -> Any:
        if not self._trusted and (
            textclause is not self.statement or textclause.text not in self._rules.texts
        ):
            raise refused_text(textclause.text)
        return super().visit_textclause(textclause, *args, **kw)

    def visit_tstring(self, tstring: Any, *args: Any, **kw: Any) -> Any:
        raise refused_text("a template string")

    def get_statement_hint_text(self, hint_texts: Any) -> str:
        raise refused_text(" ".join(hint_texts))

    def visit_custom_op_binary(self, element: Any, operator: Any, **kw: Any) -> Any:
        self._check_operator(operator)
        return super().visit_custom_op_binary(element, operator, **kw)

    def visit_custom_op_unary_operator(self, element: Any, operator: Any, **kw: Any) -> Any:
        self._check_operator(operator)
        return super().visit_custom_op_unary_operator(element, operator, **kw)

    def visit_custom_op_unary_modifier(self, element: Any, operator: Any, **kw: Any) -> Any:
        self._check_operator(operator)
        return super().visit_custom_op_unary_modifier(element, operator, **kw)

    def _check_operator(self, operator: Any) -> None:
        if not self._trusted:
            check_operator(operator.opstring)

    def visit_extract(self, extract: Any, **kw: Any) -> Any:
        if not self._trusted and not str(extract.field).replace("_", "").isalnum():
            raise refused_text(str(extract.field))
        return super().visit_extract(extract, **kw)

    # statements that write are checked where they run, and only on their own

    def returning_clause(self, stmt: Any, returning_cols: Any, **kw: Any) -> Any:
        # Of the table itself, which is no subquery here: `*` would be its shut columns as well.
        for column in returning_cols:
            if getattr(column, "is_literal", False) and "*" in str(column.name):
                raise refused_text(str(column.name))
        return super().returning_clause(stmt, returning_cols, **kw)

    def visit_insert(self, insert_stmt: Any, *args: Any, **kw: Any) -> Any:
        self._check_alone()
        return super().visit_insert(insert_stmt, *args, **kw)

    def visit_update(self, update_stmt: Any, *args: Any, **kw: Any) -> Any:
        self._check_alone()
        return super().visit_update(update_stmt, *args, **kw)

    def visit_delete(self, delete_stmt: Any, *args: Any, **kw: Any) -> Any:
        self._check_alone()
        return super().visit_delete(delete_stmt, *args, **kw)

    def _check_alone(self) -> None:
        if self.stack:
            raise AccessDenied("a statement that writes inside another one", fix="run it on its own")


def _check_elements(statement: Any) -> None:
    """Raises AccessDenied for elements with SQL of their own (`sqlalchemy.ext.compiler.compiles`)."""
    if not isinstance(statement, elements.ClauseElement):
        return
    for element in visitors.iterate(statement):
        if any("_compiler_dispatcher" in vars(kind) for kind in type(element).__mro__):
            raise AccessDenied(
                f"`{type(element).__name__}` writes SQL of its own",
                fix="allow the whole statement by name: `guard(…, allow={…})`",
            )
