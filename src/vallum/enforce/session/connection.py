"""Connections of a guarded session: the team's own pool, the guard's dialect, every statement checked.

An engine lives as long as its session and shares pool and events with the team's engine.
Invariant: no connection is made before its dialect is the guard's, of the server that it speaks to.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import FromStatement
from sqlalchemy.sql import elements, functions, lambdas, selectable

from vallum.enforce.session.compiler import Rules, StatementCache, guarded_dialect
from vallum.enforce.session.criteria import Criteria
from vallum.enforce.session.loading import Hidden
from vallum.enforce.session.writes import Writes
from vallum.enforce.telling import telling
from vallum.kernel import AccessDenied

__all__ = ["GuardedConnection", "GuardedEngine", "Seen"]

_READS = (selectable.SelectBase, elements.TextClause, functions.FunctionElement)
_SAVEPOINTS = (elements.SavepointClause, elements.RollbackToSavepointClause, elements.ReleaseSavepointClause)


class GuardedConnection(Connection):
    """A connection that runs what reads, and has what writes checked first."""

    engine: GuardedEngine

    def execute(self, statement: Any, parameters: Any = None, *, execution_options: Any = None) -> Any:
        criteria = self.engine.vallum_writes.criteria
        return telling(
            criteria.application,
            criteria.actor,
            "execute",
            lambda: self._execute(statement, parameters, execution_options),
        )

    def _execute(self, statement: Any, parameters: Any, execution_options: Any) -> Any:
        found = statement
        if isinstance(found, lambdas.LambdaElement):
            found = found._resolved
        if isinstance(found, FromStatement):
            found = found.element
        if isinstance(found, (*_READS, *_SAVEPOINTS)):
            return self._watched(self.run(statement, parameters, execution_options))
        if isinstance(statement, sa.Insert | sa.Update | sa.Delete):
            return self.engine.vallum_writes.run(self, statement, parameters, execution_options)
        raise AccessDenied(
            f"a guarded session runs no `{type(statement).__name__}`",
            fix="allow the statement by name: `guard(…, allow={…})`",
        )

    def _watched(self, result: Any) -> Any:
        """Tell whoever watches a model whose table was read, before a row is given away."""
        criteria = self.engine.vallum_writes.criteria
        application = criteria.application
        if not application.watchers or not application.watched:
            return result
        read: dict[str, set[str]] = getattr(result.context.compiled, "vallum_read", {})
        try:
            for table, columns in sorted(read.items()):
                model = criteria.tables.models.get(table)
                if model is not None and model.name in application.watched:
                    detail = {"method": "session", "fields": sorted(columns - {"id"})}
                    for watcher in application.watchers:
                        watcher(criteria.actor, model.name, detail, ())
        except BaseException:
            result.close()
            raise
        return result

    def scalar(self, statement: Any, parameters: Any = None, *, execution_options: Any = None) -> Any:
        return self.execute(statement, parameters, execution_options=execution_options).scalar()

    def exec_driver_sql(self, *args: Any, **kw: Any) -> Any:
        raise AccessDenied("SQL text in a guarded session", fix="allow it by name: `guard(…, allow={…})`")

    def run(self, statement: Any, parameters: Any, execution_options: Any) -> Any:
        """Run a statement that was checked, or that reads: then the compiler filters it."""
        return super().execute(statement, parameters, execution_options=execution_options)

    def run_checked(self, text: str, values: dict[str, Any]) -> Any:
        """Run a statement of the guard itself."""
        return super().exec_driver_sql(text, values)


class Seen:
    """A team's engine as one actor sees it: what all sessions of the actor share."""

    def __init__(self, team: Engine, rules: Rules) -> None:
        self.team = team
        self.criteria: Criteria = rules.criteria
        self.cache = StatementCache(self.criteria)
        self.hidden = Hidden(self.criteria)
        self._rules = rules
        self._dialect: Any = None
        self._of: object = None

    def dialect(self) -> Any:
        """The guard's copy of the team's dialect; another one once that has met its server."""
        version = getattr(self.team.dialect, "server_version_info", None)
        if self._dialect is None or self._of != version:
            self._dialect, self._of = guarded_dialect(self.team.dialect, self._rules), version
        return self._dialect


class GuardedEngine(Engine):
    """The team's engine as one session sees it."""

    _connection_cls = GuardedConnection
    _sa_propagate_class_events = False

    def __init__(self, seen: Seen, writes: Writes) -> None:
        team = seen.team
        super().__init__(
            team.pool,
            seen.dialect(),
            team.url,
            logging_name=team.logging_name,
            query_cache_size=0,
            hide_parameters=team.hide_parameters,
        )
        self.echo = team.echo
        # Events of the team's engine (tracing and the like) hear of these statements too.
        self.dispatch = self.dispatch._join(team.dispatch)
        self._has_events = team._has_events
        self._execution_options = team._execution_options
        self._compiled_cache = seen.cache
        self._seen = seen
        self.vallum_writes = writes

    def connect(self) -> Any:
        if getattr(self.dialect, "server_version_info", None) is None:
            # Here and not when the session is made: an asynchronous driver is waited for.
            with self._seen.team.connect():
                pass
            self.dialect = self._seen.dialect()
        return super().connect()
