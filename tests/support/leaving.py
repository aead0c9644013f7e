"""Somebody with everything an account can have, over a running server; and what is left of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import httpx

from tests.identity.world import GOOD
from tests.support.sign_on import Federation
from vallum.identity import Account, Client
from vallum.identity.keys.scope import Scope
from vallum.identity.sso.store import Link, link
from vallum.identity.tickets import TicketKind

__all__ = ["Member"]

_CLIENT = Client(address="127.0.0.1")
# A salesperson of the example company, who is one member's at a time.
USER_ID: Final = 6


@dataclass
class Member:
    """A person with sessions, a half-done step and a password, and their program with a key.

    `token`: of the browser's session; `rpc`: a client with a session of RPC.
    """

    federation: Federation
    account: Account
    program: Account
    token: str
    key: str
    rpc: httpx.Client = field(repr=False)

    @classmethod
    def joins(
        cls,
        federation: Federation,
        login: str,
        *,
        provider: str | None = None,
        sid: str | None = None,
        models: Sequence[str] = ("res.partner",),
    ) -> Member:
        """Somebody new, who is in by each way there is. `provider`, `sid`: where the session comes from."""
        base = federation.identity.base
        account = base.accounts.create(
            login, base.now(), email=f"{login}@example.com", user_id=USER_ID, source=provider or "direct"
        )
        federation.identity.passwords.replace(account, GOOD, _CLIENT)
        program = base.accounts.create(f"{login}-program", base.now(), user_id=USER_ID, kind="service")
        scope = Scope.parse(models, ["read"])
        key = federation.identity.make_key(program, "export", scope, days=30, by=None).text
        with base.store.transaction() as tx:
            token = base.sessions.start(
                tx, account.id, _CLIENT, ["sso"], base.now(), provider=provider, provider_session=sid
            )
        rpc = federation.server.client()
        member = cls(federation, account, program, token, key, rpc)
        answer = member._signed_in(rpc)
        assert answer["result"]["uid"] == USER_ID, answer
        member.half_done_step(provider, sid)
        return member

    def half_done_step(self, provider: str | None = None, sid: str | None = None) -> str:
        """A second factor that is awaited, as after the provider's word."""
        base = self.federation.identity.base
        data = {"provider": provider, "provider_session": sid} if provider else {}
        return base.tickets.issue(TicketKind.FACTOR, self.account.id, timedelta(minutes=5), base.now(), data)

    def linked(self, provider: str, issuer: str, subject: str, *, program: str | None = None) -> None:
        """Whom the directory calls so, it says; `program`: who their program is there."""
        base = self.federation.identity.base
        with base.store.transaction() as tx:
            link(tx, Link(provider, issuer, subject, self.account.id), base.now())
            if program is not None:
                link(tx, Link(provider, issuer, program, self.program.id), base.now())

    def ways_in(self) -> set[str]:
        """By which of their proofs the very next request is let in."""
        found: set[str] = set()
        server = self.federation.server
        with server.client(headers={"cookie": f"__Host-vallum={self.token}"}) as browser:
            page = browser.get("/account/security")
            if page.status_code == 200 and self.account.login in page.text:
                found.add("session")
            else:
                assert page.headers["location"].startswith("/account/sign-in")
        with server.client(headers={"authorization": f"Bearer {self.key}"}) as program:
            answer = program.post("/json/2/res.partner/search_count", json={"domain": []})
            assert answer.status_code in (200, 401), answer.text
            if answer.status_code == 200:
                found.add("key")
        counting = {"model": "res.partner", "method": "search_count", "args": [[]], "kwargs": {}}
        answered = self._call(self.rpc, "/web/dataset/call_kw", counting)
        if "result" in answered:
            found.add("session of RPC")
        with server.client() as client:
            if "result" in self._signed_in(client):
                found.add("password")
        if self.federation.rows("SELECT 1 FROM vallum.ticket WHERE account_id = %s", self.account.id):
            found.add("half-done step")
        return found

    def count(self, model: str) -> int:
        """How many records the key shows."""
        with self.federation.server.client(headers={"authorization": f"Bearer {self.key}"}) as program:
            return int(program.post(f"/json/2/{model}/search_count", json={"domain": []}).json())

    def _signed_in(self, client: httpx.Client) -> Any:
        given = {"db": self.federation.server.database, "login": self.account.login, "password": GOOD}
        return self._call(client, "/web/session/authenticate", given)

    @staticmethod
    def _call(client: httpx.Client, path: str, params: dict[str, Any]) -> Any:
        return client.post(path, json={"jsonrpc": "2.0", "method": "call", "params": params, "id": 1}).json()

    def close(self) -> None:
        """Make room for the next one."""
        self.rpc.close()
        self.federation.rows(
            "UPDATE vallum.account SET user_id = NULL WHERE id = ANY(%s)", [self.account.id, self.program.id]
        )
