"""Errors of changing a policy. Pure."""

from __future__ import annotations

from vallum.kernel import VallumError

__all__ = ["ChangeConflict", "ChangeRefused", "UnknownChange"]


class ChangeRefused(VallumError):
    """A change that this person may not decide, or that cannot be decided any more."""

    code = "change-refused"


class ChangeConflict(VallumError):
    """What a change was made from is no longer what is in force."""

    code = "change-conflict"


class UnknownChange(VallumError):
    """No change has that number."""

    code = "unknown-change"
