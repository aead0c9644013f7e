"""Pages to ask for a group for a while, and to decide on what others ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vallum.kernel import VallumError
from vallum.server.account.web import Page
from vallum.server.http import Response

__all__ = ["PAGES"]


def overview(page: Page, _: int, *, error: VallumError | None = None) -> Response:
    """One's own requests, and those one may decide on."""
    account, elevations = page.account, page.identity.elevations
    settings = page.identity.base.settings
    decides = page.identity.base.people.is_in(
        account, settings.approvers or settings.administrators, page.now
    )
    return page.show(
        "requests.html",
        status=400 if error else 200,
        error=error,
        own=elevations.some(account_id=account.id, limit=50),
        open=[r for r in elevations.some(state="asked") if r.account_id != account.id] if decides else [],
        most=settings.max_elevation_minutes,
    )


def ask(page: Page, _: int) -> Response:
    """Ask."""
    form, account = page.form(), page.account
    minutes = form.get("minutes", "")
    try:
        page.identity.elevations.ask(
            account,
            form.get("group", "").strip()[:200],
            form.get("reason", ""),
            int(minutes) if minutes.isdecimal() and len(minutes) < 9 else 0,
            page.request.client,
        )
    except VallumError as error:
        return overview(page, 0, error=error)
    return page.go("/account/requests")


def decide(page: Page, number: int) -> Response:
    """Approve, or refuse."""
    form, account = page.form(), page.account
    page.require_fresh()
    page.identity.elevations.decide(
        page.identity.elevations.get(number),
        account,
        approve=form.get("decision") == "approve",
        client=page.request.client,
    )
    return page.go("/account/requests")


PAGES: Final[dict[tuple[str, str], Callable[[Page, int], Response]]] = {
    ("GET", "/account/requests"): overview,
    ("POST", "/account/requests"): ask,
    ("POST", "/account/requests/#/decide"): decide,
}
