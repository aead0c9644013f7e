"""What the database has to hold for the policy to hold in it: a list of items, each with its undoing.

Pure but for the relations it is told of. Items are in the order they are made; each is
known by kind and name, and by a digest of what it says, so that a plan can be compared
with what was applied before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from vallum.domain.ast import Open
from vallum.domain.expression import Records, evaluate
from vallum.enforce.application import Application
from vallum.enforce.roles.columns import ColumnGrant, column_grants
from vallum.enforce.roles.expressions import HELPERS, Helper, Library
from vallum.enforce.roles.names import RoleNames, literal, quoted
from vallum.enforce.roles.scopes import COMPANIES, RowPolicy, RuleCompiler
from vallum.kernel import NO_PROGRESS, Progress, VallumError
from vallum.policy import Actor
from vallum.schema import Model

__all__ = ["Item", "Locked", "Plan", "Relation", "make_plan"]

VIEWS: Final = "vallum_views"
CURRENT_COMPANY: Final = Open("company_id", False)


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view as it is: kind `r`, `p`, `v` or `m`, owner, columns."""

    name: str
    kind: str
    owner: str
    columns: tuple[str, ...]
    mine: bool


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to make: the statements that do, and those that undo it."""

    kind: str
    name: str
    make: str
    undo: str

    @property
    def digest(self) -> str:
        """What tells whether the item has changed."""
        return hashlib.sha256(self.make.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Locked:
    """A table that no role may read, and why."""

    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """All items, and what is locked."""

    names: RoleNames
    items: tuple[Item, ...]
    locked: tuple[Locked, ...] = field(default=())


def make_plan(
    application: Application,
    relations: Mapping[str, Relation],
    names: RoleNames,
    *,
    schema: str = "public",
    users: Iterable[int] | None = None,
    progress: Progress = NO_PROGRESS,
) -> Plan:
    """The plan for an application. `users`: ids of those that get a role, all active ones by default."""
    library = Library(schema, places={COMPANIES: 1, CURRENT_COMPANY: 2})
    chosen = _actors(application, users)
    compiler = RuleCompiler(
        application.policy, application.schema, application.lowering, application.env(None), library
    )
    tables: list[Item] = []
    locked: list[Locked] = []
    taken: dict[str, str] = {}
    grants: dict[frozenset[int], list[tuple[str, ColumnGrant]]] = {}
    for model in application.schema.models.values():
        relation = relations.get(model.table)
        if model.abstract or relation is None:
            continue
        other = taken.setdefault(model.table, model.name)
        if other != model.name and compiler.rules(model).restricted:
            locked.append(Locked(model.name, f"it shares its table with `{other}`"))
            continue
        try:
            if other == model.name:
                tables.extend(_table(application, model, relation, compiler, names, schema))
        except VallumError as error:
            locked.append(Locked(model.name, str(error)))
            continue
        for grant in column_grants(application, model, relation.columns, chosen):
            grants.setdefault(grant.members, []).append((_target(relation, schema), grant))
    items = [
        *_roles(application, names),
        *_helpers(library.helpers.values()),
        *tables,
        *_grants(grants, names),
        *_users(application, chosen, names, grants, library, progress),
    ]
    return Plan(names, tuple(items), tuple(locked))


def _actors(application: Application, users: Iterable[int] | None) -> list[Actor]:
    wanted = None if users is None else set(users)
    return [
        application.actor(user.id, sorted(user.company_ids) or None)
        for user in application.directory
        if (user.active if wanted is None else user.id in wanted) and user.id != 1
    ]


def _roles(application: Application, names: RoleNames) -> list[Item]:
    everyone = quoted(names.everyone)
    items = [_role(names.everyone), Item("schema", VIEWS, f"CREATE SCHEMA {VIEWS}; GRANT USAGE ON SCHEMA {VIEWS} TO {everyone}", f"DROP SCHEMA IF EXISTS {VIEWS} CASCADE")]  # fmt: skip
    groups = sorted(application.policy.groups.values(), key=lambda g: g.id)
    items.extend(_role(names.group(g.id)) for g in groups)
    for group in groups:
        for implied in sorted(group.implied):
            items.append(_membership(names.group(implied), names.group(group.id)))
    return items


def _role(name: str) -> Item:
    role = quoted(name)
    make = f"CREATE ROLE {role} NOLOGIN INHERIT; COMMENT ON ROLE {role} IS 'made by Vallum'"
    return Item("role", name, make, f"DROP OWNED BY {role}; DROP ROLE {role}")


def _membership(role: str, member: str) -> Item:
    make = f"GRANT {quoted(role)} TO {quoted(member)}"
    return Item("membership", f"{member} in {role}", make, f"REVOKE {quoted(role)} FROM {quoted(member)}")


def _helpers(helpers: Iterable[Helper]) -> list[Item]:
    found = []
    for helper in helpers:
        body = f"$vallum$ {helper.body} $vallum$"
        make = (
            f"CREATE FUNCTION {helper.qualified}(name) RETURNS SETOF integer LANGUAGE sql STABLE SECURITY DEFINER"
            f" SET search_path = pg_catalog, pg_temp AS {body}"
        )
        found.append(Item("helper", helper.name, make, f"DROP FUNCTION IF EXISTS {helper.qualified}(name)"))
    return found


def _target(relation: Relation, schema: str) -> str:
    return quoted(VIEWS, relation.name) if relation.kind in "vm" else quoted(schema, relation.name)


def _table(
    application: Application,
    model: Model,
    relation: Relation,
    compiler: RuleCompiler,
    names: RoleNames,
    schema: str,
) -> list[Item]:
    rules = compiler.rules(model)
    table = quoted(schema, relation.name)
    if relation.kind in "vm":
        return [_view(relation, compiler, rules, schema)]
    policies = compiler.policies(rules)
    if not policies:
        return []
    items = [
        Item(
            "row security",
            relation.name,
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE IF EXISTS {table} DISABLE ROW LEVEL SECURITY",
        )
    ]
    items.extend(_policy(p, relation.name, table, names) for p in policies)
    return items


def _policy(policy: RowPolicy, relation: str, table: str, names: RoleNames) -> Item:
    kind = "PERMISSIVE" if policy.permissive else "RESTRICTIVE"
    if policy.groups is not None:
        roles = ", ".join(quoted(names.group(g)) for g in sorted(policy.groups))
    else:
        roles = quoted(names.everyone) if policy.permissive else "PUBLIC"
    name = quoted(policy.name)
    make = f"CREATE POLICY {name} ON {table} AS {kind} FOR SELECT TO {roles} USING ({policy.using})"
    return Item("policy", f"{relation}: {policy.name}", make, f"DROP POLICY IF EXISTS {name} ON {table}")


def _view(relation: Relation, compiler: RuleCompiler, rules: object, schema: str) -> Item:
    view, source = quoted(VIEWS, relation.name), quoted(schema, relation.name)
    columns = ", ".join(quoted(c) for c in relation.columns)
    make = f"CREATE VIEW {view} WITH (security_barrier) AS SELECT {columns} FROM {source}"
    if rules.restricted:  # type: ignore[attr-defined]
        helper = compiler.visible(rules)  # type: ignore[arg-type]
        make += f" WHERE id IN (SELECT {helper.qualified}(current_user))"
    return Item("view", relation.name, make, f"DROP VIEW IF EXISTS {view}")


def _grants(
    grants: Mapping[frozenset[int], Sequence[tuple[str, ColumnGrant]]], names: RoleNames
) -> list[Item]:
    items = []
    for number, members in enumerate(sorted(grants, key=sorted), 1):
        role = names.columns(number)
        items.append(_role(role))
        for target, grant in grants[members]:
            columns = "" if grant.columns is None else " (" + ", ".join(map(quoted, grant.columns)) + ")"
            make = f"GRANT SELECT{columns} ON {target} TO {quoted(role)}"
            undo = f"REVOKE SELECT{columns} ON {target} FROM {quoted(role)}"
            items.append(Item("grant", f"{target} for {grant.model} to {role}", make, undo))
    return items


def _users(
    application: Application,
    actors: Sequence[Actor],
    names: RoleNames,
    grants: Mapping[frozenset[int], object],
    library: Library,
    progress: Progress,
) -> list[Item]:
    columns = {members: names.columns(n) for n, members in enumerate(sorted(grants, key=sorted), 1)}
    items = []
    progress.start(len(actors), "users")
    for actor in actors:
        roles = [names.everyone, *(names.group(g) for g in sorted(actor.groups))]
        roles.extend(role for members, role in columns.items() if actor.user_id in members)
        items.append(_user(application, actor, names.user(actor.user_id), roles, library))
        progress.advance()
    progress.done()
    return items


def _user(application: Application, actor: Actor, name: str, roles: Sequence[str], library: Library) -> Item:
    role, text = quoted(name), literal(name)
    lines = [
        f"CREATE ROLE {role} NOLOGIN INHERIT",
        f"COMMENT ON ROLE {role} IS 'made by Vallum'",
        f"ALTER ROLE {role} SET search_path = {VIEWS}, public",
        f"GRANT {', '.join(map(quoted, roles))} TO {role}",
        f"INSERT INTO {HELPERS}.users VALUES ({text}, {actor.user_id})",
    ]
    for table, ids in (("members", sorted(actor.groups)), ("companies", sorted(actor.company_ids))):
        if ids:
            array = literal(list(ids))
            lines.append(f"INSERT INTO {HELPERS}.{table} SELECT {text}, unnest({array}::int[])")
    context = application.context(actor)
    for place, number in library.places.items():
        if number <= 2:
            continue
        value = evaluate(place.expression, context)
        ints, texts = _bound(value)
        lines.append(
            f"INSERT INTO {HELPERS}.bindings VALUES"
            f" ({text}, {number}, {literal(ints)}::int[], {literal(texts)}::text[])"
        )
    undo = f"DELETE FROM {HELPERS}.users WHERE role_name = {text}; DROP OWNED BY {role}; DROP ROLE {role}"
    return Item("user", name, "; ".join(lines), undo)


def _bound(value: object) -> tuple[list[int], list[str]]:
    """A rule's value as arrays: numbers and texts."""
    if isinstance(value, Records):
        values: list[object] = list(value.ids)
    else:
        values = list(value) if isinstance(value, list | tuple | set) else [value]
    kept = [v for v in values if v is not False and v is not None]
    ints = [int(v) for v in kept if isinstance(v, int) and not isinstance(v, bool)]
    return ints, [str(v) for v in kept if isinstance(v, str)]
