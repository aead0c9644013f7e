"""Ways around the policy by what PostgreSQL lets everybody do: roles one is in, names, locks, defaults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

import vallum
from examples.trading import SECURITY, Base
from vallum.enforce import Application
from vallum.enforce.roles.apply import apply, read_relations
from vallum.enforce.roles.names import RoleNames, quoted
from vallum.enforce.roles.plan import Plan, make_plan

Connection = psycopg.Connection[Any]


@pytest.fixture
def admin(dsn: str) -> Iterator[Connection]:
    """The superuser's."""
    with psycopg.connect(dsn, autocommit=True) as opened:
        yield opened


@pytest.fixture
def app(dsn: str) -> Iterator[vallum.Vallum]:
    """The company, opened."""
    with vallum.open(dsn, metadata=Base, policy=SECURITY) as opened:
        yield opened


def _ruled(app: vallum.Vallum, domain: str) -> Application:
    """The application with `domain` for every rule over leads that is for groups."""
    found = app.application
    rules = tuple(
        replace(r, domain=domain if not r.is_global else "[(1, '=', 1)]") if r.model == "crm.lead" else r
        for r in found.policy.rules
    )
    return Application(found.database, found.schema, replace(found.policy, rules=rules), found.directory)


def _applied(application: Application, connection: Connection, **keywords: Any) -> Plan:
    names = RoleNames.of(connection.info.dbname)
    plan = make_plan(application, read_relations(connection), names, **keywords)
    apply(connection, plan)
    return plan


@contextmanager
def _signed_in(dsn: str, admin: Connection, role: str) -> Iterator[Connection]:
    admin.execute(f"ALTER ROLE {quoted(role)} LOGIN".encode())
    with psycopg.connect(psycopg.conninfo.make_conninfo(dsn, user=role), autocommit=True) as session:
        yield session


@pytest.mark.parametrize(
    "domain", ["[('user_id', '!=', user.id)]", "[('company_id', 'not in', company_ids)]"]
)
def test_role_of_no_user_is_told_nothing_by_a_negation(
    dsn: str, admin: Connection, app: vallum.Vallum, domain: str
) -> None:
    """A user may be the roles they are in: with nobody's values, `!=` and `not in` would open everything."""
    plan = _applied(_ruled(app, domain), admin)
    marie = plan.names.user(app.application.actor("marie").user_id)
    with _signed_in(dsn, admin, marie) as session:
        own = {i for (i,) in session.execute("SELECT id FROM crm_lead").fetchall()}
        roles = session.execute(
            "SELECT rolname::text FROM pg_roles WHERE pg_has_role(oid, 'MEMBER') AND rolname <> current_user"
        ).fetchall()
        assert roles
        for (role,) in roles:
            session.execute("RESET ROLE")
            session.execute(f"SET ROLE {quoted(role)}".encode())
            with suppress(InsufficientPrivilege):
                assert {i for (i,) in session.execute("SELECT id FROM crm_lead").fetchall()} <= own, role


def test_companies_that_leave_none_are_an_error(dsn: str, admin: Connection, app: vallum.Vallum) -> None:
    """With no company at all, a rule over those one is not in would open what no choice of them does."""
    plan = _applied(_ruled(app, "[('company_id', 'not in', company_ids)]"), admin)
    marie = plan.names.user(app.application.actor("marie").user_id)
    with _signed_in(dsn, admin, marie) as session:
        session.execute("SET vallum.companies = '-1'")
        with pytest.raises(InsufficientPrivilege):
            session.execute("SELECT id FROM crm_lead")


def test_current_company_is_the_users_own(dsn: str, admin: Connection, app: vallum.Vallum) -> None:
    """Where none is set: as in a search, not the one with the lowest number."""
    who = next(u for u in app.application.directory if u.active and u.id != 1 and len(u.company_ids) > 1)
    last = max(who.company_ids)
    admin.execute("UPDATE res_users SET company_id = %s WHERE id = %s", (last, who.id))
    app.application.forget()
    application = _ruled(app, "[('company_id', '=', company_id)]")
    with vallum.open(dsn, metadata=Base, policy=SECURITY) as again:
        application = _ruled(again, "[('company_id', '=', company_id)]")
        plan = _applied(application, admin)
        companies = [last, *(c for c in who.company_ids if c != last)]
        wanted = set(
            vallum.Vallum(application).as_user(who.id, companies).search("crm.lead", active_test=False)
        )
        with _signed_in(dsn, admin, plan.names.user(who.id)) as session:
            found = {i for (i,) in session.execute("SELECT id FROM crm_lead").fetchall()}
        assert found == wanted


def test_operator_of_others_is_not_taken_up(dsn: str, admin: Connection, app: vallum.Vallum) -> None:
    """One that fits better, in a schema that everybody may write to, as before PostgreSQL 15."""
    admin.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    admin.execute(
        "CREATE FUNCTION public.yes(varchar, varchar) RETURNS boolean LANGUAGE sql AS 'SELECT true';"
        "CREATE OPERATOR public.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = public.yes);"
        "CREATE OPERATOR public.<> (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = public.yes)"
    )
    plan = _applied(_ruled(app, "[('type', '=', 'nothing of the kind')]"), admin)
    marie = plan.names.user(app.application.actor("marie").user_id)
    with _signed_in(dsn, admin, marie) as session:
        assert session.execute("SELECT id FROM crm_lead LIMIT 1").fetchall() == []


def test_user_cannot_hold_up_an_apply(dsn: str, admin: Connection, app: vallum.Vallum) -> None:
    """Whoever is about to lose a group could take a lock of everybody's that applying waits for."""
    app.roles.apply()
    marie = app.application.actor("marie").user_id
    with _signed_in(dsn, admin, RoleNames.of(admin.info.dbname).user(marie)) as session:
        session.execute("SELECT pg_advisory_lock(hashtext('vallum.roles'))")
        admin.execute("DELETE FROM res_groups_users_rel WHERE uid = %s", (marie,))
        with vallum.open(dsn, metadata=Base, policy=SECURITY) as now:
            done = now.roles.apply(lock_timeout=0.5)
        assert not done.changes.is_empty


def test_privileges_by_default_open_no_view(dsn: str, admin: Connection, app: vallum.Vallum) -> None:
    """What the owner grants to everybody on all new tables is taken from Vallum's own."""
    admin.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")
    admin.execute("ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO PUBLIC")
    try:
        app.roles.apply()
        app.roles.pooler("nobodys_pooler")
        app.roles.apply()
        for schema in ("vallum_signed", "vallum"):
            views = admin.execute(
                "SELECT c.oid::regclass::text, a.grantee FROM pg_class c LEFT JOIN aclexplode(c.relacl) a"
                " ON a.grantee = 0 WHERE relnamespace = %s::regnamespace AND relkind = 'v'",
                (schema,),
            ).fetchall()
            assert views
            assert [name for name, grantee in views if grantee is not None] == []
        shut = "SELECT has_schema_privilege('public', 'vallum_private', 'USAGE')"
        assert admin.execute(shut).fetchone() == (False,)
    finally:
        admin.execute("DROP OWNED BY nobodys_pooler; DROP ROLE nobodys_pooler")
        admin.execute("ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM PUBLIC")
        admin.execute("ALTER DEFAULT PRIVILEGES REVOKE USAGE ON SCHEMAS FROM PUBLIC")


def test_values_of_other_companies_are_read_by_who_is_in_all(admin: Connection, app: vallum.Vallum) -> None:
    """A column that holds one for each company has no part to grant; and nobody overwrites it."""
    app.roles.apply(writable=True)
    everything = {c for u in app.application.directory for c in u.company_ids}
    names = RoleNames.of(admin.info.dbname)
    seen = set()
    for user in app.application.directory:
        if not user.active or user.id == 1:
            continue
        row = admin.execute(
            "SELECT has_column_privilege(r, t, 'standard_price', 'SELECT'),"
            " has_table_privilege(r, t, 'SELECT') OR has_column_privilege(r, t, 'id', 'SELECT'),"
            " has_column_privilege(r, t, 'standard_price', 'UPDATE, INSERT')"
            " FROM (SELECT %s AS r, %s AS t) x",
            (names.user(user.id), _table_of_prices(app)),
        ).fetchone()
        assert row is not None
        assert not row[2]
        if row[0]:
            assert everything <= set(user.company_ids)
        seen.add((row[0], row[1]))
    assert {(False, True), (True, True)} <= seen


def _table_of_prices(app: vallum.Vallum) -> str:
    models = app.application.schema.models.values()
    return next(
        m.table for m in models if "standard_price" in m.fields and not m.fields["standard_price"].inherited
    )


def test_functions_that_act_as_their_owner_are_told_of(admin: Connection, app: vallum.Vallum) -> None:
    """PostgreSQL lets everybody run them."""
    admin.execute(
        "CREATE FUNCTION public.all_leads() RETURNS SETOF integer LANGUAGE sql SECURITY DEFINER"
        " AS 'SELECT id FROM public.crm_lead'"
    )
    told = [w for w in app.roles.plan().plan.warnings if "all_leads" in w]
    assert told
    admin.execute("REVOKE EXECUTE ON FUNCTION public.all_leads() FROM PUBLIC")
    assert not [w for w in app.roles.plan().plan.warnings if "all_leads" in w]
