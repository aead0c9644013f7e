"""Attacks by a user who may run any SQL: each on the real server, signed in as the user's role."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from tests.support.roles import Guarded
from vallum.enforce.roles.names import quoted

Connection = psycopg.Connection[Any]

SALESMAN = "marie"


@pytest.fixture(scope="module")
def marie(trading: Guarded) -> int:
    """A salesman: her own leads and nobody's, in her companies."""
    return trading.application.actor(SALESMAN).user_id


@pytest.fixture
def attacker(trading: Guarded, marie: int) -> Iterator[Connection]:
    """A session that can be nothing but marie."""
    with trading.eyes(marie) as connection:
        yield connection


def rows(connection: Connection, statement: str) -> list[tuple[Any, ...]]:
    return connection.execute(statement.encode()).fetchall()


def leads(connection: Connection) -> list[tuple[Any, ...]]:
    return rows(connection, "SELECT id FROM crm_lead ORDER BY id")


@pytest.fixture
def seen(attacker: Connection, trading: Guarded) -> list[tuple[Any, ...]]:
    """The leads marie may see: some, but not all."""
    found, everything = leads(attacker), leads(trading.connection)
    assert 0 < len(found) < len(everything)
    return found


def hidden(trading: Guarded, seen: list[tuple[Any, ...]]) -> int:
    everything = {int(i) for (i,) in leads(trading.connection)}
    return min(everything - {int(i) for (i,) in seen})


# Who one is


@pytest.mark.parametrize(
    "setting", ["vallum.user_id", "vallum.user", "vallum.role", "app.user_id", "vallum_private.user"]
)
def test_setting_an_identity_changes_nothing(
    attacker: Connection, seen: list[tuple[Any, ...]], setting: str
) -> None:
    """Identity is the role that asks; no setting is read for it."""
    attacker.execute("SELECT set_config(%s, '2', false)", (setting,))
    assert leads(attacker) == seen


def test_setting_companies_only_narrows(attacker: Connection, seen: list[tuple[Any, ...]]) -> None:
    """Every company there is gives no more than none named."""
    attacker.execute("SET vallum.companies = '1,2,3,4,5,6,7,8,9,10,11,12'")
    assert set(leads(attacker)) <= set(seen)
    attacker.execute("SET vallum.companies = '-1'")
    assert set(leads(attacker)) <= set(seen)


def test_becoming_somebody_else_is_refused(attacker: Connection, trading: Guarded, marie: int) -> None:
    """Neither another user nor the superuser."""
    other = next(u.id for u in trading.application.directory if u.id not in (1, marie))
    for statement in (
        f"SET ROLE {quoted(trading.role(other))}",
        "SET ROLE postgres",
        f"SET SESSION AUTHORIZATION {quoted(trading.role(other))}",
        "SET SESSION AUTHORIZATION postgres",
    ):
        with pytest.raises(InsufficientPrivilege):
            attacker.execute(statement.encode())


def test_becoming_one_of_ones_own_groups_gives_no_more(
    attacker: Connection, trading: Guarded, seen: list[tuple[Any, ...]]
) -> None:
    """A group's role stands for no user: rules that know the user find nothing, fallbacks stay shut."""
    mine = rows(attacker, "SELECT rolname::text FROM pg_roles WHERE pg_has_role(oid, 'MEMBER') ORDER BY 1")
    own = trading.connection.execute("SELECT relname::text FROM pg_class WHERE relrowsecurity").fetchall()
    tried = 0
    for (role,) in mine:
        attacker.execute("RESET ROLE")
        before: dict[str, set[Any]] = {}
        for (table,) in own:
            try:
                before[table] = set(rows(attacker, f'SELECT ctid::text FROM "{table}"'))
            except InsufficientPrivilege:
                before[table] = set()
        try:
            attacker.execute(f"SET ROLE {quoted(role)}".encode())
        except InsufficientPrivilege:
            continue
        for (table,) in own:
            try:
                assert set(rows(attacker, f'SELECT ctid::text FROM "{table}"')) <= before[table], (
                    role,
                    table,
                )
                tried += 1
            except InsufficientPrivilege:
                pass
    attacker.execute("RESET ROLE")
    assert leads(attacker) == seen
    assert tried


def test_role_that_does_not_inherit_gets_nothing(trading: Guarded, marie: int) -> None:
    """A NOINHERIT role in the same groups is no user: it escapes no restrictive policy."""
    connection = trading.connection
    outsider = f"outsider_{os.getpid()}"
    connection.execute(f"CREATE ROLE {outsider} LOGIN NOINHERIT".encode())
    try:
        connection.execute(f"GRANT {quoted(trading.plan.names.everyone)} TO {outsider}".encode())
        for role in rows(connection, "SELECT rolname FROM pg_roles WHERE rolname LIKE '%columns%'"):
            if role[0].startswith(trading.plan.names.prefix):
                connection.execute(f"GRANT {quoted(role[0])} TO {outsider}".encode())
        connection.execute(f"GRANT SELECT ON crm_lead TO {outsider}".encode())
        dsn = psycopg.conninfo.make_conninfo(trading.dsn, user=outsider)
        with psycopg.connect(dsn, autocommit=True) as session:
            assert leads(session) == []
    finally:
        connection.execute(f"DROP OWNED BY {outsider}; DROP ROLE {outsider}".encode())


def test_user_who_does_not_inherit_sees_no_more(
    trading: Guarded, marie: int, seen: list[tuple[Any, ...]]
) -> None:
    """Before PostgreSQL 16 that is an attribute of the role: without its groups it has no rights at all."""
    role = quoted(trading.role(marie))
    trading.connection.execute(f"ALTER ROLE {role} NOINHERIT".encode())
    try:
        with trading.eyes(marie) as session:
            try:
                assert set(leads(session)) <= set(seen)
            except InsufficientPrivilege:
                assert trading.connection.info.server_version < 160_000
            with pytest.raises(InsufficientPrivilege):
                session.execute(f"ALTER ROLE {role} INHERIT".encode())
    finally:
        trading.connection.execute(f"ALTER ROLE {role} INHERIT".encode())


def test_role_attributes_cannot_be_taken(attacker: Connection, trading: Guarded, marie: int) -> None:
    """Nor a membership, nor another's privileges."""
    me = quoted(trading.role(marie))
    for statement in (
        f"ALTER ROLE {me} BYPASSRLS",
        f"ALTER ROLE {me} SUPERUSER",
        f"GRANT postgres TO {me}",
        f"GRANT pg_read_all_data TO {me}",
        "ALTER TABLE crm_lead DISABLE ROW LEVEL SECURITY",
        "CREATE POLICY p ON crm_lead USING (true)",
        "DROP POLICY vallum_no_rule ON crm_lead",
        "CREATE ROLE more",
    ):
        with pytest.raises(psycopg.Error):
            attacker.execute(statement.encode())
    # This one only warns.
    attacker.execute(f"GRANT SELECT, UPDATE ON crm_lead TO {me}".encode())
    assert rows(attacker, "SELECT has_table_privilege('crm_lead', 'UPDATE')") == [(False,)]


def test_switching_row_security_off_is_an_error(attacker: Connection) -> None:
    """Instead of rows."""
    attacker.execute("SET row_security = off")
    with pytest.raises(InsufficientPrivilege):
        leads(attacker)


# The helpers


def test_helpers_are_out_of_reach(attacker: Connection, trading: Guarded) -> None:
    """Their tables and functions can be named by nobody but policies."""
    names = [
        "SELECT * FROM vallum_private.users",
        "SELECT * FROM vallum_private.members",
        "SELECT * FROM vallum_private.bindings",
        "SELECT * FROM vallum_private.applied",
        "INSERT INTO vallum_private.members VALUES (current_user, 1)",
        "UPDATE vallum_private.companies SET company_id = 1",
        "SELECT vallum_private.companies(current_user)",
        "SELECT vallum_private.member_of(current_user, '{1}')",
        "SELECT 'vallum_private.companies(name)'::regprocedure",
        "CREATE AGGREGATE pg_temp.a (integer[]) (sfunc = vallum_private.ints, stype = name)",
        (
            "CREATE OR REPLACE FUNCTION vallum_private.companies(who name) RETURNS integer[]"
            " LANGUAGE sql AS 'SELECT 1'"
        ),
    ]
    names += [
        f"SELECT vallum_private.{item.name}(current_user)"
        for item in trading.plan.items
        if item.kind == "helper"
    ]
    for statement in names:
        with pytest.raises(InsufficientPrivilege):
            attacker.execute(statement.encode())


def test_shadowing_names_does_not_reach_the_helpers(
    attacker: Connection, seen: list[tuple[Any, ...]]
) -> None:
    """Temporary tables, types and functions of the same names, and any search path."""
    for statement in (
        "CREATE TEMP TABLE users (role_name name, user_id integer)",
        "CREATE TEMP TABLE members (role_name name, group_id integer)",
        "CREATE TEMP TABLE res_partner (id integer, company_id integer)",
        "CREATE TEMP TABLE crm_team (id integer)",
        "CREATE DOMAIN pg_temp.name AS text",
        (
            "CREATE FUNCTION pg_temp.current_setting(text, boolean) RETURNS text LANGUAGE sql"
            " AS $$ SELECT '1,2,3' $$"
        ),
        "CREATE FUNCTION pg_temp.eq(integer, integer) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
        "CREATE OPERATOR pg_temp.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = pg_temp.eq)",
        "SET search_path = pg_temp, public, pg_catalog",
    ):
        attacker.execute(statement.encode())
    found = attacker.execute("SELECT id FROM public.crm_lead ORDER BY id").fetchall()
    assert found == seen


def test_creating_in_public_is_refused(attacker: Connection) -> None:
    """Nothing is left where others would run it."""
    for statement in (
        "CREATE TABLE public.mine (id integer)",
        "CREATE FUNCTION public.f() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE VIEW vallum_views.crm_lead AS SELECT 1 AS id",
        "CREATE SCHEMA mine",
        "CREATE EXTENSION dblink",
        "CREATE MATERIALIZED VIEW public.kept AS SELECT * FROM crm_lead",
    ):
        with pytest.raises(InsufficientPrivilege):
            attacker.execute(statement.encode())


# Leaks of hidden rows


def test_leaky_function_sees_no_hidden_row(attacker: Connection, seen: list[tuple[Any, ...]]) -> None:
    """However cheap it says it is, and as an operator as well."""
    told: list[str] = []
    attacker.add_notice_handler(lambda d: told.append(d.message_primary or ""))
    attacker.execute(
        "CREATE FUNCTION pg_temp.leak(integer) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS"
        " $$ BEGIN RAISE NOTICE '%', $1; RETURN true; END $$"
    )
    with pytest.raises(InsufficientPrivilege):
        attacker.execute("ALTER FUNCTION pg_temp.leak(integer) LEAKPROOF")
    rows(attacker, "SELECT id FROM crm_lead WHERE pg_temp.leak(id)")
    assert sorted(map(int, told)) == [i for (i,) in seen]
    told.clear()
    attacker.execute(
        "CREATE FUNCTION pg_temp.leak2(integer, integer) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS"
        " $$ BEGIN RAISE NOTICE '%', $1; RETURN true; END $$"
    )
    attacker.execute(
        "CREATE OPERATOR pg_temp.~~~ (LEFTARG = integer, RIGHTARG = integer, FUNCTION = pg_temp.leak2)"
    )
    rows(attacker, "SELECT id FROM crm_lead WHERE id OPERATOR(pg_temp.~~~) 0")
    assert sorted(map(int, told)) == [i for (i,) in seen]


def test_errors_tell_nothing_of_hidden_rows(
    attacker: Connection, trading: Guarded, seen: list[tuple[Any, ...]]
) -> None:
    """A division or a cast that would fail on a hidden row alone does not fail."""
    unseen = hidden(trading, seen)
    assert rows(attacker, f"SELECT id FROM crm_lead WHERE 1 / (id - {unseen}) = 7") == []
    rows(attacker, f"SELECT count(*) FROM crm_lead WHERE CASE WHEN id = {unseen} THEN name::integer END = 1")
    with pytest.raises(psycopg.errors.DivisionByZero):
        rows(attacker, f"SELECT id FROM crm_lead WHERE 1 / (id - {seen[0][0]}) = 7")


def test_statistics_of_guarded_tables_are_not_shown(attacker: Connection, trading: Guarded) -> None:
    """`pg_stats` holds samples of values; the catalogue below it is the superuser's."""
    trading.connection.execute("ANALYZE crm_lead")
    assert rows(trading.connection, "SELECT attname FROM pg_stats WHERE tablename = 'crm_lead'")
    assert rows(attacker, "SELECT attname FROM pg_stats WHERE tablename = 'crm_lead'") == []
    for catalogue in ("pg_statistic", "pg_statistic_ext_data", "pg_authid", "pg_user_mapping"):
        with pytest.raises(InsufficientPrivilege):
            rows(attacker, f"SELECT * FROM {catalogue}")


def test_statistics_of_denied_columns_are_not_shown(attacker: Connection, trading: Guarded) -> None:
    """`pg_stats` shows no column one may not read."""
    trading.connection.execute("ANALYZE res_partner")
    found = rows(attacker, "SELECT attname FROM pg_stats WHERE tablename = 'res_partner'")
    assert ("bank_account",) not in found
    assert ("credit_limit",) not in found


def test_explain_shows_numbers_of_rows_and_no_values(
    attacker: Connection, trading: Guarded, seen: list[tuple[Any, ...]]
) -> None:
    """Known and documented: estimates and `Rows Removed by Filter` tell how many rows there are."""
    plan = rows(attacker, "EXPLAIN (ANALYZE, VERBOSE) SELECT id, name FROM crm_lead")
    text = "\n".join(line for (line,) in plan)
    name = trading.connection.execute(
        "SELECT name FROM crm_lead WHERE id = %s", (hidden(trading, seen),)
    ).fetchone()
    assert name
    assert str(name[0]) not in text


def test_policies_can_be_read_and_values_cannot(attacker: Connection) -> None:
    """Known and documented: the catalogue shows a policy's text to everyone, as it does a function's."""
    found = rows(attacker, "SELECT qual FROM pg_policies WHERE tablename = 'crm_lead'")
    assert found
    assert all("vallum_private" in (q or "") or "user_id" in (q or "") or q for (q,) in found)


def test_materialised_views_are_not_opened(attacker: Connection, trading: Guarded) -> None:
    """They hold everything; nobody is granted one that is no model's."""
    trading.connection.execute("CREATE MATERIALIZED VIEW kept AS SELECT * FROM crm_lead")
    try:
        with pytest.raises(InsufficientPrivilege):
            rows(attacker, "SELECT * FROM kept")
    finally:
        trading.connection.execute("DROP MATERIALIZED VIEW kept")


# Writing, and what writing tells


def test_nothing_can_be_written(attacker: Connection, seen: list[tuple[Any, ...]]) -> None:
    """So neither a unique violation nor a foreign key confirms a hidden value."""
    at = seen[0][0]
    for statement in (
        "INSERT INTO crm_lead (name) VALUES ('x')",
        f"INSERT INTO crm_lead (id, name) VALUES ({at}, 'x') ON CONFLICT DO NOTHING",
        f"UPDATE crm_lead SET name = 'x' WHERE id = {at}",
        f"DELETE FROM crm_lead WHERE id = {at}",
        "TRUNCATE crm_lead",
        "LOCK TABLE crm_lead IN EXCLUSIVE MODE",
        f"SELECT id FROM crm_lead WHERE id = {at} FOR UPDATE",
        "MERGE INTO crm_lead USING (SELECT 1) s ON false WHEN NOT MATCHED THEN INSERT (name) VALUES ('x')",
        "CREATE TEMP TABLE probe (lead integer REFERENCES crm_lead)",
        "CREATE TRIGGER t BEFORE UPDATE ON crm_lead EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE RULE r AS ON SELECT TO crm_lead DO INSTEAD SELECT 1",
        "COMMENT ON TABLE crm_lead IS 'x'",
        "CREATE INDEX ON crm_lead (name)",
        "CREATE STATISTICS s ON name, id FROM crm_lead",
        "SELECT nextval('crm_lead_id_seq')",
        "VACUUM crm_lead",
        "REFRESH MATERIALIZED VIEW crm_lead",
    ):
        try:
            attacker.execute(statement.encode())
        except psycopg.Error:
            continue
        # VACUUM skips what one may not vacuum, with a warning.
        assert statement.startswith("VACUUM"), statement


def test_files_and_programs_are_out_of_reach(attacker: Connection) -> None:
    """Of the server's machine."""
    for statement in (
        "SELECT pg_read_file('PG_VERSION')",
        "SELECT pg_ls_dir('.')",
        "COPY crm_lead TO '/tmp/x'",
        "COPY crm_lead TO PROGRAM 'cat'",
        "CREATE TEMP TABLE f (l text); COPY f FROM PROGRAM 'id'",
        "CREATE TEMP TABLE g (l text); COPY g FROM '/etc/passwd'",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_export(1, '/tmp/x')",
        "LOAD 'auto_explain'",
        "CREATE FUNCTION pg_temp.c() RETURNS integer LANGUAGE c AS 'x'",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
        "ALTER SYSTEM SET log_statement = 'all'",
    ):
        with pytest.raises(psycopg.Error):
            rows(attacker, statement)


def test_large_objects_of_others_are_out_of_reach(attacker: Connection, trading: Guarded) -> None:
    """Unless their owner says otherwise."""
    row = trading.connection.execute("SELECT lo_from_bytea(0, 'secret')").fetchone()
    assert row
    try:
        for statement in (f"SELECT lo_get({row[0]})", "SELECT * FROM pg_largeobject"):
            with pytest.raises(InsufficientPrivilege):
                rows(attacker, statement)
    finally:
        trading.connection.execute("SELECT lo_unlink(%s)", row)


def test_own_large_objects_are_nothing_of_others(attacker: Connection) -> None:
    """Whoever may connect may store one; it holds what its owner put there."""
    with attacker.transaction(force_rollback=True):
        row = attacker.execute("SELECT lo_from_bytea(0, 'mine')").fetchone()
        assert row
        assert attacker.execute("SELECT lo_get(%s)", row).fetchone() == (b"mine",)


def test_blocks_of_code_have_no_more_rights(attacker: Connection, seen: list[tuple[Any, ...]]) -> None:
    """Nor has a function that is called as its owner: the owner is marie."""
    attacker.execute(
        "DO $$ DECLARE n integer; BEGIN SELECT count(*) INTO n FROM crm_lead;"
        " PERFORM set_config('found.n', n::text, false); END $$"
    )
    assert rows(attacker, "SELECT current_setting('found.n')") == [(str(len(seen)),)]
    attacker.execute(
        "CREATE FUNCTION pg_temp.n() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS"
        " 'SELECT count(*) FROM public.crm_lead'"
    )
    assert rows(attacker, "SELECT pg_temp.n()") == [(len(seen),)]


# Changing sides


def test_prepared_statement_follows_the_role(trading: Guarded, marie: int) -> None:
    """A pooler's prepared statement is planned anew for whoever it acts for."""
    other = next(
        u.id
        for u in trading.application.directory
        if u.login not in (SALESMAN, "root") and u.active and u.id > 1
    )
    connection = trading.connection
    counts = {}
    for user in (marie, other):
        trading.become(user)
        try:
            counts[user] = rows(connection, "SELECT count(*) FROM res_partner")
        finally:
            connection.execute("RESET ROLE")
    connection.execute("SET plan_cache_mode = force_generic_plan")
    connection.execute("PREPARE n AS SELECT count(*) FROM res_partner")
    try:
        for user in (marie, other, marie):
            trading.become(user)
            assert rows(connection, "EXECUTE n") == counts[user]
            connection.execute("RESET ROLE")
    finally:
        connection.execute("RESET ROLE; DEALLOCATE n; RESET plan_cache_mode")
