"""Who looks at a page, from their session: the viewer that pages of the console and of accounts work with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.identity.errors import FreshSignInNeeded
from vallum.server.pages import Viewer

if TYPE_CHECKING:
    from datetime import datetime

    from vallum.identity import Identity
    from vallum.identity.sessions import Session
    from vallum.server.service import Service

__all__ = ["viewer_for"]


def viewer_for(
    identity: Identity, service: Service, session: Session, token: str, *, address: str, request_id: str
) -> Viewer:
    """The viewer of a session that was just checked; `token` is its own.

    Where policy or users cannot be read, accounts are looked after all the same: then nobody is a user.
    """
    base, now = identity.base, identity.base.now()
    account = base.accounts.get(session.account_id)
    user = service.directory.get(session.user_id or 0) if service.state is not None else None
    return Viewer(
        user_id=user.id if user is not None and user.active else 0,
        login=session.login,
        name=session.name or session.login,
        csrf=base.keyring.tag("console", token),
        administrator=identity.is_administrator(account),
        auditor=base.people.is_in(account, base.settings.auditors, now),
        approver=base.people.is_in(account, base.settings.approvers or base.settings.administrators, now),
        fresh=_fresh(identity, session, now),
        lang=user.lang if user is not None else "en_US",
        tz=user.tz if user is not None else None,
        address=address,
        request_id=request_id,
    )


def _fresh(identity: Identity, session: Session, now: datetime) -> bool:
    try:
        identity.base.sessions.require_fresh(session, now)
    except FreshSignInNeeded:
        return False
    return True
