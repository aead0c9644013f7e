"""What was changed by hand in PostgreSQL is named, repaired by applying, and never taken for right."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

import vallum
from examples.trading import SECURITY, Base, generate
from vallum.enforce.roles.catalogue import Drift
from vallum.enforce.roles.found import RolesRefused
from vallum.enforce.roles.login import NoLogin
from vallum.kernel import FixedClock, UnknownUser
from vallum.postgres import EmbeddedServer, connect

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
Run = Callable[[str], None]


@pytest.fixture(scope="module")
def dsn(pg_server: EmbeddedServer) -> Iterator[str]:
    """A company of its own: roles are made and dropped in it."""
    name = f"roles_{os.getpid()}"
    made = pg_server.create_database(name)
    generate(made, rows=2_000)
    yield made
    with vallum.open(made, metadata=Base, policy=SECURITY) as opened:
        opened.roles.drop()
    pg_server.drop_database(name)


@pytest.fixture
def app(dsn: str) -> Iterator[vallum.Vallum]:
    """The company with the policy applied."""
    with vallum.open(dsn, metadata=Base, policy=SECURITY, clock=FixedClock(NOW)) as opened:
        opened.roles.apply("all")
        yield opened


@pytest.fixture
def run(dsn: str) -> Iterator[Run]:
    """Statements of somebody who may do anything."""
    with connect(dsn, readonly=False, autocommit=True) as connection:

        def run(statement: str) -> None:
            connection.execute(statement.encode())

        yield run


def _role(app: vallum.Vallum, login: str) -> str:
    [[name]] = app.application.database.rows(
        f"SELECT role_name::text FROM vallum.login_roles WHERE user_id = {app.users.find(login).id}"
    )
    return str(name)


def _named(app: vallum.Vallum) -> list[str]:
    return [str(d) for d in app.roles.status().drift]


def test_applied_policy_is_clean(app: vallum.Vallum) -> None:
    """What was just applied is as Vallum left it, and today's."""
    found = app.roles.status()
    assert found.is_clean
    assert found.applied
    assert found.users == 28


def test_apply_again_does_nothing(app: vallum.Vallum) -> None:
    """No statement where nothing has changed."""
    assert app.roles.plan().is_empty
    assert app.roles.apply().changes.is_empty


TAMPERED = {
    "policy dropped": ("DROP POLICY vallum_no_rule ON crm_lead", "policy crm_lead: vallum_no_rule: missing"),
    "policy widened": (
        "ALTER POLICY vallum_no_rule ON crm_lead USING (true)",
        "policy crm_lead: vallum_no_rule: changed",
    ),
    "policy added": ("CREATE POLICY mine ON crm_lead USING (true)", "policy crm_lead: mine: added"),
    "row security off": (
        "ALTER TABLE crm_lead DISABLE ROW LEVEL SECURITY",
        "row security crm_lead: missing",
    ),
    "table granted": ("GRANT SELECT ON hr_employee TO {bruno}", "grant public.hr_employee to {bruno}: added"),
    "column granted": (
        "GRANT SELECT (salary) ON hr_employee TO {bruno}",
        "grant public.hr_employee to {bruno}: added",
    ),
    "table granted to all": (
        "GRANT SELECT ON hr_employee TO PUBLIC",
        "grant public.hr_employee to PUBLIC: added",
    ),
    "membership given": ("GRANT pg_read_all_data TO {bruno}", "membership {bruno}: changed"),
    "membership taken": ("REVOKE {everyone} FROM {bruno}", "membership {bruno}: changed"),
    "role bypasses": ("ALTER ROLE {bruno} BYPASSRLS", "role {bruno}: changed"),
    "helper replaced": (
        "ALTER FUNCTION vallum_private.member_of(name, integer[]) SECURITY INVOKER",
        "helper vallum_private.member_of(name,integer[]): changed",
    ),
    "values changed": (
        "UPDATE vallum_private.companies SET company_id = company_id + 100 WHERE role_name = '{bruno}'",
        "values {bruno}: changed",
    ),
    "schema opened": (
        "GRANT USAGE ON SCHEMA vallum_private TO PUBLIC",
        "schema vallum_private to PUBLIC: added",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", TAMPERED)
def test_tampering_is_named_and_repaired(app: vallum.Vallum, run: Run, case: str) -> None:
    """Status names it; applying puts it right, or goes on naming what is not Vallum's."""
    bruno = _role(app, "bruno")
    names = {"bruno": bruno, "everyone": bruno.replace(f"user_{app.users.find('bruno').id}", "everyone")}
    statement, expected = (text.format(**names) for text in TAMPERED[case])
    run(statement)
    assert expected in _named(app)
    done = app.roles.apply()
    assert expected in [str(d) for d in done.repaired]
    left = [d.change for d in app.roles.status().drift]
    if case in ("policy added", "table granted to all"):
        assert left == ["foreign"]
        run("DROP POLICY IF EXISTS mine ON crm_lead")
        run("REVOKE SELECT ON hr_employee FROM PUBLIC")
        app.roles.apply()
    assert app.roles.status().is_clean


def test_what_is_gone_altogether_is_made_anew(app: vallum.Vallum, run: Run) -> None:
    """A role and a table dropped by hand are in nobody's way."""
    bruno = _role(app, "bruno")
    run(f"DROP OWNED BY {bruno}; DROP ROLE {bruno}")
    run("ALTER TABLE stock_move RENAME TO gone")
    try:
        assert {f"role {bruno}: missing", "row security stock_move: missing"} <= set(_named(app))
        app.roles.apply()
        assert app.roles.status().is_clean
    finally:
        run("ALTER TABLE gone RENAME TO stock_move")


def test_policy_of_others_from_before_stays_named(app: vallum.Vallum, run: Run) -> None:
    """What was there before Vallum is not taken for its own."""
    app.roles.drop()
    run("CREATE POLICY older ON crm_lead USING (true)")
    try:
        app.roles.apply()
        assert Drift(
            "policy", "crm_lead: older", "foreign", None, "PERMISSIVE for * to PUBLIC using true"
        ) in (app.roles.status().drift)
    finally:
        run("DROP POLICY older ON crm_lead")


def test_changed_user_is_pending(app: vallum.Vallum, run: Run) -> None:
    """A user deactivated in the application has a role until the next apply."""
    marie = app.users.find("marie").id
    run(f"UPDATE res_users SET active = false WHERE id = {marie}")
    try:
        with vallum.open(app.application.database.dsn, metadata=Base, policy=SECURITY) as today:
            found = today.roles.status()
            assert not found.is_clean
            assert found.without_user == (_role(app, "marie"),)
            assert found.pending is not None
            assert not found.pending.is_empty
            today.roles.apply()
            assert today.roles.status().is_clean
    finally:
        run(f"UPDATE res_users SET active = true WHERE id = {marie}")


def test_later_applies_keep_to_the_chosen_users(app: vallum.Vallum) -> None:
    """A timer gives nobody a role who was not chosen."""
    app.roles.apply(["marie", "paul"])
    assert app.roles.apply().changes.is_empty
    assert app.roles.status().users == 2
    assert app.roles.status().is_clean
    app.roles.apply("all")
    assert app.roles.status().users == 28


def test_chosen_user_who_is_dismissed_loses_the_role(app: vallum.Vallum, run: Run) -> None:
    """To be chosen is no right to stay."""
    app.roles.apply(["marie", "paul"])
    run("UPDATE res_users SET active = false WHERE login = 'marie'")
    try:
        with vallum.open(app.application.database.dsn, metadata=Base, policy=SECURITY) as today:
            assert not today.roles.status().is_clean
            today.roles.apply()
            assert today.roles.status().users == 1
    finally:
        run("UPDATE res_users SET active = true WHERE login = 'marie'")


def test_login_stores_a_verifier_of_the_password(app: vallum.Vallum) -> None:
    """The server knows how to check the password, not the password."""
    made = app.roles.login("marie", valid_days=30)
    assert made.password is not None
    assert len(made.password) >= 32
    assert made.password not in repr(made)
    rows = app.application.database.rows(
        f"SELECT rolcanlogin, rolpassword, rolvaliduntil FROM pg_authid WHERE rolname = '{made.role}'"
    )
    assert rows[0][0]
    assert rows[0][1].startswith("SCRAM-SHA-256$")
    assert rows[0][2] == NOW + timedelta(days=30) == made.valid_until
    again = app.roles.login("marie")
    assert again.password != made.password


@pytest.mark.parametrize(
    ("who", "error"), [("public", NoLogin), ("odoobot", NoLogin), ("nobody", UnknownUser)]
)
def test_no_login_for_who_has_no_role(app: vallum.Vallum, who: str, error: type[Exception]) -> None:
    """Inactive users, the superuser, and who is not there."""
    logins = {user.login: user for user in app.users}
    if who != "nobody" and who not in logins:
        who = next(u.login for u in app.users if not u.active)
    with pytest.raises(error):
        app.roles.login(who)


def test_login_and_pooler_survive_a_role_made_anew(app: vallum.Vallum, run: Run) -> None:
    """A repair takes nobody's password, and no pooler's right to act for its users."""
    made = app.roles.login("marie")
    pooler = f"pooler_{os.getpid()}"
    run(f"CREATE ROLE {pooler}")
    run(f"GRANT {made.role} TO {pooler}")
    state = (
        f"SELECT rolpassword, rolcanlogin, pg_has_role('{pooler}', oid, 'MEMBER')"
        f" FROM pg_authid WHERE rolname = '{made.role}'"
    )
    try:
        database = app.application.database
        before = database.rows(state)
        run(f"ALTER ROLE {made.role} BYPASSRLS")
        assert app.roles.apply().repaired
        assert database.rows(state) == before
        assert before[0][1:] == (True, True)
    finally:
        run(f"DROP ROLE {pooler}")


def test_disabled_login_ends_sessions_and_stays_shut(app: vallum.Vallum, dsn: str, run: Run) -> None:
    """Whoever is shut out is out at once, and a repair does not let it in again."""
    made = app.roles.login("marie")
    with psycopg.connect(dsn, user=made.role, autocommit=True) as session:
        session.execute("SELECT 1")
        assert app.roles.disable("marie") == 1
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    run(f"ALTER ROLE {made.role} BYPASSRLS")
    app.roles.apply()
    assert app.roles.status().logins == ()


def test_apply_without_the_right_to_changes_nothing(app: vallum.Vallum, dsn: str, run: Run) -> None:
    """Who owns no table is told so."""
    app.roles.drop()
    weak = f"weak_{os.getpid()}"
    run(f"CREATE ROLE {weak} LOGIN IN ROLE pg_read_all_data")
    try:
        as_weak = dsn.replace("postgres@", f"{weak}@")
        with (
            vallum.open(as_weak, metadata=Base, policy=SECURITY) as opened,
            pytest.raises(RolesRefused),
        ):
            opened.roles.apply()
        assert not app.roles.status().applied
    finally:
        run(f"DROP ROLE {weak}")


def test_advice_names_the_index_a_rule_wants(app: vallum.Vallum, run: Run) -> None:
    """Without its index, a rule's column is named; measuring leaves nothing behind."""
    names = app.application.database.rows(
        "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_attribute ON attrelid = indrelid"
        " AND attnum = indkey[0] WHERE indrelid = 'sale_order'::regclass AND attname = 'partner_id'"
    )
    for (name,) in names:
        run(f"DROP INDEX {name}")
    run("ANALYZE sale_order")
    try:
        found = app.roles.advise(rows=10, measure=True)
        [index] = [at for at in found.wanted if (at.table, at.column) == ("sale_order", "partner_id")]
        assert "trading.rule_sale_order_portal" in index.rules
        assert index.before is not None
        assert index.after is not None
        assert ("sale_order", "partner_id") in {
            (at.table, at.column) for at in app.roles.advise(rows=10).wanted
        }
    finally:
        run("CREATE INDEX ON sale_order (partner_id)")


def test_advice_names_an_index_that_users_lose(app: vallum.Vallum, run: Run) -> None:
    """`numeric` comparisons may leak, so their index does not serve users."""
    run("CREATE INDEX lost ON sale_order (amount_total)")
    try:
        [lost] = [at for at in app.roles.advise(rows=10).lost if at.index == "lost"]
        assert (lost.table, lost.column, lost.type) == ("sale_order", "amount_total", "numeric")
    finally:
        run("DROP INDEX lost")
