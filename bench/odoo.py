"""A real Odoo 18 database: opening, scopes, the snapshot of all users, memory.

Needs the reference databases of the tests; without them it says so and measures nothing.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from bench.server import scratch_server
from bench.table import Row, seconds

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "odoo18"


def run(*, quick: bool = False) -> list[Row]:
    """Rows for opening, a scope from the cache, the snapshot and memory."""
    folder = Path(os.environ.get("VALLUM_ODOO_FIXTURES", REFERENCE.parent)) / "odoo18"
    if not (folder / "odoo18.dump").exists():
        return [Row("a real Odoo 18 database", f"not measured: {folder.name} is not there")]
    with scratch_server() as server:
        server.restore(folder / "odoo18.dump", "odoo18")
        dsn, registry = server.dsn("odoo18"), str(folder / "registry.json.gz")
        return [
            *_opened(dsn, registry, rounds=3 if quick else 9),
            *_scopes(dsn, registry),
            *_snapshot(dsn, registry),
            *_memory(dsn, registry),
        ]


def _opened(dsn: str, registry: str, rounds: int) -> list[Row]:
    import vallum

    def work() -> None:
        vallum.open(dsn, registry=registry).close()

    took = seconds(work, rounds=rounds)
    return [Row("open the database with its registry", f"{took:.2f} s", asked="≤ 1 s", ok=took <= 1)]


def _scopes(dsn: str, registry: str) -> list[Row]:
    from vallum.enforce import Application
    from vallum.policy import Directory
    from vallum.policy.readers.odoo import read_policy, read_users
    from vallum.postgres import Database
    from vallum.schema.readers.odoo import read_odoo

    with Database(dsn) as database:
        schema = read_odoo(database, Path(registry))
        users = Directory(read_users(database, schema))
        application = Application(database, schema, read_policy(database, schema), users)
        actor = application.actor("demo")
        model = schema.model("crm.lead")
        env = application.env(actor)
        application.access(actor).rules(model, env)

        def work() -> None:
            for _ in range(1_000):
                application.access(actor).rules(model, env)

        each = seconds(work) * 1e3
    return [Row("a scope, compiled, from the cache", f"{each:.2f} µs", asked="≤ 50 µs", ok=each <= 50)]


def _snapshot(dsn: str, registry: str) -> list[Row]:
    import vallum

    with vallum.open(dsn, registry=registry) as odoo:
        start = time.perf_counter()
        odoo.snapshot()
        took = time.perf_counter() - start
    return [Row("snapshot of 30 users", f"{took:.1f} s", asked="≤ 30 s", ok=took <= 30)]


_MEASURE = """
import gc, json, sys, psutil
from pathlib import Path
import vallum, vallum.facade, vallum.enforce
from vallum.postgres import Database
from vallum.schema.readers.odoo import read_odoo
from vallum.policy.readers.odoo import read_policy
database = Database(sys.argv[1])
database.rows("SELECT 1")
process = psutil.Process()
gc.collect()
before = process.memory_info().rss
schema = read_odoo(database, Path(sys.argv[2]))
policy = read_policy(database, schema)
policy.version
gc.collect()
print(json.dumps((process.memory_info().rss - before) / 2**20))
"""


def _memory(dsn: str, registry: str) -> list[Row]:
    gc.collect()
    found = subprocess.run(
        [sys.executable, "-c", _MEASURE, dsn, registry], check=True, capture_output=True, text=True
    )
    mib = float(json.loads(found.stdout))
    return [Row("memory of policy and schema", f"{mib:.0f} MiB", asked="≤ 100 MiB", ok=mib <= 100)]
