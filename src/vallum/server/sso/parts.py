"""What signing in elsewhere works with, made once per worker.

The protocols are loaded when somebody first signs in by them: together they take 14 MiB of a worker.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from vallum.identity.directories import DirectoryAccounts
from vallum.identity.ldap.signin import LdapFlow

if TYPE_CHECKING:
    from vallum.identity import Identity
    from vallum.identity.oidc.flow import OidcFlow
    from vallum.identity.saml.flow import SamlFlow

__all__ = ["SignOn"]


class SignOn:
    """The three protocols, over the accounts of an identity. Safe to be shared by threads."""

    def __init__(self, identity: Identity) -> None:
        base = identity.base
        self.identity = identity
        self.store = base.store
        self.clock = base.clock
        self.base_url = base.settings.url.rstrip("/")
        self.accounts = DirectoryAccounts(base)
        self.ldap = LdapFlow(self.store, self.accounts, self.clock)

    @cached_property
    def oidc(self) -> OidcFlow:
        """OpenID Connect."""
        from vallum.identity.oidc.flow import OidcFlow

        return OidcFlow(self.store, self.accounts, self.clock, self.base_url)

    @cached_property
    def saml(self) -> SamlFlow:
        """SAML 2.0."""
        from vallum.identity.saml.flow import SamlFlow

        return SamlFlow(self.store, self.accounts, self.clock, self.base_url)
