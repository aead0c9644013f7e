"""`vallum policy` on a company of its own: one person proposes, another decides."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.trading import generate
from tests.support.command import run
from tests.support.company import METADATA, POLICY
from vallum.cli.failure import ERROR, OK, REFUSED
from vallum.postgres import EmbeddedServer


@pytest.fixture
def company_of_ones_own(
    pg_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[str]:
    """A company whose policy may be changed."""
    name = f"cli_policy_{os.getpid()}"
    dsn = pg_server.create_database(name)
    generate(dsn, rows=2_000)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VALLUM_DSN", dsn)
    monkeypatch.setenv("VALLUM_STORE", dsn)
    monkeypatch.setenv("VALLUM_METADATA", METADATA)
    monkeypatch.setenv("VALLUM_POLICY", POLICY)
    monkeypatch.setenv("VALLUM_SECRET_FILE", str(tmp_path / "identity.secret"))
    yield dsn
    pg_server.drop_database(name)


@pytest.mark.usefixtures("company_of_ones_own")
def test_change_is_proposed_decided_and_retired() -> None:
    """From the proposal to what `access explain` answers, and back to the files."""
    for login in ("marie", "olga", "admin"):
        assert run("user", "create", login).code == OK
    for login in ("olga", "admin"):
        assert run("group", "give", login, "base.group_system").code == OK
    before = run("search", "marie", "crm.lead", "--json")
    change = ("policy", "propose", "right", "trading.access_crm_lead_sale_salesman", "--remove")
    assert run("policy", "changes", "--json").json == []
    done = run(*change, "--as", "olga", "--reason", "a test", "--json")
    assert done.code == OK, done
    number = str(done.json["id"])
    assert run("policy", "approve", number, "--as", "olga", "--json").error["code"] == "change-refused"
    assert run("policy", "approve", number, "--as", "marie").code == ERROR
    assert "a test" in run("policy", "changes").out
    shown = run("policy", "show", number)
    assert "crm.lead" in shown.out
    assert run("policy", "approve", number, "--as", "admin", "--json").json["state"] == "approved"
    assert run("policy", "withdraw", number, "--as", "olga").code == ERROR
    after = run("search", "marie", "crm.lead", "--json")
    assert before.out != after.out
    assert run("policy", "retire", "right", "trading.access_crm_lead_sale_salesman").code == OK
    assert run("policy", "retire", "right", "trading.access_crm_lead_sale_salesman").code == REFUSED
    assert run("search", "marie", "crm.lead", "--json").out == before.out


@pytest.mark.usefixtures("company_of_ones_own")
def test_wrong_parts_are_told_apart() -> None:
    """A right has no domain, a policy no menus, and an Odoo's is changed in that Odoo."""
    assert run("user", "create", "olga").code == OK
    told = ("--as", "olga", "--reason", "r", "--json")
    assert "no domain" in run("policy", "propose", "right", "a.b", "--domain", "[]", *told).error["what"]
    assert "menu" in run("policy", "propose", "menu", "a.b", *told).error["what"]
    assert run("policy", "propose", "rule", "a.b", "--name", "x", *told).code == ERROR
