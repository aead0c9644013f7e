"""The class of guarded sessions: the team's own, with what it would do beside the guard shut.

Invariant: a session has one engine, the guard's, and gives nobody its connection; nothing is committed over
a refusal that somebody's handler has caught.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import MissingGreenlet, StatementError
from sqlalchemy.orm import Session

from vallum.enforce.session.connection import GuardedEngine
from vallum.enforce.session.loading import Hidden, Hide, shut
from vallum.enforce.session.writes import Writes
from vallum.enforce.telling import telling
from vallum.kernel import AccessDenied

__all__ = ["GuardedSession", "session_class"]

_OPTIONS: Final = ("compiled_cache", "schema_translate_map")


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
        found: sa.Result[Any] = self.execute(self.vallum_allowed(name), values)
        return found

    def vallum_allowed(self, name: str) -> sa.TextClause:
        """The statement that was allowed under this name. Raises: AccessDenied."""
        if name not in self.vallum_allow:
            raise AccessDenied(f"no statement was allowed as `{name:.60}`")
        return sa.text(self.vallum_allow[name])

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


def session_class(base: type[Session]) -> type[GuardedSession]:
    """The team's session class, guarded."""
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
    except (MissingGreenlet, StatementError) as error:
        if not isinstance(getattr(error, "orig", error), MissingGreenlet):
            raise
        raise AccessDenied(
            "an object of another session cannot be looked up where nothing is awaited",
            fix="`await session.merge(instance)`, or add it within `run_sync`",
        ) from error
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
