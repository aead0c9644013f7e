"""A pooler that acts for users by a signed setting: it sees what they would, and nothing without one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege

import vallum
from examples.trading import SECURITY, Base, generate
from tests.roles.test_equality import ids_of
from vallum.enforce.roles.names import quoted
from vallum.enforce.roles.pooler import Pooler, PoolerRefused, act_for, token
from vallum.facade.roles import drop_roles
from vallum.postgres import EmbeddedServer

Connection = psycopg.Connection[Any]
Sessions = Callable[[], Connection]
ROLE = f"pooler_{os.getpid()}"


@pytest.fixture(scope="module")
def app(pg_server: EmbeddedServer) -> Iterator[vallum.Vallum]:
    """The example company."""
    name = f"pooled_{os.getpid()}"
    dsn = pg_server.create_database(name)
    generate(dsn, rows=3_000)
    with vallum.open(dsn, metadata=Base, policy=SECURITY) as opened:
        opened.roles.apply()
        yield opened
        with psycopg.connect(dsn, autocommit=True) as admin:
            drop_roles(dsn)
            admin.execute(f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}".encode())
    pg_server.drop_database(name)


@pytest.fixture(scope="module")
def pooler(app: vallum.Vallum) -> Pooler:
    """Its pooler, with the key of today."""
    made = app.roles.pooler(ROLE)
    assert made.password
    app.roles.apply()
    return made


@pytest.fixture
def session(app: vallum.Vallum, pooler: Pooler) -> Iterator[Connection]:
    """A session of the pooler's; every statement in one transaction."""
    dsn = psycopg.conninfo.make_conninfo(app.application.database.dsn, user=pooler.role)
    with psycopg.connect(dsn) as connection:
        yield connection
        connection.rollback()


def now() -> datetime:
    return datetime.now(UTC)


def facts(connection: Connection) -> dict[str, Any]:
    row = connection.execute(
        "SELECT pid, (extract(epoch FROM backend_start) * 1000000)::bigint, current_database()::text"
        " FROM pg_stat_activity WHERE pid = pg_backend_pid()"
    ).fetchone()
    assert row
    return {"pid": row[0], "started": row[1], "database": row[2]}


def present(connection: Connection, value: str) -> None:
    connection.execute("SELECT set_config('vallum.signed', %s, true)", (value,))


def signed(
    app: vallum.Vallum, pooler: Pooler, connection: Connection, who: str = "marie", **other: Any
) -> str:
    """A signature, with some of it otherwise."""
    values = {
        **facts(connection),
        "role": pooler.role,
        "user_id": app.users.find(who).id,
        "until": int(now().timestamp()) + 60,
        "nonce": b"n" * 16,
        **other,
    }
    return token(values.pop("key", pooler.key), **values)


def is_denied(connection: Connection, value: str) -> bool:
    """Whether a value of the setting opens nothing."""
    try:
        with connection.transaction():
            present(connection, value)
            connection.execute("SELECT count(*) FROM vallum_signed.crm_lead")
    except InsufficientPrivilege:
        return True
    return False


def test_every_user_sees_the_same_through_the_pooler(
    app: vallum.Vallum, pooler: Pooler, session: Connection
) -> None:
    """As signed in: the same rows of every table and view, the same refusals."""
    dsn = app.application.database.dsn
    wrong, compared, refused = [], 0, 0
    for user in app.users:
        if user.id == 1 or not user.active:
            continue
        role = f"vallum_{facts(session)['database']}_user_{user.id}"
        with psycopg.connect(dsn, autocommit=True) as own:
            own.execute(f"SET ROLE {quoted(role)}".encode())
            own.execute("SET search_path = vallum_views, public")
            for model in app.schema.models.values():
                if model.abstract:
                    continue
                mine = ids_of(own, model.table)
                with session.transaction(force_rollback=True):
                    act_for(session, pooler.key, user.id, now=now())
                    session.execute("SET LOCAL search_path = vallum_signed")
                    theirs = ids_of(session, model.table)
                    if theirs is None:
                        raise psycopg.Rollback
                compared, refused = compared + 1, refused + (mine is None)
                if mine != theirs:
                    wrong.append((user.login, model.name))
    assert wrong == []
    assert compared > 300
    assert refused > 50


def test_columns_that_are_not_the_users_are_refused(
    app: vallum.Vallum, pooler: Pooler, session: Connection
) -> None:
    """An error, not an empty value; the others are there, and may be counted."""
    act_for(session, pooler.key, app.users.find("marie").id, now=now())
    found = session.execute("SELECT count(*), count(name) FROM vallum_signed.res_partner").fetchone()
    assert found
    assert found[0] > 0
    with pytest.raises(InsufficientPrivilege, match="credit_limit"):
        session.execute("SELECT credit_limit FROM vallum_signed.res_partner")


def test_links_are_those_of_the_user(app: vallum.Vallum, pooler: Pooler, session: Connection) -> None:
    """Relation tables as well."""
    marie = app.users.find("marie").id
    act_for(session, pooler.key, marie, now=now())
    tables = session.execute(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'vallum_signed'::regnamespace"
        " AND relname LIKE '%\\_rel'"
    ).fetchall()
    assert tables
    dsn, role = app.application.database.dsn, f"vallum_{facts(session)['database']}_user_{marie}"
    with psycopg.connect(dsn, autocommit=True) as own:
        own.execute(f"SET ROLE {quoted(role)}".encode())
        for (table,) in tables:
            mine = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("public", table))
            try:
                expected = own.execute(mine).fetchone()
            except InsufficientPrivilege:
                continue
            theirs = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier("vallum_signed", table))
            assert session.execute(theirs).fetchone() == expected, table


def test_without_a_signature_there_is_nothing(session: Connection) -> None:
    """Neither in the views nor in the tables."""
    for table in ("vallum_signed.crm_lead", "public.crm_lead", "public.res_groups", "vallum_private.poolers"):
        with pytest.raises(InsufficientPrivilege), session.transaction():
            session.execute(f"SELECT count(*) FROM {table}".encode())


FORGED: dict[str, dict[str, Any]] = {
    "another key": {"key": b"k" * 32},
    "another backend": {"pid": 1},
    "an earlier backend of the same process id": {"started": 1},
    "another database": {"database": "postgres"},
    "another pooler": {"role": "another"},
    "expired": {"until": int(datetime(2020, 1, 1, tzinfo=UTC).timestamp())},
    "for too long": {"until": int(datetime(2100, 1, 1, tzinfo=UTC).timestamp())},
    "nobody": {"user_id": 999_999},
    "the superuser": {"user_id": 1},
}


@pytest.mark.parametrize("case", FORGED)
def test_signature_that_does_not_hold_is_an_error(
    app: vallum.Vallum, pooler: Pooler, session: Connection, case: str
) -> None:
    """And an error denies."""
    present(session, signed(app, pooler, session, **FORGED[case]))
    with pytest.raises(InsufficientPrivilege):
        session.execute("SELECT count(*) FROM vallum_signed.crm_lead")


def test_signature_with_another_user_in_it_is_an_error(
    app: vallum.Vallum, pooler: Pooler, session: Connection
) -> None:
    """Every part of it is signed."""
    good = signed(app, pooler, session)
    parts = good.split(".")
    for changed in (
        [str(app.users.find("julia").id), *parts[1:]],
        [parts[0], str(int(parts[1]) + 1), *parts[2:]],
        [*parts[:2], "0" * 32, parts[3]],
        [*parts[:3], "0" * 64],
    ):
        assert is_denied(session, ".".join(changed))
    for garbage in ("", "x", good[:-1], good + "0", good.upper() + ".", "' OR true --"):
        assert is_denied(session, garbage), garbage
    present(session, good)
    assert session.execute("SELECT count(*) FROM vallum_signed.crm_lead").fetchone() != (0,)


def test_signature_is_of_no_use_in_another_session(
    app: vallum.Vallum, pooler: Pooler, session: Connection
) -> None:
    """It holds for one backend."""
    good = signed(app, pooler, session)
    dsn = psycopg.conninfo.make_conninfo(app.application.database.dsn, user=pooler.role)
    with psycopg.connect(dsn) as other:
        assert is_denied(other, good)
    assert not is_denied(session, good)


def test_user_gets_nothing_from_a_signature(app: vallum.Vallum, pooler: Pooler, session: Connection) -> None:
    """A user's identity is the role, whatever is set."""
    database = facts(session)["database"]
    marie, julia = (f"vallum_{database}_user_{app.users.find(who).id}" for who in ("marie", "julia"))
    with psycopg.connect(app.application.database.dsn, autocommit=True) as admin:
        admin.execute(f"ALTER ROLE {quoted(marie)} LOGIN".encode())
    dsn = psycopg.conninfo.make_conninfo(app.application.database.dsn, user=marie)
    with psycopg.connect(dsn) as user:
        before = ids_of(user, "crm_lead")
        present(user, signed(app, pooler, user, "julia", role=marie))
        assert ids_of(user, "crm_lead") == before
        with pytest.raises(InsufficientPrivilege):
            user.execute("SELECT count(*) FROM vallum_signed.crm_lead")
    with pytest.raises(InsufficientPrivilege):
        session.execute(f"SET ROLE {quoted(julia)}".encode())


def test_new_key_ends_the_old_one(app: vallum.Vallum, pooler: Pooler, session: Connection) -> None:
    """And a role that is a pooler no longer reads nothing."""
    again = app.roles.pooler(ROLE)
    try:
        assert again.password is None
        assert is_denied(session, signed(app, pooler, session))
        assert not is_denied(session, signed(app, again, session))
        assert app.roles.unpool(ROLE)
        assert is_denied(session, signed(app, again, session))
    finally:
        with psycopg.connect(app.application.database.dsn, autocommit=True) as admin:
            from vallum.enforce.roles.pooler import _padded

            admin.execute(
                "INSERT INTO vallum_private.poolers VALUES (%s, %s, %s) ON CONFLICT (role_name)"
                " DO UPDATE SET inner_key = excluded.inner_key, outer_key = excluded.outer_key",
                (ROLE, _padded(pooler.key, 0x36), _padded(pooler.key, 0x5C)),
            )


def test_what_is_more_than_a_pooler_is_refused(app: vallum.Vallum, pooler: Pooler) -> None:
    """A role with rights of its own, or one of Vallum's."""
    with psycopg.connect(app.application.database.dsn, autocommit=True) as admin:
        names = [row[0] for row in admin.execute("SELECT role_name::text FROM vallum.login_roles LIMIT 1")]
    for role in ("postgres", *names):
        with pytest.raises(PoolerRefused, match="more than a pooler"):
            app.roles.pooler(role)


def test_repairing_keeps_the_key(app: vallum.Vallum, pooler: Pooler) -> None:
    """What was changed by hand is made anew; the pooler goes on as before."""
    dsn = app.application.database.dsn
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute("DROP VIEW vallum_signed.crm_lead")
    assert app.roles.apply().repaired
    assert app.roles.status().is_clean
    with psycopg.connect(psycopg.conninfo.make_conninfo(dsn, user=pooler.role)) as session:
        act_for(session, pooler.key, app.users.find("marie").id, now=now())
        assert session.execute("SELECT count(*) FROM vallum_signed.crm_lead").fetchone() != (0,)


def test_owner_without_superuser_has_poolers_and_writers(pg_server: EmbeddedServer) -> None:
    """As the role of an application may be: owner of the tables, with CREATEROLE."""
    name, owner, role = (f"{kind}_{os.getpid()}" for kind in ("owned", "owner", "gateway"))
    dsn = pg_server.create_database(name)
    generate(dsn, rows=2_000)
    mine = psycopg.conninfo.make_conninfo(dsn, user=owner)
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(
            f"CREATE ROLE {owner} LOGIN CREATEROLE; GRANT CREATE ON DATABASE {name} TO {owner}".encode()
        )
        tables = admin.execute(
            "SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'v', 'm')"
            " AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        for (table,) in tables:
            admin.execute(f"ALTER TABLE {quoted(table)} OWNER TO {owner}".encode())
        with vallum.open(mine, metadata=Base, policy=SECURITY) as opened:
            opened.roles.apply(["marie"], writable=True)
            made = opened.roles.pooler(role)
            opened.roles.apply()
            assert opened.roles.status().is_clean
            marie = opened.users.find("marie").id
            there = psycopg.conninfo.make_conninfo(dsn, user=role, password=made.password)
            with psycopg.connect(there) as session:
                act_for(session, made.key, marie, now=now())
                seen = session.execute("SELECT count(*) FROM vallum_signed.crm_lead").fetchone()
            assert seen
            assert seen[0] > 0
            user = f"vallum_{name}_user_{marie}"
            admin.execute(f"SET ROLE {quoted(user)}".encode())
            changed = admin.execute("UPDATE crm_lead SET name = 'by marie' WHERE id > 0").rowcount
            admin.execute("RESET ROLE")
            assert changed == seen[0]
            stamped = admin.execute(
                "SELECT count(*) FROM crm_lead WHERE write_uid = %s AND name LIKE 'by m%%'", (marie,)
            ).fetchone()
            assert stamped == seen
            opened.roles.drop()
        admin.execute(
            f"DROP OWNED BY {role}; DROP ROLE {role}; REASSIGN OWNED BY {owner} TO postgres".encode()
        )
        admin.execute(f"DROP OWNED BY {owner}; DROP ROLE {owner}".encode())
    pg_server.drop_database(name)
