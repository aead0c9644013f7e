"""What every user may write, create and unlink, held against a reader that knows no SQL.

The policy's scopes are evaluated over plain rows; each call runs inside a transaction that is rolled back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any, Final

import pytest
from psycopg import sql

import vallum
from tests.support.undone import undone
from vallum.domain import root
from vallum.domain.predicate import MemoryStore, filter_ids
from vallum.kernel import AccessDenied, Operation, UnknownRecord
from vallum.policy import decide, may_read_field
from vallum.schema import Column, Field, Model

SEED: Final = 20261125
TEXTS: Final = ("char", "text", "html")


class World:
    """All rows of the company, and what the policy says of them without a database."""

    def __init__(self, shop: vallum.Vallum) -> None:
        self.shop, self.application = shop, shop.application
        self.tables = {m.table: self._rows(m.table) for m in shop.schema.models.values()}
        fields = [f for m in shop.schema.models.values() for f in m.fields.values()]
        names = {f.relation for f in fields if f.type == "many2many" and f.relation}
        self.links = {name: self._rows(name) for name in names}

    def _rows(self, table: str) -> list[dict[str, Any]]:
        statement = sql.SQL("SELECT to_jsonb(t), t.* FROM {} t").format(sql.Identifier(table))
        with self.application.database.transaction() as connection:
            cursor = connection.execute(statement)
            names = [c.name for c in cursor.description or ()][1:]
            return [dict(zip(names, row[1:], strict=True)) for row in cursor.fetchall()]

    def column(self, field: Field) -> Column | None:
        assert self.application.storage is not None
        return self.application.storage.of(field.model).get(field.name)

    def unique(self, field: Field) -> bool:
        assert self.application.storage is not None
        return any(
            c.model == field.model and c.kind == "unique" and field.name in c.fields
            for c in self.application.storage.constraints.values()
        )

    def granted(self, user: vallum.Session, model: str, operation: Operation) -> bool:
        assert user.actor is not None
        return decide(self.application.policy, user.actor, operation, model).allowed

    def in_scope(
        self, user: vallum.Session, model: Model, operation: Operation, new: Mapping[str, Any] | None = None
    ) -> set[int]:
        """The ids within the scope; `new`: a row that is there as well."""
        assert user.actor is not None
        tables: dict[str, list[Mapping[str, Any]]] = {n: list(rows) for n, rows in self.tables.items()}
        if new is not None:
            tables[model.table].append(new)
        scope = self.application.access(user.actor).scope(model.name, operation)
        env = self.application.env(user.actor, active_test=False).sudo()
        condition = self.application.lowering.lower(model, scope.domain, env, root(model))
        return set(filter_ids(model, condition, MemoryStore.of(tables, self.links)))


def text_field(world: World, user: vallum.Session, model: Model) -> Field | None:
    """A field that the user may set to a text, whatever others have there."""
    assert user.actor is not None
    for field in model.fields.values():
        column = world.column(field)
        if column is None or field.type not in TEXTS or field.readonly or field.name == "parent_path":
            continue
        free = (column.size or 99) > 8 and not world.unique(field)
        if free and may_read_field(world.application.policy, user.actor, field):
            return field
    return None


@pytest.mark.parametrize("operation", [Operation.WRITE, Operation.UNLINK])
def test_writes_and_unlinks_reach_the_scope_and_nothing_else(
    shop: vallum.Vallum, operation: Operation
) -> None:
    """For every user and model: single records, sets within the scope, and sets with one id out of it."""
    world, random = World(shop), Random(SEED)  # noqa: S311 - the same in every run
    outcomes = {True: 0, False: 0}
    for person in shop.users:
        user = shop.as_user(person.id, companies=person.company_ids)
        for model in shop.schema.models.values():
            rows = [row["id"] for row in world.tables[model.table]]
            superuser = person.id == 1
            granted = superuser or world.granted(user, model.name, operation)
            allowed = set(rows) if superuser else world.in_scope(user, model, operation)
            inside, outside = sorted(allowed), sorted(set(rows) - allowed)
            for ids in _samples(random, inside, outside):
                expected = granted and set(ids) <= allowed
                assert _done(world, user, model, operation, ids) is expected, (
                    person.login,
                    model.name,
                    ids,
                )
                outcomes[expected] += 1
    assert min(outcomes.values()) > 60


def _samples(random: Random, inside: list[int], outside: list[int]) -> Iterator[list[int]]:
    if inside:
        yield random.sample(inside, min(len(inside), 4))
    if outside:
        yield [random.choice(outside)]
    if inside and outside:
        mixed = [*random.sample(inside, min(len(inside), 3)), random.choice(outside)]
        random.shuffle(mixed)
        yield mixed
    yield [10**6]


def _done(
    world: World, user: vallum.Session, model: Model, operation: Operation, ids: list[int]
) -> bool | None:
    """Whether all of the records were changed; None where others were, or only some."""
    assert user.actor is not None
    database, field = world.application.database, text_field(world, user, model)
    before = {row["id"]: row for row in world.tables[model.table]}
    with undone(world.shop):
        try:
            if operation is Operation.WRITE:
                user.write(model.name, ids, {} if field is None else {field.name: "changed"})
            else:
                # Whether other records refer to them is another matter.
                database.rows("SET LOCAL session_replication_role = replica")
                user.unlink(model.name, ids)
        except (AccessDenied, UnknownRecord):
            return False
        found = {
            row[0]: row[1]
            for row in database.rows(
                sql.SQL("SELECT id, to_jsonb(t) FROM {} t").format(sql.Identifier(model.table))
            )
        }
    if operation is Operation.UNLINK:
        return True if set(before) - set(found) == set(ids) else None
    if field is None:
        return True
    changed = {i for i, row in found.items() if "changed" in str(row[field.name])}
    stamped = {i for i in found if _differs(before[i], found[i])}
    return True if changed == stamped == set(ids) and set(found) == set(before) else None


def _differs(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether somebody has written the row."""
    return str(after["write_date"]) != (before["write_date"].isoformat() if before["write_date"] else "None")


def test_creations_pass_where_the_new_record_is_in_scope(shop: vallum.Vallum) -> None:
    """For every user and model: a record like a random one, with people, companies and states of others."""
    world, random = World(shop), Random(SEED)  # noqa: S311 - the same in every run
    outcomes = {True: 0, False: 0}
    for person in shop.users:
        if person.id == 1:
            continue
        user = shop.as_user(person.id, companies=person.company_ids)
        readable = {m.name: _readable(world, user, m) for m in shop.schema.models.values()}
        for model in shop.schema.models.values():
            for _ in range(4):
                values = _values(world, random, model)
                expected = _creatable(world, user, model, values, readable)
                assert _created(shop, user, model, values) is expected, (person.login, model.name, values)
                outcomes[expected] += 1
    assert min(outcomes.values()) > 60


def _created(shop: vallum.Vallum, user: vallum.Session, model: Model, values: Mapping[str, Any]) -> bool:
    with undone(shop):
        try:
            user.create(model.name, _as_given(model, values))
        except AccessDenied:
            return False
    return True


def _readable(world: World, user: vallum.Session, model: Model) -> set[int]:
    if not world.granted(user, model.name, Operation.READ):
        return set()
    return world.in_scope(user, model, Operation.READ)


def _values(world: World, random: Random, model: Model) -> dict[str, Any]:
    """Columns of a row like a random one; sometimes with fields that few may set."""
    rows = world.tables[model.table]
    values: dict[str, Any] = {}
    restricted = random.random() < 0.2
    for field in model.fields.values():
        column = (
            world.application.storage.of(model.name).get(field.name) if world.application.storage else None
        )
        if (
            column is None
            or field.readonly
            or field.name == "parent_path"
            or (field.groups and not restricted)
        ):
            continue
        value = random.choice(rows)[field.name]
        if world.unique(field):
            value = str(random.randrange(10**4, 10**5))
        if value is not None:
            values[field.name] = value
    return values


def _as_given(model: Model, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as a caller gives them: a text instead of one per language."""
    given: dict[str, Any] = {}
    for name, value in values.items():
        field = model.fields[name]
        if field.company_dependent:
            given[name] = 12.5
        else:
            given[name] = "Text" if field.translate else value
    return given


def _creatable(
    world: World,
    user: vallum.Session,
    model: Model,
    values: Mapping[str, Any],
    readable: Mapping[str, set[int]],
) -> bool:
    assert user.actor is not None
    policy = world.application.policy
    if not world.granted(user, model.name, Operation.CREATE):
        return False
    if not all(may_read_field(policy, user.actor, model.fields[name]) for name in values):
        return False
    for name, value in values.items():
        field = model.fields[name]
        if field.type == "many2one" and value not in readable[field.comodel or ""]:
            return False
    (number,) = world.application.database.rows(f"SELECT last_value FROM {model.table}_id_seq")[0]
    new = dict.fromkeys(world.tables[model.table][0])
    defaults = user.default_get(model.name)
    new.update({n: v for n, v in defaults.items() if n not in values})
    new.update({**values, "id": number + 1, "create_uid": user.actor.user_id})
    if model.parent_store:
        paths = {row["id"]: row["parent_path"] for row in world.tables[model.table]}
        new["parent_path"] = f"{paths.get(values.get('parent_id'), '')}{new['id']}/"
    return new["id"] in world.in_scope(user, model, Operation.CREATE, new)
