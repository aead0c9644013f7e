"""Who looks at a page.

Pure. A viewer is made by whoever checked the session, once a request; handlers take it from there.
Invariant: what a viewer may see is decided by the policy for their user; the two flags open only pages
*about* access, which Vallum's own settings give to administrators and auditors.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Viewer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """A signed-in person. `csrf`: the token their forms carry; `user_id`: the user of the application.

    `administrator` may look at everybody's access and change it; `auditor` may look at it, and at the trail;
    `approver` decides about changes of the policy that others propose.
    `fresh`: the session proved itself just now, so that sensitive acts need not ask again.
    """

    user_id: int
    login: str
    name: str
    csrf: str
    administrator: bool = False
    auditor: bool = False
    approver: bool = False
    fresh: bool = True
    lang: str = "en_US"
    tz: str | None = None
    address: str = ""
    request_id: str = ""

    @property
    def oversees(self) -> bool:
        """Whether they may look at everybody's access."""
        return self.administrator or self.auditor
