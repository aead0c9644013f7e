"""Vallum's own tables: one chain of versions per area, each brought up to date by one call.

An area (`server`, `identity`, `audit`, …) is a folder beside this file; its versions are Alembic's,
named `v0001_…` onwards. All tables are in the schema `vallum`, each area keeps its own version
table there, so that one can be made, or dropped without a trace, without the others.
Invariant: one transaction a call, under a lock: two processes that start together migrate once.
Invariant: no table outside the schema `vallum` is touched.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from vallum.kernel import SettingsError

if TYPE_CHECKING:
    import psycopg

__all__ = ["AREAS", "SCHEMA", "migrate", "unmigrate", "version_of"]

SCHEMA: Final = "vallum"
_HOME: Final = Path(__file__).parent
# Alembic's `op` is one for the whole process.
_TURN: Final = Lock()
AREAS: Final = tuple(sorted(p.name for p in _HOME.iterdir() if p.is_dir() and any(p.glob("v[0-9]*.py"))))


def migrate(connection: psycopg.Connection[Any], area: str) -> str:
    """Bring an area's tables to their newest version and say which that is.

    Raises: SettingsError (no such area, or the tables are newer than this Vallum), psycopg.Error.
    """
    head: str | None = _script(area).get_current_head()
    if head is None:
        raise SettingsError(f"the area `{area}` has no versions", where=str(_HOME / area))
    if version_of(connection, area) != head:
        _run(connection, area, head)
    return head


def unmigrate(connection: psycopg.Connection[Any], area: str) -> None:
    """Drop an area's tables, and the schema where nothing else is left in it.

    Raises: SettingsError, psycopg.Error.
    """
    if version_of(connection, area) is None:
        return
    with connection.transaction():
        _run(connection, area, None)
        connection.execute(f"DROP TABLE {SCHEMA}.{_table(area)}".encode())
        connection.execute(_DROP_IF_EMPTY)


def version_of(connection: psycopg.Connection[Any], area: str) -> str | None:
    """The version an area's tables are at; None where there are none."""
    found = connection.execute("SELECT to_regclass(%s)", (f"{SCHEMA}.{_table(area)}",)).fetchone()
    if found is None or found[0] is None:
        return None
    row = connection.execute(f"SELECT version_num FROM {SCHEMA}.{_table(area)}".encode()).fetchone()  # noqa: S608
    return row[0] if row else None


_DROP_IF_EMPTY: Final = f"""
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = '{SCHEMA}'::regnamespace)
       AND NOT EXISTS (SELECT FROM pg_proc WHERE pronamespace = '{SCHEMA}'::regnamespace)
       AND NOT EXISTS (SELECT FROM pg_type WHERE typnamespace = '{SCHEMA}'::regnamespace)
    THEN DROP SCHEMA {SCHEMA} RESTRICT; END IF;
END $$;
""".encode()  # noqa: S608 - a name of our own


def _table(area: str) -> str:
    return f"{area}_version"


def _script(area: str) -> Any:
    from alembic.script import ScriptDirectory

    if area not in AREAS:
        raise SettingsError(f"no area is called `{area}`", fix="use one of " + ", ".join(AREAS))
    folder = _HOME / area
    return ScriptDirectory(str(folder), version_locations=[str(folder)])


def _run(connection: psycopg.Connection[Any], area: str, target: str | None) -> None:
    """Walk an area to a version; None: to before the first."""
    import sqlalchemy as sa
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.util import CommandError

    script = _script(area)

    def steps(revision: Any, _: object) -> Any:
        if target is None:
            return script._downgrade_revs("base", revision)
        return script._upgrade_revs(target, revision)

    # The caller's connection and transaction: the engine neither opens, commits nor closes anything.
    engine = sa.create_engine(
        "postgresql+psycopg://",
        creator=lambda: _Lent(connection),
        poolclass=sa.pool.NullPool,
        use_native_hstore=False,
    )
    with (
        _TURN,
        connection.transaction(),
        EnvironmentContext(Config(), script, fn=steps) as context,
        engine.connect() as lent,
    ):
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (f"vallum.migrate.{area}",))
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}".encode())
        context.configure(
            connection=lent, version_table=_table(area), version_table_schema=SCHEMA, transactional_ddl=False
        )
        try:
            context.run_migrations()
        except CommandError as error:
            raise SettingsError(
                f"Vallum's tables for `{area}` are of another version: {error}",
                fix="run the newest Vallum that has used this database",
            ) from error


class _Lent:
    """A connection that belongs to somebody else: not committed, rolled back or closed by whoever uses it."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def commit(self) -> None:
        """Left to the owner."""

    def rollback(self) -> None:
        """Left to the owner."""

    def close(self) -> None:
        """Left to the owner."""
