"""An opened application: everybody's eyes, and the questions about everybody.

Whoever holds a `Vallum` can read all the data its database connection can, and be anyone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from vallum.enforce import Application
from vallum.facade.check import Check, check
from vallum.facade.session import Session, operation_of
from vallum.kernel import NO_PROGRESS, Operation, Progress, SettingsError, UnknownUser
from vallum.policy import Actor, Directory, Policy
from vallum.schema import Gap, Schema

if TYPE_CHECKING:
    from vallum.analysis import Explanation, Holder, Snapshot
    from vallum.enforce.session import Guard
    from vallum.enforce.session.guard import Factory
    from vallum.facade.audit import Audit
    from vallum.facade.roles import Roles
    from vallum.postgres import Database

__all__ = ["Vallum"]


class Vallum:
    """An application over its database. Safe to be shared by threads; close it, or use `with`."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self._told: Database | None = None

    def __repr__(self) -> str:
        return f"Vallum({self.application.database!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the database."""
        self.application.database.close()
        if self._told is not None:
            self._told.close()

    # What it knows

    @property
    def schema(self) -> Schema:
        """Models and fields."""
        return self.application.schema

    @property
    def policy(self) -> Policy:
        """Groups, access rights, record rules, menus."""
        return self.application.policy

    @property
    def users(self) -> Directory:
        """The users, inactive ones included."""
        return self.application.directory

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Facts the source of the schema could not tell, and what that makes inexact."""
        return self.schema.gaps

    def inexact(self) -> Mapping[str, tuple[str, ...]]:
        """Models where code of their modules decides as well, each with the reasons."""
        from vallum.analysis import inexact_models

        return inexact_models(self.schema)

    def check(self, *, progress: Progress = NO_PROGRESS) -> Check:
        """Whether every record rule can be bound for every active user it is for, and read as a filter."""
        return check(self.application, progress=progress)

    @property
    def roles(self) -> Roles:
        """The policy inside PostgreSQL: roles, GRANT and row level security."""
        from vallum.facade.roles import Roles

        return Roles(self.application)

    def audit(self, folder: str | Path) -> Audit:
        """The audit trail of the database. `folder`: the log's own, where its keys are."""
        from vallum.facade.audit import Audit

        return Audit(self.application.database.dsn, Path(folder))

    def keep_trail(
        self,
        folder: str | Path,
        *,
        reads: Iterable[str] = (),
        source: Callable[[], tuple[str, str]] = lambda: ("", ""),
    ) -> Audit:
        """Have this application tell its audit trail who writes, who is refused, and who reads `reads`.

        `reads`: models, `hr.*` for all that begin so, or `sensitive`. `source`: the address and the request's
        id of whoever asks at that moment. Holds for sessions of users and for guarded sessions. What would be
        read and cannot be recorded is not given.

        Raises: KeyRefused (`vallum audit enable` makes the keys), SettingsError.
        """
        from vallum.facade.trail import ApplicationTrail
        from vallum.postgres import ThreadDatabase

        audit = self.audit(folder)
        audit.hand  # noqa: B018 - refused now, not at the first write
        if self._told is not None:
            raise SettingsError("this application keeps a trail already", where=str(folder))
        told = ThreadDatabase(audit.dsn, readonly=False, application_name="vallum-trail")
        ApplicationTrail(audit.home, told.transaction, source).watch(self.application, reads)
        self._told = told
        return audit

    # Somebody's eyes

    def as_user(self, who: str | int, companies: Sequence[int] | None = None) -> Session:
        """The eyes of a user, given by login or id. `companies`: the active ones, the user's own by default.

        Raises: UnknownUser, CompanyNotAllowed.
        """
        return Session(self.application, self._actor(who, companies))

    def sudo(self) -> Session:
        """The superuser's eyes: no right and no rule restricts them."""
        return Session(self.application, None)

    def guard(
        self,
        factory: Factory,
        *,
        allow: Mapping[str, str] | None = None,
        tables: Iterable[str] = (),
        functions: Iterable[str] = (),
    ) -> Guard:
        """Sessions of one's own SQLAlchemy models that obey the policy: `guarded("marie")` makes one.

        `factory`: a `sessionmaker`, `scoped_session` or engine, or the asynchronous one of them. `allow`:
        statements that run as they are, by name. `tables`: tables that no policy covers and everyone may
        use. `functions`: functions of the database that see nothing but their arguments.

        Raises: SettingsError.
        """
        from vallum.enforce.session import Guard

        return Guard(self.application, factory, self._actor, allow=allow, tables=tables, functions=functions)

    # Questions about everybody

    def explain(
        self,
        who: str | int,
        operation: str | Operation,
        model: str,
        record: int | None = None,
        field: str | None = None,
        *,
        companies: Sequence[int] | None = None,
    ) -> Explanation:
        """Whether the user may do this, and the whole chain of reasons.

        Raises: UnknownUser, CompanyNotAllowed, UnknownOperation, UnknownModel, UnknownField, UnknownRecord.
        """
        from vallum.analysis import explain

        actor = self._actor(who, companies)
        return explain(self.application, actor, operation_of(operation), model, record, field)

    def who_can(
        self,
        operation: str | Operation,
        model: str,
        record: int | None = None,
        field: str | None = None,
        *,
        companies: Literal["all"] | None = None,
        active_only: bool = True,
        count: bool = False,
        progress: Progress = NO_PROGRESS,
    ) -> tuple[Holder, ...]:
        """The users who may do this, each with the reasons.

        `companies="all"`: with all of a user's companies switched on. `count`: how many records of
        the model each may touch; who may touch none is left out.

        Raises: UnknownOperation, UnknownModel, UnknownField, UnknownRecord.
        """
        from vallum.analysis import who_can

        return who_can(
            self.application,
            operation_of(operation),
            model,
            record_id=record,
            field=field,
            companies=companies,
            active_only=active_only,
            count=count,
            progress=progress,
        )

    def snapshot(
        self,
        path: str | Path | None = None,
        *,
        users: Iterable[str | int] | None = None,
        progress: Progress = NO_PROGRESS,
        resume: str | Path | None = None,
        notify: Callable[[str], None] = warnings.warn,
    ) -> Snapshot:
        """Everybody's effective access, to be kept and compared; written to `path` where that is given.

        `resume`: a journal to go on with where an interrupted run has left it; removed at the end.
        `notify` is told where it is of no use and everything begins again.

        Raises: UnknownUser, OSError.
        """
        from vallum.analysis import take_snapshot, write_snapshot

        chosen = None if users is None else [self._actor(who).user_id for who in users]
        journal = None if resume is None else Path(resume)
        taken = take_snapshot(
            self.application, users=chosen, progress=progress, resume=journal, notify=notify
        )
        if path is not None:
            write_snapshot(taken, Path(path))
        return taken

    def _actor(self, who: str | int, companies: Sequence[int] | None = None) -> Actor:
        try:
            return self.application.actor(who, companies)
        except UnknownUser as error:
            near = get_close_matches(str(who), [user.login for user in self.users], n=3)
            if near:
                error.fix = "use " + " or ".join(f"`{login}`" for login in near)
            raise
