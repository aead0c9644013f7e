"""Move events from the inbox to the log, and publish what the log has become.

One transaction reads every event that is visible, appends the leaves, updates the tree's state and deletes
what it has read, all in one snapshot: an event that commits later is simply still there the next time.
Nothing is lost and nothing doubled, whatever dies when. Only after the commit are tiles written, a
checkpoint signed and shown. Where anything does not fit what was signed before, nothing is signed.
Order of events: by id within a batch. A row's second writer waits for the first, so a row's events are in
order.
Invariant: never two roots for one size; never a checkpoint that is older, or smaller, than the one before.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from vallum.audit.entries import Entry, entry_of, instant, make_entry
from vallum.audit.errors import AuditRefused, Fenced, LogForked, SequencedElsewhere
from vallum.audit.install import Hand, refresh
from vallum.audit.keys import actor_key
from vallum.audit.publisher import Publisher
from vallum.audit.state import Alarm, Home
from vallum.audit.tree import Frontier, leaf_hash
from vallum.audit.waiting import waiting
from vallum.kernel import Clock, SystemClock
from vallum.postgres import connect

__all__ = ["OLDEST", "PARTITION", "Sequenced", "Sequencer", "make_partition"]

Connection = psycopg.Connection[Any]
# Leaves a partition: what retention drops at once.
PARTITION: Final = 1 << 20
_FETCH: Final = 2_000
_LOCK: Final = 0x56414C4C554D  # "VALLUM"


@dataclass(frozen=True, slots=True)
class Sequenced:
    """What one turn did. `size`: of the log; `alarms`: raised in this turn."""

    events: int
    size: int
    alarms: tuple[Alarm, ...]


class Sequencer:
    """The one writer of a log. Used within `with`; `step` is one turn.

    `notify` is told each alarm; `on_step` the name of each step that is done. `takeover`: fence another
    sequencer off, which may still hold the database's lock, rather than refuse to start.
    """

    def __init__(
        self,
        dsn: str,
        home: Home,
        *,
        anchors: Sequence[Any] = (),
        clock: Clock | None = None,
        notify: Callable[[Alarm], None] = lambda alarm: None,
        on_step: Callable[[str], None] = lambda step: None,
        takeover: bool = False,
        partition: int = PARTITION,
    ) -> None:
        self._dsn, self._home, self._takeover, self._partition = dsn, home, takeover, partition
        self._clock = clock or SystemClock()
        self._on_step, self._notify = on_step, notify
        self._raised: list[Alarm] = []
        self._standing: set[tuple[str, str]] = set()
        self._publisher = Publisher(home, anchors, self._clock, self._alarm, on_step)
        self._turns = 0

    @contextmanager
    def running(self) -> Iterator[Sequencer]:
        """Take the log over and make good what a predecessor left half done.

        Raises: AuditRefused, KeyRefused, LogForked, ConnectionFailed, psycopg.Error.
        """
        with (
            self._home.alone(),
            connect(
                self._dsn, readonly=False, autocommit=True, application_name="vallum audit"
            ) as connection,
        ):
            self._connection = connection
            connection.execute("SET timezone = 'UTC'")
            try:
                self._actor_key = actor_key(self._home.actor_key)
                self._start()
            except LogForked as error:
                self._alarm(error.code, str(error))
                raise
            yield self

    def _start(self) -> None:
        locked = self._connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone()
        self._locked = locked == (True,)
        if not self._locked and not self._takeover:
            raise SequencedElsewhere(
                "another sequencer writes this log", fix="stop it, or take over with --takeover"
            )
        row = self._connection.execute(
            "UPDATE vallum.audit_state SET epoch = epoch + 1"
            " RETURNING origin, epoch, size, frontier, current_database()"
        ).fetchone()
        if row is None:
            raise AuditRefused("there is no log in this database", fix="run `vallum audit enable`")
        self.origin, self._epoch, size, frontier, self._database = row
        self._frontier = Frontier.from_bytes(size, frontier)
        self._publisher.recover(self._connection, self.origin, self._frontier)

    def step(self) -> Sequenced:
        """One turn: all events that are there, then a checkpoint where the log grew.

        Raises: Fenced, LogForked (nothing is signed), psycopg.Error (nothing is lost; try again).
        """
        self._raised = []
        if self._turns % 20 == 0:
            self._refresh()
            self._lock()
        self._turns += 1
        try:
            with self._connection.transaction():
                frontier, hashes = self._move()
            self._on_step("committed")
        except (psycopg.errors.SerializationFailure, psycopg.errors.LockNotAvailable):
            self._check_epoch()
            raise
        self._frontier = frontier
        self._publisher.publish(self._connection, self.origin, frontier, hashes)
        return Sequenced(len(hashes), frontier.size, tuple(self._raised))

    def _lock(self) -> None:
        """After a takeover, hold the lock as soon as the one before has let go: others then stand by."""
        if not self._locked:
            row = self._connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone()
            self._locked = row == (True,)

    def lag(self) -> float:
        """Seconds that the oldest event waits, as far as a short look tells. Raises: psycopg.Error."""
        row = self._connection.execute(OLDEST).fetchone()
        return max(0.0, float(row[0])) if row is not None and row[0] is not None else 0.0

    def _refresh(self) -> None:
        try:
            for name in refresh(self._connection, Hand(self._actor_key)):
                self._alarm("table-altered", f"{name} was altered; it is audited as it is now")
        except (AuditRefused, psycopg.Error) as error:
            self._alarm("table-altered", f"an altered table is still audited as it was: {error}")

    def _check_epoch(self) -> None:
        row = self._connection.execute("SELECT epoch FROM vallum.audit_state").fetchone()
        if row is None or row[0] != self._epoch:
            raise Fenced("another sequencer has taken over", fix="let it work")

    def _move(self) -> tuple[Frontier, list[bytes]]:
        connection = self._connection
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        state = connection.execute(
            "SELECT epoch, size, frontier FROM vallum.audit_state FOR UPDATE NOWAIT"
        ).fetchone()
        if state is None or state[0] != self._epoch:
            raise Fenced("another sequencer has taken over", fix="let it work")
        if (state[1], state[2]) != (self._frontier.size, self._frontier.to_bytes()):
            self._fail("the state of the log was changed by another hand")
        frontier = self._frontier.copy()
        hashes: list[bytes] = []
        for entries in self._entries():
            self._append(entries, frontier, hashes)
        self._on_step("copied")
        if hashes:
            connection.execute("DELETE FROM vallum.audit_inbox")
            connection.execute("DELETE FROM vallum.audit_footer")
            connection.execute(
                "UPDATE vallum.audit_state SET size = %s, frontier = %s, at = now() WHERE epoch = %s",
                (frontier.size, frontier.to_bytes(), self._epoch),
            )
        return frontier, hashes

    def _fail(self, what: str) -> None:
        error = LogForked(what, fix="run `vallum audit verify`; do not restart before you know why")
        self._alarm(error.code, what)
        raise error

    def _entries(self) -> Iterator[list[Entry]]:
        modes: dict[str, Mapping[str, str]] = dict(
            self._connection.execute("SELECT relation, columns FROM vallum.audit_table").fetchall()
        )
        counted: dict[str, _Transaction] = {}
        with self._connection.cursor(name="vallum_inbox") as cursor:
            cursor.execute(_INBOX)
            while rows := cursor.fetchmany(_FETCH):
                yield [self._entry(row, modes, counted) for row in rows]
        yield list(self._incomplete(counted))

    def _entry(
        self,
        row: tuple[Any, ...],
        modes: Mapping[str, Mapping[str, str]],
        counted: dict[str, _Transaction],
    ) -> Entry:
        """The entry of a row of the inbox; an alarm where it is no event: that keeps no other waiting."""
        try:
            event = waiting(*row[:-1])
            entry = entry_of(
                event,
                row[-1],
                modes.get(event.relation or "", {}),
                seed=secrets.token_bytes(32),
                key=self._actor_key,
                database=self._database,
            )
        except ValueError as error:
            self._alarm("event-malformed", f"what waited as event {row[0]} is none: {error}")
            detail = {"code": "event-malformed", "event": row[0], "tx": row[1]}
            return make_entry("alarm", detail, self._clock.now())
        counted.setdefault(event.xid, _Transaction(row[-1])).numbers.append(event.who.n)
        return entry

    def _incomplete(self, counted: Mapping[str, _Transaction]) -> Iterator[Entry]:
        """Alarms, as entries, where events of a transaction are missing."""
        orphans = self._connection.execute(
            "SELECT xid::text, count FROM vallum.audit_footer f"
            " WHERE count IS NOT NULL AND NOT EXISTS (SELECT FROM vallum.audit_inbox i WHERE i.xid = f.xid)"
        )
        wrong = {xid: (t.missing, t.of) for xid, t in counted.items() if t.missing}
        wrong |= {xid: ("all", count) for xid, count in orphans}
        for xid, (missing, count) in sorted(wrong.items()):
            detail = {"code": "events-missing", "missing": missing, "of": count, "tx": xid}
            self._alarm("events-missing", f"transaction {xid}: {missing} of {count or 'its'} events are gone")
            yield make_entry("alarm", detail, self._clock.now())

    def _append(self, entries: Sequence[Entry], frontier: Frontier, hashes: list[bytes]) -> None:
        if not entries:
            return
        start = frontier.size
        self._partitions(start, start + len(entries))
        with self._connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            for index, entry in enumerate(entries, start):
                copy.write_row(
                    (
                        index,
                        entry.text,
                        entry.at,
                        entry.relation,
                        entry.key,
                        entry.op,
                        entry.actor,
                        entry.seed,
                        entry.secret,
                    )
                )
        for entry in entries:
            leaf = leaf_hash(entry.text.encode())
            frontier.add(leaf)
            hashes.append(leaf)

    def _partitions(self, start: int, end: int) -> None:
        for number in range(start // self._partition, (end - 1) // self._partition + 1):
            first = number * self._partition
            if start <= first or start == 0:
                make_partition(self._connection, first, self._partition)

    def _alarm(self, code: str, what: str) -> None:
        """Raise an alarm; one that stands already is not told again."""
        alarm = Alarm(instant(self._clock.now()), code, what)
        self._raised.append(alarm)
        if (code, what) not in self._standing:
            self._standing.add((code, what))
            self._home.alarm(alarm)
            self._notify(alarm)


def make_partition(connection: Connection, first: int, width: int = PARTITION) -> None:
    """Where the leaves from `first` on go, if it is not there yet."""
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS vallum.audit_leaf_{first:012} PARTITION OF vallum.audit_leaf"
        f" FOR VALUES FROM ({first}) TO ({first + width})".encode()
    )


class _Transaction:
    """The numbers of a transaction's events, and how many it says there are."""

    __slots__ = ("numbers", "of")

    def __init__(self, of: int | None) -> None:
        self.of = of
        self.numbers: list[int] = []

    @property
    def missing(self) -> str:
        """The numbers that should be there and are not; empty where none."""
        have = set(self.numbers)
        # A footer may have been written early (SET CONSTRAINTS … IMMEDIATE): more events than it says are no
        # loss.
        last = max(self.of or 0, *have, 0)
        gone = [n for n in range(1, last + 1) if n not in have]
        if not gone and last > 1 and self.of is None:
            return "the count"
        return _runs(gone)


def _runs(numbers: Iterable[int]) -> str:
    """Numbers as ranges.

    >>> _runs([1, 2, 3, 7])
    '1-3,7'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


_INBOX: Final = b"""
SELECT e.id, e.xid::text, e.at, e.kind, e.relation, e.key, e.content, e.who, e.careful, f.count
FROM vallum.audit_inbox e LEFT JOIN vallum.audit_footer f ON f.xid = e.xid AND f.count IS NOT NULL
ORDER BY e.id
"""
# The first events in the table are the oldest, but for a few; a look is not to read all that waits.
OLDEST: Final = (
    b"SELECT extract(epoch FROM clock_timestamp() - min(at)) FROM"
    b" (SELECT at FROM vallum.audit_inbox LIMIT 100) AS first"
)
_COPY: Final = "COPY vallum.audit_leaf (index, entry, at, relation, key, op, actor, seed, secret) FROM STDIN"
