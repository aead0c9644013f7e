"""Let a user's role sign in, or no longer: random passwords that are shown once, with an end.

The server is sent the SCRAM-SHA-256 verifier alone, so no log of it holds a password.
A role that a later apply makes anew keeps its verifier, its end and who may act for it.
Invariant: a user without a role, or who is not active, gets no login.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, TypeAlias

import psycopg

from vallum.enforce.roles.catalogue import has_table, is_applied
from vallum.enforce.roles.expressions import HELPERS
from vallum.enforce.roles.names import RoleNames, literal, pattern, quoted
from vallum.kernel import VallumError
from vallum.policy import User

__all__ = ["Kept", "Login", "NoLogin", "disable", "hold", "joined", "log_in", "restore"]

Connection: TypeAlias = psycopg.Connection[Any]

_BYTES: Final = 32
_TABLE: Final = f"""
CREATE TABLE IF NOT EXISTS {HELPERS}.logins (
    role_name name PRIMARY KEY, verifier text, valid_until timestamptz)
"""


class NoLogin(VallumError):
    """A user who can be given no login."""

    code: ClassVar[str] = "no-login"


@dataclass(frozen=True, slots=True)
class Login:
    """A role that may sign in. `password` is nowhere else; None where a certificate takes its place."""

    role: str
    password: str | None = field(repr=False)
    valid_until: datetime | None


@dataclass(frozen=True, slots=True)
class Kept:
    """What roles have beside the policy.

    `memberships`: (role, member, how) of poolers and the like; `logins`: (role, its oid, verifier, end).
    """

    memberships: tuple[tuple[str, str, str], ...]
    logins: tuple[tuple[str, int, str | None, datetime | None], ...]


def log_in(
    connection: Connection, names: RoleNames, user: User, *, now: datetime, valid_days: int | None
) -> Login:
    """Give the user's role a new password for `valid_days` days; None: no password, for certificates.

    Raises: NoLogin.
    """
    role = _role_of(connection, names, user)
    password = secrets.token_urlsafe(_BYTES) if valid_days is not None else None
    until = now + timedelta(days=valid_days) if valid_days is not None else None
    verifier = None if password is None else _verifier(connection, role, password)
    with connection.transaction():
        connection.execute(_TABLE)
        _store(connection, role, verifier, until)
        _set(connection, role, verifier, until)
    return Login(role, password, until)


def disable(connection: Connection, names: RoleNames, user: User) -> int:
    """Shut the user's login and end its sessions; says how many those were.

    Raises: NoLogin.
    """
    role = names.user(user.id)
    if _oid(connection, role) is None:
        raise NoLogin(f"{user.login} has no role in this database")
    with connection.transaction():
        connection.execute(_TABLE)
        connection.execute(f"DELETE FROM {HELPERS}.logins WHERE role_name = %s", (role,))  # noqa: S608
        connection.execute(f"ALTER ROLE {quoted(role)} NOLOGIN PASSWORD NULL VALID UNTIL 'infinity'".encode())
    # Only now: before, a session could have come back.
    with joined(connection, role):
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (role,)
        ).fetchall()
    return sum(1 for (done,) in ended if done)


@contextmanager
def joined(connection: Connection, role: str) -> Iterator[None]:
    """Be a member of a role for a while: who may make roles is not yet one of those it has made."""
    row = connection.execute("SELECT pg_has_role(%s, 'USAGE')", (role,)).fetchone()
    if row is not None and row[0]:
        yield
        return
    connection.execute(f"GRANT {quoted(role)} TO CURRENT_USER".encode())
    try:
        yield
    finally:
        connection.execute(f"REVOKE {quoted(role)} FROM CURRENT_USER".encode())


def hold(connection: Connection, names: RoleNames) -> Kept:
    """What must survive a role that is made anew."""
    rows: Sequence[tuple[str, str, bool, str | None]] = connection.execute(
        "SELECT pg_get_userbyid(m.roleid)::text, pg_get_userbyid(m.member)::text, m.admin_option,"
        " to_jsonb(m) ->> 'inherit_option' FROM pg_auth_members m"
        " WHERE pg_get_userbyid(m.roleid)::text ~ %(ours)s"
        " AND pg_get_userbyid(m.member)::text !~ %(ours)s AND pg_get_userbyid(m.member) <> current_user",
        {"ours": pattern(names)},
    ).fetchall()
    memberships = tuple((role, member, _options(admin, inherit)) for role, member, admin, inherit in rows)
    if not has_table(connection, "logins"):
        return Kept(memberships, ())
    logins = connection.execute(
        f"SELECT r.rolname::text, r.oid, l.verifier, l.valid_until FROM {HELPERS}.logins l"  # noqa: S608
        " JOIN pg_roles r ON r.rolname = l.role_name WHERE r.rolcanlogin"
    ).fetchall()
    return Kept(memberships, tuple((role, oid, verifier, until) for role, oid, verifier, until in logins))


def _options(admin: bool, inherit: str | None) -> str:
    """Before PostgreSQL 16 there is no `inherit`, and what a membership gives is the member's own setting."""
    if inherit is None:
        return " WITH ADMIN OPTION" if admin else ""
    return f" WITH INHERIT {inherit}" + (", ADMIN TRUE" if admin else "")


def restore(connection: Connection, kept: Kept) -> None:
    """Give back to roles made anew what they had."""
    for role, member, options in kept.memberships:
        if _oid(connection, role) and not _is_member(connection, role, member):
            connection.execute(f"GRANT {quoted(role)} TO {quoted(member)}{options}".encode())
    if not kept.logins:
        return
    connection.execute(_TABLE)
    connection.execute(f"TRUNCATE {HELPERS}.logins")
    for role, old, verifier, until in kept.logins:
        oid = _oid(connection, role)
        if oid is not None:
            _store(connection, role, verifier, until)
        if oid not in (None, old):
            _set(connection, role, verifier, until)


def _store(connection: Connection, role: str, verifier: str | None, until: datetime | None) -> None:
    connection.execute(
        f"INSERT INTO {HELPERS}.logins VALUES (%s, %s, %s) ON CONFLICT (role_name)"  # noqa: S608
        " DO UPDATE SET verifier = excluded.verifier, valid_until = excluded.valid_until",
        (role, verifier, until),
    )


def _set(connection: Connection, role: str, verifier: str | None, until: datetime | None) -> None:
    password = "NULL" if verifier is None else literal(verifier)
    end = literal("infinity" if until is None else until.isoformat())
    connection.execute(f"ALTER ROLE {quoted(role)} LOGIN PASSWORD {password} VALID UNTIL {end}".encode())


def _verifier(connection: Connection, role: str, password: str) -> str:
    made = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    return made.decode()


def _role_of(connection: Connection, names: RoleNames, user: User) -> str:
    role = names.user(user.id)
    if not user.active:
        raise NoLogin(f"{user.login} is not active", fix="activate the user in the application first")
    if user.id == 1:
        raise NoLogin(f"{user.login} is the superuser, whom no rule binds", fix="give the login of a person")
    if not is_applied(connection):
        raise NoLogin("no policy is applied to this database", fix="run `vallum roles apply` first")
    if _oid(connection, role) is None:
        raise NoLogin(f"{user.login} has no role yet", fix="run `vallum roles apply` first")
    row = connection.execute(
        "SELECT has_database_privilege(%s, current_database(), 'CONNECT'), current_database()::text", (role,)
    ).fetchone()
    if row and not row[0]:
        raise NoLogin(
            f"{user.login}'s role may not connect to this database",
            fix=f"GRANT CONNECT ON DATABASE {quoted(row[1])} TO {quoted(names.everyone)}",
        )
    return role


def _oid(connection: Connection, role: str) -> int | None:
    row = connection.execute("SELECT oid FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
    return row[0] if row else None


def _is_member(connection: Connection, role: str, member: str) -> bool:
    return (
        connection.execute(
            "SELECT FROM pg_auth_members WHERE roleid = to_regrole(%s) AND member = to_regrole(%s)",
            (quoted(role), quoted(member)),
        ).fetchone()
        is not None
    )
