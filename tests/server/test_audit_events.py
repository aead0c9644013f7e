"""The trail of a running server: sequenced beside it, with who acted, from where and in which request."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import pytest
from playwright.sync_api import Browser, expect

from examples.trading import generate
from tests.support.accounts import People, people
from tests.support.command import run
from tests.support.company import METADATA, POLICY
from tests.support.serving import Server, serving
from tests.support.temporary import temporary_folder
from vallum.audit.search import Event, Wanted
from vallum.audit.verify import verify
from vallum.facade.audit import Audit
from vallum.postgres import EmbeddedServer, connect

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Watched:
    """A served company that keeps a trail."""

    server: Server
    people: People
    audit: Audit

    def client(self, login: str) -> httpx.Client:
        """A client with that person's key."""
        return self.server.client(headers={"Authorization": f"Bearer {self.people.keys[login]}"})

    def event(self, kind: str, fits: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """The newest entry of that kind, or of rows that were made, once it is in the log."""
        return until(lambda: self._found(kind, fits), kind)

    def _found(self, kind: str, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
        wanted = Wanted(operation="create") if kind == "create" else Wanted(kind=kind)
        events = self.audit.search(wanted, limit=200)
        return next((dict(event.content) for event in events if fits(dict(event.content))), None)


def until(look: Callable[[], T | None], what: str = "it") -> T:
    """What `look` finds at last."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come to pass")


@pytest.fixture(scope="module")
def watched(pg_server: EmbeddedServer) -> Iterator[Watched]:
    """The example company, two workers, its leads audited and its employees' reads recorded."""
    name = f"audit_events_{os.getpid()}"
    dsn = pg_server.create_database(name)
    generate(dsn, rows=2_000)
    with temporary_folder() as folder:
        known = people(folder, dsn, ("marie", "sofia", "helene", "admin"))
        audit = Audit(dsn, folder / "trail")
        audit.enable(audit.plan(audit.wanted((), ["crm_lead"])), "log.example/company")
        settings = {
            "metadata": METADATA,
            "policy": POLICY,
            "audit_dir": folder / "trail",
            "audit_reads": "sensitive",
        }
        with serving(folder, dsn=dsn, store=None, settings=settings, secure=False, workers=2) as running:
            yield Watched(running, known, audit)
    pg_server.drop_database(name)


def test_write_over_the_api_is_in_the_signed_log_with_who_whence_and_which_request(watched: Watched) -> None:
    """Shown by `audit search` and by verification, under the number that the server's log has."""
    with watched.client("marie") as client:
        [made] = client.post("/json/2/crm.lead/create", json={"vals_list": [{"name": "told"}]}).json()
    wanted = Wanted(relations=["public.crm_lead"], key=str(made))
    [event] = until(lambda: watched.audit.search(wanted))
    who = event.content["actor"]
    assert (who["verified"], who["login"], who["ip"]) == (True, "marie", "127.0.0.1")
    logged = [line["request_id"] for line in watched.server.lines() if line.get("call") == "create"]
    assert who["request"] in logged
    assert event.content["new"]["name"] == "told"
    until(lambda: _signed(watched, event))
    until(lambda: verify(watched.audit.dsn, watched.audit.home, processes=1).holds)
    place = ("--dsn", watched.audit.dsn, "--folder", str(watched.audit.home.folder))
    shown = run("audit", "search", "--record", f"crm.lead,{made}", "--json", *place)
    assert shown.json[0]["actor"]["login"] == "marie"


def _signed(watched: Watched, event: Event) -> bool:
    signed = watched.audit.home.signed()
    return signed is not None and signed.size > event.index


def test_sign_in_to_the_api_and_its_failure_are_recorded(watched: Watched) -> None:
    """By key and by password; whoever only tried has not acted, and no secret is told."""
    with watched.client("sofia") as client:
        assert client.post("/json/2/crm.lead/search_count", json={"domain": []}).status_code == 200
    entry = watched.event("sign-in", lambda e: e["actor"].get("login") == "sofia")
    assert entry["detail"]["event"] == "api.signed-in"
    assert (entry["actor"]["verified"], entry["actor"]["ip"]) == (True, "127.0.0.1")
    assert entry["actor"]["request"]
    with watched.server.client(headers={"Authorization": "Bearer a-canary-of-a-key"}) as client:
        assert client.post("/json/2/crm.lead/search_count", json={"domain": []}).status_code == 401
    entry = watched.event("sign-in-failed", lambda e: e["detail"]["event"] == "api.refused")
    assert entry["detail"]["reason"] == "unknown"
    assert entry["actor"]["ip"] == "127.0.0.1"
    assert "canary" not in str(entry)
    with watched.server.client() as client:
        tried = (watched.server.database, "marie", "a-canary-of-a-password")
        answer = watched.server.rpc(client, "common", "authenticate", *tried, {})
        assert answer["result"] is False
    entry = watched.event("sign-in-failed", lambda e: e["detail"]["event"] == "sign-in.refused")
    assert "canary" not in str(entry)
    assert entry["actor"]["id"] == 0


def test_refusal_is_recorded_with_what_was_asked(watched: Watched) -> None:
    """Model, method and ids; by whom and from where."""
    with watched.client("marie") as client:
        [made] = client.post("/json/2/crm.lead/create", json={"vals_list": [{"name": "kept"}]}).json()
        assert client.post("/json/2/crm.lead/unlink", json={"ids": [made]}).status_code == 403
    entry = watched.event("refusal", lambda e: e["detail"].get("ids") == [made])
    assert (entry["table"], entry["detail"]["method"]) == ("crm.lead", "unlink")
    assert entry["detail"]["code"] == "access-denied"
    assert (entry["actor"]["login"], entry["actor"]["ip"]) == ("marie", "127.0.0.1")


def test_export_over_the_api_is_recorded(watched: Watched) -> None:
    """Which fields of how many records."""
    with watched.client("marie") as client:
        ids = client.post("/json/2/crm.lead/search", json={"domain": [], "limit": 3}).json()
        asked = {"ids": ids, "fields_to_export": ["name"]}
        answer = client.post("/json/2/crm.lead/export_data", json=asked)
        assert answer.status_code == 200, answer.text
    entry = watched.event("export", lambda e: e.get("table") == "crm.lead" and "format" not in e["detail"])
    assert (entry["table"], entry["detail"]["records"], entry["detail"]["fields"]) == (
        "crm.lead",
        3,
        ["name"],
    )
    assert entry["actor"]["login"] == "marie"


def test_read_of_a_sensitive_model_is_recorded_and_of_others_not(watched: Watched) -> None:
    """Of which records which fields; sums as well."""
    with watched.client("helene") as client:
        ids = client.post("/json/2/hr.employee/search", json={"domain": [], "limit": 2}).json()
        answer = client.post("/json/2/hr.employee/read", json={"ids": ids, "fields": ["name", "salary"]})
        assert answer.status_code == 200, answer.text
        client.post("/json/2/crm.tag/search_read", json={"domain": [], "fields": ["name"], "limit": 1})
    entry = watched.event("sensitive-read", lambda e: e["detail"]["ids"] == ids)
    assert (entry["table"], entry["detail"]["fields"]) == ("hr.employee", ["name", "salary"])
    assert (entry["actor"]["login"], entry["actor"]["verified"]) == ("helene", True)
    tables = {event.content["table"] for event in watched.audit.search(Wanted(kind="sensitive-read"))}
    assert tables == {"hr.employee"}


def test_sensitive_model_reached_through_a_path_over_the_api_is_recorded(watched: Watched) -> None:
    """By a domain, by the lines of a specification, and by an export; each as a read of that model."""
    with watched.client("helene") as client:

        def ask(model: str, method: str, **body: Any) -> Any:
            answer = client.post(f"/json/2/{model}/{method}", json=body)
            assert answer.status_code == 200, answer.text
            return answer.json()

        found = ask("hr.department", "search", domain=[["manager_id.salary", ">", 2]])
        entry = watched.event("sensitive-read", lambda e: "paths" in e["detail"])
        assert (entry["table"], entry["detail"]["from"]) == ("hr.employee", "hr.department")
        assert entry["detail"]["paths"] == ["manager_id.salary"]
        inner: dict[str, Any] = {"manager_id": {"fields": {"birthday": {}}}}
        ask("hr.department", "web_read", ids=found[:1], specification=inner)
        entry = watched.event("sensitive-read", lambda e: "birthday" in e["detail"].get("fields", ()))
        assert entry["table"] == "hr.employee"
        ask("hr.department", "export_data", ids=found[:1], fields_to_export=["manager_id/private_email"])
        entry = watched.event("sensitive-read", lambda e: "private_email" in e["detail"].get("fields", ()))
        assert entry["table"] == "hr.employee"


def test_read_that_cannot_be_recorded_is_not_given(watched: Watched) -> None:
    """What is not recorded has not happened: the answer is an error, without the salary."""
    with connect(watched.audit.dsn, readonly=False, autocommit=True) as connection:
        connection.execute(
            "ALTER TABLE vallum.audit_inbox ADD CONSTRAINT shut CHECK (kind <> 'sensitive-read') NOT VALID"
        )
        try:
            with watched.client("helene") as client:
                ids = client.post("/json/2/hr.employee/search", json={"domain": [], "limit": 2}).json()
                answer = client.post("/json/2/hr.employee/read", json={"ids": ids, "fields": ["salary"]})
                assert answer.status_code == 503, answer.text
                assert "salary" not in answer.text
        finally:
            connection.execute("ALTER TABLE vallum.audit_inbox DROP CONSTRAINT shut")


def test_acts_of_the_command_line_are_recorded(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Accounts, groups, keys, sessions; roles in PostgreSQL as a change of policy."""
    place = {
        "DSN": watched.audit.dsn,
        "METADATA": METADATA,
        "POLICY": POLICY,
        "AUDIT_DIR": str(watched.audit.home.folder),
        "DATA_DIR": str(watched.server.folder),
    }
    for name, value in place.items():
        monkeypatch.setenv(f"VALLUM_{name}", value)
    for arguments in (
        ("user", "create", "newcomer"),
        ("group", "give", "newcomer", "base.group_user"),
        ("user", "deactivate", "newcomer", "--yes"),
    ):
        done = run(*arguments)
        assert done.code == 0, (arguments, done.err)
    for event, kind in (
        ("account.created", "administration"),
        ("group.given", "permission-change"),
        ("account.deactivated", "administration"),
    ):
        entry = watched.event(kind, _is(event))
        assert (entry["actor"]["verified"], entry["actor"]["id"]) == (True, 0)
    assert run("roles", "drop", "--yes").code == 0
    entry = watched.event("policy-change")
    assert entry["detail"]["act"] == "roles dropped"
    assert entry["actor"]["login"].startswith("system:")


def _is(event: str) -> Callable[[dict[str, Any]], bool]:
    return lambda entry: bool(entry["detail"].get("event") == event)


def test_killed_sequencer_is_started_again_and_loses_nothing(watched: Watched) -> None:
    """Killed beyond catching, by its process id: the next one goes on, and the log holds."""
    # A server is ready before its sequencer has begun.
    [sequencer] = until(lambda: [p for p in _children(watched) if _has_lock(watched, p)])
    with watched.client("marie") as client:
        client.post("/json/2/crm.lead/create", json={"vals_list": [{"name": "before"}]})
        sequencer.send_signal(signal.SIGKILL)
        [made] = client.post("/json/2/crm.lead/create", json={"vals_list": [{"name": "after"}]}).json()
    wanted = Wanted(relations=["public.crm_lead"], key=str(made))
    [event] = until(lambda: watched.audit.search(wanted))
    until(lambda: _signed(watched, event))
    until(lambda: verify(watched.audit.dsn, watched.audit.home, processes=1).holds)


def _children(watched: Watched) -> list[psutil.Process]:
    return list(psutil.Process(watched.server.process.pid).children(recursive=True))


def _has_lock(watched: Watched, process: psutil.Process) -> bool:
    lock = str(watched.audit.home.folder / "lock")
    return any(Path(f"/proc/{process.pid}/fd/{n}").resolve() == Path(lock) for n in _descriptors(process))


def _descriptors(process: psutil.Process) -> list[str]:
    try:
        return os.listdir(f"/proc/{process.pid}/fd")
    except FileNotFoundError:
        return []


def test_metrics_and_readiness_tell_how_the_trail_does(watched: Watched) -> None:
    """Lag, size and the last turn; and whether events wait for too long."""

    def measured() -> re.Match[str] | None:
        text = httpx.get(f"http://127.0.0.1:{watched.server.metrics_port}/metrics", trust_env=False).text
        # Told by the sequencer, once it has had a turn.
        whole = "vallum_audit_lag_seconds" in text and "vallum_audit_turn_timestamp_seconds" in text
        return re.search(r"^vallum_audit_log_size (\d+)", text, re.M) if whole else None

    until(lambda: (found := measured()) and int(float(found[1])) > 0)
    with watched.server.client() as client:
        until(lambda: client.get("/readyz").json() == {"status": "ready", "audit": "current"})
        with connect(watched.audit.dsn, readonly=False, autocommit=True) as connection:
            connection.execute("SELECT vallum.audit_record('export', '{}', NULL, NULL)")
            with connection.transaction():
                # The log stands still as long as this holds its state.
                connection.execute("SELECT 1 FROM vallum.audit_state FOR UPDATE")
                with connect(watched.audit.dsn, readonly=False, autocommit=True) as other:
                    other.execute("SELECT vallum.audit_record('export', '{}', NULL, NULL)")
                    other.execute("UPDATE vallum.audit_inbox SET at = at - interval '1 hour'")
                until(lambda: client.get("/readyz").json() == {"status": "ready", "audit": "late"})
        until(lambda: client.get("/readyz").json() == {"status": "ready", "audit": "current"})


def test_acts_in_the_console_are_recorded(browser: Browser, watched: Watched) -> None:
    """Signing in, writing, a file of records, a page that is for others, signing out."""
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(watched.server.url + "/data/res.partner/new")
        page.get_by_label("Login").fill("marie")
        page.get_by_label("Password").fill(watched.people.passwords["marie"])
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.get_by_label("Name", exact=False).first).to_be_visible()
        assert context.request.get(watched.server.url + "/data/crm.lead?format=csv").status == 200
        assert context.request.get(watched.server.url + "/access").status == 403
        page.goto(watched.server.url + "/data/crm.lead/new")
        page.get_by_label("Name", exact=False).first.fill("Made in the console")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("Saved.")).to_be_visible()
        page.goto(watched.server.url + "/account/security")
        page.get_by_role("button", name="Sign out", exact=True).click()
        expect(page.get_by_label("Login")).to_be_visible()
    finally:
        context.close()
    kinds: tuple[tuple[str, Callable[[dict[str, Any]], bool]], ...] = (
        ("sign-in", lambda e: e["detail"].get("event") == "session.started"),
        ("export", lambda e: e["detail"].get("format") == "csv"),
        ("refusal", lambda e: e["detail"].get("path") == "/access"),
        ("create", lambda e: (e["new"] or {}).get("name") == "Made in the console"),
        ("sign-out", lambda e: e["detail"].get("event") == "session.ended"),
    )
    for kind, told in kinds:
        actor = watched.event(kind, told)["actor"]
        assert (actor["verified"], actor["login"], actor["ip"]) == (True, "marie", "127.0.0.1"), kind
        assert actor["request"], kind
