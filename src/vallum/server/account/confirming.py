"""Pages for credentials once more, before a sensitive act; what was sent already waits for it, and goes on.

A password, a passkey, a directory's password (`sso.confirming`), or a provider's word: there one goes in this
tab, or, where a form waits in it, in another.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from vallum.kernel import VallumError
from vallum.server.account.again import Again
from vallum.server.account.signing import Wrong
from vallum.server.account.web import Page, local_path
from vallum.server.http import Response

__all__ = ["CONFIRMED", "PAGES", "confirmed", "confirming"]

# Where one ends who has confirmed in another tab.
CONFIRMED: Final = "/account/confirmed"


def confirm_form(page: Page, _: int) -> Response:
    """What can be shown."""
    return confirming(page, page.query.get("next", ""))


def confirming(
    page: Page,
    target: str,
    *,
    again: Again | None = None,
    error: VallumError | None = None,
    status: int = HTTPStatus.OK,
) -> Response:
    """The form for that; `again`: what was sent, and waits."""
    account = page.account
    began_at = page.session.provider if page.session else None
    return page.show(
        "confirm.html",
        status=status,
        error=error,
        ways=page.identity.confirming.ways(account, began_at),
        login=account.login,
        next=local_path(target),
        again=again,
        elsewhere=CONFIRMED,
    )


def confirm(page: Page, _: int) -> Response:
    """They are right, or not."""
    form = page.form()
    page.account  # noqa: B018 - whoever is signed in
    token = page.identity.confirming.password(
        page.token,
        page.request.client,
        password=form.get("password"),
        code=form.get("code"),
        device=page.cookies.device,
    )
    return confirmed(page, token)


def confirmed(page: Page, token: str | None, error: VallumError | None = None) -> Response:
    """On to where somebody was going, under the new token; without one, the form again."""
    form, again = page.form(), Again.carried(page.form())
    if token is None:
        wrong = error or Wrong("This is not right. Try again.")
        return confirming(
            page, form.get("next", ""), again=again, error=wrong, status=HTTPStatus.UNAUTHORIZED
        )
    page.begin(token, None)
    return page.show("again.html", again=again) if again else page.go(form.get("next", ""))


def confirm_passkey(page: Page, _: int) -> Response:
    """By a passkey."""
    sent = page.json()
    token = page.identity.confirming.passkey(
        page.token, str(sent.get("ticket", "")), json.dumps(sent.get("answer")), page.request.client
    )
    if token is None:
        raise Wrong("this passkey is not one of yours", fix="use another, or your password")
    page.begin(token, None)
    return page.data({"go": local_path(str(sent.get("next", "")))})


def in_another_tab(page: Page, _: int) -> Response:
    """It was, and in the first one it goes on."""
    page.account  # noqa: B018 - whoever is signed in
    return page.show("confirmed.html")


PAGES: Final[dict[tuple[str, str], Callable[[Page, int], Response]]] = {
    ("GET", "/account/confirm"): confirm_form,
    ("POST", "/account/confirm"): confirm,
    ("POST", "/account/confirm/passkey"): confirm_passkey,
    ("GET", CONFIRMED): in_another_tab,
}
