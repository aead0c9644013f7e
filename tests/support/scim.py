"""A directory that provisions: requests in, answers out, without a web server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from tests.support.sso_accounts import PlainAccounts
from vallum.identity.scim.http import MEDIA_TYPE, Request, Response, ScimHttp
from vallum.identity.scim.service import ScimService
from vallum.kernel import FixedClock
from vallum.postgres import Database

__all__ = ["BASE", "ENTERPRISE", "GROUP", "PATCH", "USER", "Directory"]

BASE = "https://vallum.example/scim/v2"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


@dataclass
class Directory:
    """One directory, as its client sees the service."""

    store: Database
    accounts: PlainAccounts
    clock: FixedClock
    name: str = "corp"

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        """One request."""
        service = ScimService(self.store, self.accounts, self.clock, self.name, BASE)
        parts = urlsplit(path)
        content = body if isinstance(body, bytes) else msgspec.json.encode(body) if body is not None else b""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request(
            method, parts.path, parse_qsl(parts.query), {"content-type": MEDIA_TYPE, **named}, content
        )
        return ScimHttp(service, BASE).handle(request)

    def body(self, method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        """What one request that works answers."""
        answer = self.ask(method, path, body, **headers)
        assert answer.status < 300, answer
        return answer.body or {}

    def add(self, login: str, **more: Any) -> dict[str, Any]:
        """Somebody."""
        return self.body("POST", "/Users", {"schemas": [USER], "userName": login, **more})

    def group(self, name: str, *members: str) -> dict[str, Any]:
        """A group."""
        said = [{"value": member} for member in members]
        return self.body("POST", "/Groups", {"schemas": [GROUP], "displayName": name, "members": said})

    def patch(self, path: str, *operations: dict[str, Any]) -> Response:
        """Some changes."""
        return self.ask("PATCH", path, {"schemas": [PATCH], "Operations": list(operations)})

    def account(self, login: str) -> tuple[int, bool]:
        """Its id and whether it is active."""
        rows = self.store.rows("SELECT id, active FROM plain_account WHERE login = %s", (login,))
        return rows[0][0], rows[0][1]

    def groups(self, login: str) -> set[str]:
        """The groups that follow for somebody."""
        with self.store.transaction() as tx:
            return set(self.accounts.groups(tx, self.account(login)[0], self.name))
