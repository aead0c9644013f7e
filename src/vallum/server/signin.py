"""Who calls: passwords and keys, held against whoever knows the users, within the limits of signing in.

A proof that was accepted is remembered for as long as its verdict says, under a digest with a key of
this process; a client that sends its password with every call has it hashed once. Changes of users
and keys drop what is remembered (see `Service`).
Invariant: nothing refused is remembered, nothing that was looked at before a change is remembered after it,
and a refusal always looks the same to the client.
Invariant: passwords are counted before they are looked at: by address, and by name where nobody has
signed in with that name from that address before. Keys cannot be guessed: those refused are counted.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from http import HTTPStatus
from threading import Lock
from time import monotonic
from typing import Final

from vallum.identity import Authenticator, Client, Refusal, Verdict
from vallum.identity.accounts import login_key
from vallum.kernel import Clock
from vallum.server.limits import Counters, Rate
from vallum.server.rpc.faults import ACCESS_DENIED, RpcError

__all__ = ["SignIn", "denied", "network_of"]

_MOST: Final = 50_000
Report = Callable[[str, Client, dict[str, object]], None]


def denied(status: int = HTTPStatus.UNAUTHORIZED, what: str = "Access Denied") -> RpcError:
    """The one refusal."""
    return RpcError(what, name=ACCESS_DENIED, status=status)


def network_of(address: str) -> str:
    """What an address is counted under: itself, or the /64 of an IPv6 address, which one person has.

    >>> network_of("2001:db8::1:2:3:4"), network_of("192.0.2.7")
    ('2001:db8::/64', '192.0.2.7')
    """
    from ipaddress import ip_network

    return str(ip_network(f"{address}/64", strict=False)) if ":" in address else address


class SignIn:
    """Checks proofs. Safe to be shared by threads."""

    def __init__(
        self,
        authenticator: Authenticator,
        counters: Counters,
        rate: Rate,
        clock: Clock,
        report: Report,
    ) -> None:
        self.authenticator = authenticator
        self._counters = counters
        self._rate = rate
        self._clock = clock
        self._report = report
        self._secret = secrets.token_bytes(32)
        self._lock = Lock()
        self._remembered: OrderedDict[bytes, tuple[float, Verdict]] = OrderedDict()
        self._known: OrderedDict[bytes, None] = OrderedDict()
        # Proofs that were right once: showing them again, though they be looked at again, is no attempt.
        self._right: OrderedDict[bytes, None] = OrderedDict()

    def forget(self) -> None:
        """Drop what is remembered: users or keys have changed."""
        with self._lock:
            # A new one: what is being looked at now goes into the old one, which nobody reads any more.
            self._remembered = OrderedDict()

    def key(self, key: str, client: Client) -> Verdict:
        """The verdict on an API key, accepted.

        Raises: RpcError (401, 429), ConnectionFailed.
        """
        mark, memory = self._mark("key", key), self._remembered
        verdict = self._recall(mark)
        if verdict is None:
            verdict = self.authenticator.key(key, client)
            if not verdict.accepted:
                # Only what fails is an attempt: a key cannot be guessed, but be tried.
                self._count(client, None)
            self._settle(verdict, mark, client, memory, {"with": "key"})
        return verdict

    def password(self, login: str, password: str, client: Client, *, attempt: bool = True) -> Verdict:
        """The verdict on a password, accepted. `attempt`: counts as one even where it is remembered.

        Raises: RpcError (401, 429), ConnectionFailed.
        """
        mark, memory = self._mark("password", login, password), self._remembered
        verdict = self._recall(mark)
        if attempt or (verdict is None and mark not in self._right):
            self._count(client, login)
        if verdict is None:
            verdict = self.authenticator.password(login, password, client)
            self._settle(verdict, mark, client, memory, {"with": "password"})
            self._know(login, client)
        return verdict

    def secret(self, login: str, secret: str, client: Client, *, attempt: bool = False) -> Verdict:
        """The verdict on a password or a key, as clients of RPC send either in one place.

        Raises: RpcError (401, 429), ConnectionFailed.
        """
        mark, memory = self._mark("key", secret), self._remembered
        verdict = self._recall(mark)
        if verdict is None and self._recall(self._mark("password", login, secret)) is None:
            verdict = self.authenticator.key(secret, client)
            if verdict.refusal not in (Refusal.UNKNOWN, Refusal.WRONG):
                if not verdict.accepted:
                    self._count(client, login)
                self._settle(verdict, mark, client, memory, {"with": "key"})
        if verdict is not None and verdict.accepted:
            return verdict
        return self.password(login, secret, client, attempt=attempt)

    # What is remembered

    def _mark(self, *parts: str) -> bytes:
        text = "\0".join(f"{len(part)}:{part}" for part in parts)
        return blake2b(text.encode(errors="surrogatepass"), key=self._secret, digest_size=32).digest()

    def _recall(self, mark: bytes) -> Verdict | None:
        with self._lock:
            found = self._remembered.get(mark)
        if found is None or found[0] < monotonic():
            return None
        until = found[1].until
        return found[1] if until is None or until > self._clock.now() else None

    def _settle(
        self,
        verdict: Verdict,
        mark: bytes,
        client: Client,
        memory: OrderedDict[bytes, tuple[float, Verdict]],
        details: dict[str, object],
    ) -> None:
        """Refuse, or note an accepted proof in the memory there was when it began to be looked at."""
        if not verdict.accepted:
            with self._lock:
                self._right.pop(mark, None)
            self._report("sign-in refused", client, {**details, "reason": str(verdict.refusal)})
            if verdict.retry_after is not None:
                raise RpcError(
                    "Access Denied",
                    name=ACCESS_DENIED,
                    status=HTTPStatus.TOO_MANY_REQUESTS,
                    retry_after=verdict.retry_after,
                )
            raise denied()
        if mark not in self._right:
            self._report("signed in", client, {**details, "user": verdict.user_id, "key": verdict.key_id})
        with self._lock:
            self._right[mark] = None
            while len(self._right) > _MOST:
                self._right.popitem(last=False)
            if verdict.remember > 0:
                memory[mark] = (monotonic() + verdict.remember, verdict)
                while len(memory) > _MOST:
                    memory.popitem(last=False)

    # Attempts

    def _count(self, client: Client, login: str | None) -> None:
        counted = [f"login:address:{network_of(client.address)}"]
        if login is not None and self._mark("known", login, client.address) not in self._known:
            counted.append(f"login:name:{login_key(login)}")
        wait = self._counters.take(*((key, self._rate) for key in counted))
        if wait is not None:
            self._report("sign-in limited", client, {"retry_after": round(wait, 3)})
            raise RpcError(
                "too many attempts to sign in",
                name="werkzeug.exceptions.TooManyRequests",
                status=HTTPStatus.TOO_MANY_REQUESTS,
                fix="wait before the next one",
                retry_after=wait,
            )

    def _know(self, login: str, client: Client) -> None:
        with self._lock:
            self._known[self._mark("known", login, client.address)] = None
            while len(self._known) > _MOST:
                self._known.popitem(last=False)
