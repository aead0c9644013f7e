"""What the server asks of whoever knows the users: is this password, or this key, somebody's?

Pure: a protocol and the values it is spoken in. A refusal is a value; an error while deciding is
raised, and whoever asked denies.
Invariant: a verdict holds no secret, and a refusal tells its reason to the log, never to the client.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol, Self

from vallum.kernel import Operation, covered

__all__ = ["Authenticator", "Client", "Refusal", "Verdict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Where a request comes from. `address`: the client's own, behind trusted proxies."""

    address: str
    user_agent: str = ""
    request_id: str = ""


class Refusal(StrEnum):
    """Why a proof was refused. For logs and counters."""

    UNKNOWN = "unknown"  # no such user or key
    WRONG = "wrong"  # the password is not theirs
    INACTIVE = "inactive"  # the user is archived
    EXPIRED = "expired"  # the key, or the password
    LOCKED = "locked"  # too many attempts
    KEY_NEEDED = "key-needed"  # a user with a second factor, who must use a key
    FACTOR_NEEDED = "factor-needed"  # the password is right, a second factor is missing
    SCOPE = "scope"  # a key for something else
    ADDRESS = "address"  # not from here


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a proof: accepted for a user, or refused.

    `key_id`: the key that was shown, None for a password. `key_models` (`sale.*`: all whose name begins
    so), `key_operations`: what the key is restricted to (None: nothing beyond the user's own rights); ask
    `covers`. `key_rate`: its requests a minute (None: as for all). `until`: when the proof ends to hold (UTC,
    aware). `remember`: seconds for which the same proof need not be asked about again.
    """

    user_id: int | None = None
    refusal: Refusal | None = None
    key_id: int | None = None
    key_models: frozenset[str] | None = None
    key_operations: frozenset[Operation] | None = None
    key_rate: int | None = None
    until: datetime | None = None
    remember: float = 0.0
    retry_after: float | None = None

    def __post_init__(self) -> None:
        if (self.user_id is None) == (self.refusal is None):
            raise ValueError("a verdict is either for a user or a refusal")

    def __bool__(self) -> bool:
        raise TypeError("ask a verdict for `accepted`: it has no truth value")

    @property
    def accepted(self) -> bool:
        """Whether the proof is a user's."""
        return self.refusal is None

    def covers(self, model: str, operation: Operation) -> bool:
        """Whether the key that was shown, if one was, is for that.

        >>> Verdict.of(7, key_models=frozenset({"sale.*"})).covers("sale.order", Operation.READ)
        True
        """
        if self.key_operations is not None and operation not in self.key_operations:
            return False
        return self.key_models is None or covered(model, self.key_models)

    @classmethod
    def of(
        cls,
        user_id: int,
        *,
        key_id: int | None = None,
        key_models: frozenset[str] | None = None,
        key_operations: frozenset[Operation] | None = None,
        key_rate: int | None = None,
        until: datetime | None = None,
        remember: float = 0.0,
    ) -> Self:
        """Accepted: the proof is this user's."""
        return cls(
            user_id=user_id,
            key_id=key_id,
            key_models=key_models,
            key_operations=key_operations,
            key_rate=key_rate,
            until=until,
            remember=remember,
        )

    @classmethod
    def refused(cls, reason: Refusal, *, retry_after: float | None = None) -> Self:
        """Refused. `retry_after`: seconds until it is worth another attempt, where that is known."""
        return cls(refusal=reason, retry_after=retry_after)


class Authenticator(Protocol):
    """Knows the users of an application. Safe to be shared by threads.

    Both methods take the same time for an unknown name as for a wrong secret, refuse an empty secret,
    and raise ConnectionFailed where the users cannot be read.
    """

    def password(self, login: str, password: str, client: Client) -> Verdict:
        """Whether this is the password of the user with that login."""

    def key(self, key: str, client: Client) -> Verdict:
        """Whether this is an API key, and whose."""
