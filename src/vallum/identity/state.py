"""How sign-in stands: numbers for whoever looks after it. One statement, no value of anybody's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from vallum.identity.base import Base

__all__ = ["SignInState", "sign_in_state"]

SOON: Final = timedelta(days=14)
LATELY: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class SignInState:
    """Active people and how many of them have a second factor; what is locked, used, asked for, ends, fails.

    `emergency`: logins of emergency accounts that were used lately; `ending`: keys that end soon.
    """

    people: int
    with_factor: int
    locked: int
    emergency: tuple[str, ...]
    keys: int
    ending: int
    requests: int
    providers: int
    unsent: int


def sign_in_state(base: Base) -> SignInState:
    """The state now. Raises: ConnectionFailed."""
    now = base.now()
    values = {"now": now, "soon": now + SOON, "lately": now - LATELY}
    ((*numbers, emergency),) = base.store.rows(_STATE, values)
    people, with_factor, locked, keys, ending, requests, providers, unsent = (int(n) for n in numbers)
    return SignInState(
        people, with_factor, locked, tuple(emergency or ()), keys, ending, requests, providers, unsent
    )


_STATE: Final = """
WITH person AS NOT MATERIALIZED (SELECT id FROM vallum.account WHERE kind = 'person' AND active),
     good AS (SELECT expires FROM vallum.api_key k JOIN vallum.account a ON a.id = k.account_id
              WHERE k.revoked IS NULL AND k.expires > %(now)s AND a.active)
SELECT (SELECT count(*) FROM person),
       (SELECT count(*) FROM person JOIN
            (SELECT account_id FROM vallum.totp UNION SELECT account_id FROM vallum.passkey) factor
            ON factor.account_id = person.id),
       (SELECT count(*) FROM vallum.attempt WHERE until > %(now)s),
       (SELECT count(*) FROM good),
       (SELECT count(*) FROM good WHERE expires < %(soon)s),
       (SELECT count(*) FROM vallum.elevation WHERE state = 'asked'),
       (SELECT count(*) FROM vallum.sso_provider),
       (SELECT count(*) FROM vallum.outbox WHERE failed > %(lately)s),
       (SELECT array_agg(login ORDER BY login) FROM vallum.account
            WHERE break_glass AND last_sign_in > %(lately)s)
"""
