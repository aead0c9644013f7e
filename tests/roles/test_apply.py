"""Apply, apply again, move a user, drop; and what stands in the way."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

import vallum
from examples.trading import SECURITY, Base
from tests.support.odoo import OdooReference
from vallum.domain import RuleContext, expression
from vallum.enforce import Application
from vallum.enforce.roles import people
from vallum.enforce.roles.apply import apply, changes, drop, read_relations
from vallum.enforce.roles.found import RolesRefused
from vallum.enforce.roles.names import RoleNames, quoted
from vallum.enforce.roles.plan import Plan, make_plan
from vallum.kernel import NO_PROGRESS, UnsupportedDomain
from vallum.policy import Policy

Connection = psycopg.Connection[Any]
Planner = Callable[[], Plan]


@pytest.fixture
def connection(dsn: str) -> Iterator[Connection]:
    """The superuser's."""
    with psycopg.connect(dsn, autocommit=True) as opened:
        yield opened


def application_of(dsn: str) -> Application:
    return vallum.open(dsn, metadata=Base, policy=SECURITY).application


@pytest.fixture
def planned(dsn: str, connection: Connection) -> Iterator[Planner]:
    """The plan for the company as it is now."""
    opened = []

    def plan() -> Plan:
        application = application_of(dsn)
        opened.append(application)
        return make_plan(application, read_relations(connection), names_of(connection))

    yield plan
    for application in opened:
        application.database.close()


def names_of(connection: Connection) -> RoleNames:
    row = connection.execute("SELECT current_database()").fetchone()
    assert row
    return RoleNames.of(row[0])


# Of the cluster only what bears this database's name: other tests have theirs.
_OURS = "(SELECT oid FROM pg_roles WHERE starts_with(rolname, %(prefix)s))"
_STATE = (
    "SELECT rolname::text FROM pg_roles WHERE starts_with(rolname, %(prefix)s)",
    f"SELECT roleid FROM pg_auth_members WHERE roleid IN {_OURS} OR member IN {_OURS}",
    (
        "SELECT objoid FROM pg_shdescription WHERE classoid = 'pg_authid'::regclass"
        " AND objoid NOT IN (SELECT oid FROM pg_roles)"
    ),
    (
        "SELECT setconfig FROM pg_db_role_setting WHERE setrole <> 0"
        " AND setrole NOT IN (SELECT oid FROM pg_roles)"
    ),
    (
        "SELECT count(*) FROM pg_shdepend WHERE deptype IN ('a', 'r')"
        " AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
    ),
    "SELECT polrelid, polname::text FROM pg_policy",
    "SELECT proname::text FROM pg_proc",
    "SELECT nspname::text, nspacl::text FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'",
    (
        "SELECT relname::text, coalesce(relacl, acldefault('r', relowner))::text, relrowsecurity"
        " FROM pg_class WHERE relkind IN ('r', 'v', 'm') AND relnamespace = 'public'::regnamespace"
    ),
    "SELECT attrelid, attname::text, attacl::text FROM pg_attribute WHERE attacl <> '{}'",
)


def state(connection: Connection) -> list[list[Any]]:
    prefix = {"prefix": names_of(connection).prefix}
    return [sorted(connection.execute(q.encode(), prefix).fetchall(), key=str) for q in _STATE]


def test_drop_leaves_nothing_behind(connection: Connection, planned: Planner) -> None:
    """Roles, policies, functions, schemas, privileges, memberships: as before."""
    before = state(connection)
    apply(connection, planned())
    assert state(connection) != before
    assert drop(connection) > 0
    assert state(connection) == before
    assert drop(connection) == 0


def test_writing_leaves_nothing_behind_either(dsn: str, connection: Connection, planned: Planner) -> None:
    """Triggers, sequences, policies for writing: gone with `drop`, and with a plan that only reads."""
    before = state(connection)
    application = application_of(dsn)
    plan = make_plan(application, read_relations(connection), names_of(connection), writable=True)
    application.database.close()
    apply(connection, plan)
    assert _writes(connection) > (100, 10)
    assert apply(connection, plan).is_empty
    apply(connection, planned())
    assert _writes(connection) == (0, 0)
    apply(connection, plan)
    drop(connection)
    assert _writes(connection) == (0, 0)
    assert state(connection) == before


def _writes(connection: Connection) -> tuple[int, int]:
    row = connection.execute(
        "SELECT (SELECT count(*) FROM pg_policy WHERE polcmd <> 'r'),"
        " (SELECT count(*) FROM pg_trigger WHERE tgname = 'vallum_stamp')"
    ).fetchone()
    assert row
    return row[0], row[1]


@pytest.mark.slow
def test_odoo_database_is_written_only_when_forced(odoo18_copy: str, odoo18: OdooReference) -> None:
    """Odoo's code does more than its rules say; nothing is applied."""
    with vallum.open(odoo18_copy, registry=odoo18.registry) as opened:
        with pytest.raises(RolesRefused, match="this is an Odoo database") as refused:
            opened.roles.apply(["admin"], writable=True)
        assert "--force" in (refused.value.fix or "")
        assert not opened.roles.status().applied
        assert opened.roles.apply(["admin"], writable=True, force=True).plan.writable
        # Later applies keep to it, as a timer asks for nothing.
        assert opened.roles.plan().is_empty
        assert opened.roles.apply(writable=False).changes.undo
        assert not opened.roles.status().writable
        opened.roles.drop()


def test_drop_keeps_what_others_have_in_the_schema(connection: Connection, planned: Planner) -> None:
    """Vallum's own tables are in the schema that shows which role is whose."""
    connection.execute("CREATE SCHEMA vallum; CREATE TABLE vallum.events (id integer)")
    apply(connection, planned())
    drop(connection)
    assert connection.execute("SELECT count(*) FROM vallum.events").fetchone() == (0,)
    assert connection.execute("SELECT to_regclass('vallum.login_roles')::text").fetchone() == (None,)


def test_second_apply_changes_nothing(connection: Connection, planned: Planner) -> None:
    """No statement at all."""
    apply(connection, planned())
    assert changes(connection, planned()).statements() == []
    assert apply(connection, planned()).is_empty


class _Interrupts:
    """Progress that fails halfway."""

    def __getattr__(self, name: str) -> Any:
        return getattr(NO_PROGRESS, name)

    def advance(self, n: int = 1) -> None:
        raise KeyboardInterrupt


def test_interrupted_apply_changes_nothing_and_the_next_completes(
    connection: Connection, planned: Planner
) -> None:
    """One transaction."""
    before = state(connection)
    with pytest.raises(KeyboardInterrupt):
        apply(connection, planned(), progress=_Interrupts())
    assert state(connection) == before
    assert apply(connection, planned()).base
    assert changes(connection, planned()).is_empty


def test_user_moved_while_connected_sees_it_at_the_next_statement(
    dsn: str, connection: Connection, planned: Planner
) -> None:
    """Once it is applied: in the same session, and by a statement prepared before."""
    plan = planned()
    apply(connection, plan)
    row = connection.execute("SELECT id FROM res_users WHERE login = 'marie'").fetchone()
    assert row
    role = plan.names.user(row[0])
    connection.execute(f"ALTER ROLE {quoted(role)} LOGIN PASSWORD 'kept'".encode())
    question = "SELECT count(*) FROM crm_lead"
    with psycopg.connect(psycopg.conninfo.make_conninfo(dsn, user=role), autocommit=True) as session:
        session.execute("SET plan_cache_mode = force_generic_plan")
        session.execute(f"PREPARE n AS {question}".encode())
        own = session.execute("EXECUTE n").fetchone()
        _move(connection, row[0], "sales_team.group_sale_salesman_all_leads", "group_sale_manager")
        apply(connection, planned())
        wider = session.execute("EXECUTE n").fetchone()
        assert own
        assert wider
        assert own[0] < wider[0]
        assert session.execute(question.encode()).fetchone() == wider
        connection.execute("DELETE FROM res_groups_users_rel WHERE uid = %s", (row[0],))
        _move(connection, row[0], "group_sale_salesman")
        apply(connection, planned())
        assert session.execute("EXECUTE n").fetchone() == own
        connection.execute("DELETE FROM res_groups_users_rel WHERE uid = %s", (row[0],))
        apply(connection, planned())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("EXECUTE n")
    assert connection.execute("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", (role,)).fetchone() == (
        True,
    )


def test_prepared_statement_does_not_outlive_a_membership(
    dsn: str, connection: Connection, planned: Planner
) -> None:
    """PostgreSQL keeps a plan with the policies of the groups a role was in: apply makes it plan anew."""
    plan = planned()
    apply(connection, plan)
    row = connection.execute("SELECT id FROM res_users WHERE login = 'marie'").fetchone()
    assert row
    role = plan.names.user(row[0])
    connection.execute(f"ALTER ROLE {quoted(role)} LOGIN".encode())
    without = [
        replace(item, make=re.sub(r'"\w+_group_\d+"', quoted(plan.names.everyone), item.make))
        if item.kind == "membership" and "_alike_" in item.name
        else item
        for item in plan.items
    ]
    with psycopg.connect(psycopg.conninfo.make_conninfo(dsn, user=role), autocommit=True) as session:
        session.execute("SET plan_cache_mode = force_generic_plan")
        session.execute("PREPARE n AS SELECT count(*) FROM crm_lead")
        assert session.execute("EXECUTE n").fetchone() != (0,)
        moved = apply(connection, replace(plan, items=tuple(without))).make
        assert {item.kind for item in moved} == {"membership"}
        assert session.execute("EXECUTE n").fetchone() == (0,)


def _move(connection: Connection, user: int, *groups: str) -> None:
    """Into every group whose xml id ends like one of these."""
    connection.execute(
        "INSERT INTO res_groups_users_rel (uid, gid) SELECT %s, id FROM res_groups"
        " WHERE EXISTS (SELECT FROM unnest(%s::text[]) g WHERE xml_id LIKE '%%' || g) ON CONFLICT DO NOTHING",
        (user, list(groups)),
    )


def test_contradictory_rules_add_up_or_exclude(dsn: str, connection: Connection) -> None:
    """Rules of two groups let pass what either does; global rules only what both do."""
    application = application_of(dsn)
    policy = application.policy
    rules = [r for r in policy.rules if r.model == "crm.lead" and not r.is_global]
    first, second = rules[0], next(r for r in rules if r.groups != rules[0].groups)
    kept = tuple(r for r in policy.rules if r.model != "crm.lead")
    connection.execute(
        "DELETE FROM res_groups_users_rel WHERE uid = (SELECT id FROM res_users WHERE login = 'marie')"
    )
    for group in first.groups | second.groups:
        connection.execute(
            "INSERT INTO res_groups_users_rel (uid, gid) SELECT id, %s FROM res_users"
            " WHERE login = 'marie' ON CONFLICT DO NOTHING",
            (group,),
        )
    application.database.close()
    low, high = "[('id', '<', 100)]", "[('id', '>=', 100), ('id', '<', 200)]"
    for groups, expected in (((first.groups, second.groups), 199), ((frozenset(), frozenset()), 0)):
        application = application_of(dsn)
        changed = (
            replace(first, domain=low, groups=groups[0]),
            replace(second, domain=high, groups=groups[1]),
        )
        broken = replace(policy, rules=(*kept, *changed))
        app = Application(application.database, application.schema, broken, application.directory)
        plan = make_plan(app, read_relations(connection), names_of(connection))
        apply(connection, plan)
        user = application.actor("marie").user_id
        application.database.close()
        connection.execute(f"SET ROLE {quoted(plan.names.user(user))}".encode())
        row = connection.execute("SELECT count(*) FROM crm_lead").fetchone()
        connection.execute("RESET ROLE")
        assert row == (expected,)


# What stands in the way


def _with_rule(application: Application, model: str, domain: str) -> Application:
    rules = tuple(replace(r, domain=domain) if r.model == model else r for r in application.policy.rules)
    policy: Policy = replace(application.policy, rules=rules)
    return Application(application.database, application.schema, policy, application.directory)


def test_rule_that_cannot_be_compiled_locks_its_table_alone(dsn: str, connection: Connection) -> None:
    """It is reported, and the rest applies."""
    application = application_of(dsn)
    try:
        broken = _with_rule(application, "crm.lead", "[('create_date', '<', time.strftime('%Y'))]")
        plan = make_plan(broken, read_relations(connection), names_of(connection))
        assert "crm.lead" in {lock.model for lock in plan.locked}
        assert "time" in next(lock.reason for lock in plan.locked if lock.model == "crm.lead")
        apply(connection, plan)
        granted = connection.execute(
            "SELECT DISTINCT table_name::text FROM information_schema.column_privileges"
            " WHERE grantee LIKE %s",
            (f"{plan.names.prefix}%",),
        ).fetchall()
        tables = {name for (name,) in granted}
        assert "crm_lead" not in tables
        assert {"res_partner", "sale_order"} <= tables
    finally:
        application.database.close()


def test_value_that_cannot_be_read_shuts_out_its_user_alone(
    dsn: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error denies: the role is there, in no other role."""
    application = application_of(dsn)
    marie = application.actor("marie").user_id
    evaluated = expression.evaluate

    def failing(text: str, context: RuleContext) -> object:
        if context.user_id == marie:
            raise UnsupportedDomain("nobody knows")
        return evaluated(text, context)

    monkeypatch.setattr(people, "evaluate", failing)
    try:
        plan = make_plan(application, read_relations(connection), names_of(connection))
    finally:
        application.database.close()
    assert any(w.startswith("marie gets an empty role: nobody knows") for w in plan.warnings)
    apply(connection, plan)
    count = connection.execute(
        "SELECT count(*) FROM pg_auth_members WHERE member = to_regrole(%s)", (plan.names.user(marie),)
    ).fetchone()
    assert count == (0,)


def test_role_name_that_is_taken_is_refused(connection: Connection, planned: Planner) -> None:
    """Nothing is applied; the role of others stays as it is."""
    taken = quoted(names_of(connection).group(1))
    connection.execute(f"CREATE ROLE {taken}".encode())
    try:
        before = state(connection)
        with pytest.raises(RolesRefused, match="that Vallum did not make"):
            apply(connection, planned())
        assert state(connection) == before
    finally:
        connection.execute(f"DROP ROLE {taken}".encode())


def test_roles_left_by_a_database_that_is_gone_are_made_anew(
    connection: Connection, planned: Planner
) -> None:
    """They carry Vallum's mark and this database's name."""
    plan = planned()
    left = quoted(plan.names.everyone)
    connection.execute(f"CREATE ROLE {left} LOGIN; COMMENT ON ROLE {left} IS 'made by Vallum'".encode())
    apply(connection, plan)
    row = connection.execute("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", (plan.names.everyone,))
    assert row.fetchone() == (False,)


@pytest.fixture
def clerk(connection: Connection) -> Iterator[str]:
    """A role without any right."""
    name = f"clerk_{os.getpid()}"
    connection.execute(f"CREATE ROLE {name} LOGIN".encode())
    yield name
    connection.execute(f"DROP OWNED BY {name}; DROP ROLE {name}".encode())


def test_without_createrole_nothing_is_applied(
    dsn: str, connection: Connection, planned: Planner, clerk: str
) -> None:
    """And it is said which statements need it."""
    plan = planned()
    before = state(connection)
    with (
        psycopg.connect(psycopg.conninfo.make_conninfo(dsn, user=clerk), autocommit=True) as session,
        pytest.raises(RolesRefused, match="CREATE ROLE") as refused,
    ):
        apply(session, plan)
    assert "CREATE SCHEMA" in refused.value.what
    assert state(connection) == before


def test_owner_with_createrole_applies_and_drops_without_superuser(
    dsn: str, connection: Connection, planned: Planner, clerk: str
) -> None:
    """As an Odoo's own role may be."""
    connection.execute(f"ALTER ROLE {clerk} CREATEROLE".encode())
    row = connection.execute("SELECT current_database()").fetchone()
    assert row
    connection.execute(f"GRANT CREATE ON DATABASE {quoted(row[0])} TO {clerk}".encode())
    for name in read_relations(connection):
        connection.execute(f"ALTER TABLE {quoted(name)} OWNER TO {clerk}".encode())
    before = state(connection)
    with psycopg.connect(psycopg.conninfo.make_conninfo(dsn, user=clerk), autocommit=True) as session:
        application = application_of(dsn)
        plan = make_plan(application, read_relations(session), names_of(session))
        application.database.close()
        assert plan.locked == ()
        apply(session, plan)
        assert changes(session, plan).is_empty
        drop(session)
    assert state(connection) == before


def test_table_of_somebody_else_is_locked(
    dsn: str, connection: Connection, planned: Planner, clerk: str
) -> None:
    """Its owner is named; nobody gets a grant on it."""
    with psycopg.connect(psycopg.conninfo.make_conninfo(dsn, user=clerk), autocommit=True) as session:
        application = application_of(dsn)
        plan = make_plan(application, read_relations(session), names_of(session))
        application.database.close()
    reasons = {lock.model: lock.reason for lock in plan.locked}
    assert reasons["crm.lead"] == "its table belongs to postgres"
    assert not [item for item in plan.items if item.kind == "grant"]


def test_policies_of_others_are_kept_and_told_of(connection: Connection, planned: Planner) -> None:
    """One that opens a table to everybody locks it to Vallum's roles."""
    connection.execute("ALTER TABLE crm_team ENABLE ROW LEVEL SECURITY")
    connection.execute("CREATE POLICY theirs ON crm_team AS RESTRICTIVE USING (id > 0)")
    connection.execute("CREATE POLICY wide ON crm_lead USING (true)")
    plan = planned()
    assert any("public.crm_team has policies of others: theirs" in warning for warning in plan.warnings)
    assert any("opens its table" in lock.reason for lock in plan.locked if lock.model == "crm.lead")
    apply(connection, plan)
    drop(connection)
    kept = connection.execute("SELECT polname::text FROM pg_policy ORDER BY 1").fetchall()
    assert kept == [("theirs",), ("wide",)]
    row = connection.execute("SELECT relrowsecurity FROM pg_class WHERE relname = 'crm_team'").fetchone()
    assert row == (True,)


def test_readers_who_would_see_no_row_are_told_of(
    connection: Connection, planned: Planner, clerk: str
) -> None:
    """And so are tables everybody may read."""
    connection.execute(f"GRANT SELECT ON crm_lead TO {clerk}".encode())
    connection.execute("GRANT SELECT ON res_groups TO PUBLIC")
    warnings = planned().warnings
    assert any(w.startswith(f"{clerk} may read public.crm_lead, and will see no row") for w in warnings)
    assert any("public.res_groups" in w and "PUBLIC" in w for w in warnings)


def test_names_of_databases_named_alike_do_not_meet() -> None:
    """Roles belong to the whole cluster."""
    names = ["odoo", "Odoo", "o-doo", "o_doo", "x" * 40, "x" * 41]
    assert len({RoleNames.of(name).prefix for name in names}) == len(names)
    assert RoleNames.of("odoo").prefix == "vallum_odoo"
