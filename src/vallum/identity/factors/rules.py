"""Who needs a second factor, and until when it may be put off.

Pure. Required for nobody, for chosen groups, or for all; with days of grace from the first sign-in on.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

from vallum.identity.people import KEY_HOLDERS, matches
from vallum.identity.settings import FactorSettings

__all__ = ["Need", "is_required", "need"]


class Need(StrEnum):
    """How it stands with an account's second factor."""

    NONE = "none"  # not required, and there is none
    SHOW = "show"  # there is one: it must be shown
    GRACE = "grace"  # required, and may still be put off
    ENROL = "enrol"  # required, and no longer to be put off


def is_required(settings: FactorSettings, groups: Iterable[str], *, key_holder: bool) -> bool:
    """Whether an account with these groups needs one. `key_holder`: it may make API keys, or has some."""
    if settings.required == "optional":
        return False
    if settings.required == "all":
        return True
    return matches(groups, settings.groups) or (key_holder and KEY_HOLDERS in settings.groups)


def need(
    settings: FactorSettings, *, has_factor: bool, required: bool, deadline: datetime | None, now: datetime
) -> tuple[Need, datetime | None]:
    """How it stands, and the end of the grace: that which is set, or one that begins now."""
    if has_factor:
        return Need.SHOW, None
    if not required:
        return Need.NONE, None
    end = deadline or now + timedelta(days=settings.grace_days)
    return (Need.GRACE if now < end else Need.ENROL), end
