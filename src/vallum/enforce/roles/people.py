"""Roles of groups and of users, their memberships, grants, and the values rules know them by.

Pure but for the records that rules read of an actor. A user's role is made once and kept:
whoever moves between groups stays connected and keeps the password.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from vallum.domain.ast import Open
from vallum.domain.expression import evaluate
from vallum.domain.records import Records
from vallum.enforce.application import Application
from vallum.enforce.readers import Readers
from vallum.enforce.roles.columns import ColumnGrant
from vallum.enforce.roles.expressions import HELPERS, Library
from vallum.enforce.roles.items import Item, role_item
from vallum.enforce.roles.names import RoleNames, key_of, literal, quoted
from vallum.enforce.roles.tables import VIEWS
from vallum.kernel import NO_PROGRESS, Progress, UnsupportedDomain, VallumError
from vallum.policy import Actor

__all__ = ["Grants", "role_items", "user_items"]

Circle = frozenset[int]


class Grants:
    """Who may do what with which columns of what. Users who may do the same share a role."""

    def __init__(self, names: RoleNames) -> None:
        self._names = names
        self._found: dict[Circle, list[tuple[str, ColumnGrant]]] = {}

    def add(self, target: str, grant: ColumnGrant) -> None:
        """Let the members of a grant do with a relation what it says."""
        self._found.setdefault(grant.members, []).append((target, grant))

    def role_of(self, members: Circle) -> str | None:
        """The role of exactly these users, once everything is added; None where nothing is theirs alone."""
        grants = self._found.get(members)
        return self._names.columns(_key(grants)) if grants else None

    def roles(self) -> dict[str, Circle]:
        """The roles and their members. A name follows from what is granted, so that it stays."""
        return {self._names.columns(_key(grants)): members for members, grants in self._found.items()}

    def items(self) -> list[Item]:
        """The roles with their grants."""
        found = []
        for grants in self._found.values():
            name = self._names.columns(_key(grants))
            found.append(role_item(name))
            role = quoted(name)
            for target, grant in grants:
                what = f"{grant.privilege}{_columns(grant)} ON {target}"
                reading = "" if grant.privilege == "SELECT" else f"{grant.privilege} "
                title = f"{reading}{target} for {grant.model} to {name}"
                found.append(Item("grant", title, f"GRANT {what} TO {role}", f"REVOKE {what} FROM {role}"))
        return found


def _columns(grant: ColumnGrant) -> str:
    return "" if grant.columns is None else " (" + ", ".join(map(quoted, grant.columns)) + ")"


def _key(grants: Iterable[tuple[str, ColumnGrant]]) -> str:
    return key_of(f"{g.privilege} {target} {g.model} {_columns(g)}" for target, g in grants)


def role_items(
    application: Application, names: RoleNames, schema: str, ruled: Iterable[Circle], without: Circle
) -> list[Item]:
    """The role of everyone, the schema of views, the roles of groups, and of who is in none of `ruled`.

    `without`: groups that get none.
    """
    everyone = quoted(names.everyone)
    usage = "" if schema == "public" else f"; GRANT USAGE ON SCHEMA {quoted(schema)} TO {everyone}"
    items = [
        role_item(names.everyone),
        role_item(names.guard),
        Item(
            "schema",
            VIEWS,
            f"CREATE SCHEMA {VIEWS}; GRANT USAGE ON SCHEMA {VIEWS} TO {everyone}{usage}",
            f"DROP SCHEMA IF EXISTS {VIEWS} CASCADE",
        ),
    ]
    groups = [g for _, g in sorted(application.policy.groups.items()) if g.id not in without]
    items.extend(role_item(names.group(g.id)) for g in groups)
    items.extend(role_item(names.free(key_of(each))) for each in sorted(ruled, key=sorted))
    items.extend(
        _membership([names.group(implied)], names.group(group.id), names.group(implied))
        for group in groups
        for implied in sorted(group.implied - without)
    )
    return items


def _membership(roles: Sequence[str], member: str, what: str) -> Item:
    granted, role = ", ".join(map(quoted, roles)), quoted(member)
    return Item(
        "membership",
        f"{member} in {what}",
        f"GRANT {granted} TO {role}",
        f"REVOKE {granted} FROM {role}",
    )


def user_items(
    application: Application,
    actors: Sequence[Actor],
    names: RoleNames,
    schema: str,
    grants: Grants,
    ruled: Iterable[Circle],
    without: Circle,
    library: Library,
    warnings: list[str],
    progress: Progress = NO_PROGRESS,
) -> list[Item]:
    """The roles of users with their memberships and values; users of the same roles share one for these.

    Whom a rule's value cannot be read for is in no role, sees nothing, and is told of in `warnings`.
    """
    columns: dict[int, list[str]] = {}
    for role, members in grants.roles().items():
        for member in members:
            columns.setdefault(member, []).append(role)
    items, alike = [], {}
    readers = Readers(application, [actor.user_id for actor in actors])
    progress.start(len(actors), "users")
    for actor in actors:
        name = names.user(actor.user_id)
        roles = [
            *(names.group(g) for g in actor.groups - without),
            *columns.get(actor.user_id, ()),
            *(names.free(key_of(each)) for each in ruled if each.isdisjoint(actor.groups)),
        ]
        shared = names.alike(key_of(roles))
        items.append(_user(name, actor.user_id, schema))
        try:
            values = _values(application, actor, name, library.places, readers)
        except VallumError as error:
            warnings.append(f"{actor.login} gets an empty role: {error}")
        else:
            alike[shared] = sorted(roles)
            items += [_membership([names.everyone, shared], name, "its roles"), values]
        progress.advance()
    progress.done()
    shares = [
        item
        for shared, roles in sorted(alike.items())
        for item in (role_item(shared), *([_membership(roles, shared, "its roles")] if roles else ()))
    ]
    return [*shares, *items]


def _user(name: str, user_id: int, schema: str) -> Item:
    role, who = quoted(name), literal(name)
    known = f"INSERT INTO {HELPERS}.users VALUES ({who}, {user_id})"  # noqa: S608 - a quoted literal
    more = f"; ALTER ROLE {role} SET search_path = {VIEWS}, {quoted(schema)}; {known}"
    made = role_item(name, "user", more)
    forgotten = f"DELETE FROM {HELPERS}.users WHERE role_name = {who}"  # noqa: S608 - a quoted literal
    return Item(made.kind, name, made.make, f"{forgotten}; {made.undo}")


def _values(
    application: Application, actor: Actor, name: str, places: Mapping[Open, int], readers: Readers
) -> Item:
    who = literal(name)
    lines = []
    for table, ids in (("members", sorted(actor.groups)), ("companies", sorted(actor.company_ids))):
        if ids:
            lines.append(f"INSERT INTO {HELPERS}.{table} SELECT {who}, unnest({literal(ids)}::int[])")
    context = replace(application.context(actor), reader=readers.reader(actor))
    bound = []
    for place, number in places.items():
        if number > 2:
            ints, texts = _bound(evaluate(place.expression, context))
            bound.append(f"({who}, {number}, {literal(ints)}::int[], {literal(texts)}::text[])")
    if bound:
        lines.append(f"INSERT INTO {HELPERS}.bindings VALUES {', '.join(bound)}")  # noqa: S608
    undo = "; ".join(
        f"DELETE FROM {HELPERS}.{table} WHERE role_name = {who}"  # noqa: S608
        for table in ("members", "companies", "bindings")
    )
    return Item("values", name, "; ".join(lines), undo)


def _bound(value: object) -> tuple[list[int], list[str]]:
    """A rule's value as arrays: whole numbers and texts.

    Raises: UnsupportedDomain for any other value; left out it would open what `!=` and `not in` shut.
    """
    if isinstance(value, Records):
        values: list[object] = list(value.ids)
    else:
        values = list(value) if isinstance(value, list | tuple | set) else [value]
    kept = [v for v in values if v is not False and v is not None]
    ints = [v for v in kept if isinstance(v, int) and not isinstance(v, bool)]
    texts = [v for v in kept if isinstance(v, str)]
    if len(ints) + len(texts) < len(kept):
        raise UnsupportedDomain("a rule takes a value from the user that is no id, number or text")
    return ints, texts
