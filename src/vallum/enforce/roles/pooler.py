"""Poolers that act for users by a signed setting: who signs may be elsewhere than who sends SQL.

A pooler's role is in no user's role and may read no table: only views that ask whom the setting
`vallum.signed` is for. It is signed with a key that neither the pooler's session nor any user can read, for
one backend (its process and its start), one user, until a moment; a signature that does not hold is an error.
Trust: whoever has the key can be any user, through a session of the pooler.
Source: HMAC is RFC 2104 over SHA-256.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Final, TypeAlias

import psycopg

from vallum.enforce.roles.catalogue import has_table, is_applied
from vallum.enforce.roles.expressions import HELPERS
from vallum.enforce.roles.found import MADE_BY
from vallum.enforce.roles.names import literal, quoted
from vallum.kernel import VallumError

__all__ = [
    "LONGEST",
    "TABLE",
    "Pooler",
    "PoolerRefused",
    "act_for",
    "keep",
    "keys",
    "poolers",
    "register",
    "remove",
    "token",
]

Connection: TypeAlias = psycopg.Connection[Any]

# Seconds that a signature may hold, at most: what is signed cannot be taken back.
LONGEST: Final = 3600
_KEY: Final = 32
_BLOCK: Final = 64
TABLE: Final = f"""
CREATE TABLE IF NOT EXISTS {HELPERS}.poolers (
    role_name name PRIMARY KEY, inner_key bytea NOT NULL, outer_key bytea NOT NULL);
REVOKE ALL ON {HELPERS}.poolers FROM PUBLIC
"""


class PoolerRefused(VallumError):
    """A role that cannot be a pooler."""

    code: ClassVar[str] = "no-pooler"


@dataclass(frozen=True, slots=True)
class Pooler:
    """A role that acts for users. `key` is nowhere else; `password` is None for a role that was there."""

    role: str
    key: bytes = field(repr=False)
    password: str | None = field(repr=False)


def token(
    key: bytes, *, database: str, role: str, pid: int, started: int, user_id: int, until: int, nonce: bytes
) -> str:
    """The value of `vallum.signed`. `started`: microseconds, `until`: seconds, both since 1970 in UTC."""
    body = f"{user_id}.{until}.{nonce.hex()}"
    message = f"vallum.1.{pid}.{started}.{body}.{role}.{database}"
    return f"{body}.{hmac.digest(key, message.encode(), 'sha256').hex()}"


def act_for(connection: Connection, key: bytes, user_id: int, *, now: datetime, seconds: int = 60) -> None:
    """Let the transaction of a pooler's session act for a user, for `seconds` and no longer than it lasts.

    Raises: PoolerRefused.
    """
    if not 0 < seconds <= LONGEST:
        raise PoolerRefused(f"a signature holds for {LONGEST} seconds at most, not {seconds}")
    row = connection.execute(
        "SELECT pid, (extract(epoch FROM backend_start) * 1000000)::bigint, session_user::text,"
        " current_database()::text FROM pg_stat_activity WHERE pid = pg_backend_pid()"
    ).fetchone()
    if row is None:
        raise PoolerRefused("PostgreSQL does not show the session its own backend")
    pid, started, role, database = row
    until, nonce = int(now.timestamp()) + seconds, secrets.token_bytes(16)
    signed = token(
        key,
        database=database,
        role=role,
        pid=pid,
        started=started,
        user_id=user_id,
        until=until,
        nonce=nonce,
    )
    connection.execute("SELECT set_config('vallum.signed', %s, true)", (signed,))


def register(connection: Connection, role: str) -> Pooler:
    """Make a role a pooler, with a new key; an old key counts no longer. A role that is missing is made.

    Raises: PoolerRefused.
    """
    if not is_applied(connection):
        raise PoolerRefused("no policy is applied to this database", fix="run `vallum roles apply` first")
    key, password = secrets.token_bytes(_KEY), None
    with connection.transaction():
        found = connection.execute(
            "SELECT rolsuper OR rolbypassrls OR rolcreaterole, shobj_description(oid, 'pg_authid'),"
            " EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid)"
            " FROM pg_roles r WHERE rolname = %s",
            (role,),
        ).fetchone()
        if found is None:
            password = secrets.token_urlsafe(_KEY)
            verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
            connection.execute(
                f"CREATE ROLE {quoted(role)} LOGIN NOINHERIT PASSWORD {literal(verifier.decode())}".encode()
            )
        elif found[0] or found[1] == MADE_BY or found[2]:
            raise PoolerRefused(
                f"{role} is more than a pooler: it has rights, or roles, of its own",
                fix="name a role that is in no other role and has no attribute but LOGIN",
            )
        # Whoever owns the functions has to see when the pooler's sessions began.
        row = connection.execute("SELECT pg_has_role(current_user, %s, 'USAGE')", (role,)).fetchone()
        if row is None or not row[0]:
            connection.execute(f"GRANT {quoted(role)} TO CURRENT_USER".encode())
        connection.execute(TABLE.encode())
        connection.execute(
            f"INSERT INTO {HELPERS}.poolers VALUES (%s, %s, %s) ON CONFLICT (role_name)"  # noqa: S608
            " DO UPDATE SET inner_key = excluded.inner_key, outer_key = excluded.outer_key",
            (role, _padded(key, 0x36), _padded(key, 0x5C)),
        )
    return Pooler(role, key, password)


def remove(connection: Connection, role: str) -> bool:
    """Let a role be a pooler no longer; says whether it was one. The role itself stays."""
    if not has_table(connection, "poolers"):
        return False
    with connection.transaction():
        gone = connection.execute(
            f"DELETE FROM {HELPERS}.poolers WHERE role_name = %s",  # noqa: S608
            (role,),
        )
        return gone.rowcount > 0


def poolers(connection: Connection) -> tuple[str, ...]:
    """The roles that are poolers, as long as they are there."""
    if not has_table(connection, "poolers"):
        return ()
    rows = connection.execute(
        f"SELECT role_name::text FROM {HELPERS}.poolers"  # noqa: S608
        " WHERE role_name IN (SELECT rolname FROM pg_roles) ORDER BY 1"
    ).fetchall()
    return tuple(role for (role,) in rows)


def keys(connection: Connection) -> list[tuple[str, bytes, bytes]]:
    """The poolers' keys, to be kept while everything is made anew."""
    if not has_table(connection, "poolers"):
        return []
    return connection.execute(
        f"SELECT role_name::text, inner_key, outer_key FROM {HELPERS}.poolers"  # noqa: S608
    ).fetchall()


def keep(connection: Connection, kept: list[tuple[str, bytes, bytes]]) -> None:
    """Give back keys that were kept."""
    if kept:
        connection.execute(TABLE.encode())
        connection.cursor().executemany(
            f"INSERT INTO {HELPERS}.poolers VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",  # noqa: S608
            kept,
        )


def _padded(key: bytes, pad: int) -> bytes:
    """A key as HMAC mixes it in, so that the server need only hash."""
    return bytes(byte ^ pad for byte in key.ljust(_BLOCK, b"\0"))
