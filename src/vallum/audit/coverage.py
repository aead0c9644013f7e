"""Is everything audited that should be, and was it all the time? What verifying the log alone cannot see.

Triggers and functions are compared with what the log says was enabled, not with what the database says of
itself. Whether rows are what the log says of them: `rows`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import psycopg

from vallum.audit.capture import TRIGGER, function_bodies, function_name
from vallum.audit.install import digest_of
from vallum.audit.problem import Problem
from vallum.audit.tables import Table, ident, read_tables

__all__ = ["SHARED", "Enabled", "check_triggers", "enabled_by_log", "shared_functions"]

Connection = psycopg.Connection[Any]
SHARED: Final = (
    "audit_footer",
    "audit_event",
    "audit_record",
    "audit_members",
    "audit_long",
    "audit_long_bytes",
    "audit_value",
    "audit_difference",
    "audit_whole",
    "audit_careful",
    "audit_shape",
    "audit_altered",
)


@dataclass(frozen=True, slots=True)
class Enabled:
    """What the log says of a table: from which event on it is audited, and by which functions."""

    index: int
    digest: str
    modes: Mapping[str, str]
    key: tuple[str, ...]


def enabled_by_log(connection: Connection) -> dict[str, Enabled]:
    """The tables that the log says are audited. Only acts whose actor was verified are believed."""
    found: dict[str, Enabled] = {}
    rows = connection.execute(
        "SELECT index, entry FROM vallum.audit_leaf WHERE op IS NULL AND relation IS NOT NULL"
        ' AND entry ~ \'"kind":"audit-(enabled|disabled)"\' ORDER BY index'
    )
    for index, entry in rows:
        content = json.loads(entry)
        if not content["actor"].get("verified"):
            continue
        if content["kind"] == "audit-enabled":
            at = content["detail"]
            found[content["table"]] = Enabled(index, at["digest"], at["columns"], tuple(at["key"]))
        elif content["kind"] == "audit-disabled":
            found.pop(content["table"], None)
    return found


def check_triggers(connection: Connection) -> list[Problem]:
    """Tables whose triggers or functions are not those the log says were made."""
    enabled = enabled_by_log(connection)
    tables = read_tables(connection, enabled)
    problems: list[Problem] = []
    for relation, known in enabled.items():
        table = tables.get(relation)
        if table is None:
            problems.append(Problem("table-gone", f"{relation} is audited, and is not there"))
        else:
            problems += _check_table(connection, table, known)
    problems += _check_shared(connection)
    return problems


def _check_table(connection: Connection, table: Table, known: Enabled) -> Iterator[Problem]:
    rows = connection.execute(_TRIGGERS, (table.oid, list(table.truncatable), TRIGGER + "_")).fetchall()
    have: dict[tuple[str, str], Any] = {(target, name): rest for target, name, *rest in rows}
    function = function_name(table.relation)
    careful = False
    for op in "iud":
        at = have.get((table.sql, f"{TRIGGER}_{op}")) or have.get((_plain(table), f"{TRIGGER}_{op}"))
        if at is None:
            yield Problem("trigger-gone", f"{table.relation} has no trigger for {_NAMES[op]}", known.index)
        elif at[0] != "A":
            yield Problem(
                "trigger-disabled", f"the trigger for {_NAMES[op]} of {table.relation} is off", known.index
            )
        elif at[2]:
            yield Problem(
                "trigger-changed", f"the trigger for {_NAMES[op]} of {table.relation} has a condition"
            )
        elif at[1] == "audit_careful":
            careful = True
        elif at[1] != function + op:
            yield Problem("trigger-changed", f"the trigger of {table.relation} calls another function")
    for leaf in table.truncatable:
        at = have.get((leaf, f"{TRIGGER}_t"))
        if at is None or at[0] != "A" or at[1] != function + "t":
            yield Problem("trigger-gone", f"{leaf} has no trigger for truncate that is on")
    if careful:
        yield Problem(
            "altered", f"{table.relation} was altered and is watched row by row until it is renewed"
        )
    yield from _check_functions(connection, table, known)


_NAMES: Final = {"i": "insert", "u": "update", "d": "delete"}
_TRIGGERS: Final = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), g.tgname, g.tgenabled::text, p.proname,
       g.tgqual IS NOT NULL
FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_proc p ON p.oid = g.tgfoid
WHERE (g.tgrelid = %s OR quote_ident(n.nspname) || '.' || quote_ident(c.relname) = ANY (%s))
  AND g.tgname ^@ %s
  AND p.pronamespace = to_regnamespace('vallum')
"""


def _plain(table: Table) -> str:
    def name(text: str) -> str:
        return text if text.isidentifier() and text.islower() else ident(text)

    return f"{name(table.schema)}.{name(table.name)}"


def _check_functions(connection: Connection, table: Table, known: Enabled) -> Iterator[Problem]:
    name = function_name(table.relation)
    rows = connection.execute(
        "SELECT right(proname, 1), prosrc, prosecdef, l.lanname FROM pg_proc p"
        " JOIN pg_language l ON l.oid = p.prolang"
        " WHERE pronamespace = to_regnamespace('vallum') AND proname ^@ %s AND length(proname) = %s",
        (name, len(name) + 1),
    ).fetchall()
    bodies = {op: source for op, source, _, _ in rows}
    if set(bodies) != set("iudt"):
        yield Problem("function-gone", f"a function that audits {table.relation} is gone", known.index)
    elif digest_of(bodies) != known.digest:
        yield Problem("function-changed", f"a function that audits {table.relation} was changed", known.index)
    elif not all(definer and language == "plpgsql" for _, _, definer, language in rows):
        yield Problem(
            "function-changed", f"a function that audits {table.relation} runs otherwise", known.index
        )
    modes: dict[str, Any] = {c.name: known.modes.get(c.name, "") for c in table.columns}
    if not all(modes.values()):
        new = ", ".join(column for column, mode in modes.items() if not mode)
        yield Problem("column-unknown", f"{table.relation} has columns it was not audited with: {new}")
    elif set(bodies) == set("iudt") and known.digest not in _forms(table, modes):
        yield Problem("altered", f"{table.relation} is not audited as this version of Vallum would")


def _forms(table: Table, modes: Mapping[str, Any]) -> set[str]:
    """The digests of its functions: with and without the event trigger, whose absence is told by itself."""
    return {digest_of(function_bodies(replace(table, watched=w), modes)) for w in (True, False)}


def shared_functions() -> dict[str, str]:
    """The digests of the functions that all tables share, as Vallum makes them."""
    from importlib import import_module

    version = import_module("vallum.postgres.migrations.audit.v0001_trail")
    found: dict[str, str] = {}
    for part in (version.FOOTER, version.RECORD, version.CAREFUL, version.ALTERED):
        for made in part.split("CREATE FUNCTION vallum.")[1:]:
            body = made.split("$body$")[1]
            found[made.split("(", 1)[0]] = hashlib.sha256(body.encode()).hexdigest()
    return found


def _check_shared(connection: Connection) -> Iterator[Problem]:
    rows = connection.execute(
        "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = to_regnamespace('vallum')"
        " AND proname = ANY (%s)",
        (list(SHARED),),
    ).fetchall()
    have = {name: hashlib.sha256(source.encode()).hexdigest() for name, source in rows}
    for name, digest in shared_functions().items():
        if have.get(name) != digest:
            yield Problem("function-changed", f"the function vallum.{name} is not the one Vallum made")
    footer = connection.execute(
        "SELECT tgenabled::text, tgdeferrable, tginitdeferred FROM pg_trigger"
        " WHERE tgrelid = to_regclass('vallum.audit_footer') AND tgname = 'audit_footer'"
    ).fetchone()
    if footer != ("A", True, True):
        yield Problem("trigger-disabled", "the trigger that counts a transaction's events is off")
    foreign = connection.execute(
        "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgname <> 'audit_footer' AND tgrelid IN"
        " (to_regclass('vallum.audit_inbox'), to_regclass('vallum.audit_leaf'),"
        " to_regclass('vallum.audit_footer'))"
        " UNION ALL SELECT rulename FROM pg_rules WHERE schemaname = 'vallum' AND tablename ^@ 'audit_'"
    ).fetchall()
    for (name,) in foreign:
        yield Problem("trigger-foreign", f"`{name}` stands on a table of the trail and is not Vallum's")
    event = connection.execute(
        "SELECT evtenabled::text FROM pg_event_trigger WHERE evtname = 'vallum_audit_altered'"
    ).fetchone()
    if event is not None and event != ("A",):
        yield Problem("trigger-disabled", "the event trigger that watches alterations is off")
