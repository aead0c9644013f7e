"""How the policy in a database stands: changed by hand, behind the application, or as it should be.

Three questions, each by itself: does PostgreSQL hold what was applied (`drift`), would applying now
change anything (`pending`), and do the users of the application and the roles match.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

import psycopg

from vallum.enforce.roles.apply import Changes, changes
from vallum.enforce.roles.catalogue import Drift, drift, has_table, is_applied
from vallum.enforce.roles.expressions import HELPERS
from vallum.enforce.roles.plan import Locked, Plan
from vallum.policy import Directory

__all__ = ["Choice", "Count", "LoginState", "Status", "by_kind", "choose", "chosen", "status"]

Connection: TypeAlias = psycopg.Connection[Any]
_CHOSEN: Final = f"""
CREATE TABLE IF NOT EXISTS {HELPERS}.chosen (user_id integer PRIMARY KEY);
CREATE TABLE IF NOT EXISTS {HELPERS}.options (name text PRIMARY KEY)
"""


@dataclass(frozen=True, slots=True)
class Choice:
    """What whoever applied has asked for: the users (None: all), and whether their roles may write.

    `forced`: even in an Odoo database.
    """

    users: tuple[int, ...] | None = None
    writable: bool = False
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Count:
    """How many things of a kind a plan makes, makes anew and undoes."""

    kind: str
    new: int
    changed: int
    gone: int


@dataclass(frozen=True, slots=True)
class LoginState:
    """A role that may sign in; `login` is None where its user is gone."""

    login: str | None
    role: str
    valid_until: datetime | None


@dataclass(frozen=True, slots=True)
class Status:
    """The state of the policy in a database. `passing`: who has groups for a time, which roles do not get."""

    applied: bool
    drift: tuple[Drift, ...]
    pending: Changes | None
    without_role: tuple[str, ...]
    without_user: tuple[str, ...]
    locked: tuple[Locked, ...]
    logins: tuple[LoginState, ...]
    users: int
    read_only: tuple[Locked, ...] = ()
    writable: bool = False
    passing: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether the database holds the policy, and today's."""
        behind = self.pending is not None and not self.pending.is_empty
        return self.applied and not (self.drift or behind or self.without_role or self.without_user)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "applied": self.applied,
            "clean": self.is_clean,
            "users": self.users,
            "writable": self.writable,
            "drift": [found.as_dict() for found in self.drift],
            "pending": [] if self.pending is None else pending(self.pending),
            "users_without_role": list(self.without_role),
            "roles_without_user": list(self.without_user),
            "locked": [{"model": at.model, "reason": at.reason} for at in self.locked],
            "read_only": [{"model": at.model, "reason": at.reason} for at in self.read_only],
            "groups_for_a_time": list(self.passing),
            "logins": [
                {"login": at.login, "role": at.role, "valid_until": at.valid_until} for at in self.logins
            ],
        }


def status(connection: Connection, plan: Plan, directory: Directory, users: Iterable[int] | None) -> Status:
    """Compare a database with a plan and with the users it is for; None: all active ones."""
    if not is_applied(connection):
        return Status(False, (), None, (), (), plan.locked, (), 0)
    rows = connection.execute(f"SELECT user_id, role_name::text FROM {HELPERS}.users").fetchall()  # noqa: S608
    roles: Mapping[int, str] = dict(rows)
    wanted = None if users is None else set(users)
    people = {u.id: u.login for u in directory if u.active and u.id != 1}
    asked = {i: login for i, login in people.items() if wanted is None or i in wanted}
    return Status(
        True,
        drift(connection, plan.names, plan.schema),
        changes(connection, plan),
        tuple(login for i, login in asked.items() if i not in roles),
        tuple(role for i, role in sorted(roles.items()) if i not in people),
        plan.locked,
        tuple(_logins(connection, roles, directory)),
        len(roles),
        plan.read_only,
        plan.writable,
    )


def by_kind(todo: Changes) -> list[Count]:
    """The number of things per kind, in the order of making."""
    made = {(item.kind, item.name) for item in todo.make}
    undone = {(kind, name) for kind, name, _ in todo.undo}
    kinds = dict.fromkeys([*(item.kind for item in todo.make), *(kind for kind, _, _ in todo.undo)])
    return [
        Count(
            kind,
            sum(1 for k, _ in made - undone if k == kind),
            sum(1 for k, _ in made & undone if k == kind),
            sum(1 for k, _ in undone - made if k == kind),
        )
        for kind in kinds
    ]


def pending(todo: Changes) -> list[dict[str, str]]:
    """What applying would do, one by one."""
    made = {(item.kind, item.name): None for item in todo.make}
    undone = {(kind, name): None for kind, name, _ in todo.undo}
    words = {(True, False): "new", (True, True): "changed", (False, True): "gone"}
    return [
        {"kind": kind, "name": name, "change": words[(kind, name) in made, (kind, name) in undone]}
        for kind, name in {**made, **undone}
    ]


def chosen(connection: Connection) -> Choice:
    """What the last apply was asked to keep to."""
    users: tuple[int, ...] = ()
    options: set[str] = set()
    if has_table(connection, "chosen"):
        rows = connection.execute(f"SELECT user_id FROM {HELPERS}.chosen ORDER BY 1").fetchall()  # noqa: S608
        users = tuple(user for (user,) in rows)
    if has_table(connection, "options"):
        names = connection.execute(f"SELECT name FROM {HELPERS}.options").fetchall()  # noqa: S608
        options = {name for (name,) in names}
    return Choice(users or None, "writable" in options, "forced" in options)


def choose(connection: Connection, choice: Choice) -> None:
    """Write down what later applies keep to."""
    connection.execute(_CHOSEN)
    connection.execute(f"TRUNCATE {HELPERS}.chosen, {HELPERS}.options")
    connection.cursor().executemany(
        f"INSERT INTO {HELPERS}.chosen VALUES (%s)",  # noqa: S608
        [(user,) for user in choice.users or ()],
    )
    options = [name for name in ("writable", "forced") if getattr(choice, name)]
    connection.cursor().executemany(
        f"INSERT INTO {HELPERS}.options VALUES (%s)",  # noqa: S608
        [(name,) for name in options],
    )


def _logins(connection: Connection, roles: Mapping[int, str], directory: Directory) -> Iterable[LoginState]:
    # An end in the far future is none: `infinity` has no place in Python's calendar.
    rows = connection.execute(
        "SELECT rolname::text, CASE WHEN isfinite(rolvaliduntil) THEN rolvaliduntil END FROM pg_roles"
        " WHERE rolcanlogin AND rolname = ANY (%s)",
        (list(roles.values()),),
    ).fetchall()
    until = dict(rows)
    for user_id, role in sorted(roles.items()):
        if role in until:
            user = directory.get(user_id)
            yield LoginState(user.login if user else None, role, until[role])
