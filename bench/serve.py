"""The server over HTTPS: latency, throughput and memory, beside the hand-written SQL in the same run.

Over the reference Odoo 18 database with as many leads as are said, as its user `demo`, who sees own
documents and those of nobody. One worker. "A core" is a second of the worker's own processor time.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg

from bench.server import scratch_server
from bench.table import Row
from tests.support.accounts import odoo_key
from tests.support.debian import program
from tests.support.serving import Server, serving
from tests.support.temporary import temporary_folder
from vallum.postgres import EmbeddedServer

REFERENCE = Path(__file__).resolve().parents[2] / "shared"
FIELDS = ["name", "user_id", "stage_id", "expected_revenue", "create_date", "email_from"]
SEARCH = ("/json/2/crm.lead/search_read", {"domain": [], "fields": FIELDS, "limit": 80, "order": "id"})
RIGHTS = ("/json/2/crm.lead/check_access_rights", {"operation": "read"})
MIB = 2**20

_FILL = """
INSERT INTO crm_lead (id, name, type, user_id, stage_id, company_id, active, priority, expected_revenue,
                      create_date, write_date, create_uid, email_from)
SELECT 1000 + n, 'Lead ' || n, 'opportunity',
       CASE n %% 20 WHEN 0 THEN NULL ELSE (ARRAY[6, 2, 8, 9, 10, 11, 12, 13, 14, 15])[1 + n %% 10] END,
       1 + n %% 4, CASE n %% 3 WHEN 0 THEN NULL ELSE 1 END, true, '0', n %% 5000,
       now()::timestamp - n * interval '1 minute', now()::timestamp, 1, 'lead' || n || '@example.com'
FROM generate_series(1, %(rows)s) n
"""
_BY_HAND = """
SELECT l.id, l.name, u.id, up.name, s.id, s.name->>'en_US', l.expected_revenue, l.create_date, l.email_from
FROM crm_lead l LEFT JOIN res_users u ON u.id = l.user_id LEFT JOIN res_partner up ON up.id = u.partner_id
LEFT JOIN crm_stage s ON s.id = l.stage_id
WHERE l.active AND (l.user_id = 6 OR l.user_id IS NULL) AND (l.company_id = 1 OR l.company_id IS NULL)
ORDER BY l.id LIMIT 80
"""


def run(*, quick: bool = False) -> list[Row]:
    """Rows for latency and throughput at 1, 8 and 64 connections, flatness, memory."""
    folder = Path(os.environ.get("VALLUM_ODOO_FIXTURES", REFERENCE)) / "odoo18"
    if not (folder / "odoo18.dump").exists():
        return [Row("the server over an Odoo 18 database", f"not measured: {folder.name} is not there")]
    seconds = 2.0 if quick else 8.0
    with scratch_server() as server:
        server.restore(folder / "odoo18.dump", "odoo18")
        small = _measured(server, folder, 10_000, seconds / 2, whole=False)
        many = _measured(server, folder, 50_000 if quick else 1_000_000, seconds, whole=True)
    flat = many["p50"] / small["p50"]
    return [
        *many["rows"],
        Row(
            "the same call over 10,000 leads",
            f"{small['p50']:.2f} ms",
            ratio=f"{flat:.2f} × from there to the most",
            asked="flat",
            ok=flat <= 1.3,
        ),
    ]


def _measured(
    server: EmbeddedServer, folder: Path, leads: int, seconds: float, *, whole: bool
) -> dict[str, Any]:
    dsn = server.create_database(f"leads_{leads}", template="odoo18")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(_FILL, {"rows": leads})
        connection.execute("VACUUM ANALYZE crm_lead")
    key = odoo_key(dsn, "demo")
    store = server.create_database(f"store_{leads}")
    settings = {"registry": folder / "registry.json.gz", "api_rate": 10**8, "api_burst": 10**8}
    with (
        temporary_folder() as place,
        serving(place, dsn=dsn, store=store, settings=settings) as running,
        psycopg.connect(dsn, autocommit=True) as connection,
    ):
        _same(running, key, connection)
        first = _load(running, key, SEARCH, 1, seconds)
        if not whole:
            return {"p50": first["p50"]}
        return {"p50": first["p50"], "rows": _rows(running, key, connection, leads, seconds, first)}


def _rows(
    running: Server, key: str, connection: Any, leads: int, seconds: float, first: dict[str, float]
) -> list[Row]:
    by_hand = _median(lambda: connection.execute(_BY_HAND).fetchall(), 400) * 1e3
    name = f"search_read, 80 × 6 of {leads:,} leads, HTTPS"
    rows = [
        Row(
            f"{name}: 1 connection, p50, p99",
            f"{first['p50']:.2f}, {first['p99']:.2f} ms",
            f"hand-written SQL {by_hand:.2f} ms",
            f"{first['p50'] / by_hand:.1f} ×",
            "p50 ≤ 1.5 ms",
            first["p50"] <= 1.5,
        )
    ]
    for connections in (8, 64):
        found = _load(running, key, SEARCH, connections, seconds)
        shown = f"{found['p50']:.2f}, {found['p99']:.2f} ms"
        rows.append(Row(f"{name}: {connections} connections, p50, p99", shown))
    core = first["core"]
    rows.append(Row(f"{name}: a core and second", f"{core:.0f}", asked="≥ 800", ok=core >= 800))
    rights = _load(running, key, RIGHTS, 1, seconds)
    rows.append(
        Row(
            "check_access_rights: a core and second",
            f"{rights['core']:.0f}",
            asked="≥ 2,000",
            ok=rights["core"] >= 2000,
        )
    )
    rows.append(Row("check_access_rights: p50, p99", f"{rights['p50']:.2f}, {rights['p99']:.2f} ms"))
    rows.append(_noticed(running, key, connection))
    most = max(p.memory_info().rss for p in _workers(running)) / MIB
    rows.append(Row("memory of a worker under load", f"{most:.0f} MiB", asked="≤ 150 MiB", ok=most <= 150))
    return rows


def _noticed(running: Server, key: str, connection: Any) -> Row:
    """How long a right that was taken is still used: a change by plain SQL, as anyone makes it."""
    took = []
    model = "model_id = (SELECT id FROM ir_model WHERE model = 'crm.lead') AND group_id IS NOT NULL"
    with running.client(headers={"Authorization": f"Bearer {key}"}) as client:
        for granted in (False, True) * 3:
            connection.execute(f"UPDATE ir_model_access SET perm_read = {granted} WHERE {model}")
            start = time.perf_counter()
            while (client.post(RIGHTS[0], json=RIGHTS[1]).status_code == 200) is not granted:
                time.sleep(0.005)
            took.append(time.perf_counter() - start)
    most = max(took)
    return Row(
        "a change of access rights is in force", f"{most:.2f} s at most of 6", asked="≤ 1 s", ok=most <= 1
    )


def _same(running: Server, key: str, connection: Any) -> None:
    """What is measured is the same question."""
    with running.client(headers={"Authorization": f"Bearer {key}"}) as client:
        ours = [record["id"] for record in client.post(SEARCH[0], json=SEARCH[1]).json()]
    theirs = [row[0] for row in connection.execute(_BY_HAND).fetchall()]
    if ours != theirs:
        raise AssertionError(f"the answers differ: {ours[:5]} and {theirs[:5]}")


def _median(work: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _workers(running: Server) -> list[psutil.Process]:
    """The processes that serve: the children that listen on the server's port."""
    return [
        child
        for child in psutil.Process(running.process.pid).children()
        if any(c.laddr and c.laddr.port == running.port for c in child.net_connections("tcp"))
    ]


def _load(
    running: Server, key: str, call: tuple[str, Any], connections: int, seconds: float
) -> dict[str, float]:
    """Milliseconds at p50 and p99, and requests for each second of the worker's processor time.

    Asked by wrk, on keep-alive connections: a client in Python would measure itself. What is asked first,
    for as long as a tenth, warms up.
    """
    _wrk(running, key, call, connections, max(1.0, seconds / 10))
    workers = _workers(running)
    before = sum(sum(p.cpu_times()[:2]) for p in workers)
    found = _wrk(running, key, call, connections, seconds)
    used = sum(sum(p.cpu_times()[:2]) for p in workers) - before
    if found["failed"]:
        raise AssertionError(f"{found['failed']:.0f} calls failed")
    return {"p50": found["p50"] / 1e3, "p99": found["p99"] / 1e3, "core": found["calls"] / used}


# What it prints at the end, and its requests. It does not check certificates.
_SCRIPT = """
wrk.method, wrk.body = "POST", [[{body}]]
wrk.headers["Authorization"], wrk.headers["Content-Type"] = "Bearer {key}", "application/json"
done = function(summary, latency, requests)
  local e = summary.errors
  local failed = e.connect + e.read + e.write + e.status + e.timeout
  print(summary.requests, failed, latency:percentile(50), latency:percentile(99))
end
"""


def _wrk(
    running: Server, key: str, call: tuple[str, Any], connections: int, seconds: float
) -> dict[str, float]:
    """How many calls were answered, how many failed, and microseconds at p50 and p99."""
    script = running.folder / "ask.lua"
    script.write_text(_SCRIPT.format(key=key, body=json.dumps(call[1])), encoding="utf-8")
    threads, lasting = min(connections, 2), f"{round(seconds)}s"
    command = [program("wrk"), "-t", str(threads), "-c", str(connections), "-d", lasting, "-s", str(script)]
    told = subprocess.run([*command, f"{running.url}{call[0]}"], capture_output=True, text=True, check=True)
    return dict(zip(("calls", "failed", "p50", "p99"), map(float, told.stdout.split()[-4:]), strict=True))


if __name__ == "__main__":
    sys.exit("run it by `python -m bench serve`")
