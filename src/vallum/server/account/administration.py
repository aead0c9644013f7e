"""Pages for administrators: accounts, their groups, sessions and factors. No page here knows a password."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vallum.identity.errors import NotPermitted
from vallum.kernel import VallumError
from vallum.server.account.web import Page
from vallum.server.http import Response

__all__ = ["PAGES"]

_PAGE = 50


def users(page: Page, _: int, *, error: VallumError | None = None) -> Response:
    """Accounts, and a form for a new one."""
    page.require_administrator()
    text, after = page.query.get("q", "")[:100], page.query.get("after", "")
    found = page.identity.base.accounts.some(
        text, after=int(after) if after.isdecimal() and len(after) < 18 else 0, limit=_PAGE + 1
    )
    more = found[_PAGE - 1].id if len(found) > _PAGE else None
    return page.show(
        "users.html", status=400 if error else 200, error=error, users=found[:_PAGE], text=text, more=more
    )


def create(page: Page, _: int) -> Response:
    """A new account; a person is sent an invitation."""
    form, by = page.form(), page.require_administrator()
    page.require_fresh()
    user_id = form.get("user_id", "")
    try:
        made = page.identity.create_account(
            form.get("login", "")[:254],
            by=by,
            name=form.get("name", "")[:200] or None,
            email=form.get("email") or None,
            user_id=int(user_id) if user_id.isdecimal() and len(user_id) < 10 else None,
            kind="service" if form.get("kind") == "service" else "person",
        )
    except NotPermitted:
        raise
    except VallumError as error:
        return users(page, 0, error=error)
    return page.go(f"/account/users/{made.id}")


def user(page: Page, number: int, *, error: VallumError | None = None, note: str | None = None) -> Response:
    """One account."""
    page.require_administrator()
    base, found = page.identity.base, page.identity.base.accounts.get(number)
    return page.show(
        "user.html",
        status=400 if error else 200,
        error=error,
        note=note,
        user=found,
        memberships=base.memberships.of(found.id, page.now),
        groups=sorted(base.people.groups(found, page.now)),
        factors=page.identity.factors.of(found.id),
        sessions=base.sessions.of(found.id, page.now),
        keys=page.identity.keys.some(found.id),
    )


def act(page: Page, number: int) -> Response:
    """One of the things an administrator does with an account."""
    form, by = page.form(), page.require_administrator()
    page.require_fresh()
    identity, found = page.identity, page.identity.base.accounts.get(number)
    note = ""
    try:
        match form.get("act"):
            case "deactivate":
                identity.deactivate(found, by=by)
            case "activate":
                identity.activate(found, by=by)
            case "end-sessions":
                note = f"{identity.end_sessions(found, by=by)} sessions ended."
            case "reset":
                identity.start_reset(found, by=by)
                note = f"A link is on its way to {found.email}."
            case "give-group":
                identity.give_group(found, form.get("group", "").strip()[:200], by=by)
            case "take-group":
                identity.take_group(found, form.get("group", ""), by=by)
            case "remove-factor":
                factor = form.get("factor", "")
                identity.remove_factor(
                    found, form.get("kind", ""), int(factor) if factor.isdecimal() else 0, by=by
                )
            case _:
                note = "Nothing was chosen."
    except NotPermitted:
        raise
    except VallumError as error:
        return user(page, number, error=error)
    return user(page, number, note=note) if note else page.go(f"/account/users/{number}")


PAGES: Final[dict[tuple[str, str], Callable[[Page, int], Response]]] = {
    ("GET", "/account/users"): users,
    ("POST", "/account/users"): create,
    ("GET", "/account/users/#"): user,
    ("POST", "/account/users/#"): act,
}
