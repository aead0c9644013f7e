"""Administration of API keys: by administrators, or a group that may; whoever finds a leaked one may end it.

Invariant: every act is recorded, with the key's prefix and never its text.
"""

from __future__ import annotations

from vallum.identity.accounts import Account
from vallum.identity.acting import Acting
from vallum.identity.authenticator import Client
from vallum.identity.keys.keys import ApiKey, Keys, NewKey
from vallum.identity.keys.scope import Scope

__all__ = ["KeyAdministration"]


class KeyAdministration(Acting):
    """What those do who may manage keys."""

    keys: Keys

    def make_key(
        self,
        account: Account,
        name: str,
        scope: Scope,
        *,
        days: int,
        by: Account | None,
        client: Client | None = None,
    ) -> NewKey:
        """A new key of a service account. Its text is shown now and never again.

        Raises: NotPermitted, KeyRefused.
        """
        actor = self.require_keys(by)
        made = self.keys.create(account, name, scope, self.base.now(), days=days, by=actor)
        self._tell_key("key.made", made.key, actor, client)
        return made

    def rotate_key(
        self, key: ApiKey, *, days: int, by: Account | None, client: Client | None = None
    ) -> NewKey:
        """A key with the same scope in place of another, which ends after the overlap.

        Raises: NotPermitted, KeyRefused.
        """
        actor = self.require_keys(by)
        account = self.base.accounts.get(key.account_id)
        made = self.keys.rotate(key, account, self.base.now(), days=days, by=actor)
        self._tell_key("key.rotated", made.key, actor, client)
        return made

    def revoke_key(self, key: ApiKey, why: str, *, by: Account | None, client: Client | None = None) -> bool:
        """End a key at once; whether it was good until now.

        Raises: NotPermitted.
        """
        actor = self.require_keys(by)
        done = self.keys.revoke(key.id, why or "revoked", self.base.now())
        if done:
            self._tell_key("key.revoked", key, actor, client)
        return done

    def revoke_leaked(self, text: str, client: Client | None = None) -> ApiKey | None:
        """End a key that somebody has found: whoever has its text may end it. None: it is no key of ours."""
        key = self.keys.find(text.strip(), self.base.now())
        if key is not None and self.keys.revoke(key.id, "leaked", self.base.now()):
            self._tell_key("key.leaked", key, "finder", client)
        return key

    def _tell_key(self, kind: str, key: ApiKey, by: str, client: Client | None) -> None:
        self.base.record(
            kind, key.account_id, client=client, by=by, key=key.id, prefix=key.prefix, name=key.name
        )
