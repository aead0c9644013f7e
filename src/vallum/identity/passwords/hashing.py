"""Hash passwords with Argon2id under a pepper, and verify what others hashed before.

At most `parallel` hashes run at once, and step back for everything else (see `engine`), so that a crowd that
signs in leaves the cores to everyone else; whoever finds the queue full is told to come again.
Invariant: an unknown account costs what a wrong password costs.
Invariant: a password is hashed exactly as it was typed: neither cut nor changed (ASVS 6.2.8).
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from argon2 import PasswordHasher, Type

from vallum.identity.keyring import Keyring
from vallum.identity.passwords.engine import Engine, Here, decoded, encoded
from vallum.identity.passwords.pbkdf2 import ODOO_ROUNDS, is_pbkdf2, pbkdf2_matches, pbkdf2_spend
from vallum.identity.settings import HashSettings
from vallum.kernel import VallumError

__all__ = ["Busy", "Hasher", "Match"]

_PREFIX: Final = "vallum:"
T = TypeVar("T")


class Busy(VallumError):
    """More sign-ins at once than may wait."""

    code = "busy"


@dataclass(frozen=True, slots=True)
class Match:
    """Whether a password is the one that was hashed; `stale`: it is to be hashed anew."""

    right: bool
    stale: bool = False

    def __bool__(self) -> bool:
        raise TypeError("ask a match for `right`: it has no truth value")


class Hasher:
    """Hashes and verifies, in a pool of its own. Safe to be shared by threads."""

    def __init__(
        self, keyring: Keyring, settings: HashSettings | None = None, engine: Engine | None = None
    ) -> None:
        settings = settings or HashSettings()
        self._keyring = keyring
        self._engine = engine or Here()
        self._cost = {
            "time_cost": settings.time,
            "memory_cost": settings.memory,
            "parallelism": settings.lanes,
        }
        # Asked whether a hash is of today's cost; nothing is hashed by it.
        self._argon2 = PasswordHasher(
            settings.time, settings.memory, settings.lanes, hash_len=32, salt_len=16, type=Type.ID
        )
        self._pool = ThreadPoolExecutor(settings.parallel, "vallum-hash", initializer=self._engine.begin)
        self._places = threading.BoundedSemaphore(settings.parallel + settings.waiting)
        # Nobody's password: what an unknown account is verified against.
        self._nobody = self._run(lambda: self._hash(secrets.token_urlsafe(32)))

    def close(self) -> None:
        """End the threads, and what they hash with."""
        self._pool.shutdown(cancel_futures=True)
        self._engine.close()

    def hash(self, password: str) -> str:
        """The hash to be kept.

        Raises: Busy.
        """
        return self._run(lambda: self._hash(password))

    def verify(self, kept: str | None, password: str, *, imported: bool = False) -> Match:
        """Whether the password is the one kept; None: there is none, which costs the same.

        `imported`: hashes of others are about, so that a failure must cost what they cost.

        Raises: Busy.
        """
        return self._run(lambda: self._verify(kept, password, imported))

    def any_of(self, kept: list[str], password: str) -> bool:
        """Whether the password is one of those kept.

        Raises: Busy.
        """
        return any(self._run(partial(self._right, hashed, password)) for hashed in kept)

    def _run(self, work: Callable[[], T]) -> T:
        if not self._places.acquire(blocking=False):
            raise Busy("too many people sign in at once", fix="try again in a few seconds")
        try:
            return self._pool.submit(work).result()
        finally:
            self._places.release()

    def _hash(self, password: str) -> str:
        key_id = self._keyring.newest
        peppered = self._keyring.peppered(password, key_id)
        if peppered is None:
            raise RuntimeError("the newest secret is always there")
        return f"{_PREFIX}{key_id}:{self._ask('hash', peppered)}"

    def _verify(self, kept: str | None, password: str, imported: bool) -> Match:
        if kept is not None and is_pbkdf2(kept):
            right = pbkdf2_matches(kept, password, self._derive)
            if not right:
                self._right(self._nobody, password)
            return Match(right, stale=right)
        right = self._right(kept or self._nobody, password) and kept is not None
        if not right and imported:
            pbkdf2_spend(password, ODOO_ROUNDS, self._derive)
        return Match(right, stale=right and kept is not None and self._stale(kept))

    def _right(self, kept: str, password: str) -> bool:
        if is_pbkdf2(kept):
            return pbkdf2_matches(kept, password, self._derive)
        key_id, _, hashed = kept.removeprefix(_PREFIX).partition(":")
        peppered = self._keyring.peppered(password, key_id)
        if peppered is None:
            # Its pepper is gone: nothing can match. Spend the time all the same.
            self._ask("verify", b"", kept=self._nobody.rpartition(":")[2])
            return False
        return self._ask("verify", peppered, kept=hashed) is True

    def _ask(self, act: str, secret: bytes, **more: Any) -> Any:
        return self._engine.perform({"act": act, "secret": encoded(secret), "cost": self._cost, **more})

    def _derive(self, secret: bytes, salt: bytes, rounds: int) -> bytes:
        request = {"act": "derive", "secret": encoded(secret), "salt": encoded(salt), "rounds": rounds}
        return decoded(self._engine.perform(request))

    def _stale(self, kept: str) -> bool:
        key_id, _, hashed = kept.removeprefix(_PREFIX).partition(":")
        return key_id != self._keyring.newest or self._argon2.check_needs_rehash(hashed)
