"""Which indexes the rules of large tables want, and which indexes row level security takes from users.

A rule's condition is part of every statement of its users: without an index it is a reading of the
whole table. And PostgreSQL tries a user's own condition before a policy only where the operator is
known not to leak what it sees: otherwise the user's index is of no use.
Measuring makes the index, times a count as one of the users, and rolls everything back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import psycopg

from vallum.domain.ast import Open
from vallum.domain.filter import All, Compare, Filter, Holds, OneOf, PerCompany, Ref, Root, Some, Within
from vallum.enforce.application import Application
from vallum.enforce.roles.catalogue import is_applied
from vallum.enforce.roles.expressions import HELPERS, Library
from vallum.enforce.roles.login import joined
from vallum.enforce.roles.names import quoted
from vallum.enforce.roles.scopes import COMPANIES, ModelRules, RuleCompiler
from vallum.kernel import NO_PROGRESS, Progress, VallumError

__all__ = ["Advice", "LostIndex", "WantedIndex", "advise"]

Connection: TypeAlias = psycopg.Connection[Any]

_COMPANY: Final = Open("company_id", False)
_RUNS: Final = 3

_INDEXED: Final = """
SELECT c.relname::text, c.reltuples::bigint, ARRAY(SELECT s.attname::text FROM pg_stats s
    WHERE s.schemaname = %s AND s.tablename = c.relname AND s.n_distinct BETWEEN 0 AND 10),
    ARRAY(SELECT DISTINCT a.attname::text FROM pg_index i
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
    JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
    WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND m.amname IN ('btree', 'hash'))
FROM pg_class c WHERE c.relnamespace = %s::regnamespace AND c.relkind IN ('r', 'p') AND c.relname = ANY (%s)
"""

# What an index is asked by: equality for btree and hash, everything for the others.
_LOST: Final = """
SELECT t.relname::text, x.relname::text, m.amname::text, coalesce(a.attname::text, 'an expression'),
    format_type(k.opcintype, NULL), string_agg(DISTINCT o.oprname::text, ' ' ORDER BY o.oprname::text)
FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
    JOIN pg_am m ON m.oid = x.relam
    CROSS JOIN LATERAL unnest(i.indclass::oid[], i.indkey::int2[]) WITH ORDINALITY u(opclass, attnum, place)
    JOIN pg_opclass k ON k.oid = u.opclass
    LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = u.attnum AND u.attnum > 0
    JOIN pg_amop p ON p.amopfamily = k.opcfamily AND p.amopmethod = x.relam AND p.amoppurpose = 's'
        AND (m.amname NOT IN ('btree', 'hash')
            OR p.amoplefttype = k.opcintype AND p.amoprighttype = k.opcintype)
    JOIN pg_operator o ON o.oid = p.amopopr JOIN pg_proc f ON f.oid = o.oprcode
WHERE t.relnamespace = %s::regnamespace AND t.relname = ANY (%s) AND u.place = 1 AND NOT f.proleakproof
GROUP BY t.relname, x.relname, m.amname, a.attname, k.opcintype ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class WantedIndex:
    """An index that rules would be served by, those of `groups` or of everyone.

    Times are in milliseconds, None where nothing was measured.
    """

    table: str
    column: str
    rules: tuple[str, ...]
    groups: frozenset[int]
    rows: int
    before: float | None = None
    after: float | None = None

    @property
    def statement(self) -> str:
        """How to make it, while others go on writing."""
        return f"CREATE INDEX CONCURRENTLY ON {quoted(self.table)} ({quoted(self.column)})"

    @property
    def is_worth_it(self) -> bool:
        """Whether it was not measured to be of little use."""
        return self.before is None or self.after is None or self.after < 0.8 * self.before

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "table": self.table,
            "column": self.column,
            "rules": list(self.rules),
            "rows": self.rows,
            "statement": self.statement,
            "before_ms": self.before,
            "after_ms": self.after,
        }


@dataclass(frozen=True, slots=True)
class LostIndex:
    """An index whose `operators` may leak, so that it does not serve users on a table with policies.

    `instead`: columns whose indexes do; a condition on one of them as well makes up for it.
    """

    table: str
    index: str
    method: str
    column: str
    type: str
    operators: str
    instead: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        names = ("table", "index", "method", "column", "type", "operators")
        return {**{name: getattr(self, name) for name in names}, "instead": list(self.instead)}


@dataclass(frozen=True, slots=True)
class Advice:
    """What to add, and what to know."""

    wanted: tuple[WantedIndex, ...]
    lost: tuple[LostIndex, ...]
    measured_as: str | None = None


def advise(
    connection: Connection,
    application: Application,
    rows: int,
    *,
    schema: str = "public",
    measure: bool = False,
    progress: Progress = NO_PROGRESS,
) -> Advice:
    """The advice for tables of at least `rows` rows, as PostgreSQL's statistics count them."""
    columns: dict[tuple[str, str], dict[str, frozenset[int]]] = {}
    tables: set[str] = set()
    for rules in _all_rules(application, schema):
        tables.add(rules.model.table)
        for column, rule, groups in _compared(rules):
            columns.setdefault((rules.model.table, column), {})[rule] = groups
    found = connection.execute(_INDEXED, (schema, schema, sorted(tables))).fetchall()
    # A column of few values finds too many rows to be worth an index.
    served = {table: {*coarse, *have} for table, _, coarse, have in found}
    sizes = {table: size for table, size, _, _ in found if size >= rows}
    wanted = [
        WantedIndex(table, column, tuple(for_rules), frozenset().union(*for_rules.values()), sizes[table])
        for (table, column), for_rules in sorted(columns.items())
        if table in sizes and column not in served[table]
    ]
    lost = [LostIndex(*row) for row in connection.execute(_LOST, (schema, sorted(sizes))).fetchall()]
    shut = {(index.table, index.column) for index in lost}
    # The id finds one row, which nobody looks for by a text.
    serving = {
        table: tuple(c for c in have if c not in coarse and c != "id" and (table, c) not in shut)
        for table, _, coarse, have in found
    }
    lost = [replace(index, instead=serving.get(index.table, ())) for index in lost]
    if not measure:
        return Advice(tuple(wanted), tuple(lost))
    return Advice(tuple(_measured(connection, wanted, schema, progress)), tuple(lost))


def _all_rules(application: Application, schema: str) -> Iterator[ModelRules]:
    library = Library(schema, places={COMPANIES: 1, _COMPANY: 2})
    compiler = RuleCompiler(
        application.policy, application.schema, application.lowering, application.env(None), library
    )
    for model in application.schema.models.values():
        if model.abstract:
            continue
        try:
            rules = compiler.rules(model)
        except VallumError:
            # The plan locks it and says why.
            continue
        if rules.restricted:
            yield rules


def _compared(rules: ModelRules) -> Iterator[tuple[str, str, frozenset[int]]]:
    """The columns an index could find rows by, each with the rule that asks, and for which groups."""
    for rule, condition in (*rules.global_filters, *rules.group_filters):
        name = rule.xml_id or rule.name or str(rule.id)
        yield from ((column, name, rule.groups) for column in _columns(condition, Root(rules.model.table)))
    yield from ((via, f"rules of {parent.model.name}", frozenset()) for via, parent in rules.parents)


def _columns(condition: Filter, row: Root) -> Iterator[str]:
    match condition:
        case All(parts) | Some(parts):
            for part in parts:
                yield from _columns(part, row)
        case Holds(part, True):
            yield from _columns(part, row)
        case Compare(ref, "=", _) | OneOf(ref, _) | Within(ref, _):
            if _is_selective(ref, row):
                yield ref.column


def _is_selective(ref: Ref, row: Root) -> bool:
    """Whether it is a plain column of the row, and not one of two values."""
    if ref.row != row or isinstance(ref.form, PerCompany):
        return False
    return getattr(ref.form, "type", "") not in ("bool", "boolean")


# Measuring


def _measured(
    connection: Connection, wanted: Iterable[WantedIndex], schema: str, progress: Progress
) -> Iterator[WantedIndex]:
    wanted = list(wanted)
    progress.start(len(wanted), "measuring")
    for index in wanted:
        role = _reader(connection, index, schema)
        yield index if role is None else _timed(connection, index, role, schema)
        progress.advance()
    progress.done()


def _reader(connection: Connection, index: WantedIndex, schema: str) -> str | None:
    """Of the roles the rules are for, the one with the fewest groups: few other rules let rows pass."""
    if not is_applied(connection):
        return None
    row = connection.execute(
        f"SELECT u.role_name::text FROM {HELPERS}.users u LEFT JOIN {HELPERS}.members m USING (role_name)"  # noqa: S608
        " WHERE has_any_column_privilege(u.role_name, %s, 'SELECT')"
        " GROUP BY u.role_name HAVING %s::int[] = '{}' OR array_agg(m.group_id) && %s::int[]"
        " ORDER BY count(m.group_id), 1 LIMIT 1",
        (f"{quoted(schema)}.{quoted(index.table)}", sorted(index.groups), sorted(index.groups)),
    ).fetchone()
    return row[0] if row else None


def _timed(connection: Connection, index: WantedIndex, role: str, schema: str) -> WantedIndex:
    target = f"{quoted(schema)}.{quoted(index.table)}"
    with connection.transaction(force_rollback=True), joined(connection, role):
        connection.execute("SET LOCAL lock_timeout = '2s'")
        before = _count(connection, target, role)
        connection.execute(f"CREATE INDEX ON {target} ({quoted(index.column)})".encode())
        after = _count(connection, target, role)
    return replace(index, before=before, after=after)


def _count(connection: Connection, target: str, role: str) -> float:
    """The best of some runs, in milliseconds."""
    times = []
    with connection.transaction():
        connection.execute(f"SET LOCAL ROLE {quoted(role)}".encode())
        for _ in range(_RUNS):
            row = connection.execute(
                f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) SELECT count(*) FROM {target}".encode()  # noqa: S608
            ).fetchone()
            times.append(row[0][0]["Execution Time"] if row else 0.0)
        connection.execute("SET LOCAL ROLE NONE")
    return round(min(times), 2)
