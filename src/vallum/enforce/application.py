"""An opened application: its database, schema, policy and users, and who may see what of it.

The shell around the pure packages: it reads when first needed and keeps what it read.
Whoever holds an `Application` can read all data the database connection can.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from threading import Lock
from typing import Final

from vallum.domain import Env, Facts, Lowering, Named, RuleContext, lowering_for, odoo_named
from vallum.enforce.facts import read_facts
from vallum.enforce.records import SqlRecordReader
from vallum.kernel import Clock, SystemClock
from vallum.policy import SUPERUSER_ID, Actor, ActorAccess, Directory, Policy, actor_of
from vallum.postgres import Database
from vallum.schema import Schema

__all__ = ["Application"]

MAX_ACTORS: Final = 1024


class Application:
    """One application over one database. `named`: implementations of what its code does."""

    def __init__(
        self,
        database: Database,
        schema: Schema,
        policy: Policy,
        directory: Directory,
        *,
        named: Named | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.database = database
        self.schema = schema
        self.policy = policy
        self.directory = directory
        self.named = named or odoo_named()
        self.clock = clock or SystemClock()
        self._accesses: OrderedDict[Actor, ActorAccess] = OrderedDict()
        self._lock = Lock()

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
        with self._lock:
            found = self._accesses.get(actor)
            if found is not None:
                self._accesses.move_to_end(actor)
                return found
        made = ActorAccess(self.policy, self.schema, actor, self.context(actor), self.lowering, self.named)
        with self._lock:
            # Of two threads that made one at once, both use the first.
            found = self._accesses.setdefault(actor, made)
            while len(self._accesses) > MAX_ACTORS:
                self._accesses.popitem(last=False)
        return found

    def forget(self) -> None:
        """Drop what was kept of the actors: records that rules read are read anew."""
        with self._lock:
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
            reader=SqlRecordReader(self.database, self.lowering, self.policy, own),
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
