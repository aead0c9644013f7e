"""Guarded sessions: a team's own `sessionmaker`, bound to an actor.

`Guard` makes sessions that are the team's in everything but what they see and may change. Who asks is
said when a session is made, and never changes.
Trust: the code that uses a session is the team's. The guard protects it from its own mistakes and from
what users send; code that opens a connection of its own is outside of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from vallum.enforce.application import Application
from vallum.enforce.session.compiler import Rules, StatementCache, guarded_dialect
from vallum.enforce.session.connection import GuardedEngine
from vallum.enforce.session.criteria import Criteria, Tables
from vallum.enforce.session.loading import Hidden, Hide, shut, watch
from vallum.enforce.session.writes import Writes
from vallum.enforce.telling import telling
from vallum.kernel import AccessDenied, SettingsError
from vallum.policy import Actor

__all__ = ["Factory", "Guard", "GuardedSession"]

MAX_ACTORS: Final = 1024
_DRIVERS: Final = frozenset({"psycopg", "psycopg2"})
_OPTIONS: Final = ("compiled_cache", "schema_translate_map")
Factory: TypeAlias = "sessionmaker[Any] | scoped_session[Any] | Engine"


class GuardedSession(Session):
    """Mixed into the team's session class; made by a `Guard`."""

    vallum_engine: GuardedEngine
    vallum_writes: Writes
    vallum_hidden: Hidden
    vallum_allow: Mapping[str, str]

    def execute(self, *args: Any, **kw: Any) -> Any:
        return self._told("execute", super().execute, *args, **kw)

    def scalar(self, *args: Any, **kw: Any) -> Any:
        return self._told("scalar", super().scalar, *args, **kw)

    def scalars(self, *args: Any, **kw: Any) -> Any:
        return self._told("scalars", super().scalars, *args, **kw)

    def get(self, *args: Any, **kw: Any) -> Any:
        return self._told("get", super().get, *args, **kw)

    def _told(self, method: str, work: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        """Do it, and tell where that is refused."""
        criteria = self.vallum_writes.criteria
        return telling(criteria.application, criteria.actor, method, lambda: work(*args, **kw))

    def named(self, name: str, **values: Any) -> sa.Result[Any]:
        """Run the statement that was allowed under this name, unfiltered, with these values bound.

        Raises: AccessDenied.
        """
        if name not in self.vallum_allow:
            raise AccessDenied(f"no statement was allowed as `{name:.60}`")
        found: sa.Result[Any] = self.execute(sa.text(self.vallum_allow[name]), values)
        return found

    def get_bind(self, *args: Any, bind: Any = None, **kw: Any) -> Any:
        if bind is not None and bind is not self.vallum_engine:
            raise AccessDenied("a guarded session has the one engine it was made for")
        return self.vallum_engine

    def connection(self, *args: Any, **kw: Any) -> Any:
        raise AccessDenied(
            "the connection of a guarded session would be unguarded",
            fix="run statements on the session, or allow one by name: `guard(…, allow={…})`",
        )

    def merge(self, instance: Any, *, load: bool = True, options: Any = None) -> Any:
        if not load:
            raise AccessDenied("an object that is merged unseen", fix="merge it with `load=True`")
        return super().merge(instance, load=load, options=options)

    def flush(self, objects: Any = None) -> None:
        writes, before = self.vallum_writes, self.vallum_writes.flushing
        writes.flushing = True
        try:
            self._told("flush", super().flush, objects)
        finally:
            writes.flushing = before
        writes.check_refusal()

    def vallum_level(self) -> object:
        """The transaction or savepoint that what is written now goes with."""
        return self.get_nested_transaction() or self.get_transaction()


class Guard:
    """Makes the sessions of an application's users.

    `factory`: the team's `sessionmaker` (or `scoped_session`, or an engine). `allow`: statements that run
    as they are, by name. `tables`: tables that no policy covers and that everyone may use. `functions`:
    functions of the database that see nothing but their arguments.

    Raises: SettingsError.
    """

    def __init__(
        self,
        application: Application,
        factory: Factory,
        find: Callable[[str | int, Sequence[int] | None], Actor],
        *,
        allow: Mapping[str, str] | None = None,
        tables: Iterable[str] = (),
        functions: Iterable[str] = (),
    ) -> None:
        maker = _maker(factory)
        self._application = application
        self._find = find
        self._engine = _engine(maker)
        self._options = {k: v for k, v in maker.kw.items() if k not in ("bind", "info")}
        self._info = maker.kw.get("info")
        self._class = _session_class(maker.class_)
        self._allow = dict(allow or {})
        self._texts = frozenset(sa.text(text).text for text in self._allow.values())
        self._tables = frozenset(tables)
        covered = sorted(name for name in self._tables if Tables.of(application.schema).covers(name))
        if covered:
            raise SettingsError(
                f"the policy covers the table `{covered[0]}`", where="tables", fix="leave it out"
            )
        self._functions = frozenset(name.lower() for name in functions)
        self._of = lru_cache(maxsize=MAX_ACTORS)(self._new)
        watch()

    def __call__(self, who: str | int, companies: Sequence[int] | None = None, **options: Any) -> Any:
        """A session of a user, given by login or id. `companies`: the active ones; `options`: the session's.

        Raises: UnknownUser, CompanyNotAllowed.
        """
        if set(options) & {"bind", "binds"}:
            raise SettingsError("a guarded session has the engine of its factory", where="bind")
        actor = self._find(who, companies)
        criteria, dialect, cache, hidden = self._of(actor)
        writes = Writes(criteria)
        engine = GuardedEngine(self._engine, dialect, cache, writes)
        info = {**(self._info or {}), **options.pop("info", {})}
        session = self._class(**{**self._options, **options, "bind": engine, "info": info})
        session.vallum_engine = engine
        session.vallum_writes = writes
        writes.level = session.vallum_level
        session.vallum_hidden = hidden
        session.vallum_allow = self._allow
        return session

    def _new(self, actor: Actor) -> tuple[Criteria, Any, StatementCache, Hidden]:
        if getattr(self._engine.dialect, "server_version_info", None) is None:
            with self._engine.connect():
                pass
        criteria = Criteria(self._application, actor, self._tables)
        rules = Rules(criteria, self._texts, self._functions)
        dialect = guarded_dialect(self._engine.dialect, rules)
        return criteria, dialect, StatementCache(criteria), Hidden(criteria)


def _maker(factory: Any) -> sessionmaker[Any]:
    if isinstance(factory, scoped_session):
        factory = factory.session_factory
    if isinstance(factory, Engine):
        return sessionmaker(factory)
    if isinstance(factory, sessionmaker):
        return factory
    raise SettingsError(
        f"a {type(factory).__name__} makes no sessions that can be guarded",
        where="factory",
        fix="give a `sessionmaker` of synchronous sessions; asynchronous ones cannot be guarded",
    )


def _engine(maker: sessionmaker[Any]) -> Engine:
    engine = maker.kw.get("bind")
    if not isinstance(engine, Engine) or maker.kw.get("binds"):
        raise SettingsError(
            "the sessions are bound to no single engine", where="factory", fix="give it `bind=engine`"
        )
    if engine.dialect.name != "postgresql" or engine.dialect.driver not in _DRIVERS:
        raise SettingsError(
            f"the engine speaks {engine.dialect.name} by {engine.dialect.driver}",
            where="factory",
            fix="use `postgresql+psycopg://…`",
        )
    return engine


def _session_class(base: type[Session]) -> type[GuardedSession]:
    found = type(f"Guarded{base.__name__}", (GuardedSession, base), {})
    event.listen(found, "do_orm_execute", _prepare)
    event.listen(found, "before_flush", _stamp)
    event.listen(found, "detached_to_persistent", _attached)
    event.listen(found, "before_commit", _committing)
    event.listen(found, "after_transaction_end", _ended)
    return found


def _prepare(state: Any) -> None:
    """Keep shut attributes out of what a statement loads."""
    if set(state.execution_options) & set(_OPTIONS):
        raise AccessDenied("an execution option that a guarded session cannot take: " + ", ".join(_OPTIONS))
    hidden: Hidden = state.session.vallum_hidden
    if state.is_relationship_load:
        path = state.loader_strategy_path
        hidden.check_path(None if path is None else path.path)
    if state.is_orm_statement and state.is_select:
        state.statement = state.statement.options(Hide(hidden))


def _stamp(session: GuardedSession, *_: Any) -> None:
    """Let new and changed objects say who made or changed them."""
    user = session.vallum_writes.criteria.actor.user_id
    for objects, names in ((session.new, ("create_uid", "write_uid")), (session.dirty, ("write_uid",))):
        for instance in objects:
            if objects is session.dirty and not session.is_modified(instance):
                continue
            for name in names:
                if name in sa.inspect(instance).mapper.column_attrs:
                    setattr(instance, name, user)


def _attached(session: GuardedSession, instance: Any) -> None:
    """An object of another session counts as what the actor may read of it now."""
    state = sa.inspect(instance)
    mapper = state.mapper
    keys = [getattr(mapper.class_, mapper.get_property_by_column(c).key) for c in mapper.primary_key]
    same = [key == value for key, value in zip(keys, state.identity, strict=True)]
    found = None
    try:
        with session.no_autoflush:
            found = session.scalar(sa.select(keys[0]).where(*same))
    finally:
        if found is None:
            session.expunge(instance)
    if found is None:
        raise AccessDenied("an object of another session that is out of scope here, or gone")
    shut(state, session.vallum_hidden)


def _committing(session: GuardedSession) -> None:
    """Nothing is committed over a refusal that somebody's handler has caught."""
    session.vallum_writes.check_refusal()


def _ended(session: GuardedSession, transaction: Any) -> None:
    writes = session.vallum_writes
    if transaction.parent is None:
        writes.ended()
    if writes.refusal is not None and (transaction.parent is None or transaction is writes.refusal[0]):
        writes.refusal = None
