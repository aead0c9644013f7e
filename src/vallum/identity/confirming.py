"""Credentials once more: whoever is signed in proves to be there still, before a sensitive act.

By a password of their own, with a code where there is a second factor; by a passkey; or at a provider by
which they are known, asked for the credentials anew. Whoever proves to be somebody else confirms nothing.
Invariant: a session that was confirmed goes on under a new token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vallum.identity.account import FOREIGN, Account
from vallum.identity.authenticator import Client
from vallum.identity.base import Base
from vallum.identity.factors import Factors
from vallum.identity.sso import store as links
from vallum.identity.sso.join import password_provider
from vallum.identity.sso.providers import LdapProvider, OidcProvider, Provider, SamlProvider
from vallum.identity.steps import PASSKEY, PASSWORD

if TYPE_CHECKING:
    from vallum.identity.sign_in import SignIn

__all__ = ["Confirming", "Ways"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """How somebody can prove to be there still. `factor`: a code is asked for beside any password."""

    password: bool
    factor: bool
    providers: tuple[OidcProvider | SamlProvider, ...] = ()
    directories: tuple[LdapProvider, ...] = ()


class Confirming:
    """Makes sessions fresh. Safe to be shared by threads."""

    def __init__(self, base: Base, sign_in: SignIn, factors: Factors) -> None:
        self._base = base
        self._sign_in = sign_in
        self._factors = factors

    def ways(self, account: Account, began_at: str | None = None) -> Ways:
        """Those an account has. `began_at`: the provider that opened the session, which comes first."""
        found = sorted(self._providers(account), key=lambda one: (one.id != began_at, one.label))
        return Ways(
            password=self._has_password(account),
            factor=self._factors.has_any(account.id),
            providers=tuple(
                one
                for one in found
                if isinstance(one, SamlProvider) or (isinstance(one, OidcProvider) and one.asks_anew)
            ),
            directories=tuple(one for one in found if isinstance(one, LdapProvider)),
        )

    def password(
        self,
        token: str,
        client: Client,
        *,
        password: str | None = None,
        code: str | None = None,
        device: str | None = None,
    ) -> str | None:
        """The session under a new token, fresh for sensitive acts; None where the credentials are wrong.

        An account with a second factor shows a code as well; see `passkey` for passkeys.

        Raises: Busy, FactorRefused.
        """
        session = self._base.sessions.check(token, self._base.now())
        if session is None:
            return None
        checked = self._sign_in.check(session.login, password or "", client, device=device)
        if checked.account is None or checked.account.id != session.account_id:
            return None
        return self._shown(token, checked.account, PASSWORD, code, client)

    def directory(self, token: str, account_id: int, client: Client, *, code: str | None) -> str | None:
        """The session under a new token, now that a directory has taken this account's password.

        Raises: FactorRefused.
        """
        session = self._base.sessions.check(token, self._base.now())
        if session is None or session.account_id != account_id:
            return None
        return self._shown(token, self._base.accounts.get(account_id), "sso", code, client)

    def passkey(self, token: str, challenge: str, answer: str, client: Client) -> str | None:
        """The session under a new token, fresh, by a passkey that verifies its holder.

        Raises: LinkRefused, FactorRefused.
        """
        session = self._base.sessions.check(token, self._base.now())
        if session is None:
            return None
        account = self._factors.show_passkey(None, challenge, answer, client)
        if account.id != session.account_id:
            return None
        return self._base.sessions.refresh(token, [PASSKEY], self._base.now())

    def _shown(
        self, token: str, account: Account, method: str, code: str | None, client: Client
    ) -> str | None:
        methods = [method]
        if self._factors.has_any(account.id):
            shown = self._factors.show_code(account, code or "", client)
            if shown is None:
                return None
            methods.append(shown)
        return self._base.sessions.refresh(token, methods, self._base.now())

    def _has_password(self, account: Account) -> bool:
        if not account.local_password or (account.password_hash is None and account.source != FOREIGN):
            return False
        if account.break_glass:
            return True
        with self._base.store.transaction() as tx:
            return password_provider(tx, account.login, account.email) is None

    def _providers(self, account: Account) -> list[Provider]:
        """Those by which somebody has come in as this account; what only provisions is none."""
        with self._base.store.transaction() as tx:
            if not links.is_ready(tx):
                return []
            known = {link.provider_id for link in links.links_of(tx, account_id=account.id)}
            return [one for one in links.sound_providers(tx) if one.enabled and one.id in known]
