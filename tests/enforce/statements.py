"""Random statements over the example company's models, in every form that SQLAlchemy has."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import orm

from examples.trading import models as m

__all__ = ["ENTITIES", "Statements", "model_of"]

ENTITIES: Final = {
    c.__table__.info["model"]: c for c in (getattr(m, n) for n in m.__all__) if c is not m.Base
}
Answer = Callable[[orm.Session], Any]


def model_of(entity: Any) -> str:
    """The model that a class is."""
    return str(sa.inspect(entity).mapper.local_table.info["model"])


@dataclass(frozen=True, slots=True)
class Statements:
    """A maker of statements over the models and fields that are open to somebody."""

    random: Random
    fields: Mapping[str, Collection[str]]

    def one(self) -> tuple[str, Answer]:
        """A question, by name: what to ask of a session."""
        kinds = [getattr(self, name) for name in dir(self) if name.startswith("ask_")]
        kind = self.random.choice(kinds)
        return kind.__name__, kind()

    # parts

    def entity(self) -> Any:
        return ENTITIES[self.random.choice(sorted(self.fields))]

    def columns(self, entity: Any) -> list[str]:
        own = self.fields[model_of(entity)]
        return [a.key for a in sa.inspect(entity).mapper.column_attrs if a.key in own]

    def column(self, entity: Any) -> Any:
        return getattr(entity, self.random.choice(self.columns(entity)))

    def plain(self, entity: Any) -> Any:
        """A column that can be grouped and compared."""
        json = sa.types.JSON
        names = [n for n in self.columns(entity) if not isinstance(getattr(entity, n).type, json)]
        return getattr(entity, self.random.choice(names))

    def relations(self, entity: Any) -> list[str]:
        """Relationships that lead to a model that is open."""
        own = self.fields[model_of(entity)]
        found = sa.inspect(entity).mapper.relationships
        many = [r for r in found if model_of(r.mapper.class_) in self.fields]
        return [r.key for r in many if r.key in own or r.direction is orm.RelationshipDirection.MANYTOONE]

    def related(self) -> tuple[Any, str]:
        while True:
            entity = self.entity()
            names = self.relations(entity)
            if names:
                return entity, self.random.choice(names)

    def where(self, entity: Any) -> Any:
        pick, column = self.random.randrange(5), self.plain(entity)
        if pick == 0:
            return column.is_(None)
        if pick == 1:
            return column.is_not(None)
        if pick == 2:
            return entity.id % self.random.randint(2, 5) != 0
        if pick == 3:
            return sa.or_(entity.id < self.random.randint(1, 300), column.is_(None))
        return sa.true()

    def subquery(self, entity: Any) -> Any:
        return sa.select(entity.id, self.plain(entity).label("x")).where(self.where(entity))

    # questions

    def ask_columns(self) -> Answer:
        entity = self.entity()
        statement = sa.select(self.column(entity), self.column(entity), entity.id).where(self.where(entity))
        return rows(statement)

    def ask_entities(self) -> Answer:
        entity = self.entity()
        return dumped(sa.select(entity).where(self.where(entity)), self.columns(entity), ())

    def ask_relationships(self) -> Answer:
        entity, name = self.related()
        ways: Sequence[Any] = (
            orm.joinedload,
            orm.selectinload,
            orm.subqueryload,
            orm.lazyload,
            orm.immediateload,
        )
        option = self.random.choice(ways)(getattr(entity, name))
        statement = sa.select(entity).where(self.where(entity)).options(option).order_by(entity.id)
        if self.random.random() < 0.5:
            statement = statement.limit(40)
        return dumped(statement, self.columns(entity), (name,))

    def ask_joins(self) -> Answer:
        entity, name = self.related()
        other = orm.aliased(getattr(entity, name).property.mapper.class_)
        target = getattr(entity, name).of_type(other)
        statement = sa.select(entity.id, other.id, self.column(other)).where(self.where(entity))
        return rows(statement.join(target, isouter=self.random.random() < 0.5))

    def ask_contained(self) -> Answer:
        entity, name = self.related()
        other = orm.aliased(getattr(entity, name).property.mapper.class_)
        attribute = getattr(entity, name).of_type(other)
        statement = sa.select(entity).outerjoin(attribute).options(orm.contains_eager(attribute))
        return dumped(statement, self.columns(entity), (name,))

    def ask_full_join(self) -> Answer:
        entity = self.entity()
        other = orm.aliased(entity)
        on = entity.id == other.id + self.random.randint(1, 3)
        return rows(sa.select(entity.id, other.id, self.column(other)).join(other, on, full=True))

    def ask_exists(self) -> Answer:
        entity, name = self.related()
        attribute = getattr(entity, name)
        other = attribute.property.mapper.class_
        other = other if other is not entity else None
        inner = self.where(other) if other is not None else None
        found = attribute.any(inner) if attribute.property.uselist else attribute.has(inner)
        return rows(sa.select(entity.id).where(sa.not_(found) if self.random.random() < 0.5 else found))

    def ask_subquery(self) -> Answer:
        entity, other = self.entity(), self.entity()
        inner = self.subquery(other).subquery()
        return rows(sa.select(entity.id, inner.c.x).outerjoin(inner, inner.c.id == entity.id))

    def ask_in(self) -> Answer:
        entity, other = self.entity(), self.entity()
        ids = sa.select(orm.aliased(other).id)
        return rows(sa.select(entity.id).where(entity.id.not_in(ids), self.where(entity)))

    def ask_cte(self) -> Answer:
        entity, other = self.entity(), self.entity()
        inner = self.subquery(other).cte("found")
        return rows(sa.select(entity.id, inner.c.x).join(inner, inner.c.id == entity.id))

    def ask_recursive(self) -> Answer:
        entity = self.entity()
        start = sa.select(entity.id.label("id")).where(self.where(entity)).cte("walk", recursive=True)
        next_ = orm.aliased(entity)
        walk = start.union(sa.select(next_.id).join(start, next_.id == start.c.id + 7))
        return rows(sa.select(walk.c.id))

    def ask_scalar_subquery(self) -> Answer:
        entity, other = self.entity(), orm.aliased(self.entity())
        count = sa.select(sa.func.count()).select_from(other).where(other.id < entity.id).scalar_subquery()
        return rows(sa.select(entity.id, count).limit(None).where(entity.id < 60))

    def ask_lateral(self) -> Answer:
        entity, other = self.entity(), orm.aliased(self.entity())
        last = sa.select(sa.func.max(other.id).label("top")).where(other.id < entity.id).lateral("last")
        return rows(sa.select(entity.id, last.c.top).join(last, sa.true()).where(entity.id < 60))

    def ask_union(self) -> Answer:
        one, two = self.entity(), self.entity()
        kind: Any = self.random.choice((sa.union, sa.union_all, sa.intersect, sa.except_))
        return rows(kind(sa.select(one.id), sa.select(two.id).where(self.where(two))))

    def ask_count(self) -> Answer:
        entity = self.entity()
        column = self.plain(entity)
        if self.random.random() < 0.5:
            return rows(sa.select(sa.func.count()).select_from(entity))
        return rows(sa.select(column, sa.func.count(), sa.func.min(entity.id)).group_by(column))

    def ask_window(self) -> Answer:
        entity = self.entity()
        number = sa.func.row_number().over(order_by=entity.id)
        return rows(sa.select(entity.id, number))

    def ask_table(self) -> Answer:
        entity = self.entity()
        table = entity.__table__
        names = [
            table.c[c.property.columns[0].name] for c in (getattr(entity, n) for n in self.columns(entity))
        ]
        return rows(sa.select(*names))

    def ask_star(self) -> Answer:
        entity = self.entity()
        return rows(sa.select(sa.func.count(sa.literal_column("*"))).select_from(entity.__table__.alias("a")))

    def ask_named_table(self) -> Answer:
        entity = self.entity()
        table = sa.table(entity.__tablename__, sa.column("id"), sa.column("write_date"))
        return rows(sa.select(table.c.id, table.c.write_date))

    def ask_relation_table(self) -> Answer:
        while True:
            entity, name = self.related()
            secondary = getattr(entity, name).property.secondary
            if secondary is not None:
                return rows(sa.select(*secondary.c))

    def ask_query(self) -> Answer:
        entity, columns = self.entity(), None
        columns = self.columns(entity)
        criterion = self.where(entity)

        def ask(session: orm.Session) -> Any:
            found = session.query(entity).filter(criterion).order_by(entity.id.desc()).limit(30)
            return [[repr(getattr(o, c)) for c in columns] for o in found]

        return ask

    def ask_get(self) -> Answer:
        entity = self.entity()
        ids = [self.random.randint(1, 400) for _ in range(20)]

        def ask(session: orm.Session) -> Any:
            found = [session.get(entity, i) for i in ids]
            return [o and o.id for o in found]

        return ask

    def ask_locked(self) -> Answer:
        entity = self.entity()
        return rows(sa.select(entity.id).where(self.where(entity)).with_for_update())

    def ask_from_statement(self) -> Answer:
        entity = self.entity()
        names = [getattr(entity, n) for n in self.columns(entity)]
        inner = sa.select(entity).options(orm.load_only(*names)).where(self.where(entity))
        return dumped(sa.select(entity).from_statement(inner), ("id",), ())

    def ask_bundle(self) -> Answer:
        entity = self.entity()
        bundle: Any = orm.Bundle("both", entity.id, self.column(entity))
        return rows(sa.select(bundle))

    def ask_yield_per(self) -> Answer:
        entity = self.entity()
        statement = sa.select(entity).where(self.where(entity)).execution_options(yield_per=10)
        return lambda session: sorted(o.id for o in session.scalars(statement))


def rows(statement: Any) -> Answer:
    """The rows of a statement, in any order."""
    return lambda session: sorted(repr(tuple(row)) for row in session.execute(statement))


def dumped(statement: Any, columns: Sequence[str], relations: Sequence[str]) -> Answer:
    """The objects of a statement: their columns, and the ids at the end of relationships."""

    def dump(entity: Any) -> str:
        values = [repr(getattr(entity, name)) for name in columns]
        for name in relations:
            found = getattr(entity, name)
            many = found if isinstance(found, list) else [found]
            values.append(repr(sorted(o.id for o in many if o is not None)))
        return repr(values)

    return lambda session: sorted(dump(o) for o in session.scalars(statement).unique())
