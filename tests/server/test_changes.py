"""An approved change of an application's policy, in a server with several processes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

import vallum
from examples.trading import generate
from tests.support.accounts import people
from tests.support.company import METADATA, POLICY
from tests.support.serving import Server, serving
from tests.support.temporary import temporary_folder
from vallum.governance import Changes, Person
from vallum.policy.change import Change, item_of
from vallum.postgres import EmbeddedServer


@pytest.fixture
def two(pg_server: EmbeddedServer) -> Iterator[tuple[Server, str, str]]:
    """A server with two workers over a company of its own, the company's DSN, and a key of marie's."""
    name = f"serve_changes_{os.getpid()}"
    dsn = pg_server.create_database(name)
    generate(dsn, rows=2_000)
    with temporary_folder() as folder:
        known = people(folder, dsn, ("marie",))
        settings = {"metadata": METADATA, "policy": POLICY}
        with serving(folder, dsn=dsn, store=None, settings=settings, secure=False, workers=2) as running:
            yield running, dsn, known.keys["marie"]
    pg_server.drop_database(name)


def _seen(server: Server, key: str, times: int = 8) -> set[int]:
    """How many leads the key sees, on as many connections, so that all workers are asked."""
    found = set()
    for _ in range(times):
        with server.client(headers={"Authorization": f"Bearer {key}"}) as client:
            answer = client.post("/json/2/crm.lead/search_count", json={"domain": []})
            found.add(answer.raise_for_status().json())
    return found


@pytest.mark.slow
def test_approved_change_reaches_all_workers(two: tuple[Server, str, str]) -> None:
    """What waits changes nothing; what is approved holds in each process, and so does its undoing."""
    server, dsn, key = two
    (before,) = _seen(server, key)
    assert before > 1
    with vallum.open(dsn, metadata=METADATA, policy=POLICY) as app:
        rule = next(r for r in app.policy.rules if r.model == "crm.lead" and r.is_global and r.xml_id)
        assert rule.xml_id is not None
        old = item_of(app.policy, "rule", rule.xml_id)
        assert old is not None
        new = {**old, "domain": "[('id', '=', 0)]"}
        changes = Changes(app.application)
        made = changes.propose(
            Change(kind="rule", xml_id=rule.xml_id, before=old, after=new), "shut", Person(16, "olga")
        )
        assert _seen(server, key) == {before}
        changes.approve(made.id, Person(2, "admin"))
        _until(server, key, {0})
        back = changes.propose(
            Change(kind="rule", xml_id=rule.xml_id, before=new, after=old), "open", Person(16, "olga")
        )
        changes.approve(back.id, Person(2, "admin"))
        _until(server, key, {before})


def _until(server: Server, key: str, wanted: set[int]) -> None:
    # How soon is no matter of a test, on a machine others use too: that it happens is.
    until = time.monotonic() + 60
    while (found := _seen(server, key)) != wanted:
        assert time.monotonic() < until, found
        time.sleep(0.1)
