"""Write the trigger function of a table: its columns spelled out, and only what changed.

Pure: a table and the modes of its columns give SQL. Identifiers come from the catalogue (`tables`).
A value becomes JSON: integers and booleans as such, dates in ISO form, instants in UTC, bytes in hexadecimal,
all else as PostgreSQL writes it, so that it can be put back; what is longer than `LARGE` bytes as a digest.
What an event costs is mostly what PostgreSQL has to prepare anew in each transaction, and that is each
function and operator of an expression: one small statement a column, of which those are prepared that run,
costs a third of one large expression. Hence the form of what is written here.
Invariant: what the function computes may fail (a column was renamed or dropped); the write it watches may not
fail for that. Where the event trigger sees alterations as they are made, the table is watched row by row from
then on; where there is none, the function falls back to comparing whole rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

from vallum.audit.tables import Column, Table, ident, literal
from vallum.audit.waiting import OPERATIONS

__all__ = [
    "LARGE",
    "MODES",
    "TRIGGER",
    "Mode",
    "count_events",
    "default_mode",
    "function_bodies",
    "function_name",
    "rows_as_events",
    "rows_as_json",
    "statements",
]

Mode: TypeAlias = Literal["plain", "committed", "hidden"]
MODES: Final[tuple[Mode, ...]] = ("plain", "committed", "hidden")
TRIGGER: Final = "zz_vallum_audit"
LARGE: Final = 262_144

_INTEGERS: Final = frozenset({"int2", "int4", "int8", "oid"})
_DATES: Final = frozenset({"date", "time", "timestamp"})
_TEXTS: Final = frozenset({"text", "varchar", "bpchar", "name"})
# By value: 1.0 and 1.00 are one number. Types not named here are compared as PostgreSQL writes them.
_COMPARED: Final = (
    _INTEGERS | _DATES | {"bool", "numeric", "float4", "float8", "timestamptz", "uuid", "bytea"}
)
# What cannot be anybody's name, however it is used.
_IMPERSONAL: Final = _COMPARED - {"bytea", "date"} | {"interval", "timetz", "money", "bit", "varbit"}
# Types whose text does not depend on a session's settings; functions with others fix the settings.
_SETTLED: Final = (
    _COMPARED | _TEXTS | {"json", "jsonb", "xml", "inet", "cidr", "tsvector", "hstore", "citext"}
)


def default_mode(column: Column) -> Mode:
    """How a column is kept where nobody says: what may be personal can be erased later."""
    return "plain" if column.type in _IMPERSONAL or column.enum else "committed"


def function_name(relation: str) -> str:
    """The name of a table's function, within PostgreSQL's 63 bytes.

    >>> function_name("public.res_users")
    'audit_public_res_users_ff12724a_'
    """
    readable = "".join(c if c.isascii() and c.isalnum() else "_" for c in relation)[:46]
    return f"audit_{readable}_{hashlib.sha256(relation.encode()).hexdigest()[:8]}_"


def _is_large(column: Column) -> bool:
    return column.type not in (_COMPARED - {"bytea", "numeric"}) and not column.enum


def _json(column: Column, row: str) -> str:
    """The value as JSON text; never null."""
    value = f"{row}.{ident(column.name)}"
    if column.type in _INTEGERS:
        return f"coalesce({value}::pg_catalog.text, 'null')"
    if column.type == "bool" or column.type in _DATES:
        return f"coalesce(pg_catalog.to_json({value})::pg_catalog.text, 'null')"
    if column.type == "timestamptz":
        return f"coalesce(pg_catalog.to_json(pg_catalog.timezone('UTC', {value}))::pg_catalog.text, 'null')"
    is_bytes = column.type == "bytea"
    text = f"pg_catalog.encode({value}, 'hex')" if is_bytes else f"{value}::pg_catalog.text"
    plain = f"pg_catalog.to_json({text})::pg_catalog.text"
    if _is_large(column):
        measured = value if is_bytes else text
        long = "audit_long_bytes" if is_bytes else "audit_long"
        longer = f"pg_catalog.octet_length({measured}) OPERATOR(pg_catalog.>) {LARGE}"
        plain = f"CASE WHEN {longer} THEN vallum.{long}({measured}) ELSE {plain} END"
    return f"coalesce({plain}, 'null')"


def _name(column: Column) -> str:
    """`,"name":`, as it stands before a value."""
    return "," + json.dumps(column.name, ensure_ascii=False) + ":"


_HIDDEN: Final = '{"hidden":true}'


def _members(columns: Sequence[Column], modes: Mapping[str, Mode], row: str) -> str:
    """`,"a":1,"b":"x"` as an expression: what stands within a JSON object, each with a comma before it."""
    parts: list[str] = []
    for column in columns:
        if modes[column.name] == "hidden":
            parts.append(literal(_name(column) + _HIDDEN))
        else:
            parts += [literal(_name(column)), _json(column, row)]
    # PostgreSQL takes 100 arguments at most.
    lists = [", ".join(parts[i : i + 90]) for i in range(0, len(parts), 90)]
    return f" {_AND} ".join(f"pg_catalog.concat({some})" for some in lists)


def _pair(column: Column, mode: Mode) -> str:
    """`,"name":[old,new]`, as an expression."""
    if mode == "hidden":
        return literal(f"{_name(column)}[{_HIDDEN},{_HIDDEN}]")
    old, new = _json(column, "OLD"), _json(column, "NEW")
    return f"{literal(_name(column) + '[')} {_AND} {old} {_AND} ',' {_AND} {new} {_AND} ']'"


def _differs(column: Column) -> str:
    """Whether a value changed. Not IS DISTINCT FROM: it looks for its operator on the search path."""
    old, new = f"OLD.{ident(column.name)}", f"NEW.{ident(column.name)}"
    both_null = f"({old} IS NULL AND {new} IS NULL)"
    if column.type in _TEXTS:
        # Collations may hold texts equal that are not the same.
        old, new = f'{old} COLLATE pg_catalog."C"', f'{new} COLLATE pg_catalog."C"'
    elif column.type not in _COMPARED and not column.enum:
        old, new = f"{old}::pg_catalog.text", f"{new}::pg_catalog.text"
    return f"({old} OPERATOR(pg_catalog.=) {new}) IS NOT TRUE AND NOT {both_null}"


_AND: Final = "OPERATOR(pg_catalog.||)"
_IS: Final = "OPERATOR(pg_catalog.=)"
_ID: Final = "pg_catalog.nextval('vallum.audit_event_id'::pg_catalog.regclass)"
# How many events the transaction has: kept where a rolled back savepoint takes it back as well.
_COUNTED: Final = (
    "pg_catalog.concat('0', pg_catalog.current_setting('vallum.audit_n', true))::pg_catalog.int4"
)


def _who(number: str) -> str:
    """Which event of its transaction it is, and who writes; `waiting` takes it apart.

    The separators are in no name that is not quoted. An address is left out where there is none.
    """
    return f"""pg_catalog.concat_ws(E'\\x1f', {number}, pg_catalog.inet_client_addr(),
        pg_catalog.pg_backend_pid(), pg_catalog.current_setting('application_name'),
        pg_catalog.quote_ident(SESSION_USER), pg_catalog.quote_ident(pg_catalog.current_setting('role')),
        pg_catalog.current_setting('vallum.audit_stamp', true))"""


_COUNT: Final = (
    f"pg_catalog.set_config('vallum.audit_n', ({_COUNTED} OPERATOR(pg_catalog.+) 1)::pg_catalog.text, true)"
)


def function_bodies(table: Table, modes: Mapping[str, Mode]) -> dict[str, str]:
    """The text of the functions for insert, update, delete and truncate, by the letter that events have.

    One for each, and few statements in them: what they cost is paid by every write.
    Every name says where it is from: the writer's search path has no say.
    """
    bodies = {op: _row_body(table, modes, op) for op in "iud"}
    return {**bodies, "t": _truncate_body(table, modes)}


def _content(table: Table, modes: Mapping[str, Mode], op: str) -> str:
    """Statements that put what the event holds into `c`, and leave the function where nothing changed."""
    if op != "u":
        return f"c := {_members(table.columns, modes, 'NEW' if op == 'i' else 'OLD')};"
    steps = ["c := '';"]
    for column in table.columns:
        add = f"c := c {_AND} {_pair(column, modes[column.name])};"
        # Without a key all columns are needed: nothing else says which row it was.
        steps.append(f"IF {_differs(column)} THEN {add} END IF;" if table.key else add)
    if table.key:
        steps.append(f"IF c {_IS} '' THEN RETURN NULL; END IF;")
    return "\n    ".join(steps)


def _row_body(table: Table, modes: Mapping[str, Mode], op: str) -> str:
    content = _content(table, modes, op)
    key = _key(table, "NEW" if op == "i" else "OLD")
    declared = careful = ""
    if not table.watched:
        content, key, careful = _guarded(table, modes, content, key), "k", ", careful"
        declared = "\n    k pg_catalog.text;\n    careful pg_catalog.bool;"
    return f"""
DECLARE
    c pg_catalog.text;
    w pg_catalog.text;{declared}
BEGIN
    {content}
    w := {_who(_COUNT)};
    INSERT INTO vallum.audit_inbox VALUES ({_ID}, pg_catalog.pg_current_xact_id(),
        pg_catalog.clock_timestamp(), '{OPERATIONS[op]}', {literal(table.relation)}, {key}, c, w{careful});
    IF pg_catalog.starts_with(w, E'2\\x1f') THEN
        INSERT INTO vallum.audit_footer (xid) VALUES (pg_catalog.pg_current_xact_id());
    END IF;
    RETURN NULL;
END """  # noqa: S608 - names of the catalogue, quoted


def _guarded(table: Table, modes: Mapping[str, Mode], content: str, key: str) -> str:
    """The same statements, with a way on where the table is not what it was when they were written."""
    hidden = literal("{" + ",".join(_array_item(c) for c in modes if modes[c] == "hidden") + "}")
    keys = literal("{" + ",".join(map(_array_item, table.key)) + "}")
    return f"""BEGIN
    {content}
    k := {key};
    EXCEPTION WHEN OTHERS THEN
        SELECT d.* INTO k, c, careful FROM vallum.audit_whole(TG_OP, pg_catalog.to_jsonb(OLD),
            pg_catalog.to_jsonb(NEW), {keys}, {hidden}) d;
        IF careful IS NULL THEN
            RETURN NULL;
        END IF;
    END;"""  # noqa: S608 - names of the catalogue, quoted


def _array_item(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def rows_as_events(table: Table, modes: Mapping[str, Mode], op: str, source: str) -> str:
    """Insert an event per row that is there: what is lost by TRUNCATE, or what there was at the beginning."""
    number = f"{_COUNTED} OPERATOR(pg_catalog.+) pg_catalog.row_number() OVER ()"
    return (
        f"INSERT INTO vallum.audit_inbox SELECT {_ID}, pg_catalog.pg_current_xact_id(), "  # noqa: S608
        f"pg_catalog.clock_timestamp(), '{OPERATIONS[op]}', {literal(table.relation)}, {_key(table, 'x')}, "
        f"{_members(table.columns, modes, 'x')}, {_who(number)} FROM {source} x"
    )


def _key(table: Table, row: str) -> str:
    columns = [c for name in table.key for c in table.columns if c.name == name]
    return _members(columns, dict.fromkeys(table.key, "plain"), row) if columns else "NULL"


def rows_as_json(table: Table) -> str:
    """A query for the rows there are, as events would have them: key and values."""
    modes: dict[str, Mode] = dict.fromkeys((c.name for c in table.columns), "plain")
    source = table.sql if table.kind == "p" else f"ONLY {table.sql}"
    return f"SELECT {_key(table, 'x')}, {_members(table.columns, modes, 'x')} FROM {source} x"  # noqa: S608


def count_events(count: str) -> tuple[str, str]:
    """Go on after the events that `rows_as_events` has inserted; `count`: how many those are, in SQL."""
    total = f"{_COUNTED} OPERATOR(pg_catalog.+) {count}"
    # The mark of the second event, where it is among these.
    mark = (
        "INSERT INTO vallum.audit_footer (xid) SELECT pg_catalog.pg_current_xact_id()"
        f" WHERE {_COUNTED} OPERATOR(pg_catalog.<) 2 AND {total} OPERATOR(pg_catalog.>=) 2"
    )
    return mark, f"SELECT pg_catalog.set_config('vallum.audit_n', ({total})::pg_catalog.text, true)"


def _truncate_body(table: Table, modes: Mapping[str, Mode]) -> str:
    before, after = rows_as_events(table, modes, "t", "ONLY \x00").split("\x00")
    mark, counted = count_events("n")
    return f"""
DECLARE
    n pg_catalog.int4;
BEGIN
    EXECUTE {literal(before)} {_AND} TG_RELID::pg_catalog.regclass::pg_catalog.text {_AND} {literal(after)};
    GET DIAGNOSTICS n = ROW_COUNT;
    {mark};
    {counted.replace("SELECT", "PERFORM", 1)};
    RETURN NULL;
END """


def _settings(table: Table) -> str:
    """Fixed settings, where the text of a value depends on a session's; elsewhere they only cost time."""
    if all(c.type in _SETTLED or c.enum for c in table.columns):
        return ""
    return (
        "SET search_path = '' SET datestyle = 'ISO' SET intervalstyle = 'postgres' SET timezone = 'UTC' "
        "SET bytea_output = 'hex' SET extra_float_digits = 1"
    )


_EVENTS: Final = {"i": "AFTER INSERT", "u": "AFTER UPDATE", "d": "AFTER DELETE", "t": "BEFORE TRUNCATE"}


def statements(table: Table, modes: Mapping[str, Mode]) -> tuple[str, ...]:
    """The SQL that begins to audit the table; the bodies of its functions are what a later check compares."""
    found: list[str] = []
    for op, body in function_bodies(table, modes).items():
        function = f"vallum.{ident(function_name(table.relation) + op)}()"
        each, targets = ("STATEMENT", table.truncatable) if op == "t" else ("ROW", (table.sql,))
        tag = "$vallum$"
        while tag in body:
            # A name may hold anything.
            tag = f"${tag[1:-1]}_$"
        found.append(
            f"CREATE OR REPLACE FUNCTION {function} RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "
            f"{_settings(table)} AS {tag}{body}{tag}"
        )
        found.append(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        for target in targets:
            found.append(
                f"CREATE OR REPLACE TRIGGER {TRIGGER}_{op} {_EVENTS[op]} ON {target} FOR EACH {each} "
                f"EXECUTE FUNCTION {function}"
            )
            found.append(f"ALTER TABLE {target} ENABLE ALWAYS TRIGGER {TRIGGER}_{op}")
    return tuple(found)
