"""An opened application: its database, schema, policy and users, and who may see what of it.

The shell around the pure packages: it reads when first needed and keeps what it read.
Whoever holds an `Application` can read all data the database connection can.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from datetime import datetime
from functools import cached_property
from threading import Lock, local
from typing import Any, Final, TypeAlias

import psycopg

from vallum.domain import Env, Facts, Lowering, Named, RuleContext, lowering_for, odoo_named
from vallum.enforce.facts import read_facts
from vallum.enforce.people import People, Private, Widen
from vallum.enforce.records import SqlRecordReader
from vallum.kernel import Clock, SystemClock, VallumError
from vallum.policy import SUPERUSER_ID, Actor, ActorAccess, Directory, Policy, actor_of
from vallum.postgres import Database
from vallum.schema import Schema, Storage

__all__ = ["Application", "Refuser", "Stamp", "Watcher"]

MAX_ACTORS: Final = 1024
Stamp: TypeAlias = "Callable[[psycopg.Connection[tuple[object, ...]], Actor | None], None]"
Refuser: TypeAlias = "Callable[[Actor | None, str, str | None, Sequence[int], VallumError], None]"
Watcher: TypeAlias = "Callable[[Actor | None, str, Mapping[str, Any], Sequence[int]], None]"


class Application:
    """One application over one database. `named`: implementations of what its code does.

    `storage`: how its fields are stored, where Vallum may write them. `reload` reads policy and users anew.
    `check_after_write`: a write must leave records within the write rules too, not only find them there.
    `stamps` are called at the start of each writing call, in its transaction, with whoever writes.
    `watchers` are told of each read of a model among `watched` before it is given away: by whom, what, and
    the ids; where one raises, nothing is. `refusals` are told who was refused what: the method, the model
    and the ids, as far as they are known, and the error; they raise nothing.
    """

    def __init__(
        self,
        database: Database,
        schema: Schema,
        policy: Policy,
        directory: Directory,
        *,
        named: Named | None = None,
        clock: Clock | None = None,
        storage: Storage | None = None,
        reload: Callable[[], tuple[Policy, Directory]] | None = None,
        check_after_write: bool = False,
    ) -> None:
        self.database = database
        self.schema = schema
        self.storage = storage
        self.check_after_write = check_after_write
        self.stamps: list[Stamp] = []
        self.watched: frozenset[str] = frozenset()
        self.watchers: list[Watcher] = []
        self.refusals: list[Refuser] = []
        self.keys_ready = False
        self._current = People(database, policy, directory, reload)
        self._private = local()
        self._seen_by_rules: set[str] = set()
        self.named = named or odoo_named()
        self.clock = clock or SystemClock()
        self._accesses: OrderedDict[Actor, ActorAccess] = OrderedDict()
        self._epoch = 0
        self._lock = Lock()

    @property
    def policy(self) -> Policy:
        """The policy, with the groups as the database has them now."""
        return self._people()[0]

    @property
    def directory(self) -> Directory:
        """The users as the database has them now."""
        return self._people()[1]

    @property
    def times_read(self) -> int:
        """How often users and groups were read anew: who watches them learns that others have read them."""
        return self._current.times_read

    def widen(self, widen: Widen, lasting: Widen | None = None) -> None:
        """Let users have more groups than the database gives them: now, and whenever they are read anew.

        `lasting` gives only those that do not end by themselves; without it, none of them is taken to last.
        """
        self._current.widen(widen, lasting)
        self.forget()

    def lasting(self) -> Application:
        """This application without groups that end by themselves: for what is made of it and outlives them.

        Raises: ConnectionFailed, SettingsError.
        """
        if not self._current.has_passing:
            return self
        found = copy(self)
        found._current = self._current.of_lasting()
        found._private, found._lock = local(), Lock()
        found._accesses, found._seen_by_rules = OrderedDict(), set()
        return found

    def refresh(self) -> None:
        """Read users and groups anew, and all that was kept of the actors.

        Raises: ConnectionFailed, SettingsError; the users known before are of no use then either.
        """
        self._current.outdate()
        self.forget()
        self._people()

    def changed(self, touched: Iterable[str], removed: Iterable[str] = ()) -> None:
        """Told which models and relation tables were written, and which models lost records.

        Users, groups and what rules read of records are then read anew. Within a transaction that goes on
        only for whoever is in it: nobody else learns what may yet be rolled back.
        """
        written, gone = frozenset(touched), frozenset(removed)
        if not written and not gone:
            return
        if self.database.in_transaction:
            self._within().add(written, gone, *self._concerned(written, gone))
            self.database.at_end(self._after)
            return
        people, rules = self._concerned(written, gone)
        if people:
            self._current.outdate()
        if rules:
            self.forget()
            self.__dict__.pop("facts", None)

    def _concerned(self, written: frozenset[str], gone: frozenset[str]) -> tuple[bool, bool]:
        """Whether users and groups may be others now, and whether what rules have read may be."""
        of_people, below = self._sources
        people = bool(written & of_people or gone & below)
        return people, people or bool(gone or written & self._seen_by_rules)

    def _people(self) -> tuple[Policy, Directory]:
        """Policy and users: those of the transaction at hand, where it has changed them, or everybody's."""
        private: Private | None = getattr(self._private, "view", None)
        return (private.people or self._current).known() if private is not None else self._current.known()

    def _within(self) -> Private:
        """What this thread's transaction alone sees."""
        found: Private | None = getattr(self._private, "view", None)
        if found is None:
            found = self._private.view = Private(self._current)
        return found

    def _after(self) -> None:
        private: Private = self._private.view
        self._private.view = None
        self.changed(private.written, private.gone)

    @cached_property
    def _sources(self) -> tuple[frozenset[str], frozenset[str]]:
        """What users and groups are read from, and the models whose losses may cascade to it."""
        users = self.schema.models.get("res.users")
        if users is None:
            return frozenset(), frozenset()
        tied = [f for n, f in users.fields.items() if n in ("company_ids", "group_ids", "groups_id")]
        names = {"res.users", "res.groups", *(f.comodel or "" for f in tied)}
        single = {f.comodel or "" for f in users.fields.values() if f.type == "many2one" and f.stored}
        return frozenset(names | {f.relation or "" for f in tied}), frozenset(names | single)

    @cached_property
    def lowering(self) -> Lowering:
        """The semantics of the application's version of Odoo."""
        return lowering_for(self.schema.version)

    @cached_property
    def facts(self) -> Facts:
        """The facts of the database."""
        return read_facts(self.database, self.schema)

    def actor(self, who: str | int, companies: Sequence[int] | None = None) -> Actor:
        """The actor a user is. `who`: a login or an id; `companies`: the active ones.

        Raises: UnknownUser, CompanyNotAllowed.
        """
        return actor_of(self.directory.find(who), self.policy, companies)

    def access(self, actor: Actor) -> ActorAccess:
        """What the actor may see, kept for the actors that asked last. See `forget` and `renew`."""
        private: Private | None = getattr(self._private, "view", None)
        if private is not None:
            if actor not in private.accesses:
                private.accesses[actor] = self._new_access(actor)
            return private.accesses[actor]
        with self._lock:
            found = self._accesses.get(actor)
            if found is not None:
                self._accesses.move_to_end(actor)
                return found
            epoch = self._epoch
        made = self._new_access(actor)
        with self._lock:
            if epoch != self._epoch:
                # Something was forgotten meanwhile: this one may know what no longer holds.
                return made
            # Of two threads that made one at once, both use the first.
            found = self._accesses.setdefault(actor, made)
            while len(self._accesses) > MAX_ACTORS:
                self._accesses.popitem(last=False)
        return found

    def _new_access(self, actor: Actor) -> ActorAccess:
        return ActorAccess(self.policy, self.schema, actor, self.context(actor), self.lowering, self.named)

    @property
    def epoch(self) -> int:
        """How often what was kept of the actors was dropped."""
        return self._epoch

    def forget(self) -> None:
        """Drop what was kept of the actors: records that rules read are read anew."""
        with self._lock:
            self._epoch += 1
            self._accesses.clear()

    def renew(self, actor: Actor) -> None:
        """Drop what was kept of one actor, where a record that its rules have read is another now.

        Raises: ConnectionFailed.
        """
        with self._lock:
            kept = self._accesses.get(actor)
        reader = kept.context.reader if kept is not None else None
        if not isinstance(reader, SqlRecordReader) or not reader.changed():
            return
        with self._lock:
            self._epoch += 1
            if self._accesses.get(actor) is kept:
                del self._accesses[actor]

    def context(self, actor: Actor) -> RuleContext:
        """The names that record rules use, bound to the actor."""
        own = Env(
            schema=self.schema,
            named=self.named,
            now=self._now(),
            facts=self.facts,
            user_id=actor.user_id,
            company=actor.company_id,
            lang=actor.lang,
            tz=actor.tz,
        )
        return RuleContext(
            reader=SqlRecordReader(self.database, self.lowering, self.policy, own, self._seen_by_rules),
            user_id=actor.user_id,
            company_id=actor.company,
            company_ids=actor.companies,
            user_companies=actor.company_ids,
            clock=self._now,
        )

    def _now(self) -> datetime:
        """The present moment in UTC, without a time zone, as columns hold it."""
        return self.clock.now().replace(tzinfo=None)

    def env(self, actor: Actor | None, *, active_test: bool = True) -> Env:
        """The eyes of an actor, or of the superuser where None."""
        user_id = actor.user_id if actor else SUPERUSER_ID
        user = self.directory.get(user_id)
        company = actor.company if actor else user.company_id if user else None
        companies = actor.companies if actor else (company,) if company else ()
        unrestricted = actor is None or actor.superuser
        return Env(
            schema=self.schema,
            named=self.named,
            now=self._now(),
            facts=self.facts,
            user_id=user_id,
            partner_id=user.partner_id if user else None,
            company=company,
            companies=companies,
            lang=actor.lang if actor else "en_US",
            tz=actor.tz if actor else None,
            active_test=active_test,
            access=None if unrestricted or actor is None else self.access(actor),
        )
