"""What can go wrong at a sign-in elsewhere: refused, unavailable, set up wrongly.

Texts are for the person who signs in; `reason` is for the trail. Neither holds a token, a code or a claim's
value that only the provider vouches for.
Invariant: what the other side says of it, which may be anybody's text, is `said`: cleaned, bounded, for the
trail and for administrators, never for whoever signs in.
"""

from __future__ import annotations

from typing import Final

from vallum.kernel import VallumError

__all__ = ["NoSuchProvider", "ProviderMisconfigured", "ProviderUnavailable", "SignInRefused", "cleaned"]

AGAIN = "start the sign-in again"
ASK = "ask your administrator"
_LONGEST: Final = 300


def cleaned(*texts: object) -> str | None:
    r"""Somebody else's texts as one line that can be shown: bounded, without control and format characters.

    >>> cleaned("invalid_request", None, "the \x1b[31mkey\n is\u202e old")
    'invalid_request: the [31mkey is old'
    """
    found = []
    for text in texts:
        if isinstance(text, str):
            plain = "".join(c if c.isprintable() else " " * c.isspace() for c in text[: 4 * _LONGEST])
            found.append(" ".join(plain.split()))
    return ": ".join(text for text in found if text)[:_LONGEST] or None


class SignInRefused(VallumError):
    """Whoever asked is not signed in. `reason`: a stable word for the trail."""

    code = "sign-in-refused"

    def __init__(
        self,
        what: str,
        *,
        reason: str = "refused",
        where: str | None = None,
        fix: str | None = AGAIN,
        said: str | None = None,
    ) -> None:
        super().__init__(what, where=where, fix=fix)
        self.reason = reason
        self.said = said


class _Theirs(VallumError):
    """Something about a provider: written out, for those who look after it, also what it `said`."""

    def __init__(
        self, what: str, *, where: str | None = None, fix: str | None = None, said: str | None = None
    ) -> None:
        super().__init__(what, where=where, fix=fix)
        self.said = said

    def __str__(self) -> str:
        return super().__str__() + (f"; it says: {self.said}" if self.said else "")


class ProviderUnavailable(_Theirs):
    """An identity provider or directory does not answer; nobody is signed in by it meanwhile."""

    code = "provider-unavailable"


class ProviderMisconfigured(_Theirs):
    """What a provider says of itself, or what was written down about it, cannot be right."""

    code = "provider-misconfigured"


class NoSuchProvider(VallumError):
    """No provider has this id, or it is switched off."""

    code = "no-such-provider"
