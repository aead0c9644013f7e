"""Pages to ask for a group for a while, and to decide on what others ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from vallum.identity.errors import NotPermitted
from vallum.kernel import VallumError
from vallum.server.account.naming import group_names, number, typed_in
from vallum.server.account.web import Page
from vallum.server.http import Response

__all__ = ["PAGES"]


def overview(
    page: Page, _: int, *, error: VallumError | None = None, form: Mapping[str, str] | None = None
) -> Response:
    """One's own requests, and those one may decide on."""
    account, elevations = page.account, page.identity.elevations
    decides = elevations.may_decide(account)
    return page.show(
        "requests.html",
        status=400 if error else 200,
        error=error,
        own=elevations.some(account_id=account.id, limit=50),
        decides=decides,
        open=[r for r in elevations.some(state="asked") if r.account_id != account.id] if decides else [],
        running=elevations.running(page.now) if decides else [],
        most=page.identity.base.settings.max_elevation_minutes,
        known=group_names(page) if decides else [],
        asked=page.query.get("asked") == "1",
        typed=typed_in(form),
    )


def ask(page: Page, _: int) -> Response:
    """Ask."""
    form, account = page.form(), page.account
    try:
        page.identity.elevations.ask(
            account,
            form.get("group", "").strip()[:200],
            form.get("reason", ""),
            number(form.get("minutes", "")[:9]),
            page.request.client,
        )
    except VallumError as error:
        return overview(page, 0, error=error, form=form)
    return page.go("/account/requests?asked=1")


def decide(page: Page, which: int) -> Response:
    """Approve, or refuse."""
    form, account = page.form(), page.account
    page.require_fresh()
    page.identity.elevations.decide(
        page.identity.elevations.get(which),
        account,
        approve=form.get("decision") == "approve",
        client=page.request.client,
    )
    return page.go("/account/requests")


def end(page: Page, which: int) -> Response:
    """End what was granted before its time."""
    page.form()
    account = page.account
    page.require_fresh()
    elevations = page.identity.elevations
    if not elevations.may_decide(account):
        raise NotPermitted("this is for those who approve requests", where=account.login)
    elevations.end(elevations.get(which), by=account.login)
    return page.go("/account/requests")


PAGES: Final[dict[tuple[str, str], Callable[[Page, int], Response]]] = {
    ("GET", "/account/requests"): overview,
    ("POST", "/account/requests"): ask,
    ("POST", "/account/requests/#/decide"): decide,
    ("POST", "/account/requests/#/end"): end,
}
