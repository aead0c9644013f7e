"""Begin and end the auditing of tables: planned first, one table a transaction, short waits for locks.

Nothing of the tables themselves is changed but their triggers. What was begun, and with which functions, is
an event of the log: what the database says of itself is compared with that, not believed.
Invariant: a table is either audited as it is now, or the error says that it is not.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import psycopg

from vallum.audit.actors import Who, _record
from vallum.audit.capture import (
    MODES,
    TRIGGER,
    Mode,
    count_events,
    default_mode,
    function_bodies,
    function_name,
    rows_as_events,
    statements,
)
from vallum.audit.errors import AuditRefused
from vallum.audit.notes import check_name
from vallum.audit.tables import Table, are_watched, ident, read_tables
from vallum.kernel import NO_PROGRESS, Progress
from vallum.postgres.migrations import migrate, unmigrate, version_of

__all__ = [
    "Audited",
    "Hand",
    "Step",
    "apply_step",
    "audited",
    "begin",
    "disable",
    "drop_all",
    "plan",
    "refresh",
]

Connection = psycopg.Connection[Any]
LOCK_TIMEOUT: Final = "3s"
ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done to one table. `reasons`: why it cannot, or what to know."""

    action: Literal["enable", "renew", "keep", "refuse"]
    table: Table
    modes: Mapping[str, Mode]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For a program."""
        return {
            "action": self.action,
            "table": self.table.relation,
            "key": list(self.table.key),
            "columns": dict(self.modes),
            "notes": list(self.notes),
            "rows": self.table.rows,
            "statements": list(statements(self.table, self.modes)) if self.action != "keep" else [],
        }


@dataclass(frozen=True, slots=True)
class Audited:
    """A table that is audited, as the database has it."""

    relation: str
    key: tuple[str, ...]
    modes: Mapping[str, Mode]
    signature: str
    function: str
    digest: str
    since: Any


def begin(connection: Connection, origin: str | None = None) -> None:
    """Make Vallum's tables and the empty log, where there are none. `origin`: its name; else one made up.

    Raises: AuditRefused (the log has another name), MalformedNote, psycopg.Error.
    """
    migrate(connection, "audit")
    given = origin is not None
    if origin is None:
        name = "".join(c if c.isascii() and c.isalnum() else "-" for c in connection.info.dbname)
        origin = f"vallum.local/{name}/{secrets.token_hex(4)}"
    check_name(origin)
    connection.execute(
        "INSERT INTO vallum.audit_state (origin, epoch, size, frontier, at) VALUES (%s, 0, 0, '', now())"
        " ON CONFLICT DO NOTHING",
        (origin,),
    )
    row = connection.execute("SELECT origin FROM vallum.audit_state").fetchone()
    if row is None or (given and row[0] != origin):
        raise AuditRefused(
            f"the log of this database is called `{row[0] if row else ''}`", fix="leave --origin out"
        )
    superuser = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    known = connection.execute("SELECT FROM pg_event_trigger WHERE evtname = 'vallum_audit_altered'")
    if superuser and superuser[0] and known.fetchone() is None:
        connection.execute(_EVENT_TRIGGER)
        connection.execute("ALTER EVENT TRIGGER vallum_audit_altered ENABLE ALWAYS")


_EVENT_TRIGGER: Final = (
    "CREATE EVENT TRIGGER vallum_audit_altered ON ddl_command_end WHEN TAG IN ('ALTER TABLE', 'ALTER TYPE', "
    "'DROP TYPE', 'DROP DOMAIN', 'DROP EXTENSION', 'DROP SCHEMA', 'DROP OWNED') "
    "EXECUTE FUNCTION vallum.audit_altered()"
)


def audited(connection: Connection) -> dict[str, Audited]:
    """The tables that are audited, by name."""
    if version_of(connection, "audit") is None:
        return {}
    rows = connection.execute(
        "SELECT relation, key, columns, signature, function, digest, since FROM vallum.audit_table"
        " ORDER BY relation"
    )
    return {
        relation: Audited(relation, tuple(key), modes, signature, function, digest, since)
        for relation, key, modes, signature, function, digest, since in rows
    }


def digest_of(bodies: Mapping[str, str]) -> str:
    """What stands for the functions of a table, in events and in checks."""
    return hashlib.sha256(json.dumps(dict(sorted(bodies.items()))).encode()).hexdigest()


def plan(
    connection: Connection, wanted: Mapping[str, Mapping[str, Mode]], *, inherit: bool = True
) -> list[Step]:
    """What auditing these tables takes. `wanted`: by table the modes of columns; the others by their types.

    Raises: AuditRefused (a column or mode that is none).
    """
    tables = read_tables(connection)
    names = list(wanted)
    for name in names:
        if inherit and name in tables:
            names += [child for child in tables[name].children if child not in names]
    have = audited(connection)
    return [_step(tables.get(name), name, wanted.get(name, {}), have.get(name)) for name in names]


def _step(table: Table | None, name: str, given: Mapping[str, Mode], have: Audited | None) -> Step:
    if table is None:
        raise AuditRefused(f"there is no table `{name}` that could be audited")
    columns = {column.name for column in table.columns}
    for column, mode in given.items():
        if column not in columns:
            raise AuditRefused(f"`{name}` has no column `{column}` to be audited")
        if mode not in MODES:
            raise AuditRefused(f"no mode is called `{mode}`", fix="use " + ", ".join(MODES))
    before = have.modes if have else {}
    modes: dict[str, Mode] = {
        c.name: given.get(c.name) or before.get(c.name) or default_mode(c) for c in table.columns
    }
    notes: list[str] = []
    if not table.key:
        notes.append("no primary key: every event holds the whole row")
    if not table.mine:
        return Step("refuse", table, modes, ("the table belongs to another role", *notes))
    if not table.columns:
        return Step("refuse", table, modes, ("the table has no columns",))
    hidden = [name for name in table.key if modes[name] == "hidden"]
    if hidden:
        return Step("refuse", table, modes, (f"{hidden[0]} is part of the key and cannot be hidden",))
    digest = digest_of(function_bodies(table, modes))
    if have is None:
        return Step("enable", table, modes, tuple(notes))
    same = have.signature == table.signature and have.digest == digest
    return Step("keep" if same else "renew", table, modes, tuple(notes))


@dataclass(frozen=True, slots=True)
class Hand:
    """Who begins and ends auditing: only what bears a stamp is believed later. `key`: the actor key."""

    key: bytes
    who: Who = field(default_factory=lambda: Who(0, "vallum"))

    def record(
        self, connection: Connection, kind: str, detail: Mapping[str, Any], relation: str | None
    ) -> None:
        """Record an act of auditing itself."""
        _record(connection, kind, detail, key=self.key, who=self.who, relation=relation)


def apply_step(
    connection: Connection, step: Step, hand: Hand, *, baseline: bool = False, reason: str = "enable"
) -> None:
    """Carry a step out, in a transaction of its own. `baseline`: an event for every row there is.

    Raises: AuditRefused (locked for too long, not ours), psycopg.Error.
    """
    if step.action == "keep":
        return
    if step.action == "refuse":
        raise AuditRefused("; ".join(step.notes), where=step.table.relation)
    for attempt in range(ATTEMPTS):
        try:
            with connection.transaction():
                connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'".encode())
                _enable(connection, step, hand, baseline=baseline, reason=reason)
            return
        except psycopg.errors.LockNotAvailable as error:
            if attempt == ATTEMPTS - 1:
                raise AuditRefused(
                    "others hold the table locked; it is left as it was",
                    where=step.table.relation,
                    fix="end the long transaction on it, and try again",
                ) from error
        except psycopg.errors.InsufficientPrivilege as error:
            raise AuditRefused(
                f"PostgreSQL refuses: {error.diag.message_primary}",
                where=step.table.relation,
                fix="connect as the owner of the tables",
            ) from error


def _enable(connection: Connection, step: Step, hand: Hand, *, baseline: bool, reason: str) -> None:
    # The event trigger may have been made since the step was planned.
    table, modes = replace(step.table, watched=are_watched(connection)), step.modes
    # So that our own statements are not taken for somebody else's. Only that: it hides nothing from a check.
    connection.execute("SET LOCAL vallum.audit_own = 'on'")
    for statement in statements(table, modes):
        connection.execute(statement.encode())
    digest = digest_of(function_bodies(table, modes))
    connection.execute(
        "INSERT INTO vallum.audit_table VALUES (%s, %s, %s, %s, vallum.audit_shape(%s), %s, %s, now())"
        " ON CONFLICT (relation) DO UPDATE"
        " SET key = excluded.key, columns = excluded.columns, signature = excluded.signature,"
        " shape = excluded.shape,"
        " function = excluded.function, digest = excluded.digest",
        (
            table.relation,
            list(table.key),
            json.dumps(dict(modes)),
            table.signature,
            table.oid,
            function_name(table.relation),
            digest,
        ),
    )
    detail = {"columns": dict(modes), "digest": digest, "key": list(table.key), "reason": reason}
    hand.record(connection, "audit-enabled", detail, table.relation)
    if baseline:
        text = rows_as_events(table, modes, "s", table.sql if table.kind == "p" else f"ONLY {table.sql}")
        count = connection.execute(text.encode()).rowcount
        for statement in count_events(f"{count}::pg_catalog.int4"):
            connection.execute(statement.encode())


def refresh(connection: Connection, hand: Hand) -> list[str]:
    """Renew the functions of tables that were altered; says which. Dropped tables are no longer audited.

    Raises: AuditRefused, psycopg.Error.
    """
    have = audited(connection)
    tables = read_tables(connection, have)
    changed: list[str] = []
    for name, known in have.items():
        table = tables.get(name)
        if table is None:
            with connection.transaction():
                _forget(connection, known, hand, "the table was dropped or renamed")
            changed.append(name)
        elif table.signature != known.signature or not _in_place(connection, table, known):
            kept = {c.name: known.modes[c.name] for c in table.columns if c.name in known.modes}
            apply_step(connection, _step(table, name, kept, known), hand, reason="altered")
            changed.append(name)
    return changed


def _in_place(connection: Connection, table: Table, known: Audited) -> bool:
    """Whether the table's triggers call its own functions; after an alteration they call the careful one."""
    row = connection.execute(
        "SELECT count(*) FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid WHERE g.tgrelid = %s"
        " AND g.tgname ~ '^zz_vallum_audit_[iud]$' AND p.proname ^@ %s",
        (table.oid, known.function),
    ).fetchone()
    return row == (3,)


def disable(
    connection: Connection, relations: Iterable[str], hand: Hand, progress: Progress = NO_PROGRESS
) -> list[str]:
    """End the auditing of these tables; their past stays in the log. Raises: AuditRefused, psycopg.Error."""
    have = audited(connection)
    names = list(relations)
    for name in names:
        if name not in have:
            raise AuditRefused(f"`{name}` is not audited")
    progress.start(len(names), "ending")
    for name in names:
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'".encode())
            _forget(connection, have[name], hand, "disable")
        progress.advance()
    progress.done()
    return names


def _forget(connection: Connection, known: Audited, hand: Hand, reason: str) -> None:
    _drop_triggers(connection, known)
    connection.execute("DELETE FROM vallum.audit_table WHERE relation = %s", (known.relation,))
    hand.record(connection, "audit-disabled", {"reason": reason}, known.relation)


def _drop_triggers(connection: Connection, known: Audited) -> None:
    # By function and by name: a table that was altered may call the careful function. Copies that
    # PostgreSQL made for partitions go with the original.
    rows: Sequence[Any] = connection.execute(
        "SELECT g.tgname, n.nspname, c.relname FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid"
        " JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE g.tgparentid = 0 AND (p.proname ^@ %(function)s OR (p.proname = 'audit_careful'"
        " AND convert_from(g.tgargs, 'UTF8') ^@ %(relation)s AND g.tgname ^@ %(trigger)s))"
        " AND p.pronamespace = 'vallum'::regnamespace",
        {"function": known.function, "relation": known.relation, "trigger": TRIGGER},
    ).fetchall()
    for trigger, schema, table in rows:
        statement = f"DROP TRIGGER {ident(trigger)} ON {ident(schema)}.{ident(table)}"
        connection.execute(statement.encode())
    for op in "iudt":
        connection.execute(f"DROP FUNCTION IF EXISTS vallum.{ident(known.function + op)}()".encode())


def drop_all(connection: Connection) -> int:
    """Undo everything, the log in the database included: nothing of the trail is left. Says how many tables.

    Raises: psycopg.Error. Nothing is changed then.
    """
    with connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'".encode())
        have = audited(connection)
        for known in have.values():
            _drop_triggers(connection, known)
        unmigrate(connection, "audit")
    return len(have)
