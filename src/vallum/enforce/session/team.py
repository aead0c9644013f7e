"""What a team's factory makes, read once, so that a guard can make the same for its actors.

Invariant: one engine, of PostgreSQL by psycopg; what has another, or several, is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from vallum.enforce.session.connection import GuardedEngine, Seen
from vallum.enforce.session.guarded import GuardedSession, session_class
from vallum.enforce.session.writes import Writes
from vallum.kernel import SettingsError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine, async_scoped_session, async_sessionmaker

    from vallum.enforce.session.asynchronous import GuardedAsyncSession

__all__ = ["Factory", "Team"]

_DRIVERS: Final = frozenset({"psycopg", "psycopg2"})
_OWN: Final = frozenset({"bind", "binds", "sync_session_class"})
Factory: TypeAlias = (
    "sessionmaker[Any] | scoped_session[Any] | Engine"
    " | async_sessionmaker[Any] | async_scoped_session[Any] | AsyncEngine"
)


@dataclass(frozen=True, slots=True)
class Team:
    """A team's engine, and the classes of the sessions made for it; `awaited`: of asynchronous ones."""

    engine: Engine
    options: Mapping[str, Any]
    plain: type[GuardedSession]
    awaited: type[GuardedAsyncSession] | None

    @classmethod
    def of(cls, factory: Any) -> Team:
        """A factory, read. Raises: SettingsError."""
        maker = factory.session_factory if isinstance(factory, scoped_session) else factory
        if isinstance(maker, Engine):
            maker = sessionmaker(maker)
        if isinstance(maker, sessionmaker):
            return cls._read(maker.kw, maker.kw.get("bind"), maker.class_, None)
        # Not before somebody has such a factory: it needs a library that others do without.
        from vallum.enforce.session.asynchronous import awaited_class, maker_of, sync_engine

        found = maker_of(factory)
        base = found.kw.get("sync_session_class") or found.class_.sync_session_class
        return cls._read(found.kw, sync_engine(found.kw.get("bind")), base, awaited_class(found.class_))

    @classmethod
    def _read(cls, given: Mapping[str, Any], engine: Any, base: Any, awaited: Any) -> Team:
        if not isinstance(engine, Engine) or given.get("binds"):
            raise SettingsError(
                "the sessions are bound to no single engine", where="factory", fix="give it `bind=engine`"
            )
        if engine.dialect.name != "postgresql" or engine.dialect.driver not in _DRIVERS:
            raise SettingsError(
                f"the engine speaks {engine.dialect.name} by {engine.dialect.driver}",
                where="factory",
                fix="use `postgresql+psycopg://…`",
            )
        if not isinstance(base, type) or not issubclass(base, Session):
            raise SettingsError("the `sync_session_class` is no class of sessions", where="factory")
        return cls(engine, {k: v for k, v in given.items() if k not in _OWN}, session_class(base), awaited)

    def session(self, seen: Seen, writes: Writes, given: Mapping[str, Any]) -> tuple[Any, GuardedSession]:
        """A session for an actor, and the guarded one that does its work: the same, unless it is awaited.

        Raises: SettingsError.
        """
        if set(given) & _OWN:
            raise SettingsError("a guarded session has the engine of its factory", where="bind")
        info = {**(self.options.get("info") or {}), **(given.get("info") or {})}
        options = {**self.options, **given, "info": info}
        engine: GuardedEngine
        if self.awaited is None:
            engine = GuardedEngine(seen, writes)
            made: Any = self.plain(bind=engine, **options)
            session: GuardedSession = made
        else:
            made, engine = self.awaited.over(self.plain, seen, writes, options)
            session = made.sync_session
        session.vallum_engine = engine
        session.vallum_writes = writes
        session.vallum_hidden = seen.hidden
        return made, session
