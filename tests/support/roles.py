"""Databases with the policy applied to them, and the eyes of their users' roles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from vallum.enforce import Application
from vallum.enforce.roles.apply import apply, drop, read_relations
from vallum.enforce.roles.names import RoleNames, quoted
from vallum.enforce.roles.plan import Plan, make_plan
from vallum.policy import Directory
from vallum.policy.readers.odoo import read_policy, read_users
from vallum.postgres import Database
from vallum.schema.readers.odoo import read_odoo

__all__ = ["Guarded", "guarded", "open_odoo"]

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Guarded:
    """A database the policy was applied to. `connection`: the superuser's."""

    dsn: str
    application: Application
    plan: Plan
    connection: Connection

    def role(self, user: int) -> str:
        """The role of a user."""
        return self.plan.names.user(user)

    @contextmanager
    def eyes(self, user: int) -> Iterator[Connection]:
        """A session that can be nothing but the user: signed in as the role."""
        role = self.role(user)
        self.connection.execute(f"ALTER ROLE {quoted(role)} LOGIN".encode())
        dsn = psycopg.conninfo.make_conninfo(self.dsn, user=role)
        with psycopg.connect(dsn, autocommit=True) as connection:
            yield connection

    def become(self, user: int) -> None:
        """Let the superuser's connection ask as the user, until `RESET ROLE`."""
        self.connection.execute(f"SET ROLE {quoted(self.role(user))}".encode())
        self.connection.execute("SET search_path = vallum_views, public")


@contextmanager
def guarded(
    dsn: str, application: Application, *, code_models: bool = False, writable: bool = False
) -> Iterator[Guarded]:
    """Apply the policy for all users, and drop it at the end."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute("SELECT current_database()").fetchone()
        names = RoleNames.of(row[0] if row else "")
        users = [user.id for user in application.directory if user.id != 1]
        plan = make_plan(
            application,
            read_relations(connection),
            names,
            users=users,
            code_models=code_models,
            writable=writable,
        )
        apply(connection, plan)
        try:
            yield Guarded(dsn, application, plan, connection)
        finally:
            connection.execute("RESET ROLE")
            drop(connection)


def open_odoo(dsn: str, registry: Path) -> Application:
    """An Odoo database as an application."""
    database = Database(dsn)
    schema = read_odoo(database, registry)
    return Application(
        database, schema, read_policy(database, schema), Directory(read_users(database, schema))
    )
