"""What goes wrong with accounts, passwords, factors and keys.

A wrong password is no error but a verdict; these are for acts that cannot be done.
Invariant: no text holds a secret, or says of a stranger's login whether it exists.
"""

from __future__ import annotations

from typing import ClassVar

from vallum.kernel import VallumError

__all__ = [
    "AccountTaken",
    "FactorRefused",
    "FreshSignInNeeded",
    "KeyRefused",
    "LinkRefused",
    "NotPermitted",
    "PasswordRefused",
    "RequestRefused",
    "UnknownAccount",
]


class UnknownAccount(VallumError):
    """An account that does not exist."""

    code: ClassVar[str] = "unknown-account"


class AccountTaken(VallumError):
    """A login, or a user of the application, that has an account already."""

    code: ClassVar[str] = "account-taken"


class PasswordRefused(VallumError):
    """A password the policy does not allow; `faults` says why, one text each."""

    code: ClassVar[str] = "password-refused"

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("this password cannot be used: " + "; ".join(faults), fix="choose another one")
        self.faults = faults


class LinkRefused(VallumError):
    """A link or a step of signing in that is unknown, used already, or too old."""

    code: ClassVar[str] = "link-refused"


class FreshSignInNeeded(VallumError):
    """A sensitive act needs the credentials once more."""

    code: ClassVar[str] = "fresh-sign-in-needed"


class FactorRefused(VallumError):
    """A second factor that cannot be enrolled, used or removed."""

    code: ClassVar[str] = "factor-refused"


class KeyRefused(VallumError):
    """An API key that cannot be made like that."""

    code: ClassVar[str] = "key-refused"


class RequestRefused(VallumError):
    """A request for a group that cannot be made or decided like that."""

    code: ClassVar[str] = "request-refused"


class NotPermitted(VallumError):
    """An act for administrators, or for a granted group, asked for by somebody else."""

    code: ClassVar[str] = "not-permitted"
