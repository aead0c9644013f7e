"""Pages for those who manage API keys. A key that leaked may be ended by anyone who is signed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from vallum.identity import Account
from vallum.identity.errors import NotPermitted
from vallum.identity.keys.scope import Scope
from vallum.identity.search import AccountQuery, find_accounts
from vallum.kernel import VallumError
from vallum.server.account.naming import number, typed_in
from vallum.server.account.web import Page
from vallum.server.http import Response
from vallum.server.pages import Download, twin

__all__ = ["PAGES"]

_SOON: Final = timedelta(days=14)


def overview(
    page: Page,
    _: int,
    *,
    error: VallumError | None = None,
    made: str | None = None,
    form: Mapping[str, str] | None = None,
) -> Response:
    """The keys there are; one that was just made is shown once."""
    if not page.identity.may_manage_keys(page.account):
        raise NotPermitted("keys are for administrators, and for those in a group that may")
    keys = page.identity.keys.some()
    if isinstance(found := twin(page.visit, "keys", [key.as_dict() for key in keys]), Download):
        return page.file(found)
    good = [key for key in keys if key.is_good(page.now)]
    return page.show(
        "keys.html",
        status=400 if error else 200,
        error=error,
        made=made,
        keys=keys,
        good=len(good),
        ending=sum(key.expires - page.now <= _SOON for key in good),
        unused=sum(key.used is None for key in good),
        services=_services(page),
        most_days=page.identity.base.settings.keys.max_days,
        now=page.now,
        typed=typed_in(form),
    )


def _services(page: Page) -> list[Account]:
    query = AccountQuery(kind="service", state="open")
    return find_accounts(page.identity.base.store, query, limit=1000)


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
        service = page.identity.base.accounts.get(number(form.get("service", "")))
        made = page.identity.make_key(
            service,
            form.get("name", "")[:200],
            scope,
            days=number(form.get("days", "")),
            by=account,
            client=page.request.client,
        )
    except NotPermitted:
        raise
    except VallumError as error:
        return overview(page, 0, error=error, form=form)
    return overview(page, 0, made=made.text)


def rotate(page: Page, which: int) -> Response:
    """A new one in its place."""
    page.form()
    account = page.account
    page.require_fresh()
    key = page.identity.keys.get(which)
    days = page.identity.base.settings.keys.max_days
    made = page.identity.rotate_key(key, days=days, by=account, client=page.request.client)
    return overview(page, 0, made=made.text)


def revoke(page: Page, which: int) -> Response:
    """End one at once."""
    page.form()
    account = page.account
    page.identity.revoke_key(page.identity.keys.get(which), "revoked", by=account, client=page.request.client)
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


PAGES: Final[dict[tuple[str, str], Callable[[Page, int], Response]]] = {
    ("GET", "/account/keys"): overview,
    ("POST", "/account/keys"): create,
    ("POST", "/account/keys/#/rotate"): rotate,
    ("POST", "/account/keys/#/revoke"): revoke,
    ("GET", "/account/leaked"): leaked_form,
    ("POST", "/account/leaked"): leaked,
}
