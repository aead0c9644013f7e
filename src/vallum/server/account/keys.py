"""Pages for those who manage API keys. A key that leaked may be ended by anyone who is signed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vallum.identity.errors import NotPermitted
from vallum.identity.keys.scope import Scope
from vallum.kernel import VallumError
from vallum.server.account.web import Page
from vallum.server.http import Response

__all__ = ["PAGES"]


def overview(page: Page, _: int, *, error: VallumError | None = None, made: str | None = None) -> Response:
    """The keys there are; one that was just made is shown once."""
    account = page.account
    if not page.identity.may_manage_keys(account):
        raise NotPermitted("keys are for administrators, and for those in a group that may")
    services = page.identity.base.accounts.some(kind="service", limit=1000)
    return page.show(
        "keys.html",
        status=400 if error else 200,
        error=error,
        made=made,
        keys=page.identity.keys.some(),
        services=services,
        now=page.now,
    )


def create(page: Page, _: int) -> Response:
    """Make one."""
    form, account = page.form(), page.account
    page.require_fresh()
    try:
        scope = Scope.parse(
            form.get("models", "").split(),
            [name for name in ("read", "write", "create", "unlink") if form.get(f"may_{name}")],
            form.get("addresses", "").split(),
            int(form["rate"]) if form.get("rate", "").isdecimal() else None,
        )
        service = page.identity.base.accounts.get(_number(form.get("service", "")))
        made = page.identity.make_key(
            service,
            form.get("name", "")[:200],
            scope,
            days=_number(form.get("days", "")),
            by=account,
            client=page.request.client,
        )
    except NotPermitted:
        raise
    except VallumError as error:
        return overview(page, 0, error=error)
    return overview(page, 0, made=made.text)


def rotate(page: Page, number: int) -> Response:
    """A new one in its place."""
    page.form()
    account = page.account
    page.require_fresh()
    key = page.identity.keys.get(number)
    days = page.identity.base.settings.keys.max_days
    made = page.identity.rotate_key(key, days=days, by=account, client=page.request.client)
    return overview(page, 0, made=made.text)


def revoke(page: Page, number: int) -> Response:
    """End one at once."""
    page.form()
    account = page.account
    page.identity.revoke_key(
        page.identity.keys.get(number), "revoked", by=account, client=page.request.client
    )
    return page.go("/account/keys")


def leaked_form(page: Page, _: int) -> Response:
    """Paste a key that was found somewhere."""
    page.account  # noqa: B018 - whoever is signed in
    return page.show("leaked.html", found=None)


def leaked(page: Page, _: int) -> Response:
    """It ends at once."""
    form = page.form()
    page.account  # noqa: B018
    key = page.identity.revoke_leaked(form.get("key", ""), page.request.client)
    return page.show("leaked.html", found=key is not None)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 18 else 0


PAGES: Final[dict[tuple[str, str], Callable[[Page, int], Response]]] = {
    ("GET", "/account/keys"): overview,
    ("POST", "/account/keys"): create,
    ("POST", "/account/keys/#/rotate"): rotate,
    ("POST", "/account/keys/#/revoke"): revoke,
    ("GET", "/account/leaked"): leaked_form,
    ("POST", "/account/leaked"): leaked,
}
