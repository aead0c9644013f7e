"""The trail of an application: writes as an actor, searches with somebody's eyes, presets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import vallum
from examples.trading import generate
from tests.support.command import run
from tests.support.company import METADATA, POLICY
from tests.support.odoo import OdooReference
from vallum.audit import Sequencer
from vallum.audit.search import Wanted
from vallum.facade import Vallum
from vallum.facade.audit import PRESETS, Audit
from vallum.kernel import AccessDenied
from vallum.postgres import EmbeddedServer, connect


@pytest.fixture(scope="module")
def shop(
    pg_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Vallum, Audit]]:
    """The example company, its leads, partners, users and rights audited."""
    name = f"audit_company_{os.getpid()}"
    dsn = pg_server.create_database(name)
    generate(dsn, rows=2_000)
    with vallum.open(dsn, metadata=METADATA, policy=POLICY, writable=True) as opened:
        audit = opened.audit(tmp_path_factory.mktemp("audit") / "log")
        audit.enable(audit.plan(audit.wanted(PRESETS, ["crm_lead", "hr_employee"])))
        opened.application.stamps.append(audit.stamp(lambda: ("192.0.2.9", "req-9")))
        yield opened, audit
    pg_server.drop_database(name)


def _sequence(audit: Audit) -> None:
    with Sequencer(audit.dsn, audit.home).running() as worker:
        worker.step()


def test_write_of_a_session_bears_its_actor(shop: tuple[Vallum, Audit]) -> None:
    """User, address and request of whoever called, verified."""
    opened, audit = shop
    marie = opened.as_user("marie", companies=[1])
    lead = marie.search("crm.lead", limit=1)[0]
    marie.write("crm.lead", lead, {"name": "renamed by marie"})
    _sequence(audit)
    event = audit.search(Wanted(relations=["public.crm_lead"], key=str(lead), operation="write"))[0]
    who = event.content["actor"]
    assert (who["id"], who["login"], who["ip"]) == (opened.users.find("marie").id, "marie", "192.0.2.9")
    assert (who["verified"], who["request"]) == (True, "req-9")
    assert event.content["new"]["name"] == "renamed by marie"


def test_record_rules_hold_on_the_trail(shop: tuple[Vallum, Audit]) -> None:
    """Events of leads a user may not read are not shown to that user, nor where they came from."""
    opened, audit = shop
    marie, everybody = opened.as_user("marie", companies=[1]), opened.sudo()
    own = set(marie.search("crm.lead"))
    others = [lead for lead in everybody.search("crm.lead", active_test=False) if lead not in own]
    seen, hidden = min(own), others[0]
    with connect(audit.dsn, readonly=False, autocommit=True) as connection:
        connection.execute("UPDATE crm_lead SET name = 'by sql' WHERE id = ANY (%s)", ([seen, hidden],))
    _sequence(audit)
    wanted = Wanted(relations=["public.crm_lead"], operation="write")
    assert {event.content["key"]["id"] for event in audit.search(wanted)} >= {seen, hidden}
    shown = audit.search_as(marie, wanted)
    assert seen in {event.content["key"]["id"] for event in shown}
    assert not {event.content["key"]["id"] for event in shown} - own
    assert all("ip" not in event.content["actor"] and "db" not in event.content for event in shown)


def test_tables_a_user_may_not_read_are_shut(shop: tuple[Vallum, Audit]) -> None:
    """And so is what belongs to no model, and what is no change of a record."""
    opened, audit = shop
    portal = next(user for user in opened.users if user.active and not _reads(opened, user.id, "crm.lead"))
    with pytest.raises(AccessDenied):
        audit.search_as(opened.as_user(portal.id), Wanted(relations=["public.crm_lead"]))
    with pytest.raises(AccessDenied):
        audit.search_as(opened.as_user("marie"), Wanted(relations=["public.res_groups_users_rel"]))
    assert all(event.content["kind"] == "row" for event in audit.search_as(opened.as_user("marie"), Wanted()))


def _reads(opened: Vallum, user: int, model: str) -> bool:
    return opened.as_user(user).can("read", model).allowed


def test_fields_of_groups_are_shut_on_the_trail(shop: tuple[Vallum, Audit]) -> None:
    """Values of fields a user may not see are left out; an event of nothing else is not shown."""
    opened, audit = shop
    field, model, user = _shut_field(opened)
    table = opened.schema.model(model).table
    session = opened.as_user(user)
    record = session.search(model, limit=1)[0]
    told = audit.search_as(session, Wanted(relations=[f"public.{table}"], key=str(record)))
    with connect(audit.dsn, readonly=False, autocommit=True) as connection:
        for value in ("1", "2"):
            connection.execute(f"UPDATE {table} SET {field} = %s WHERE id = %s".encode(), (value, record))
    _sequence(audit)
    wanted = Wanted(relations=[f"public.{table}"], key=str(record), field=field)
    assert audit.search(wanted)
    assert audit.search_as(session, replace(wanted, field=None)) == told
    with pytest.raises(AccessDenied):
        audit.search_as(session, wanted)


def test_shut_field_is_not_searched_by(shop: tuple[Vallum, Audit]) -> None:
    """That it changed is not told either: an open field that changed with it does not give it away."""
    opened, audit = shop
    field, model, user = _shut_field(opened)
    table, session = opened.schema.model(model).table, opened.as_user(user)
    record = session.search(model, limit=1)[0]
    with connect(audit.dsn, readonly=False, autocommit=True) as connection:
        connection.execute(
            f"UPDATE {table} SET {field} = '3', name = name || '!' WHERE id = %s".encode(), (record,)
        )
    _sequence(audit)
    wanted = Wanted(relations=[f"public.{table}"], key=str(record), operation="write")
    assert "name" in audit.search_as(session, replace(wanted, field="name"))[0].content["new"]
    with pytest.raises(AccessDenied):
        audit.search_as(session, replace(wanted, field=field))


def _shut_field(opened: Vallum) -> tuple[str, str, str]:
    """A stored field of an audited model that some reader of the model may not see."""
    for model in ("hr.employee", "res.partner", "crm.lead"):
        if model not in opened.schema:
            continue
        for user in opened.users:
            if not user.active or not _reads(opened, user.id, model):
                continue
            session = opened.as_user(user.id)
            shut = [
                f.name
                for f in opened.schema.model(model).fields.values()
                if f.stored and f.type in ("char", "float", "integer") and f.name not in session.fields(model)
            ]
            if shut and session.search(model, limit=1):
                return shut[0], model, user.login
    pytest.skip("the company has no field of a group that its readers lack")


def test_search_as_a_user_is_a_command(shop: tuple[Vallum, Audit], monkeypatch: pytest.MonkeyPatch) -> None:
    """With the application's settings, in JSON and for people."""
    opened, audit = shop
    marie = opened.as_user("marie", companies=[1])
    marie.write(
        "crm.lead", marie.search("crm.lead", limit=1), {"name": f"renamed once more {os.urandom(4).hex()}"}
    )
    _sequence(audit)
    for name, value in (
        ("DSN", audit.dsn),
        ("METADATA", METADATA),
        ("POLICY", POLICY),
        ("AUDIT_DIR", str(audit.home.folder)),
    ):
        monkeypatch.setenv(f"VALLUM_{name}", value)
    done = run("audit", "search", "--as", "marie", "--companies", "1", "--table", "crm.lead", "--json")
    assert done.code == 0, done.err
    assert done.json
    assert run("audit", "search", "--as", "marie", "--companies", "1", "--table", "crm.lead").code == 0


def test_presets_are_planned_and_enabled_by_command(pg_server: EmbeddedServer, tmp_path: Path) -> None:
    """Those of their tables that are there; passwords are hidden, the rest can be erased."""
    name = f"audit_presets_{os.getpid()}"
    dsn = pg_server.create_database(name)
    try:
        generate(dsn, rows=2_000)
        shared = ("--dsn", dsn, "--folder", str(tmp_path / "log"))
        planned = run("audit", "enable", "--plan", "--json", *shared).json
        assert {step["action"] for step in planned} == {"enable"}
        assert "public.res_users" in {step["table"] for step in planned}
        assert run("audit", "status", *shared).code == 1
        assert "res_users" in run("audit", "enable", "--plan", *shared).out
        done = run("audit", "enable", "--yes", *shared)
        assert done.code == 0, done.err
        assert run("audit", "enable", "--preset", "moon", "--yes", *shared).code == 2
        assert {step["action"] for step in run("audit", "enable", "--plan", "--json", *shared).json} == {
            "keep"
        }
        assert run("audit", "sequence", "--once", *shared).code == 0
        assert "res_users" in run("audit", "status", *shared).out
        assert run("audit", "coverage", *shared).code == 0
        assert run("audit", "disable", "--table", "res_users", "--yes", *shared).code == 0
        assert run("audit", "disable", "--all", "--yes", *shared).code == 0
        with connect(dsn) as connection:
            assert connection.execute("SELECT to_regnamespace('vallum')").fetchone() == (None,)
    finally:
        pg_server.drop_database(name)


@pytest.mark.slow
def test_odoo_database_is_audited_and_left_without_a_trace(
    odoo18_copy: str, odoo18: OdooReference, tmp_path: Path
) -> None:
    """All presets, beside `vallum roles`, which comes and goes without touching the trail."""
    shared = ("--dsn", odoo18_copy, "--folder", str(tmp_path / "log"))
    with connect(odoo18_copy, readonly=False, autocommit=True) as connection:
        before = connection.execute("SELECT count(*) FROM pg_proc").fetchone()
        assert run("audit", "enable", "--yes", *shared).code == 0
        roles = ("--dsn", odoo18_copy, "--registry", str(odoo18.registry), "--yes")
        assert run("roles", "apply", *roles).code == 0
        connection.execute(
            "UPDATE res_partner SET name = name || '!' WHERE id IN (SELECT id FROM res_partner LIMIT 5)"
        )
        connection.execute("UPDATE res_users SET password = 'x' WHERE id = 2")
        assert run("audit", "sequence", "--once", *shared).code == 0
        assert run("roles", "drop", *roles).code == 0
        for command in (["verify", "--values"], ["coverage", "--rows"], ["gaps"]):
            done = run("audit", *command, *shared)
            assert done.code == 0, done.out
        found = run("audit", "search", "--table", "res.users", "--json", *shared).json
        assert found[0]["new"] == {"password": {"hidden": True}}
        assert len(run("audit", "search", "--table", "res.partner", "--json", *shared).json) == 6
        assert run("audit", "disable", "--all", "--yes", *shared).code == 0
        assert connection.execute("SELECT to_regnamespace('vallum')").fetchone() == (None,)
        assert connection.execute("SELECT count(*) FROM pg_proc").fetchone() == before
