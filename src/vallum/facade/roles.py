"""The policy inside PostgreSQL, of an opened application: plan, apply, status, drop, logins.

Each of them opens a connection of its own, and closes it. Whoever may do this decides who sees what.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import psycopg

from vallum.enforce import Application
from vallum.enforce.roles import apply as core
from vallum.enforce.roles import login as logins
from vallum.enforce.roles.advise import Advice, advise
from vallum.enforce.roles.apply import Changes, changes
from vallum.enforce.roles.catalogue import Drift, drift, foreign_entries, read_entries, remember
from vallum.enforce.roles.found import Relation, RolesRefused, read_relations
from vallum.enforce.roles.login import Login
from vallum.enforce.roles.names import RoleNames
from vallum.enforce.roles.plan import Plan, make_plan
from vallum.enforce.roles.repair import clear, renumber
from vallum.enforce.roles.status import Choice, Status, choose, chosen, status
from vallum.kernel import NO_PROGRESS, Progress
from vallum.postgres import connect, redact

__all__ = ["Applied", "Proposal", "Roles", "Users"]

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
        self._application = application

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
            found = drift(connection, plan.names)
            todo = Changes((), plan.items, True) if _is_repaired(found) else changes(connection, plan)
            return Proposal(plan, todo, found)

    def apply(
        self,
        users: Users = None,
        *,
        writable: bool | None = None,
        force: bool = False,
        progress: Progress = NO_PROGRESS,
    ) -> Applied:
        """Bring the database to the policy, in one transaction; later applies keep to `users` and `writable`.

        Raises: ConnectionFailed, RolesRefused, UnknownUser. Nothing is changed then.
        """
        with self._connection(readonly=False) as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('vallum.roles'))")
            choice = self._choice(connection, users, writable, force)
            plan, relations = self._plan(connection, choice, progress)
            if not any(relation.mine for relation in relations.values()):
                raise RolesRefused(
                    "none of the tables belongs to the role of the connection",
                    where=redact(self._application.database.dsn),
                    fix="connect as the owner of the tables with CREATEROLE, or as a superuser",
                )
            return self._apply(connection, plan, choice, progress)

    def status(self, *, progress: Progress = NO_PROGRESS) -> Status:
        """Whether the database still holds the policy, and today's.

        Raises: ConnectionFailed, RolesRefused.
        """
        with self._connection() as connection:
            choice = self._choice(connection, None, None, True)
            plan, _ = self._plan(connection, choice, progress)
            return status(connection, plan, self._application.directory, choice.users)

    def drop(self) -> int:
        """Undo everything, roles and logins included; says how much it was.

        Raises: ConnectionFailed, RolesRefused. Nothing is changed then.
        """
        with self._connection(readonly=False) as connection:
            return clear(connection)

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

    def advise(
        self, *, rows: int = 10_000, measure: bool = False, progress: Progress = NO_PROGRESS
    ) -> Advice:
        """The indexes that rules want on tables of at least `rows` rows, and those they cost users.

        `measure`: make each index, time a count as a user, and roll back; writers of the table wait.

        Raises: ConnectionFailed, RolesRefused.
        """
        with self._connection(readonly=not measure) as connection:
            return advise(connection, self._application, rows, measure=measure, progress=progress)

    def _apply(self, connection: Connection, plan: Plan, choice: Choice, progress: Progress) -> Applied:
        found = drift(connection, plan.names)
        kept = logins.hold(connection, plan.names)
        if _is_repaired(found):
            clear(connection)
        foreign = foreign_entries(connection, plan.names)
        done = core.apply(connection, plan, progress=progress)
        if chosen(connection) != choice:
            choose(connection, choice)
        if done.is_empty:
            return Applied(plan, done, (), found)
        renumber(connection, plan.items)
        logins.restore(connection, kept)
        remember(connection, read_entries(connection, plan.names), foreign)
        repaired = tuple(d for d in found if d.change != "foreign")
        return Applied(plan, done, repaired, drift(connection, plan.names))

    def _plan(
        self, connection: Connection, choice: Choice, progress: Progress
    ) -> tuple[Plan, dict[str, Relation]]:
        self._application.forget()
        relations = read_relations(connection)
        # Somebody chosen once and dismissed since has no role any more.
        active = {user.id for user in self._application.directory if user.active}
        users = None if choice.users is None else [user for user in choice.users if user in active]
        plan = make_plan(
            self._application,
            relations,
            self._names(connection),
            users=users,
            writable=choice.writable,
            force=choice.forced,
            progress=progress,
        )
        return plan, relations

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

    @staticmethod
    def _names(connection: Connection) -> RoleNames:
        return RoleNames.of(connection.info.dbname)

    @contextmanager
    def _connection(self, *, readonly: bool = True) -> Iterator[Connection]:
        dsn = self._application.database.dsn
        with connect(dsn, readonly=readonly, autocommit=True) as connection:
            try:
                yield connection
            except psycopg.errors.InsufficientPrivilege as error:
                raise RolesRefused(
                    f"PostgreSQL refuses: {error.diag.message_primary}; nothing was changed",
                    where=redact(dsn),
                    fix="connect as the owner of the tables with CREATEROLE, or as a superuser",
                ) from error


def _is_repaired(found: Iterable[Drift]) -> bool:
    return any(d.change != "foreign" for d in found)
