"""Sign-ins elsewhere that failed, told to the trail: each of the first, and of more in a minute their number.

Whoever likes can make them, from as many addresses as they have: nobody is to fill the trail
thereby. Passwords of directories have a share of their own, so that noise of another kind hides no guessing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Final

from vallum.identity.authenticator import Client
from vallum.identity.sso.errors import cleaned

if TYPE_CHECKING:
    from vallum.identity import Account
    from vallum.identity.base import Base
    from vallum.kernel import VallumError

__all__ = ["MOST", "Refusals"]

# Of each kind, in each worker, a minute.
MOST: Final = 60
_MINUTE: Final = timedelta(minutes=1)
_KIND: Final = "sso.refused"


@dataclass(slots=True)
class _Minute:
    """What a minute has brought: how many were told, and why the others were refused."""

    began: datetime
    told: int = 0
    untold: Counter[str] = field(default_factory=Counter)


class Refusals:
    """Tells them. Safe to be shared by threads."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._lock = Lock()
        self._minutes: dict[str, _Minute] = {}

    def tell(
        self,
        error: VallumError,
        client: Client,
        provider_id: str,
        *,
        account: Account | None = None,
        kind: str = "answer",
    ) -> None:
        """Tell one, or count it. Raises: as the trail does."""
        reason = getattr(error, "reason", error.code)
        with self._lock:
            minute, over = self._minute(kind)
            if minute.told < MOST:
                minute.told += 1
            else:
                minute.untold[reason] += 1
                reason = ""
        self._tell_over(over)
        if reason:
            said = cleaned(getattr(error, "said", None))
            more = {"said": said} if said else {}
            self._base.record(_KIND, account, client=client, by=provider_id, reason=reason, **more)

    def flush(self, *, end: bool = False) -> None:
        """Tell of the minutes that are over; at the end, of all. To be called now and then.

        Raises: as the trail does.
        """
        with self._lock:
            now = self._base.now()
            over = [kind for kind, minute in self._minutes.items() if end or now - minute.began >= _MINUTE]
            found = [self._minutes.pop(kind).untold for kind in over]
        for untold in found:
            self._tell_over(untold)

    def _minute(self, kind: str) -> tuple[_Minute, Counter[str]]:
        """The present one, and what is still to be told of the one before."""
        now, found = self._base.now(), self._minutes.get(kind)
        if found is not None and timedelta(0) <= now - found.began < _MINUTE:
            return found, Counter()
        self._minutes[kind] = begun = _Minute(now)
        return begun, found.untold if found is not None else Counter()

    def _tell_over(self, untold: Counter[str]) -> None:
        if untold:
            reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(untold.items()))
            self._base.record(_KIND, None, reason="many", count=untold.total(), reasons=reasons)
