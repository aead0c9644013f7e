"""What signing in elsewhere works with, made once per worker.

The protocols are loaded when somebody first signs in by them: together they take 14 MiB of a worker.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from vallum.identity.directories import DirectoryAccounts
from vallum.identity.ldap.signin import LdapFlow
from vallum.identity.saml.keys import ServiceKey, no_keys
from vallum.server.sso.refusals import Refusals

if TYPE_CHECKING:
    from vallum.identity import Identity
    from vallum.identity.oidc.flow import OidcFlow
    from vallum.identity.saml.flow import SamlFlow
    from vallum.identity.saml.logout_flow import SamlLogout

__all__ = ["SignOn"]


class SignOn:
    """The three protocols, over the accounts of an identity. Safe to be shared by threads.

    `keys`: those of SAML, as they are now; `secrets`: the folder of those that were typed into a page.
    """

    def __init__(
        self,
        identity: Identity,
        keys: Callable[[], tuple[ServiceKey, ...]] = no_keys,
        secrets: Path = Path("provider-secrets"),
    ) -> None:
        base = identity.base
        self.identity = identity
        self.keys = keys
        self.secrets = secrets
        self.store = base.store
        self.clock = base.clock
        self.base_url = base.settings.url.rstrip("/")
        self.accounts = DirectoryAccounts(base)
        self.refusals = Refusals(base)
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

        return SamlFlow(self.store, self.accounts, self.clock, self.base_url, self.keys)

    @cached_property
    def saml_logout(self) -> SamlLogout:
        """Signing out by SAML."""
        from vallum.identity.saml.logout_flow import SamlLogout

        return SamlLogout(self.store, self.accounts, self.clock, self.base_url, self.keys)
