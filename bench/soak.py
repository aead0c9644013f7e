"""Load the server for a long time: `python -m bench.soak [--minutes 30] [--share 0.8]`.

First as fast as eight connections can for ten seconds, then at that share of it. Prints a line a
minute; exits with 1 after an error, or where memory or connections to the database have grown.
Needs the reference Odoo 18 database.
"""

from __future__ import annotations

import argparse
import http.client
import json
import ssl
import sys
import time
from threading import Event, Lock, Thread
from typing import Any

import psycopg

from bench.serve import MIB, REFERENCE, RIGHTS, SEARCH, _workers
from bench.server import scratch_server
from tests.support.accounts import odoo_key
from tests.support.serving import Server, serving
from tests.support.temporary import temporary_folder

CONNECTIONS = 8
CALLS = (
    SEARCH,
    RIGHTS,
    ("/json/2/crm.lead/search_count", {"domain": []}),
    ("/json/2/res.users/context_get", {}),
)
# Of memory, between a minute after the beginning and the end.
GROWTH = 8


class Load:
    """Connections that ask; `pause`: seconds each waits after an answer."""

    def __init__(self, server: Server, key: str, pause: float) -> None:
        self.pause = pause
        self.done, self.errors = 0, 0
        self._server, self._key = server, key
        self._lock, self._stop = Lock(), Event()
        self._threads = [Thread(target=self._ask, args=(n,)) for n in range(CONNECTIONS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, after the answers that are on their way."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        context = ssl.create_default_context(cafile=str(self._server.ca))
        connection = http.client.HTTPSConnection("localhost", self._server.port, context=context, timeout=60)
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        while not self._stop.wait(self.pause):
            path, body = CALLS[number % len(CALLS)]
            number += 1
            try:
                connection.request("POST", path, json.dumps(body), headers)
                response = connection.getresponse()
                response.read()
                failed = response.status != 200
            except OSError:
                failed = True
                connection.close()
            with self._lock:
                self.done += 1
                self.errors += failed


def main() -> int:
    """Exit with 1 after an error or growth."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--share", type=float, default=0.8)
    given = parser.parse_args()
    folder = REFERENCE / "odoo18"
    with scratch_server() as server:
        server.restore(folder / "odoo18.dump", "odoo18")
        dsn = server.dsn("odoo18")
        key, store = odoo_key(dsn, "demo"), server.create_database("store")
        settings = {"registry": folder / "registry.json.gz", "api_rate": 10**8, "api_burst": 10**8}
        with (
            temporary_folder() as place,
            serving(place, dsn=dsn, store=store, settings=settings) as running,
            psycopg.connect(dsn, autocommit=True) as connection,
        ):
            return _soak(running, key, connection, given.minutes * 60, given.share)


def _soak(running: Server, key: str, connection: Any, seconds: float, share: float) -> int:
    fast = Load(running, key, 0)
    time.sleep(10)
    fast.stop()
    rate = fast.done / 10 * share
    load = Load(running, key, max(0.0, CONNECTIONS / rate - CONNECTIONS / (rate / share)))
    start, before, errors = time.monotonic(), _state(running, connection), fast.errors
    step = min(60.0, seconds / 4)
    while (passed := time.monotonic() - start) < seconds:
        time.sleep(min(step, seconds - passed))
        if time.monotonic() - start < step * 1.5:
            before = _state(running, connection)
        memory, connections = _state(running, connection)
        print(
            f"{time.monotonic() - start:6.0f} s  {load.done} calls  {load.errors} errors  "
            f"{memory:.0f} MiB  {connections} connections",
            flush=True,
        )
    load.stop()
    memory, connections = _state(running, connection)
    errors += load.errors
    grown = memory - before[0] > GROWTH or connections > before[1]
    return int(bool(errors) or grown)


def _state(running: Server, connection: Any) -> tuple[float, int]:
    """Memory of the workers in MiB, and their connections to the database."""
    memory = sum(process.memory_info().rss for process in _workers(running)) / MIB
    [(connections,)] = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'vallum%'"
    ).fetchall()
    return memory, connections


if __name__ == "__main__":
    sys.exit(main())
