"""The audit pages: what happened, to whom it is shown, and that it can be proven."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar.testing import TestClient
from playwright.sync_api import Browser, expect

import vallum
from tests.support.browser import accessibility, watched
from tests.support.company import METADATA, POLICY
from tests.support.console import Console, console_app, serving
from vallum.audit import Sequencer
from vallum.audit import check_proof as standalone
from vallum.audit.search import Wanted
from vallum.facade.audit import Audit
from vallum.postgres import EmbeddedServer, connect


@pytest.fixture(scope="module")
def audited(pg_server: EmbeddedServer) -> Iterator[tuple[Console, Audit]]:
    """A company whose employees and leads are audited, with some changes, served."""
    from examples.trading import generate

    name = f"audited_{os.getpid()}"
    dsn = pg_server.create_database(name)
    generate(dsn, rows=2_000)
    with tempfile.TemporaryDirectory() as folder:
        audit = Audit(dsn, Path(folder))
        audit.enable(audit.plan(audit.wanted((), ["hr_employee", "crm_lead"])), "log.example/company")
        with connect(dsn, readonly=False, autocommit=True) as connection:
            connection.execute("UPDATE hr_employee SET salary = 123456, name = 'Renamed' WHERE id = 3")
            connection.execute("UPDATE crm_lead SET name = 'Seen change' WHERE id <= 40")
        with Sequencer(dsn, audit.home, notify=lambda _: None).running() as worker:
            worker.step()
        with (
            vallum.open(dsn, metadata=METADATA, policy=POLICY) as opened,
            serving(opened, administrators=("admin",), auditors=("lars",), audit=audit) as served,
        ):
            yield served, audit
    pg_server.drop_database(name)


def test_timeline_shows_who_changed_what(browser: Browser, audited: tuple[Console, Audit], axe: str) -> None:
    """Old and new values stand beside each other, and the page is usable by everyone."""
    console, _ = audited
    with watched(browser, console.address, "admin") as seen:
        seen.page.goto("/audit?model=hr.employee")
        row = seen.page.locator(".timeline > li").first
        expect(row).to_contain_text("Renamed")
        expect(row).to_contain_text("123456")
        assert accessibility(seen.page, axe) == []
        seen.shoot("audit")
        seen.page.goto("/data/hr.employee/3/history")
        expect(seen.page.locator(".timeline > li").first).to_contain_text("Renamed")
        seen.shoot("history")


def test_history_leaves_out_shut_fields(audited: tuple[Console, Audit]) -> None:
    """Whoever may not read a salary does not read it in the past either, nor in a proof."""
    console, audit = audited
    app = console_app(console.vallum, administrators=("admin",), auditors=("lars",), audit=audit)
    with TestClient(app, cookies={"who": "lars"}) as client:
        for path in ("/audit", "/audit?format=json", "/data/hr.employee/3/history"):
            answer = client.get(path)
            assert answer.status_code in (200, 403), path
            assert "123456" not in answer.text
        index = audit.search_as(console.vallum.as_user("admin"), _employees(), limit=1)[0].index
        assert client.get(f"/audit/events/{index}/proof").status_code == 403
    with TestClient(app, cookies={"who": "marie"}) as client:
        assert client.get("/audit").status_code == 403
        assert "123456" not in client.get("/data/hr.employee/3/history").text


def test_proof_is_one_that_outsiders_can_check(audited: tuple[Console, Audit]) -> None:
    """The bundle that the page gives is accepted by the program for outsiders."""
    console, audit = audited
    app = console_app(console.vallum, administrators=("admin",), audit=audit)
    index = audit.search_as(console.vallum.as_user("admin"), _employees(), limit=1)[0].index
    with TestClient(app, cookies={"who": "admin"}) as client:
        answer = client.get(f"/audit/events/{index}/proof")
    assert answer.status_code == 200
    bundle = json.loads(answer.content)
    assert standalone.check(bundle, bundle["log_key"], [])["index"] == index


def test_page_verifies_the_whole_log(browser: Browser, audited: tuple[Console, Audit], axe: str) -> None:
    """Every entry is hashed again, while the page tells how far it is."""
    console, _ = audited
    with watched(browser, console.address, "admin") as seen:
        seen.page.goto("/audit/proofs")
        seen.page.get_by_role("button", name="Verify all of it").click()
        expect(seen.page.locator("#verified")).to_contain_text("events verified", timeout=30_000)
        assert accessibility(seen.page, axe) == []
        seen.shoot("proofs")


def _employees() -> Wanted:
    return Wanted(relations=["public.hr_employee"], key="3")
