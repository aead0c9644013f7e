"""What one actor sees of each table: the rows that pass, the columns that are open.

A shell around lowering. Whoever holds a `Criteria` knows the bound rules of its actor.
Invariant: a table the policy does not know is refused, and so is one the actor may not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from vallum.domain import TRUE, Filter
from vallum.domain.filter import ALWAYS
from vallum.domain.lower import root
from vallum.domain.sql import Scope
from vallum.enforce.application import Application
from vallum.enforce.query.eyes import Eyes
from vallum.kernel import AccessDenied, Operation
from vallum.policy import Actor
from vallum.schema import Field, Model, Schema

__all__ = ["Criteria", "Signature", "Tables", "View"]

_ANOTHER_TIME: Final = timedelta(days=400, hours=1, minutes=1, seconds=1)
_TEXTS: Final = postgresql.ARRAY(sa.Text())
Signature = tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of a schema: those of models, and the relation tables with the fields over them."""

    models: Mapping[str, Model]
    relations: Mapping[str, tuple[Field, ...]]

    @classmethod
    def of(cls, schema: Schema) -> Tables:
        """The tables by name."""
        models = {m.table: m for m in schema.models.values() if not m.abstract and m.relation}
        over: dict[str, tuple[Field, ...]] = {}
        for model in schema.models.values():
            for field in model.fields.values():
                name = field.relation
                if field.type == "many2many" and field.stored and name and name not in models:
                    over[name] = (*over.get(name, ()), field)
        return cls(models, over)

    def covers(self, table: str) -> bool:
        """Whether a table is a model's, or between two."""
        return table in self.models or table in self.relations


@dataclass(frozen=True, slots=True)
class View:
    """A table as the actor sees it.

    `ends`: columns whose values must be ids that pass a filter. `per_company`: columns that hold a value
    for each company, of which those of `companies` are seen.
    """

    table: str
    columns: tuple[str, ...]
    companies: tuple[str, ...]
    per_company: frozenset[str]
    ends: tuple[tuple[str, Model, Filter], ...]

    @property
    def signature(self) -> Signature:
        """What the view depends on beside the actor."""
        return tuple(where for _, _, where in self.ends)

    def select(self, names: Any) -> tuple[sa.Select[Any], Any]:
        """The rows and columns that are open, as a SELECT; aliases are numbered by `names`."""
        if len(self.ends) == 1 and self.ends[0][0] == "id":
            return self._records(self.ends[0][1], self.ends[0][2], names)
        names = names or Scope(root(self.ends[0][1])).names
        own = sa.table(self.table).alias(names.next(self.table))
        where = []
        for column, model, condition in self.ends:
            if condition != ALWAYS:
                scope = Scope(root(model), names)
                passes = scope.where(condition)
                found = sa.column("id", sa.Integer(), _selectable=scope.table)
                ids = sa.select(found).select_from(scope.from_clause()).where(passes).correlate(None)
                where.append(sa.column(column, sa.Integer(), _selectable=own).in_(ids))
        return sa.select(*self._columns(own)).select_from(own).where(*where), names

    def _records(self, model: Model, condition: Filter, names: Any) -> tuple[sa.Select[Any], Any]:
        scope = Scope(root(model), names)
        passes, own = scope.where(condition), scope.table
        clause = scope.from_clause()
        if clause is not own:
            # Outer joins would refuse FOR UPDATE: they stay inside.
            found = sa.column("id", sa.Integer(), _selectable=own)
            ids = sa.select(found).select_from(clause).where(passes).correlate(None)
            own = sa.table(self.table).alias(scope.names.next(self.table))
            passes = sa.column("id", sa.Integer(), _selectable=own).in_(ids)
        return sa.select(*self._columns(own)).select_from(own).where(passes), scope.names

    def _columns(self, own: sa.FromClause) -> list[Any]:
        return [self._column(own, name) for name in self.columns]

    def _column(self, own: sa.FromClause, name: str) -> Any:
        if name not in self.per_company:
            return sa.column(name, _selectable=own)
        whole = sa.column(name, postgresql.JSONB(), _selectable=own)
        each = sa.func.jsonb_each(whole).table_valued("key", "value")
        mine = each.c.key == sa.any_(sa.bindparam(None, list(self.companies), _TEXTS))
        part = sa.select(sa.func.jsonb_object_agg(each.c.key, each.c.value)).select_from(each).where(mine)
        return part.correlate(own).scalar_subquery().label(name)


class Criteria:
    """The views of one actor, kept as long as they do not depend on the time."""

    def __init__(self, application: Application, actor: Actor, extra: frozenset[str] = frozenset()) -> None:
        self.application = application
        self.actor = actor
        self.eyes = Eyes(application, actor)
        self.extra = extra
        self._views: dict[str, tuple[Any, View]] = {}
        # For which of the application's epochs the rules of a table were read ahead, by operation.
        self.settled: dict[tuple[str, Operation], int] = {}

    @cached_property
    def tables(self) -> Tables:
        """The tables that the policy covers."""
        return Tables.of(self.application.schema)

    def known(self, table: str) -> bool:
        """Whether the policy covers the table."""
        return self.tables.covers(table)

    def view(self, table: str) -> View | None:
        """The table as the actor sees it; None where nothing restricts it.

        Raises: AccessDenied, UnsupportedDomain.
        """
        if table in self.extra:
            return None
        if not self.known(table):
            raise AccessDenied(
                f"no policy covers the table `{table}`",
                fix="give its `info` a `model`, or allow it by name: `guard(…, tables={…})`",
            )
        access = self.eyes.access
        if access is None:
            return None
        kept = self._views.get(table)
        if kept is None or kept[0] is not access:
            view, lasting = self._view(table)
            if not lasting:
                return view
            kept = self._views[table] = (access, view)
        return kept[1]

    def shut(self, table: str, column: str) -> bool:
        """Whether the column of a table is shut to the actor."""
        view = self.view(table)
        return view is not None and column not in view.columns

    def check_column(self, table: str, column: str) -> None:
        """Raises AccessDenied where the column is shut to the actor, or the table is."""
        if not self.shut(table, column):
            return
        model = self.tables.models.get(table)
        if model is not None and column in model.fields:
            self.eyes.check_field(model.fields[column])
        raise AccessDenied(f"the column `{table}.{column}` is no field of the policy")

    def _view(self, table: str) -> tuple[View, bool]:
        model = self.tables.models.get(table)
        if model is not None:
            where, lasting = self._filter(model)
            fields = [f for f in model.fields.values() if _has_column(f) and self.open(f)]
            per_company = frozenset(f.name for f in fields if f.company_dependent)
            names = tuple(f.name for f in fields)
            return View(table, names, self._companies(), per_company, (("id", model, where),)), lasting
        return self._relation_view(table)

    def _relation_view(self, table: str) -> tuple[View, bool]:
        fields = [f for f in self.tables.relations[table] if self.open(f)]
        if not fields:
            raise AccessDenied(f"no field over the table `{table}` is open to {self.actor.login}")
        ends, lasting = [], True
        for column, name in links_of(fields[0]):
            model = self.application.schema.model(name)
            where, lasts = self._filter(model)
            ends.append((column, model, where))
            lasting = lasting and lasts
        columns = tuple(column for column, _, _ in ends)
        return View(table, columns, (), frozenset(), tuple(ends)), lasting

    def _companies(self) -> tuple[str, ...]:
        """The companies whose values the actor sees, as keys."""
        actor = self.actor
        return tuple(str(c) for c in actor.companies or (actor.company_id,) if c is not None)

    def open(self, field: Field) -> bool:
        """Whether the field is open to the actor."""
        try:
            self.eyes.check_field(field)
        except AccessDenied:
            return False
        return True

    def _filter(self, model: Model) -> tuple[Filter, bool]:
        """What the actor may read of a model, and whether that stays so while time passes."""
        eyes, env = self.eyes, self.eyes.env(active_test=False)
        access = eyes.access
        timed = access.timed if access else 0
        found = eyes.where(model, TRUE, env)
        if access is not None and access.timed != timed:
            return found, False
        return found, eyes.where(model, TRUE, replace(env, now=env.now + _ANOTHER_TIME)) == found


def links_of(field: Field) -> tuple[tuple[str, str], tuple[str, str]]:
    """The columns of a many2many's relation table, and the model each leads to."""
    return (field.column1 or "", field.model), (field.column2 or "", field.comodel or "")


def _has_column(field: Field) -> bool:
    return field.stored and field.column is not None and not field.x2many
