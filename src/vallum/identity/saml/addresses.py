"""Our own addresses towards providers of SAML: each provider has its own, so that they cannot be mixed up."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Ours"]


@dataclass(frozen=True, slots=True)
class Ours:
    """Below `base`, this server's own address without a closing slash."""

    base: str

    def entity_id(self, provider_id: str) -> str:
        """Our name towards a provider, which is also where our metadata are."""
        return f"{self.base}/sso/{provider_id}/metadata"

    def acs_url(self, provider_id: str) -> str:
        """Where a provider's answers come to."""
        return f"{self.base}/sso/{provider_id}/acs"

    def logout_url(self, provider_id: str) -> str:
        """Where a provider's requests for logout come to, and its answers to ours."""
        return f"{self.base}/sso/{provider_id}/logout"
