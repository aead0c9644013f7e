"""The audit pages: what happened, to whom it is shown, and that it can be proven."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from litestar.testing import TestClient
from playwright.sync_api import Browser, expect

import vallum
from tests.support.browser import accessibility, watched
from tests.support.company import METADATA, POLICY
from tests.support.console import Console, console_app, serving
from vallum.audit import Sequencer, Who, record, stamp
from vallum.audit import check_proof as standalone
from vallum.audit.capture import TRIGGER
from vallum.audit.keys import actor_key
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


def test_who_can_tells_who_last_did(audited: tuple[Console, Audit]) -> None:
    """From stamped events alone; what is not recorded, or not open to the viewer, is said to be unknown."""
    console, audit = audited
    marie = console.vallum.users.find("marie").id
    with connect(audit.dsn, readonly=False, autocommit=True) as connection, connection.transaction():
        stamp(connection, actor_key(audit.home.actor_key), Who(marie, "marie"))
        connection.execute("UPDATE crm_lead SET name = 'Touched' WHERE id = 41")
    with Sequencer(audit.dsn, audit.home, notify=lambda _: None).running() as worker:
        worker.step()
    app = console_app(console.vallum, administrators=("admin",), auditors=("lars",), audit=audit)

    def used(client: TestClient[Any], query: str) -> dict[str, Any]:
        rows = client.get(f"/access/who-can?format=json&{query}").json()
        return {row["login"]: row["last_used"] for row in rows}

    with TestClient(app, cookies={"who": "admin"}) as client:
        for query in ("", "&record=41", "&field=name", "&field=name&record=41"):
            found = used(client, f"model=crm.lead&op=write{query}")
            assert [login for login, at in found.items() if at] in (["marie"], []), query
            if "marie" in found:
                assert found["marie"] is not None, query
        assert used(client, "model=crm.lead&op=write")["marie"]
        assert not any(used(client, "model=crm.lead&op=write&field=priority").values())
        assert not any(used(client, "model=crm.lead&op=unlink").values())
        page = client.get("/access/who-can?model=crm.lead&op=write").text
        assert "Last used: of what is recorded since" in page
        assert "somebody the trail cannot name" in page
        assert "reads of it are not recorded" in client.get("/access/who-can?model=crm.lead").text
        page = client.get("/access/who-can?model=res.partner&op=write").text
        assert "its table is not audited" in page
    with TestClient(app, cookies={"who": "lars"}) as client:
        page = client.get("/access/who-can?model=hr.employee&op=write&field=salary").text
        assert "only who may read it is told" in page


def test_recorded_reads_are_told(audited: tuple[Console, Audit]) -> None:
    """An application that records reads of a model has them shown."""
    console, audit = audited
    helene = console.vallum.users.find("helene").id
    with connect(audit.dsn, readonly=False, autocommit=True) as connection:
        key, who = actor_key(audit.home.actor_key), Who(helene, "helene")
        record(connection, "sensitive-read", {}, key=key, who=who, model="hr.employee", record_id=2)
    with Sequencer(audit.dsn, audit.home, notify=lambda _: None).running() as worker:
        worker.step()
    app = console_app(console.vallum, administrators=("helene",), audit=audit)
    with TestClient(app, cookies={"who": "helene"}) as client:
        for query in ("", "&record=2"):
            rows = client.get(f"/access/who-can?format=json&model=hr.employee{query}").json()
            assert [r["login"] for r in rows if r["last_used"]] == ["helene"]
        rows = client.get("/access/who-can?format=json&model=hr.employee&record=3").json()
        assert [r["login"] for r in rows if r["last_used"]] == []


def test_coverage_tells_what_is_audited_and_touched(
    browser: Browser, audited: tuple[Console, Audit], axe: str
) -> None:
    """A trigger that was switched off is seen at once, a row changed meanwhile when rows are compared."""
    console, audit = audited
    with watched(browser, console.address, "lars") as seen:
        seen.page.goto("/audit/coverage")
        expect(seen.page.locator(".answer")).to_contain_text("are those that were made")
        expect(seen.page.get_by_role("row")).to_have_count(3)
        assert accessibility(seen.page, axe) == []
        seen.shoot("coverage")
        with connect(audit.dsn, readonly=False, autocommit=True) as connection:
            connection.execute("ALTER EVENT TRIGGER vallum_audit_altered DISABLE")
            connection.execute(f"ALTER TABLE crm_lead DISABLE TRIGGER {TRIGGER}_u")
            connection.execute("UPDATE crm_lead SET name = 'Behind the back' WHERE id = 12")
        try:
            seen.page.reload()
            expect(seen.page.locator(".answer")).to_contain_text("need a look")
            expect(seen.page.get_by_role("row", name="crm_lead")).to_contain_text("trigger-disabled")
            expect(seen.page.get_by_text("the event trigger that watches alterations is off")).to_be_visible()
            seen.page.get_by_role("button", name="Compare all rows").click()
            expect(seen.page.locator("#compared")).to_contain_text("name changed without an event")
            assert "Behind the back" not in seen.page.content()
            assert accessibility(seen.page, axe) == []
            seen.shoot("coverage-touched")
        finally:
            with connect(audit.dsn, readonly=False, autocommit=True) as connection:
                connection.execute(f"ALTER TABLE crm_lead ENABLE ALWAYS TRIGGER {TRIGGER}_u")
                connection.execute("ALTER EVENT TRIGGER vallum_audit_altered ENABLE ALWAYS")
                connection.execute("UPDATE crm_lead SET name = 'Seen change' WHERE id = 12")
            with Sequencer(audit.dsn, audit.home, notify=lambda _: None).running() as worker:
                worker.step()


def test_home_tells_how_the_layers_stand(audited: tuple[Console, Audit]) -> None:
    """Rules, trail and roles; what is looked up beside the page is there soon, and numbers lead to rows."""
    console, audit = audited
    app = console_app(console.vallum, administrators=("admin",), auditors=("lars",), audit=audit)
    with TestClient(app, cookies={"who": "admin"}) as client:
        text = _settled(client)
        for said in ("every rule can be read", "audited tables", "the policy is not applied to roles"):
            assert said in text, said
        for href in set(re.findall(r'class="number card" href="([^"]+)"', text)):
            assert client.get(unescape(href)).status_code == 200, href
    with TestClient(app, cookies={"who": "lars"}) as client:
        text = _settled(client)
        assert "/postgres" not in text
        assert "/workshop" not in text


def _settled(client: TestClient[Any]) -> str:
    """Home, as soon as nothing on it is being looked up any more."""
    for _ in range(600):
        text = client.get("/").text
        if "being looked up" not in text:
            return text
        sleep(0.1)
    raise AssertionError("home is still looking things up")
