"""What can go wrong at a sign-in elsewhere: refused, unavailable, set up wrongly.

Texts are for the person who signs in; `reason` is for the trail. Neither holds a token, a code or a claim's
value that only the provider vouches for.
"""

from __future__ import annotations

from vallum.kernel import VallumError

__all__ = ["NoSuchProvider", "ProviderMisconfigured", "ProviderUnavailable", "SignInRefused"]

AGAIN = "start the sign-in again"
ASK = "ask your administrator"


class SignInRefused(VallumError):
    """Whoever asked is not signed in. `reason`: a stable word for the trail."""

    code = "sign-in-refused"

    def __init__(
        self, what: str, *, reason: str = "refused", where: str | None = None, fix: str | None = AGAIN
    ) -> None:
        super().__init__(what, where=where, fix=fix)
        self.reason = reason


class ProviderUnavailable(VallumError):
    """An identity provider or directory does not answer; nobody is signed in by it meanwhile."""

    code = "provider-unavailable"


class ProviderMisconfigured(VallumError):
    """What a provider says of itself, or what was written down about it, cannot be right."""

    code = "provider-misconfigured"


class NoSuchProvider(VallumError):
    """No provider has this id, or it is switched off."""

    code = "no-such-provider"
