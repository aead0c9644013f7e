"""A crowd that signs in beside programs that read: over HTTPS, on a running `vallum serve`.

The example company, served with as many workers as there are cores, Argon2id at its default cost. A program
with a key reads 80 leads again and again over JSON-2, alone and then beside 50 sign-ins a second, each a form
posted to the page of signing in; of three turns the median ratio counts. Clients are processes of their own,
and share the cores.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import re
import ssl
import statistics
import time
from threading import Thread
from typing import Any, Final
from urllib.parse import urlencode

from bench.table import Row
from tests.support.company import METADATA, POLICY, company_dsn
from tests.support.serving import Server, free_port, serving
from tests.support.temporary import temporary_folder
from vallum.identity import Client, Identity, open_identity
from vallum.identity.keys.scope import Scope
from vallum.identity.opening import prepare
from vallum.kernel import Settings
from vallum.postgres import Database, EmbeddedServer

__all__ = ["crowd"]

PASSWORD: Final = "correct-horse-battery"  # noqa: S105 - of a benchmark
RATE: Final = 50
PEOPLE: Final = 64
TURNS: Final = 3
THREADS: Final = 32
PAUSE: Final = 0.005
READ: Final = ("/json/2/crm.lead/search_read", {"domain": [], "fields": ["name", "stage_id"], "limit": 80})
# All come from one address.
_OPEN: Final = "lockout = {address = {failures = 1000000000}, network = {failures = 1000000000}}"


def crowd(server: EmbeddedServer, *, quick: bool) -> list[Row]:
    """The rows."""
    seconds = 6.0 if quick else 15.0
    dsn, store, port = company_dsn(server), server.create_database("crowd"), free_port()
    identity = f'url = "https://localhost:{port}"\n{_OPEN}'
    workers = len(os.sched_getaffinity(0))
    settings = {"metadata": METADATA, "policy": POLICY, "identity": identity}
    prepare(store)
    with (
        temporary_folder() as folder,
        serving(folder, dsn=dsn, store=store, settings=settings, port=port, workers=workers) as running,
        Database(store, readonly=False) as database,
    ):
        environ = {"VALLUM_IDENTITY": identity, "VALLUM_DATA_DIR": str(folder)}
        opened = open_identity(database, Settings.load(folder, environ=environ))
        try:
            key = _people(opened)
        finally:
            opened.close()
        turns = [
            (_measured(running, key, seconds, rate=0), _measured(running, key, seconds, rate=RATE))
            for _ in range(TURNS)
        ]
    p99s = sorted(
        (_p99(beside) / _p99(alone), _p99(alone), _p99(beside)) for (alone, _), (beside, _) in turns
    )
    ratio, alone, beside = p99s[TURNS // 2]
    signed = [took for _, (_, some) in turns for took in some]
    told = f"p99 of a read of 80 leads over HTTPS beside {RATE} sign-ins a second (Argon2id, 19 MiB)"
    others = f"alone {alone * 1000:.2f} ms; turns {p99s[0][0]:.2f} to {p99s[-1][0]:.2f} ×"
    done = len(signed) / seconds / TURNS
    return [
        Row(told, f"{beside * 1000:.2f} ms", others, f"{ratio:.2f} ×", "≤ 2 ×", ratio <= 2),
        Row(
            "sign-ins a second meanwhile, by the form, over HTTPS",
            f"{done:.0f}",
            f"median {statistics.median(signed) * 1000:.0f} ms each",
            "",
            f"≥ {RATE}",
            done >= RATE * 0.98,
        ),
    ]


def _p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


def _people(identity: Identity) -> str:
    """Accounts with a password, and the key of a program."""
    hashed, base = identity.hasher.hash(PASSWORD), identity.base
    for number in range(PEOPLE):
        account = base.accounts.create(f"person{number}", base.now())
        base.store.rows("UPDATE vallum.account SET password_hash = %s WHERE id = %s", (hashed, account.id))
    program = identity.create_account("program", by=None, kind="service", user_id=3)
    scope = Scope.parse(["crm.*"], ["read"])
    return identity.make_key(program, "bench", scope, days=1, by=None, client=Client(address="")).text


def _measured(running: Server, key: str, seconds: float, *, rate: int) -> tuple[list[float], list[float]]:
    """How long reads took, and sign-ins."""
    context = multiprocessing.get_context("spawn")
    reads, signed = context.Queue(), context.Queue()
    begin = time.time() + 4
    where = (running.port, str(running.ca), begin, seconds)
    processes = [context.Process(target=_read, args=(reads, key, *where))]
    if rate:
        processes.append(context.Process(target=_sign_in, args=(signed, rate, *where)))
    for process in processes:
        process.start()
    found = reads.get(), signed.get() if rate else []
    for process in processes:
        process.join()
    return found


def _connection(port: int, ca: str) -> http.client.HTTPSConnection:
    context = ssl.create_default_context(cafile=ca)
    return http.client.HTTPSConnection("localhost", port, context=context, timeout=60)


def _read(queue: Any, key: str, port: int, ca: str, begin: float, seconds: float) -> None:
    """A program that reads, and waits a moment each time, on a connection to each worker."""
    path, call = READ
    body, headers = json.dumps(call), {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connections = [_connection(port, ca) for _ in range(4)]
    times: list[float] = []
    number = 0
    while time.time() < begin + seconds:
        number += 1
        connection = connections[number % len(connections)]
        started = time.perf_counter()
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        response.read()
        took = time.perf_counter() - started
        if response.status != 200:
            raise AssertionError(response.status)
        if time.time() >= begin:
            times.append(took)
        time.sleep(PAUSE)
    queue.put(times)


def _sign_in(queue: Any, rate: int, port: int, ca: str, begin: float, seconds: float) -> None:
    """So many sign-ins a second, whether or not those before have ended."""
    times: list[float] = []
    threads = [
        Thread(target=_visitor, args=(times, number, rate, port, ca, begin, seconds))
        for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    queue.put(times)


def _visitor(
    times: list[float], number: int, rate: int, port: int, ca: str, begin: float, seconds: float
) -> None:
    connection = _connection(port, ca)
    connection.request("GET", "/account/sign-in")
    page = connection.getresponse()
    tag = re.search(rb'name="form" content="([0-9a-f]{64})"', page.read())
    cookie = (page.getheader("set-cookie") or "").partition(";")[0]
    assert tag is not None
    headers = {
        "Cookie": cookie,
        "Sec-Fetch-Site": "same-origin",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    turn = begin + number / rate
    while turn < begin + seconds:
        time.sleep(max(0.0, turn - time.time()))
        who = f"person{(number * 7 + int(turn * 10)) % PEOPLE}"
        body = urlencode({"form": tag[1].decode(), "login": who, "password": PASSWORD})
        started = time.perf_counter()
        connection.request("POST", "/account/sign-in", body, headers)
        response = connection.getresponse()
        response.read()
        if response.status != 303:
            raise AssertionError(response.status)
        times.append(time.perf_counter() - started)
        turn += THREADS / rate
