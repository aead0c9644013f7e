"""The policy inside PostgreSQL, of an opened application: plan, apply, status, drop, logins.

Each of them opens a connection of its own, and closes it. Whoever may do this decides who sees what.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import psycopg

from vallum.enforce import Application
from vallum.enforce.roles import apply as core
from vallum.enforce.roles import login as logins
from vallum.enforce.roles import pooler as pooling
from vallum.enforce.roles.advise import Advice, advise
from vallum.enforce.roles.apply import Changes, changes
from vallum.enforce.roles.catalogue import (
    Drift,
    drift,
    foreign_entries,
    is_applied,
    read_entries,
    remember,
)
from vallum.enforce.roles.found import (
    Relation,
    RolesRefused,
    is_open,
    read_relations,
    side_doors,
    taken_roles,
)
from vallum.enforce.roles.leftovers import sweep
from vallum.enforce.roles.login import Login
from vallum.enforce.roles.names import RoleNames
from vallum.enforce.roles.order import renumber
from vallum.enforce.roles.plan import Plan, make_plan
from vallum.enforce.roles.pooler import Pooler
from vallum.enforce.roles.status import Choice, Status, choose, chosen, status
from vallum.facade.roles_connection import LOCK_TIMEOUT, again, connection_to, drop_roles, schema_of
from vallum.kernel import NO_PROGRESS, Progress, few
from vallum.postgres import redact

__all__ = ["LOCK_TIMEOUT", "Applied", "Proposal", "Roles", "Users", "drop_roles"]

Connection: TypeAlias = psycopg.Connection[Any]
Users: TypeAlias = Iterable[str | int] | Literal["all"] | None


@dataclass(frozen=True, slots=True)
class Proposal:
    """What applying now would do. Where `drift` is ours to repair, everything is made anew."""

    plan: Plan
    changes: Changes
    drift: tuple[Drift, ...]

    @property
    def repairs(self) -> bool:
        """Whether something was changed by hand that applying puts right."""
        return _is_repaired(self.drift)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return self.changes.is_empty and not self.repairs


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done. `left`: what others have made, which Vallum does not touch."""

    plan: Plan
    changes: Changes
    repaired: tuple[Drift, ...]
    left: tuple[Drift, ...]


class Roles:
    """Roles, GRANT and row level security for the users of an application."""

    def __init__(self, application: Application) -> None:
        # Nobody is there to take a role away in time.
        self._application = application.lasting()
        self._now = application

    @property
    def database(self) -> str:
        """The name of the database. Raises: ConnectionFailed."""
        return str(self._application.database.rows("SELECT current_database()")[0][0])

    def plan(
        self,
        users: Users = None,
        *,
        writable: bool | None = None,
        force: bool = False,
        progress: Progress = NO_PROGRESS,
    ) -> Proposal:
        """What applying would change. `users`: who gets a role; None: as at the last apply, else everyone.

        `writable`: whether roles may write what their users may, or only read; None: as at the last apply,
        else only read. On an Odoo database it takes `force`.

        Raises: ConnectionFailed, RolesRefused, UnknownUser.
        """
        with self._connection() as connection:
            choice = self._choice(connection, users, writable, force)
            plan, _ = self._plan(connection, choice, progress)
            found = drift(connection, plan.names, plan.schema)
            todo = Changes((), plan.items, True) if _is_repaired(found) else changes(connection, plan)
            return Proposal(plan, todo, found)

    def apply(
        self,
        users: Users = None,
        *,
        writable: bool | None = None,
        force: bool = False,
        lock_timeout: float = LOCK_TIMEOUT,
        progress: Progress = NO_PROGRESS,
    ) -> Applied:
        """Bring the database to the policy, in one transaction; later applies keep to `users` and `writable`.

        `lock_timeout`: seconds to wait for a table that others are using, so as not to hold them up;
        tried some times over.

        Raises: ConnectionFailed, RolesRefused, TablesInUse, UnknownUser. Nothing is changed then.
        """
        with self._connection(readonly=False) as connection:

            def once() -> Applied:
                with connection.transaction():
                    core.wait_for_locks(connection, lock_timeout)
                    core.alone(connection)
                    choice = self._choice(connection, users, writable, force)
                    plan, relations = self._plan(connection, choice, progress)
                    if not any(relation.mine for relation in relations.values()):
                        raise RolesRefused(
                            "none of the tables belongs to the role of the connection",
                            where=redact(self._application.database.dsn),
                            fix="connect as the owner of the tables with CREATEROLE, or as a superuser",
                        )
                    return self._apply(connection, plan, choice, progress)

            return again(connection, once)

    def applied(self) -> bool:
        """Whether the policy was ever applied to roles here; much sooner told than all of `status`.

        Raises: ConnectionFailed.
        """
        with self._connection() as connection:
            return is_applied(connection)

    def status(self, *, progress: Progress = NO_PROGRESS) -> Status:
        """Whether the database still holds the policy, and today's.

        Raises: ConnectionFailed, RolesRefused.
        """
        with self._connection() as connection:
            choice = self._choice(connection, None, None, True)
            plan, _ = self._plan(connection, choice, progress)
            found = status(connection, plan, self._application.directory, choice.users)
            return replace(found, passing=self._passing())

    def drop(self, *, lock_timeout: float = LOCK_TIMEOUT) -> int:
        """Undo everything, roles and logins included; says how much it was.

        Raises: ConnectionFailed, RolesRefused, TablesInUse. Nothing is changed then.
        """
        return drop_roles(self._application.database.dsn, lock_timeout=lock_timeout)

    def login(self, who: str | int, valid_days: int | None = 90) -> Login:
        """Let a user's role sign in with a new password for `valid_days` days; None: by certificate alone.

        Raises: ConnectionFailed, RolesRefused, UnknownUser, NoLogin.
        """
        user = self._application.directory.find(who)
        now = self._application.clock.now()
        with self._connection(readonly=False) as connection:
            return logins.log_in(connection, self._names(connection), user, now=now, valid_days=valid_days)

    def disable(self, who: str | int) -> int:
        """Shut a user's login and end its sessions; says how many those were.

        Raises: ConnectionFailed, RolesRefused, UnknownUser, NoLogin.
        """
        user = self._application.directory.find(who)
        with self._connection(readonly=False) as connection:
            return logins.disable(connection, self._names(connection), user)

    def pooler(self, role: str) -> Pooler:
        """Let a role act for users by a signed setting, from the next apply on; again: with a new key.

        Raises: ConnectionFailed, RolesRefused, PoolerRefused.
        """
        with self._connection(readonly=False) as connection:
            return pooling.register(connection, role)

    def unpool(self, role: str) -> bool:
        """Let a role act for nobody any more, at once; says whether it was a pooler.

        Raises: ConnectionFailed, RolesRefused.
        """
        with self._connection(readonly=False) as connection:
            return pooling.remove(connection, role)

    def advise(
        self, *, rows: int = 10_000, measure: bool = False, progress: Progress = NO_PROGRESS
    ) -> Advice:
        """The indexes that rules want on tables of at least `rows` rows, and those they cost users.

        `measure`: make each index, time a count as a user, and roll back; writers of the table wait.

        Raises: ConnectionFailed, RolesRefused.
        """
        with self._connection(readonly=not measure) as connection:
            return advise(
                connection,
                self._application,
                rows,
                schema=schema_of(connection, [m.table for m in self._application.schema.models.values()]),
                measure=measure,
                progress=progress,
            )

    def _apply(self, connection: Connection, plan: Plan, choice: Choice, progress: Progress) -> Applied:
        found = drift(connection, plan.names, plan.schema)
        kept, keys = logins.hold(connection, plan.names), pooling.keys(connection)
        if _is_repaired(found):
            core.drop(connection, plan.schema)
        if not is_applied(connection):
            sweep(connection, plan.names, plan.schema)
        foreign = foreign_entries(connection, plan.names, plan.schema)
        done = core.apply(connection, plan, progress=progress)
        if chosen(connection) != choice:
            choose(connection, choice)
        if done.is_empty:
            return Applied(plan, done, (), found)
        renumber(connection, plan.items)
        logins.restore(connection, kept)
        pooling.keep(connection, keys)
        remember(connection, read_entries(connection, plan.names, plan.schema), foreign)
        repaired = tuple(d for d in found if d.change != "foreign")
        return Applied(plan, done, repaired, drift(connection, plan.names, plan.schema))

    def _plan(
        self, connection: Connection, choice: Choice, progress: Progress
    ) -> tuple[Plan, dict[str, Relation]]:
        self._application.forget()
        tables = [m.table for m in self._application.schema.models.values() if not m.abstract]
        schema = schema_of(connection, tables)
        relations = read_relations(connection, schema)
        # Somebody chosen once and dismissed since has no role any more.
        active = {user.id for user in self._application.directory if user.active}
        users = None if choice.users is None else [user for user in choice.users if user in active]
        plan = make_plan(
            self._application,
            relations,
            self._names(connection),
            schema=schema,
            users=users,
            writable=choice.writable,
            force=choice.forced,
            taken=taken_roles(connection, self._names(connection)),
            poolers=pooling.poolers(connection),
            progress=progress,
        )
        doors = side_doors(connection, schema)
        if passing := self._passing():
            doors.append(f"groups given for a time do not count in PostgreSQL: {few(passing)}")
        if is_open(connection, schema):
            doors.append(f"everybody may make tables and functions in {schema}: REVOKE CREATE from PUBLIC")
        return (replace(plan, warnings=(*plan.warnings, *doors)) if doors else plan), relations

    def _choice(self, connection: Connection, users: Users, writable: bool | None, force: bool) -> Choice:
        """What is asked for now; where nothing is, what was asked for last."""
        last = chosen(connection)
        if users == "all":
            ids = None
        elif users is None:
            ids = last.users
        else:
            ids = tuple(sorted({self._application.directory.find(who).id for who in users}))
        wanted = last.writable if writable is None else writable
        # Forced once is forced: else a re-apply by a timer would fail.
        return Choice(ids, wanted, wanted and (force or last.forced))

    def _passing(self) -> tuple[str, ...]:
        """The logins of those who have groups now that will end by themselves."""
        lasting = {user.id: user.groups for user in self._application.directory}
        return tuple(u.login for u in self._now.directory if u.active and u.groups != lasting.get(u.id))

    @staticmethod
    def _names(connection: Connection) -> RoleNames:
        return RoleNames.of(connection.info.dbname)

    def _connection(self, *, readonly: bool = True) -> AbstractContextManager[Connection]:
        return connection_to(self._application.database.dsn, readonly=readonly)


def _is_repaired(found: Iterable[Drift]) -> bool:
    return any(d.change != "foreign" for d in found)
