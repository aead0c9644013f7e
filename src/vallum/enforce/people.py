"""Policy and users as they are now, and what a transaction sees of them before it ends.

A shell: it reads again when it was told that something is another now, at the next question.
Invariant: what one transaction has changed is known to nobody else before it is committed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeAlias

from vallum.policy import Actor, ActorAccess, Directory, Policy
from vallum.postgres import Database

__all__ = ["People", "Private", "Reload", "Widen"]

Reload: TypeAlias = "Callable[[], tuple[Policy, Directory]]"
Widen: TypeAlias = "Callable[[Directory, Policy], Directory]"


class People:
    """Policy and users; `reload` reads them, where there is a way. Any number of threads may share it.

    `widen` gives users the groups that somebody else than the database knows of; `lasting` only those
    of them that do not end by themselves.
    """

    def __init__(
        self,
        database: Database,
        policy: Policy,
        directory: Directory,
        reload: Reload | None,
        widen: Widen | None = None,
        lasting: Widen | None = None,
    ) -> None:
        self._database = database
        self._reload = reload
        self._widen = widen
        self._lasting = lasting
        # As the database has them, and as they are known.
        self._found = (policy, directory)
        self._known = self._widened(policy, directory)
        self._wanted = self._read = 0
        self._lock = Lock()

    def widen(self, widen: Widen, lasting: Widen | None = None) -> None:
        """From now on, let users have more groups than the database gives them."""
        self._widen, self._lasting = widen, lasting
        self.outdate()

    def outdate(self) -> None:
        """From now on, read them before they are used."""
        with self._lock:
            self._wanted += 1

    def known(self) -> tuple[Policy, Directory]:
        """Both, read anew if they were outdated.

        Raises: ConnectionFailed, SettingsError.
        """
        wanted = self._wanted
        if self._read >= wanted:
            return self._known
        policy, directory = self._again()
        # The same policy stays the same object: what was compiled for it is kept.
        found = (self._found[0] if policy.version == self._found[0].version else policy, directory)
        known = self._widened(*found)
        with self._lock:
            # Of two threads that read at once, the one that was asked later has the last word.
            if wanted > self._read:
                self._found, self._known, self._read = found, known, wanted
            return self._known

    def _again(self) -> tuple[Policy, Directory]:
        if self._reload is None:
            return self._found
        with self._database.snapshot():
            return self._reload()

    def _widened(self, policy: Policy, directory: Directory) -> tuple[Policy, Directory]:
        return policy, directory if self._widen is None else self._widen(directory, policy)

    def apart(self) -> People:
        """The same, outdated, for one transaction alone."""
        found = People(self._database, *self._found, self._reload, self._widen, self._lasting)
        found.outdate()
        return found

    @property
    def times_read(self) -> int:
        """How often they were read anew."""
        return self._read

    @property
    def has_passing(self) -> bool:
        """Whether users may have groups that end by themselves."""
        return self._widen is not None

    def of_lasting(self) -> People:
        """The same users, without groups that end by themselves."""
        self.known()
        return People(self._database, *self._found, self._reload, self._lasting, self._lasting)


@dataclass(slots=True)
class Private:
    """What a transaction has changed so far, and what was read since: of its own, for its own eyes."""

    shared: People
    written: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    people: People | None = None
    accesses: dict[Actor, ActorAccess] = field(default_factory=dict)

    def add(self, written: frozenset[str], gone: frozenset[str], people: bool, rules: bool) -> None:
        """Note a change; `people` and `rules` say what it may concern."""
        self.written |= written
        self.gone |= gone
        if people:
            self.people = self.shared.apart()
        if rules:
            self.accesses.clear()
