"""Guarded sessions: a team's own `sessionmaker`, bound to an actor.

`Guard` makes sessions that are the team's in everything but what they see and may change. Who asks is
said when a session is made, and never changes.
Trust: the code that uses a session is the team's. The guard protects it from its own mistakes and from
what users send; code that opens a connection of its own is outside of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa

from vallum.enforce.application import Application
from vallum.enforce.session.compiler import Rules
from vallum.enforce.session.connection import Seen
from vallum.enforce.session.criteria import Criteria, Tables
from vallum.enforce.session.guarded import GuardedSession
from vallum.enforce.session.loading import watch
from vallum.enforce.session.team import Factory, Team
from vallum.enforce.session.writes import Writes
from vallum.kernel import SettingsError
from vallum.policy import Actor

__all__ = ["Factory", "Guard", "GuardedSession"]

MAX_ACTORS: Final = 1024


class Guard:
    """Makes the sessions of an application's users.

    `factory`: the team's `sessionmaker`, `scoped_session` or engine, or the asynchronous one of them, whose
    sessions are awaited. `allow`: statements that run as they are, by name. `tables`: tables that no policy
    covers and that everyone may use. `functions`: functions of the database that see nothing but their
    arguments.

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
        self._application = application
        self._find = find
        self._team = Team.of(factory)
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
        seen = self._of(self._find(who, companies))
        writes = Writes(seen.criteria)
        made, session = self._team.session(seen, writes, options)
        writes.stamping.level = session.vallum_level
        session.vallum_allow = self._allow
        return made

    def _new(self, actor: Actor) -> Seen:
        criteria = Criteria(self._application, actor, self._tables)
        return Seen(self._team.engine, Rules(criteria, self._texts, self._functions))
