"""A database with an audit trail: its tables, its log's folder, and the commands on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.support.command import Outcome, run
from vallum.audit import Alarm, Home, Sequencer
from vallum.audit.install import Hand, apply_step, begin, plan
from vallum.audit.keys import actor_key, make_keys
from vallum.audit.publisher import Anchor
from vallum.kernel import Clock
from vallum.postgres import connect

__all__ = ["ORIGIN", "Trail", "trail"]

ORIGIN = "log.example/shop"
TABLES = """
CREATE TABLE customer (id integer PRIMARY KEY, name text, amount numeric, active boolean DEFAULT true);
CREATE TABLE purchase (id integer PRIMARY KEY, customer_id integer REFERENCES customer ON DELETE CASCADE,
                       total numeric);
"""


class Trail:
    """A trail under test. `connection`: the superuser's, in autocommit."""

    def __init__(self, dsn: str, folder: Path, connection: psycopg.Connection[Any]) -> None:
        self.dsn, self.connection = dsn, connection
        self.home = Home(folder)
        self.alarms: list[Alarm] = []

    @property
    def key(self) -> bytes:
        """The key that actors are stamped with."""
        return actor_key(self.home.actor_key)

    def enable(self, wanted: Mapping[str, Mapping[str, Any]], *, baseline: bool = False) -> None:
        """Audit tables."""
        for step in plan(self.connection, wanted):
            apply_step(self.connection, step, Hand(self.key), baseline=baseline)

    def sequencer(self, **options: Any) -> Sequencer:
        """A sequencer of this log."""
        return Sequencer(self.dsn, options.pop("home", self.home), notify=self.alarms.append, **options)

    def sequence(
        self, *, clock: Clock | None = None, anchors: Sequence[Anchor] = (), partition: int = 1 << 20
    ) -> int:
        """One turn of a new sequencer; says the log's size."""
        with self.sequencer(clock=clock, anchors=anchors, partition=partition).running() as worker:
            return worker.step().size

    def execute(self, *statements: str) -> None:
        """Statements, each a transaction."""
        for statement in statements:
            self.connection.execute(statement.encode())

    def one(self, query: str, *params: Any) -> Any:
        """The first value of a query."""
        row = self.connection.execute(query.encode(), params or None).fetchone()
        return None if row is None else row[0]

    def entries(self) -> list[dict[str, Any]]:
        """The log's entries."""
        rows = self.connection.execute("SELECT entry::json FROM vallum.audit_leaf ORDER BY index")
        return [row[0] for row in rows]

    def rows(self) -> list[dict[str, Any]]:
        """The entries of changed rows."""
        return [entry for entry in self.entries() if entry["kind"] == "row"]

    def index_of(self, where: str) -> int:
        """The place of the last entry that fulfils a condition."""
        return int(self.one(f"SELECT max(index) FROM vallum.audit_leaf WHERE {where}"))

    def command(self, *arguments: str) -> Outcome:
        """`vallum audit …` on it."""
        folder = () if arguments[0] == "check-proof" else ("--folder", str(self.home.folder))
        return run("audit", *arguments, "--dsn", self.dsn, *folder)

    def codes(self, *arguments: str) -> list[tuple[str, int | None]]:
        """The problems a command reports: codes and events."""
        done = self.command(*arguments, "--json")
        assert done.code == (1 if done.json["problems"] else 0), done.out
        return [(at["code"], at["index"]) for at in done.json["problems"]]


@contextmanager
def trail(
    dsn: str,
    folder: Path,
    tables: str = TABLES,
    wanted: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    prepare: Callable[[psycopg.Connection[Any]], None] | None = None,
) -> Iterator[Trail]:
    """A database of some tables, audited."""
    with connect(dsn, readonly=False, autocommit=True) as connection:
        connection.execute(tables.encode())
        if prepare:
            prepare(connection)
        begin(connection, ORIGIN)
        make_keys(folder)
        made = Trail(dsn, folder, connection)
        made.enable({"public.customer": {}, "public.purchase": {}} if wanted is None else wanted)
        yield made
