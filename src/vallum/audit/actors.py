"""Who acts: what an application says of a transaction's actor, so that nobody else can say it.

The application stamps a transaction with user, address and request and an HMAC over these, the database, the
backend's process id and the transaction's own number, which PostgreSQL never gives again: a stamp seen
elsewhere is worth nothing. The sequencer checks it; an event without a stamp that holds shows the database
role instead.
Trust: whoever holds the actor key can act as anybody; the database does not hold it.

A server calls `stamp` at the start of each writing transaction, and `record` for what is no change of a row.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final, Self

import psycopg
from psycopg.pq import TransactionStatus

from vallum.audit.canonical import canonical
from vallum.audit.errors import AuditRefused

__all__ = ["KINDS", "Who", "read_stamp", "record", "stamp"]

Connection = psycopg.Connection[Any]
# What applications record; others may be added, of the same form.
KINDS: Final = (
    "sign-in",
    "sign-in-failed",
    "sign-out",
    "refusal",
    "permission-change",
    "policy-change",
    "export",
    "sensitive-read",
    "administration",
)
_LABEL: Final = b"vallum audit actor v1"
_KIND: Final = re.compile(r"[a-z][a-z-]{0,39}")
_SEPARATOR: Final = "\x1f"
_LIMIT: Final = 200
_RESERVED: Final = frozenset(
    {"alarm", "row", "create", "write", "unlink", "truncate", "baseline"}
    | {"audit-enabled", "audit-disabled", "retention", "erasure", "succession"}
)


@dataclass(frozen=True, slots=True)
class Who:
    """Who acts. `user`: the id; `login`, `ip`: can be erased later; `request`: an id of the server's."""

    user: int
    login: str = ""
    ip: str = ""
    request: str = ""

    def _fields(self) -> tuple[str, ...]:
        texts = (self.login, self.ip, self.request)
        return (str(self.user), *("".join(c for c in text if c.isprintable())[:_LIMIT] for text in texts))

    @classmethod
    def parse(cls, fields: list[str]) -> Self:
        """What `_fields` gave. Raises: ValueError."""
        user, login, ip, request = fields
        return cls(int(user), login, ip, request)


def _mac(key: bytes, database: str, xid: str, pid: int, fields: tuple[str, ...]) -> str:
    # Each with its length: no two lists of texts give one message.
    message = b"".join(
        len(part).to_bytes(4, "big") + part
        for part in (_LABEL, *(text.encode() for text in (database, xid, str(pid), *fields)))
    )
    return hmac.digest(key, message, "sha256").hex()


def stamp(connection: Connection, key: bytes, who: Who) -> None:
    """Say who acts in this transaction, from here to its end; within a transaction only.

    Raises: AuditRefused (outside a transaction it would be forgotten at once), psycopg.Error.
    """
    if connection.info.transaction_status != TransactionStatus.INTRANS:
        raise AuditRefused("an actor is stamped within a transaction", fix="open one first")
    row = connection.execute(_TRANSACTION).fetchone()
    if row is None:
        raise AuditRefused("PostgreSQL names no transaction")
    database, xid, pid = row
    fields = who._fields()
    text = _SEPARATOR.join((*fields, _mac(key, database, xid, pid, fields)))
    connection.execute("SELECT pg_catalog.set_config('vallum.audit_stamp', %s, true)", (text,))


_TRANSACTION: Final = """SELECT pg_catalog.current_database()::text, pg_catalog.pg_current_xact_id()::text,
    pg_catalog.pg_backend_pid()"""


def read_stamp(key: bytes | None, text: str, *, database: str, xid: str, pid: int) -> Who | None:
    """Who a stamp says acts, where it was made for this transaction by a holder of the key; else None."""
    fields = text.split(_SEPARATOR)
    if key is None or len(fields) != 5:
        return None
    expected = _mac(key, database, xid, pid, tuple(fields[:4]))
    if not hmac.compare_digest(expected.encode(), fields[4].encode()):
        return None
    try:
        return Who.parse(fields[:4])
    except ValueError:
        return None


def record(
    connection: Connection,
    kind: str,
    detail: Mapping[str, Any],
    *,
    key: bytes | None = None,
    who: Who | None = None,
    model: str | None = None,
    record_id: int | None = None,
) -> None:
    """Record something that happened and is no change of a row: a sign-in, a refusal, an export, …

    Within a transaction it becomes part of it, else it is committed by itself. `kind`: one of `KINDS`, or a
    name of that form. `detail`: small, of JSON's types, and never a secret. `who` needs `key`; a transaction
    that is stamped keeps its stamp afterwards. Whoever may not write to the trail is told by psycopg.Error.

    Raises: AuditRefused, psycopg.Error.
    """
    if not _KIND.fullmatch(kind) or kind in _RESERVED:
        raise AuditRefused(
            f"no event of an application may be called `{kind}`", fix="use " + ", ".join(KINDS)
        )
    _record(connection, kind, detail, key=key, who=who, relation=model, record_id=record_id)


def _record(
    connection: Connection,
    kind: str,
    detail: Mapping[str, Any],
    *,
    key: bytes | None = None,
    who: Who | None = None,
    relation: str | None = None,
    record_id: int | None = None,
) -> None:
    try:
        text = canonical(dict(detail))
    except (TypeError, ValueError) as error:
        raise AuditRefused("the detail of an event is of JSON's types") from error
    if len(text) > 65_536:
        raise AuditRefused("the detail of an event is 64 KiB at most")
    within = connection.info.transaction_status == TransactionStatus.INTRANS
    with nullcontext() if within else connection.transaction():
        before = connection.execute(_STAMP).fetchone() if who else None
        if who is not None and key is not None:
            stamp(connection, key, who)
        record_key = None if record_id is None else canonical({"id": record_id})
        values = (kind, text, relation, record_key)
        connection.execute("SELECT vallum.audit_record(%s, %s, %s, %s)", values)
        if before is not None:
            connection.execute("SELECT pg_catalog.set_config('vallum.audit_stamp', %s, true)", before)


_STAMP: Final = "SELECT coalesce(pg_catalog.current_setting('vallum.audit_stamp', true), '')"
