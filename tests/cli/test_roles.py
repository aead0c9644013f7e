"""`vallum roles`: plan, apply, status, logins and drop, and their exit codes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from examples.trading import generate
from tests.support.command import Outcome, program, run
from tests.support.company import METADATA, POLICY
from tests.support.odoo import OdooReference
from tests.support.server import run_folder
from vallum.postgres import EmbeddedServer, connect

Command = Callable[..., Outcome]
ALL_LEADS = "trading.group_sale_salesman_all_leads"


@pytest.fixture(scope="module")
def database(pg_server: EmbeddedServer) -> Iterator[str]:
    """A company of its own: roles are made and dropped in it."""
    name = f"cli_roles_{os.getpid()}"
    made = pg_server.create_database(name)
    generate(made, rows=2_000)
    yield made
    pg_server.drop_database(name)


@pytest.fixture
def vallum(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """Run a command on it, and leave nothing applied."""
    monkeypatch.setenv("VALLUM_DSN", database)
    monkeypatch.setenv("VALLUM_METADATA", METADATA)
    monkeypatch.setenv("VALLUM_POLICY", POLICY)
    yield run
    run("roles", "drop", "--yes")


def test_nothing_applied_is_no_clean_state(vallum: Command) -> None:
    """A check that runs by a timer tells it."""
    done = vallum("roles", "status")
    assert done.code == 1
    assert "nothing applied" in done.out


def test_plan_changes_nothing_and_shows_the_statements(vallum: Command) -> None:
    """What is shown can be read before anything happens."""
    shown = vallum("roles", "plan")
    assert shown.code == 0
    assert "policies" in shown.out
    sql = vallum("roles", "plan", "--sql").out
    assert sql.startswith("BEGIN;\n")
    assert sql.endswith("COMMIT;\n")
    assert "CREATE POLICY" in sql
    assert vallum("roles", "plan", "--json").json["changes"]["user"]["new"] == 28
    assert vallum("roles", "status").code == 1


def test_statements_of_a_plan_are_what_applying_does(vallum: Command, database: str) -> None:
    """Each of them is SQL that PostgreSQL takes as it stands."""
    sql = vallum("roles", "plan", "--sql").out.removeprefix("BEGIN;").rstrip().removesuffix("COMMIT;")
    with connect(database, readonly=False) as connection:
        connection.execute(sql.encode())
        row = connection.execute("SELECT count(*) FROM vallum.login_roles").fetchone()
        connection.rollback()
    assert row == (28,)


def test_apply_then_status_is_clean_and_drop_leaves_nothing(vallum: Command, database: str) -> None:
    """The whole way, and back."""
    done = vallum("roles", "apply", "--yes")
    assert done.code == 0
    assert "✔ applied" in done.out
    assert "nothing to do" in vallum("roles", "apply", "--yes").out
    status = vallum("roles", "status")
    assert status.code == 0, status.out
    assert "for 28 users" in status.out
    assert vallum("roles", "drop", "--yes", "--json").json["undone"] > 100
    assert "nothing applied" in vallum("roles", "status").out
    with connect(database) as connection:
        roles = "SELECT count(*) FROM pg_roles WHERE rolname LIKE %s"
        prefix = f"vallum_{connection.info.dbname}_%"
        assert connection.execute(roles, (prefix,)).fetchone() == (0,)


def test_tampering_ends_status_with_one_until_applied_again(vallum: Command, database: str) -> None:
    """A policy that is gone is named, and put back."""
    vallum("roles", "apply", "--yes")
    with connect(database, readonly=False, autocommit=True) as connection:
        connection.execute("DROP POLICY vallum_no_rule ON crm_lead")
    done = vallum("roles", "status")
    assert done.code == 1
    assert "crm_lead: vallum_no_rule" in done.out
    assert vallum("roles", "status", "--json").json["drift"][0]["change"] == "missing"
    assert "made anew" in vallum("roles", "apply", "--yes").out
    assert vallum("roles", "status").code == 0


def test_program_is_not_asked(vallum: Command) -> None:
    """JSON and a question do not go together."""
    for command in ("apply", "drop"):
        done = vallum("roles", command, "--json")
        assert done.code == 2
        assert "--yes" in done.error["fix"]


def test_unanswered_question_applies_nothing(vallum: Command, database: str, tmp_path: Path) -> None:
    """Without a terminal, and without --yes."""
    environ = {"VALLUM_DSN": database, "VALLUM_METADATA": METADATA, "VALLUM_POLICY": POLICY}
    assert program("roles", "apply", folder=tmp_path, environ=environ).code == 2
    assert vallum("roles", "status").code == 1


def test_chosen_users_alone_get_a_role(vallum: Command) -> None:
    """And a name nobody has is an error."""
    vallum("roles", "apply", "--yes", "--users", "marie,paul")
    assert vallum("roles", "status", "--json").json["users"] == 2
    assert vallum("roles", "login", "bruno").code == 2
    assert vallum("roles", "plan", "--users", "mari").code == 2


def test_login_without_password_shows_the_settings_of_the_server(vallum: Command) -> None:
    """For certificates: who is let in, and as whom."""
    vallum("roles", "apply", "--yes", "--users", "marie")
    done = vallum("roles", "login", "marie", "--no-password")
    assert done.code == 0
    assert "hostssl" in done.out
    assert "cert map=vallum" in done.out
    assert vallum("roles", "login", "marie", "--no-password", "--disable").code == 2


def test_disable_shuts_the_login(vallum: Command) -> None:
    """Status lists who may sign in."""
    vallum("roles", "apply", "--yes", "--users", "marie")
    vallum("roles", "login", "marie")
    assert vallum("roles", "status", "--json").json["logins"][0]["login"] == "marie"
    assert "can no longer sign in" in vallum("roles", "login", "marie", "--disable").out
    assert vallum("roles", "status", "--json").json["logins"] == []


def test_advise_lists_indexes(vallum: Command) -> None:
    """In JSON and for people."""
    assert vallum("roles", "advise").code == 0
    assert set(vallum("roles", "advise", "--rows", "10", "--json").json) == {"wanted", "lost"}


@pytest.mark.slow
def test_password_lets_in_and_a_new_one_takes_its_place(
    pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a server that asks for passwords, with the eyes of the user."""
    with EmbeddedServer(run_folder(pytestconfig) / f"scram-{os.getpid()}", durable=False) as server:
        dsn = server.create_database("shop")
        generate(dsn, rows=2_000)
        rules = "local all postgres trust\nlocal all all scram-sha-256\n"
        (server.data / "pg_hba.conf").write_text(rules)
        with connect(dsn, readonly=False, autocommit=True) as connection:
            connection.execute("SELECT pg_reload_conf()")
        for name, value in (("DSN", dsn), ("METADATA", METADATA), ("POLICY", POLICY)):
            monkeypatch.setenv(f"VALLUM_{name}", value)
        run("roles", "apply", "--yes")
        first, second = (run("roles", "login", "marie", "--json").json for _ in range(2))
        seen = run("search", "marie", "crm.lead", "--all", "--companies", "all", "--json").json["count"]
        with psycopg.connect(dsn, user=second["role"], password=second["password"]) as session:
            assert session.execute("SELECT count(*) FROM crm_lead").fetchone() == (seen,)
        for password in (first["password"], "", second["password"] + "x"):
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(dsn, user=second["role"], password=password)


@pytest.mark.slow
def test_odoo_database_is_applied_and_dropped(
    odoo18: OdooReference, odoo18_copy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An Odoo database, its locked models named, and nothing left behind."""
    monkeypatch.setenv("VALLUM_DSN", odoo18_copy)
    monkeypatch.setenv("VALLUM_REGISTRY", str(odoo18.registry))
    try:
        done = run("roles", "apply", "--yes", "--json")
        assert done.code == 0, done.err
        assert "mail.message" in {at["model"] for at in done.json["locked"]}
        status = run("roles", "status")
        assert status.code == 0, status.out
    finally:
        assert run("roles", "drop", "--yes").code == 0
    assert run("roles", "status", "--json").json["applied"] is False


def test_writable_is_kept_until_it_is_taken_back(vallum: Command) -> None:
    """Later applies, by a timer, ask for nothing."""
    vallum("roles", "apply", "--yes", "--users", "marie", "--writable")
    shown = vallum("roles", "status")
    assert "who may write" in shown.out
    assert vallum("roles", "apply", "--yes", "--json").json["writable"] is True
    found = vallum("roles", "plan", "--json").json
    assert found["empty"] is True
    assert {at["model"] for at in found["read_only"]} == {"account.move"}
    vallum("roles", "apply", "--yes", "--read-only")
    assert vallum("roles", "status", "--json").json["writable"] is False


def test_drop_takes_the_database_alone(
    vallum: Command, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The application's models need not be there any more."""
    vallum("roles", "apply", "--yes", "--users", "marie")
    monkeypatch.delenv("VALLUM_METADATA")
    monkeypatch.delenv("VALLUM_POLICY")
    assert vallum("roles", "drop", "--yes", "--json").json["undone"] > 100
    with connect(database) as connection:
        assert connection.execute("SELECT to_regnamespace('vallum_private')").fetchone() == (None,)


def test_pooler_is_shown_its_key_once(vallum: Command, database: str) -> None:
    """A new one takes its place; removed, it is a pooler no longer."""
    role = f"gateway_{os.getpid()}"
    vallum("roles", "apply", "--yes", "--users", "marie")
    first = vallum("roles", "pooler", role, "--json").json
    try:
        assert set(first) == {"role", "key", "password"}
        again = vallum("roles", "pooler", role)
        assert "password" not in again.out
        assert first["key"] not in again.out
        vallum("roles", "apply", "--yes")
        assert vallum("roles", "status").code == 0
        assert vallum("roles", "pooler", role, "--remove").code == 0
        assert vallum("roles", "pooler", role, "--remove").code == 1
        assert vallum("roles", "pooler", "postgres").code != 0
    finally:
        vallum("roles", "drop", "--yes")
        with connect(database, readonly=False, autocommit=True) as connection:
            connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


@pytest.fixture
def accounts(vallum: Command, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The same with an account for marie, kept in the application's own database."""
    monkeypatch.setenv("VALLUM_SECRET_FILE", str(tmp_path / "identity.secret"))
    with connect(database) as connection:
        row = connection.execute("SELECT id FROM res_users WHERE login = 'marie'").fetchone()
    assert row is not None
    if vallum("user", "show", "marie").code:
        assert vallum("user", "create", "marie", "--user-id", str(row[0])).code == 0
    return vallum


def _leads(vallum: Command) -> int:
    count: int = vallum("search", "marie", "crm.lead", "--json").json["count"]
    return count


def _leads_by_role(database: str) -> int:
    with connect(database) as connection:
        found = connection.execute(
            "SELECT role_name FROM vallum.login_roles l JOIN res_users u ON u.id = l.user_id"
            " WHERE u.login = 'marie'"
        ).fetchone()
        assert found is not None
        connection.execute(f'SET ROLE "{found[0]}"'.encode())
        row = connection.execute("SELECT count(*) FROM crm_lead WHERE active").fetchone()
    assert row is not None
    return int(row[0])


def test_group_that_vallum_gives_counts_in_commands_and_in_postgresql(
    accounts: Command, database: str
) -> None:
    """Given for good: whoever asks as the user, on any way, sees as much; taken back, as little as before."""
    before = _leads(accounts)
    accounts("roles", "apply", "--yes")
    assert _leads_by_role(database) == before
    accounts("group", "give", "marie", ALL_LEADS)
    wider = _leads(accounts)
    assert wider > before
    assert accounts("roles", "status").code == 1
    accounts("roles", "apply", "--yes")
    assert _leads_by_role(database) == wider
    accounts("group", "take", "marie", ALL_LEADS)
    accounts("roles", "apply", "--yes")
    assert (_leads(accounts), _leads_by_role(database)) == (before, before)


def test_group_for_a_time_counts_in_commands_alone(accounts: Command, database: str) -> None:
    """Nobody would take the role away in time: PostgreSQL does not get it, and the status names the user."""
    accounts("roles", "apply", "--yes")
    before = _leads(accounts)
    accounts("group", "give", "marie", ALL_LEADS, "--minutes", "5")
    assert _leads(accounts) > before
    done = accounts("roles", "status", "--json")
    assert (done.code, done.json["groups_for_a_time"]) == (0, ["marie"])
    assert "marie" in accounts("roles", "status").out
    assert "for a time" in str(accounts("roles", "plan", "--json").json["warnings"])
    accounts("roles", "apply", "--yes")
    assert _leads_by_role(database) == before
    accounts("group", "take", "marie", ALL_LEADS)


def test_dropping_the_roles_leaves_the_accounts(accounts: Command) -> None:
    """They share a schema."""
    accounts("roles", "apply", "--yes")
    accounts("roles", "drop", "--yes")
    assert accounts("user", "show", "marie").code == 0


def test_group_the_application_does_not_have_is_refused(accounts: Command) -> None:
    """A misprint would give nothing, unseen."""
    done = accounts("group", "give", "marie", ALL_LEADS + "s", "--json")
    assert done.code == 2
    assert ALL_LEADS in done.error["fix"]
    assert accounts("group", "members", ALL_LEADS + "s", "--json").json == []
