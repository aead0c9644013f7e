"""What the server remembers of proofs, and counts of attempts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vallum.identity import Client, Verdict
from vallum.identity.authenticator import Refusal
from vallum.kernel import SystemClock
from vallum.server.limits import MemoryCounters, Rate
from vallum.server.rpc.faults import RpcError
from vallum.server.signin import SignIn

CLIENT = Client(address="192.0.2.10")


class _Keys:
    """Knows one key, until it is revoked; `while_asked` happens while it looks."""

    def __init__(self) -> None:
        self.good = True
        self.while_asked: Callable[[], None] = lambda: None

    def key(self, key: str, client: Client) -> Verdict:
        """As an Odoo's keys: accepted ones are remembered for a while."""
        verdict = Verdict.of(7, remember=300.0) if self.good else Verdict.refused(Refusal.UNKNOWN)
        self.while_asked()
        return verdict

    def password(self, login: str, password: str, client: Client) -> Verdict:
        """Never right."""
        return Verdict.refused(Refusal.WRONG)


def _signin(keys: _Keys, rate: Rate) -> SignIn:
    clock = SystemClock()
    return SignIn(keys, MemoryCounters(clock), rate, clock, lambda *_: None)


def test_key_revoked_while_it_was_looked_at_is_not_remembered() -> None:
    """What was said before the revocation is worth nothing after it."""
    keys = _Keys()
    signin = _signin(keys, Rate(60_000, 1_000))

    def revoked() -> None:
        keys.good, keys.while_asked = False, lambda: None
        signin.forget()

    keys.while_asked = revoked
    signin.key("secret", CLIENT)
    with pytest.raises(RpcError):
        signin.key("secret", CLIENT)


def test_guesses_at_one_name_are_counted_however_it_is_written() -> None:
    """From many addresses, in capitals and with spaces: the name is the same."""
    signin = _signin(_Keys(), Rate(1, 3))
    statuses = []
    for number, login in enumerate(["marie", "MARIE", " marie ", "Marie", "mArie"]):
        with pytest.raises(RpcError) as refused:
            signin.password(login, "guess", Client(address=f"198.51.100.{number}"))
        statuses.append(refused.value.status)
    assert statuses == [401, 401, 401, 429, 429]
