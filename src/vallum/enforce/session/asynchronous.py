"""Guarded sessions that are awaited: SQLAlchemy's `AsyncSession` around a guarded session.

SQLAlchemy runs a session's work in a greenlet and awaits the driver from within, so the guard is the one of
synchronous sessions. What it reads of the database by itself, on the application's own connection, is read
in a thread before the statement is compiled, so that the loop goes on meanwhile.
Whoever loads a table that its statement does not name (a joined eager load) lets the loop wait for the rules
of that table once: it is the compiler that meets it, and there is nothing to await inside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, Self, cast

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_scoped_session, async_sessionmaker
from sqlalchemy.sql import visitors
from sqlalchemy.util import await_only

from vallum.enforce.query.check import check_statement
from vallum.enforce.session.connection import GuardedConnection, GuardedEngine, Seen
from vallum.enforce.session.criteria import Criteria
from vallum.enforce.session.guarded import GuardedSession
from vallum.enforce.session.writes import Writes
from vallum.kernel import Operation, SettingsError, VallumError

__all__ = ["GuardedAsyncSession", "awaited_class", "maker_of", "sync_engine"]

_WRITES: Final = (
    (sa.Insert, Operation.CREATE),
    (sa.Update, Operation.WRITE),
    (sa.Delete, Operation.UNLINK),
)


class GuardedAsyncSession(AsyncSession):
    """Mixed into the team's asynchronous session class; made by a `Guard`."""

    sync_session: GuardedSession

    async def named(self, name: str, **values: Any) -> sa.Result[Any]:
        """Run the statement that was allowed under this name, unfiltered, with these values bound.

        Raises: AccessDenied.
        """
        return await self.execute(self.sync_session.vallum_allowed(name), values)

    @classmethod
    def over(
        cls, plain: type[GuardedSession], seen: Seen, writes: Writes, options: Mapping[str, Any]
    ) -> tuple[Self, GuardedEngine]:
        """A session whose work is done by one of the guarded class, and the engine of that one."""
        engine = AwaitedEngine(seen, writes)
        return cls(bind=AsyncEngine(engine), sync_session_class=plain, **options), engine


class AwaitedConnection(GuardedConnection):
    """A guarded connection whose statements wait in a thread for what the guard reads first."""

    def execute(self, statement: Any, parameters: Any = None, *, execution_options: Any = None) -> Any:
        _settle(self.engine.vallum_writes.criteria, statement)
        return super().execute(statement, parameters, execution_options=execution_options)


class AwaitedEngine(GuardedEngine):
    """The team's asynchronous engine, from within, as one session sees it."""

    _connection_cls = AwaitedConnection


def maker_of(factory: Any) -> async_sessionmaker[Any]:
    """The asynchronous factory that was given. Raises: SettingsError."""
    if isinstance(factory, async_scoped_session):
        factory = factory.session_factory
    if isinstance(factory, AsyncEngine):
        return async_sessionmaker(factory)
    if isinstance(factory, async_sessionmaker):
        return factory
    raise SettingsError(
        f"a {type(factory).__name__} makes no sessions that can be guarded",
        where="factory",
        fix="give a `sessionmaker`, an `async_sessionmaker` or an engine",
    )


def sync_engine(bind: Any) -> Any:
    """The engine inside of an asynchronous one; what is none is given back."""
    return bind.sync_engine if isinstance(bind, AsyncEngine) else bind


def awaited_class(base: type[AsyncSession]) -> type[GuardedAsyncSession]:
    """The team's asynchronous session class, guarded."""
    made = type(f"Guarded{base.__name__}", (GuardedAsyncSession, base), {})
    return cast("type[GuardedAsyncSession]", made)


def _settle(criteria: Criteria, statement: Any) -> None:
    """Have a thread read what rules ask of the database, for tables not met since these were forgotten."""
    if not isinstance(statement, sa.sql.ClauseElement):
        return
    operation = next((name for kind, name in _WRITES if isinstance(statement, kind)), Operation.READ)
    tables = {e.name for e in visitors.iterate(statement) if isinstance(e, sa.TableClause)}
    epoch, settled = criteria.application.epoch, criteria.settled
    wanted = [(table, operation) for table in sorted(tables) if settled.get((table, operation)) != epoch]
    if wanted:
        await_only(asyncio.to_thread(_read, criteria, wanted))
        settled.update(dict.fromkeys(wanted, epoch))


def _read(criteria: Criteria, wanted: list[tuple[str, Operation]]) -> None:
    """Let rules be read; what is refused is refused again where it is asked for."""
    for table, operation in wanted:
        with suppress(VallumError):
            criteria.view(table)
            model = criteria.tables.models.get(table)
            if model is not None and operation is not Operation.READ:
                locked = operation is not Operation.CREATE
                check_statement(criteria.eyes, model, operation, locked=locked)
