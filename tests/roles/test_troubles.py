"""What others do to a database, before an apply, during it and after."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

import vallum
from examples.trading import SECURITY, Base
from vallum.enforce.roles import apply as core
from vallum.enforce.roles.found import RolesRefused, TablesInUse
from vallum.enforce.roles.names import RoleNames, quoted
from vallum.facade.roles import drop_roles
from vallum.kernel import NO_PROGRESS

Connection = psycopg.Connection[Any]


@pytest.fixture
def app(dsn: str) -> Iterator[vallum.Vallum]:
    """The company, opened."""
    with vallum.open(dsn, metadata=Base, policy=SECURITY) as opened:
        yield opened


@pytest.fixture
def admin(dsn: str) -> Iterator[Connection]:
    """The superuser's connection."""
    with psycopg.connect(dsn, autocommit=True) as opened:
        yield opened


def leftovers(admin: Connection) -> list[tuple[str, int]]:
    """How much of Vallum's is in the database and the cluster."""
    rows = admin.execute(
        "SELECT 'policies', count(*) FROM pg_policy WHERE starts_with(polname, 'vallum_') UNION ALL"
        " SELECT 'roles', count(*) FROM pg_roles WHERE starts_with(rolname, %s) UNION ALL"
        " SELECT 'schemas', count(*) FROM pg_namespace WHERE nspname LIKE 'vallum%%' UNION ALL"
        " SELECT 'guarded', count(*) FROM pg_class WHERE relrowsecurity UNION ALL"
        " SELECT 'triggers', count(*) FROM pg_trigger WHERE starts_with(tgname, 'vallum_')",
        (f"{RoleNames.of(admin.info.dbname).prefix}_",),
    ).fetchall()
    return [(kind, count) for kind, count in rows if count]


# After an apply

GONE = {
    "a table": "DROP TABLE crm_lead CASCADE",
    "a column": "ALTER TABLE crm_lead DROP COLUMN name CASCADE",
    "a role": "DROP OWNED BY {marie}; DROP ROLE {marie}",
    "the role of everyone": "DROP OWNED BY {everyone}; DROP ROLE {everyone}",
    "a policy": "DROP POLICY vallum_no_rule ON crm_lead",
    "the views": "DROP SCHEMA vallum_views CASCADE",
    "a helper": "DROP FUNCTION vallum_private.member_of(name, integer[]) CASCADE",
    "the shown view": "DROP SCHEMA vallum CASCADE",
    "the helpers": "DROP SCHEMA vallum_private CASCADE",
    "the record": "DROP TABLE vallum_private.applied",
}


@pytest.mark.parametrize("what", GONE)
def test_drop_copes_with_what_others_have_dropped(app: vallum.Vallum, admin: Connection, what: str) -> None:
    """By the core as by the command: nothing of Vallum's is left."""
    plan = app.roles.apply(writable=True).plan
    marie = quoted(plan.names.user(app.users.find("marie").id))
    admin.execute(GONE[what].format(marie=marie, everyone=quoted(plan.names.everyone)).encode())
    core.drop(admin)
    assert leftovers(admin) == []


@pytest.mark.parametrize("what", [what for what in GONE if what not in ("a table", "a column")])
def test_apply_makes_anew_what_others_have_dropped(app: vallum.Vallum, admin: Connection, what: str) -> None:
    """And holds today's policy again."""
    plan = app.roles.apply().plan
    before = leftovers(admin)
    marie = quoted(plan.names.user(app.users.find("marie").id))
    admin.execute(GONE[what].format(marie=marie, everyone=quoted(plan.names.everyone)).encode())
    app.roles.apply()
    assert app.roles.status().is_clean
    assert leftovers(admin) == before


def test_drop_takes_the_database_alone(app: vallum.Vallum, admin: Connection, dsn: str) -> None:
    """The application may be gone by then."""
    app.roles.apply()
    assert drop_roles(dsn) > 100
    assert leftovers(admin) == []
    assert drop_roles(dsn) == 0


# During it


def test_apply_waits_no_longer_than_told(app: vallum.Vallum, dsn: str, admin: Connection) -> None:
    """For a table that somebody holds; nothing is half applied, and the next apply does it."""
    with psycopg.connect(dsn) as other:
        other.execute("SELECT * FROM crm_lead LIMIT 1")
        with pytest.raises(TablesInUse, match="nothing was changed") as refused:
            core.apply(admin, app.roles.plan().plan, lock_timeout=0.05)
        assert "--lock-timeout" in (refused.value.fix or "")
        assert leftovers(admin) == []
        with pytest.raises(TablesInUse):
            core.apply(admin, app.roles.plan().plan, lock_timeout=0.05)
    app.roles.apply()
    assert app.roles.status().is_clean


def test_apply_tries_again_while_a_table_is_used(
    app: vallum.Vallum, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause between lets others get on."""
    other = psycopg.connect(dsn)
    other.execute("SELECT * FROM crm_lead LIMIT 1")
    pauses = []
    execute = psycopg.Connection.execute

    def watched(self: Connection, query: Any, *rest: Any, **named: Any) -> Any:
        if query == "SELECT pg_sleep(%s)":
            pauses.append(1)
            other.close()
        return execute(self, query, *rest, **named)

    monkeypatch.setattr(psycopg.Connection, "execute", watched)
    app.roles.apply(lock_timeout=0.05)
    assert pauses == [1]
    assert app.roles.status().is_clean


class _Ends:
    """Progress that ends its own session on the way."""

    def __init__(self, admin: Connection, pid: int) -> None:
        self._admin, self._pid, self._steps = admin, pid, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(NO_PROGRESS, name)

    def advance(self, n: int = 1) -> None:
        self._steps += n
        if self._steps > 100:
            self._admin.execute("SELECT pg_terminate_backend(%s, 10000)", (self._pid,))


def test_apply_whose_session_is_ended_is_completed_by_the_next(
    app: vallum.Vallum, dsn: str, admin: Connection
) -> None:
    """Nothing of it was there in between."""
    plan = app.roles.plan().plan
    with psycopg.connect(dsn, autocommit=True) as session, pytest.raises(psycopg.OperationalError):
        core.apply(session, plan, progress=_Ends(admin, session.info.backend_pid))
    assert leftovers(admin) == []
    app.roles.apply()
    assert app.roles.status().is_clean


_KILLED = """
import os, signal, sys
import vallum
from examples.trading import SECURITY, Base
from vallum.kernel import NO_PROGRESS

class Kills:
    steps = 0
    label = ""
    def start(self, total, label):
        self.label = label
    def advance(self, n=1):
        self.steps += self.label == "policies and roles" and n
        if self.steps > 100:
            os.kill(os.getpid(), signal.SIGKILL)
    def done(self):
        pass

with vallum.open(sys.argv[1], metadata=Base, policy=SECURITY) as opened:
    opened.roles.apply(progress=Kills())
"""


def test_apply_that_is_killed_is_completed_by_the_next(
    app: vallum.Vallum, dsn: str, admin: Connection
) -> None:
    """The process, in the middle of it."""
    done = subprocess.run([sys.executable, "-c", _KILLED, dsn], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    app.roles.apply()
    assert app.roles.status().is_clean
    drop_roles(dsn)
    assert leftovers(admin) == []


# Before it


def test_names_that_others_have_leave_out_whom_they_are_for(app: vallum.Vallum, admin: Connection) -> None:
    """A user's: that user has no role. A group's: models with rules for it are locked. The rest applies."""
    names = RoleNames.of(admin.info.dbname)
    marie = app.users.find("marie").id
    group = next(iter(next(r for r in app.policy.rules if r.model == "crm.lead" and r.groups).groups))
    taken = [names.user(marie), names.group(group)]
    for name in taken:
        admin.execute(f"CREATE ROLE {quoted(name)}".encode())
    try:
        plan = app.roles.apply().plan
        assert any(w.startswith("marie gets no role") for w in plan.warnings)
        reasons = {lock.model: lock.reason for lock in plan.locked}
        assert names.group(group) in reasons["crm.lead"]
        assert "res.partner" not in reasons
        kept = admin.execute(
            "SELECT count(*) FROM pg_roles r LEFT JOIN pg_auth_members m"
            " ON m.member = r.oid OR m.roleid = r.oid WHERE rolname = ANY (%s) AND m.member IS NULL",
            (taken,),
        ).fetchone()
        assert kept == (2,)
        roles = admin.execute("SELECT count(*) FROM vallum.login_roles").fetchone()
        assert roles == (len([u for u in app.users if u.active and u.id != 1]) - 1,)
    finally:
        drop_roles(app.application.database.dsn)
        for name in taken:
            admin.execute(f"DROP ROLE {quoted(name)}".encode())


def test_schema_that_is_open_to_everybody_is_told_of(app: vallum.Vallum, admin: Connection) -> None:
    """As databases from before PostgreSQL 15 are: what users make there, others may run."""
    assert not any("make tables and functions" in warning for warning in app.roles.plan().plan.warnings)
    admin.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
    assert any("make tables and functions" in warning for warning in app.roles.plan().plan.warnings)


def test_tables_in_another_schema_are_found_there(dsn: str, admin: Connection) -> None:
    """Where the connection finds them; a user's role finds them as well."""
    admin.execute("ALTER SCHEMA public RENAME TO trade; CREATE SCHEMA public")
    there = psycopg.conninfo.make_conninfo(dsn, options="-c search_path=trade")
    with vallum.open(there, metadata=Base, policy=SECURITY) as opened:
        plan = opened.roles.apply().plan
        assert plan.schema == "trade"
        assert plan.locked == ()
        assert opened.roles.status().is_clean
        role = plan.names.user(opened.users.find("marie").id)
        admin.execute(f"ALTER ROLE {quoted(role)} LOGIN".encode())
        with psycopg.connect(psycopg.conninfo.make_conninfo(dsn, user=role), autocommit=True) as marie:
            seen = [row[0] for row in marie.execute("SELECT id FROM crm_lead ORDER BY id")]
        assert seen == sorted(opened.as_user("marie").search("crm.lead", [], active_test=False))
        assert len(seen) > 0
        opened.roles.drop()
    assert leftovers(admin) == []


def test_role_without_rights_is_told_which_statements_need_them(
    app: vallum.Vallum, dsn: str, admin: Connection
) -> None:
    """Neither superuser nor CREATEROLE: nothing is applied."""
    name = f"weak_{os.getpid()}"
    admin.execute(f"CREATE ROLE {name} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}".encode())
    try:
        weak = psycopg.conninfo.make_conninfo(dsn, user=name)
        with (
            vallum.open(weak, metadata=Base, policy=SECURITY) as opened,
            pytest.raises(RolesRefused) as refused,
        ):
            opened.roles.apply()
        assert "owner" in (refused.value.fix or "")
        with (
            psycopg.connect(weak, autocommit=True) as session,
            pytest.raises(RolesRefused, match="CREATE ROLE"),
        ):
            core.apply(session, app.roles.plan().plan)
        assert leftovers(admin) == []
    finally:
        admin.execute(f"DROP OWNED BY {name}; DROP ROLE {name}".encode())
