"""Changes of an application's own policy: proposed, approved by a second person, in force at once.

Each act is one transaction under a lock, so that two people who decide at once do so one after the other.
`told` is called within it, before it is committed: where the act cannot be recorded, it is not done.
Invariant: nobody approves what they proposed (the table refuses it too); a change is approved only while what
it was made from is what is in force, and only where the policy with it can be read whole.
Trust: the caller says who acts, and whether they may decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import psycopg

from vallum.domain import evaluate_domain, root
from vallum.enforce import Application
from vallum.governance import ledger
from vallum.governance.errors import ChangeConflict, ChangeRefused
from vallum.governance.proposed import Person, Proposed
from vallum.kernel import InvalidValue, Operation
from vallum.policy import Policy
from vallum.policy.change import Change, Item, Kind, item_of, with_change
from vallum.postgres import connect
from vallum.postgres.migrations import migrate

__all__ = ["Changes", "Told", "retire"]

Connection = psycopg.Connection[Any]
Told = Callable[[Mapping[str, Any]], None]
# As the server's watch listens: workers look at once.
_CHANNEL: Final = "vallum_policy"
_OPERATIONS: Final = frozenset(o.value for o in Operation)


def _untold(facts: Mapping[str, Any]) -> None:
    """Nobody keeps a trail."""


class Changes:
    """The changes of one application. Each call opens a connection of its own, and closes it."""

    def __init__(self, application: Application, told: Told = _untold) -> None:
        self._application = application
        self._dsn = application.database.dsn
        self._told = told

    # What there is

    def some(self, state: str | None = None, *, item: tuple[str, str] | None = None) -> list[Proposed]:
        """The changes, newest first; those in that state, or of that item (kind and xml id)."""
        with _opened(self._dsn) as connection:
            return ledger.some(connection, state, item)

    def get(self, number: int) -> Proposed:
        """Raises: UnknownChange."""
        with _opened(self._dsn) as connection:
            return ledger.get(connection, number)

    def rivals(self, proposed: Proposed) -> list[Proposed]:
        """Other changes of the same item that wait: when one is approved, the others conflict."""
        if proposed.state != "waiting":
            return []
        item = (proposed.change.kind, proposed.change.xml_id)
        return [other for other in self.some("waiting", item=item) if other.id != proposed.id]

    def in_force(self, kind: Kind, xml_id: str) -> Item | None:
        """The item as it is now, approved changes included; None where there is none."""
        with _opened(self._dsn) as connection:
            return self._now(connection, kind, xml_id)

    def conflicts(self, proposed: Proposed) -> bool:
        """Whether a waiting change was made from what is no longer in force."""
        change = proposed.change
        return proposed.state == "waiting" and self.in_force(change.kind, change.xml_id) != change.before

    # What is done

    def propose(self, change: Change, reason: str, by: Person) -> Proposed:
        """Submit a change, for somebody else to decide.

        Raises: InvalidValue, ChangeConflict, MissingReference, CyclicHierarchy, what is wrong with a domain.
        """
        reason = reason.strip()
        if not 1 <= len(reason) <= ledger.LONGEST:
            fix = f"say why, in {ledger.LONGEST} characters at most"
            raise InvalidValue("a change needs its reason", fix=fix)
        if change.before == change.after:
            raise InvalidValue("the draft is as what is in force: it changes nothing", fix="change something")
        self.check(change)
        with _acting(self._dsn, prepare=True) as connection:
            self._check_base(connection, change)
            number = ledger.add(connection, change, reason, by)
            return self._recorded(connection, number, "proposed")

    def approve(self, number: int, by: Person, comment: str = "") -> Proposed:
        """Put a change in force, everywhere, now.

        Raises: UnknownChange, ChangeRefused (the author's own, or decided already), ChangeConflict,
        MissingReference, CyclicHierarchy.
        """
        with _acting(self._dsn) as connection:
            found = ledger.waiting(connection, number)
            if found.author.is_same(by):
                fix = "ask somebody else who may decide"
                raise ChangeRefused("who proposes a change does not approve it", fix=fix)
            self._check_base(connection, found.change)
            self.check(found.change)
            ledger.decide(connection, number, "approved", by, comment)
            _notify(connection)
            return self._recorded(connection, number, "approved")

    def refuse(self, number: int, by: Person, comment: str = "") -> Proposed:
        """Decide against a change. Raises: UnknownChange, ChangeRefused."""
        with _acting(self._dsn) as connection:
            ledger.waiting(connection, number)
            ledger.decide(connection, number, "refused", by, comment)
            return self._recorded(connection, number, "refused")

    def withdraw(self, number: int, by: Person) -> Proposed:
        """Take back what one has proposed oneself. Raises: UnknownChange, ChangeRefused."""
        with _acting(self._dsn) as connection:
            if not ledger.waiting(connection, number).author.is_same(by):
                raise ChangeRefused("only who proposed a change withdraws it", fix="refuse it instead")
            ledger.decide(connection, number, "withdrawn", by)
            return self._recorded(connection, number, "withdrawn")

    def check(self, change: Change) -> Policy:
        """The policy with the change, where that can be read: groups exist, the rule is a filter.

        Raises: UnknownModel, MalformedPolicy, MissingReference, CyclicHierarchy, what is wrong with a domain.
        """
        changed = with_change(self._application.policy, change)
        after = change.after
        if after is not None and change.kind != "group":
            self._application.schema.model(str(after["model"]))
            if not after["operations"] or not _OPERATIONS.issuperset(after["operations"]):
                raise InvalidValue("a rule or right is for at least one operation", fix="choose one")
            if change.kind == "rule":
                self._check_domain(after)
        return changed

    # Inside

    def _check_domain(self, rule: Item) -> None:
        """Bind the rule's domain for somebody, and read it as a filter."""
        application = self._application
        someone = next((user for user in application.directory if user.active), None)
        if someone is not None:
            model = application.schema.model(str(rule["model"]))
            context = application.access(application.actor(someone.id)).context
            domain = evaluate_domain(str(rule["domain"]), context, where="the change")
            application.lowering.lower(model, domain, application.env(None), root(model))

    def _check_base(self, connection: Connection, change: Change) -> None:
        if self._now(connection, change.kind, change.xml_id) != change.before:
            raise ChangeConflict(
                f"the {change.kind} `{change.xml_id}` has changed since this was drafted",
                fix="withdraw it, and draft it anew from what is in force now",
            )

    def _now(self, connection: Connection, kind: Kind, xml_id: str) -> Item | None:
        """What is in force by the table, which others may have written since; else what is known here."""
        found = ledger.approved(connection, kind, xml_id)
        return item_of(self._application.policy, kind, xml_id) if found is None else found.after

    def _recorded(self, connection: Connection, number: int, act: str) -> Proposed:
        found = ledger.get(connection, number)
        facts = found.as_dict()
        kept = ("id", "kind", "xml_id", "before", "after", "reason", "author", "comment")
        self._told({"act": f"change {act}", **{name: facts[name] for name in kept}})
        return found


def retire(dsn: str, kind: Kind, xml_id: str, told: Told = _untold) -> list[Proposed]:
    """Let the files alone say what an item is: its approved changes hold no longer. Returns those.

    For whoever deploys the files: what was approved is in them now, or is overruled by them. Works where the
    application cannot be opened since both disagree.
    """
    with _acting(dsn) as connection:
        found = ledger.some(connection, "approved", (kind, xml_id))
        for one in found:
            ledger.retire(connection, one.id)
        if found:
            told({"act": "change retired", "kind": kind, "xml_id": xml_id})
            _notify(connection)
        return found


def _notify(connection: Connection) -> None:
    """Let all workers look, as soon as this is committed."""
    connection.execute("SELECT pg_notify(%s, '')", (_CHANNEL,))


@contextmanager
def _opened(dsn: str) -> Iterator[Connection]:
    with connect(dsn, readonly=True, autocommit=True) as connection:
        yield connection


@contextmanager
def _acting(dsn: str, *, prepare: bool = False) -> Iterator[Connection]:
    with connect(dsn, readonly=False, autocommit=True) as connection:
        if prepare:
            migrate(connection, "policy")
        with connection.transaction():
            if ledger.is_there(connection):
                ledger.lock(connection)
            yield connection
