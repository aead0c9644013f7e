"""Take a snapshot: effective access of every user, to be kept, compared and resumed.

Records are those of one instant (one REPEATABLE READ transaction); the policy and the
users are those the application was opened with. Every distinct scope is asked once.
Search methods that look at the current user see the superuser by default, as where Odoo
evaluates rules outside a user's request; `search_methods="user"` gives what enforcement
applies. A snapshot that was interrupted and resumed shows records of two instants.
Invariant: an error in one scope leaves that scope empty and is recorded.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

from vallum.analysis.binding import Binder, SearchMethods
from vallum.analysis.format import (
    CodeAccess,
    ModelEntry,
    ScopeError,
    ScopeSets,
    Snapshot,
    UserAccess,
    UserEntry,
    UserFields,
    UserMenus,
    UserVisible,
    read_snapshot,
    write_snapshot,
)
from vallum.analysis.journal import Basis, Ids, Journal, Line, Models, UserDone
from vallum.analysis.records import RecordSets
from vallum.domain import TRUE
from vallum.enforce import Application
from vallum.enforce.attempt import as_error
from vallum.kernel import NO_PROGRESS, Operation, Progress
from vallum.policy import Actor, ActorAccess, User, actor_of, admitted, decide, menus
from vallum.schema import Model

__all__ = ["Snapshot", "read_snapshot", "take_snapshot", "write_snapshot"]

MENU = "ir.ui.menu"


def take_snapshot(
    application: Application,
    *,
    users: Iterable[str | int] | None = None,
    progress: Progress = NO_PROGRESS,
    resume: Path | None = None,
    checkpoint_every: int = 10,
    search_methods: SearchMethods = "superuser",
    notify: Callable[[str], None] = warnings.warn,
) -> Snapshot:
    """The effective access of the users (all by default), inactive ones included.

    `resume`: a journal that is kept every `checkpoint_every` users and removed at the
    end. Where an interrupted run left one of the same policy, schema, database and users,
    the snapshot goes on there; `notify` is told where it could not.

    Raises: UnknownUser, ConnectionFailed, OSError.
    """
    directory = application.directory
    chosen = list(directory) if users is None else [directory.find(u) for u in users]
    chosen = sorted({u.id: u for u in chosen}.values(), key=lambda u: u.id)
    journal = Journal(resume, checkpoint_every)
    finished = False
    with application.database.snapshot():
        taking = _Taking(application, chosen, search_methods, journal)
        try:
            notice = journal.begin(taking.basis(), taking.replay)
            if notice is not None:
                notify(notice)
            taking.run(progress)
            finished = True
        finally:
            journal.close(finished=finished)
    progress.done()
    return taking.snapshot()


class _Taking:
    """A snapshot in the making."""

    def __init__(
        self, application: Application, users: list[User], search_methods: SearchMethods, journal: Journal
    ) -> None:
        self._binder = Binder(application, [u.id for u in users], search_methods=search_methods)
        self._application = self._binder.application
        self._sets = RecordSets(self._application, self._binder)
        self._search_methods = search_methods
        self._users = users
        self._journal = journal
        self._models: dict[str, ModelEntry] = {}
        self._done: dict[int, UserDone] = {}
        self._journalled = 0

    def basis(self) -> Basis:
        """What this snapshot is of."""
        app = self._application
        models = [
            (m.name, m.table, m.relation, sorted(m.inherits.items()), sorted(m.fields))
            for m in app.schema.models.values()
        ]
        users = [
            (u.id, u.login, u.active, u.company_id, u.company_ids, sorted(u.groups), u.lang, u.tz)
            for u in self._users
        ]
        name, oid = app.database.rows(
            "SELECT datname, oid::bigint FROM pg_database WHERE datname = current_database()"
        )[0]
        return Basis(
            policy=app.policy.version,
            schema=_digest((app.schema.version, models)),
            database=f"{name} ({oid})",
            users=_digest(users),
            search_methods=self._search_methods,
        )

    def replay(self, line: Line) -> None:
        """Take over a line of an interrupted run."""
        match line:
            case Ids(ids):
                self._sets.index(ids)
            case Models(models):
                self._models = models
            case UserDone(user):
                self._done[user.id] = line
        self._journalled = len(self._sets)

    def run(self, progress: Progress) -> None:
        """Do what has not been done."""
        progress.start(len(self._users), "users")
        if not self._models:
            self._models = self._model_entries()
            self._write(Models(self._models))
        progress.advance(len(self._done))
        for user in self._users:
            if user.id not in self._done:
                self._done[user.id] = done = self._user(user)
                self._write(done)
                self._journal.checkpoint()
                progress.advance()

    def _write(self, line: Line) -> None:
        """A line, and before it the sets of ids that it is the first to name."""
        new = self._sets.since(self._journalled)
        self._journal.write(*(Ids(ids) for ids in new), line)
        self._journalled = len(self._sets)

    def snapshot(self) -> Snapshot:
        """The snapshot, once all users are done."""
        done = [self._done[u.id] for u in self._users]
        return Snapshot(
            odoo=f"{self._application.schema.version}.0",
            database=str(self._application.database.rows("SELECT current_database()")[0][0]),
            users=tuple(d.user for d in done),
            models=self._models,
            access=tuple(d.access for d in done),
            fields=tuple(d.fields for d in done),
            menus=tuple(d.menus for d in done),
            visible=tuple(v for d in done for v in d.visible),
            idsets=self._sets.all(),
            errors=tuple(e for d in done for e in d.errors),
        )

    # models

    def _concrete(self) -> list[Model]:
        return [m for m in self._application.schema.models.values() if not m.abstract]

    def _model_entries(self) -> dict[str, ModelEntry]:
        kinds: dict[str, str] = dict(
            self._application.database.rows(
                "SELECT relname, relkind::text FROM pg_class"
                " WHERE relkind IN ('r','p','v','m') AND relnamespace = current_schema()::regnamespace"
            )
        )
        return {
            m.name: ModelEntry(
                table=m.table,
                relkind=kinds[m.table],
                inherits=dict(m.inherits),
                all=self._sets.everything(m) if self._ruled(m) else None,
            )
            for m in self._concrete()
            if m.relation and m.table in kinds
        }

    def _ruled(self, model: Model, path: tuple[str, ...] = ()) -> bool:
        """Whether a rule is on the model, or on a parent it inherits from by delegation."""
        app = self._application
        return model.name in app.policy.rules_by_model or any(
            self._ruled(app.schema.model(parent), (*path, model.name))
            for parent in model.inherits
            if parent not in path
        )

    # one user

    def _user(self, user: User) -> UserDone:
        actor = actor_of(user, self._application.policy)
        every = tuple(sorted(user.company_ids))
        actors = [actor]
        if len(every) > 1:
            actors.append(actor_of(user, self._application.policy, every))
        errors: list[ScopeError] = []
        return UserDone(
            user=UserEntry(
                id=user.id,
                login=user.login,
                active=user.active,
                company_id=user.company_id,
                company_ids=every,
                group_ids=tuple(sorted(actor.groups)),
            ),
            access=UserAccess(user=user.id, models=self._access(actor)),
            fields=self._fields(actor),
            menus=UserMenus(user=user.id, menu_ids=self._menus(actor)),
            visible=tuple(self._visible(a, errors) for a in actors),
            errors=tuple(errors),
        )

    def _access(self, actor: Actor) -> dict[str, str]:
        policy = self._application.policy
        found = {
            m.name: "".join(o.letter for o in Operation if decide(policy, actor, o, m.name).allowed)
            for m in self._concrete()
        }
        return {name: letters for name, letters in found.items() if letters}

    def _fields(self, actor: Actor) -> UserFields:
        denied: dict[str, tuple[str, ...]] = {}
        by_code: dict[str, CodeAccess] = {}
        for model in self._concrete():
            shut = tuple(
                sorted(n for n, f in model.fields.items() if not admitted(self._application.policy, actor, f))
            )
            if shut:
                denied[model.name] = shut
            if actor.superuser and shut:
                by_code[model.name] = CodeAccess(opened=shut)
            elif not actor.superuser and (more := self._shut_by_code(actor, model, frozenset(shut))):
                by_code[model.name] = CodeAccess(shut=more)
        return UserFields(user=actor.user_id, denied=denied, by_code=by_code)

    def _shut_by_code(self, actor: Actor, model: Model, shut: frozenset[str]) -> tuple[str, ...]:
        app = self._application
        code = app.named.field_access.get(model.name)
        if code is None:
            return ()
        context = self._binder.context(actor)
        access = ActorAccess(app.policy, app.schema, actor, context, app.lowering, app.named)
        return tuple(
            sorted(
                n
                for n, f in model.fields.items()
                if n not in shut and not code(model, f, access, app.schema.version)
            )
        )

    def _menus(self, actor: Actor) -> tuple[int, ...] | None:
        app = self._application
        if MENU in app.schema and not decide(app.policy, actor, Operation.READ, MENU).allowed:
            return None
        return tuple(sorted(menus(app.policy, actor, version=app.schema.version)))

    def _visible(self, actor: Actor, errors: list[ScopeError]) -> UserVisible:
        rules: dict[str, ScopeSets] = {}
        if not actor.superuser:
            for name, entry in self._models.items():
                if entry.all is not None:
                    sets = {o.value: self._scope(actor, name, o, errors) for o in Operation}
                    if any(index is not None for index in sets.values()):
                        rules[name] = ScopeSets(**sets)
        return UserVisible(
            user=actor.user_id, companies=actor.companies, company_id=actor.company, rules=rules
        )

    def _scope(self, actor: Actor, model: str, operation: Operation, errors: list[ScopeError]) -> int | None:
        """The index of the records rules leave; None where they leave all, whatever the data."""
        try:
            domain = self._binder.scope(actor, model, operation).domain
            if domain == TRUE:
                return None
            return self._sets.of(actor, self._application.schema.model(model), domain)
        except Exception as error:
            found = as_error(error)
            errors.append(
                ScopeError(
                    user=actor.user_id, companies=actor.companies, model=model, operation=operation,
                    code=found.code, error=str(found),
                )
            )  # fmt: skip
            return self._sets.index(b"")


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]
