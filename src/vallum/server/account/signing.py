"""Pages to sign in and out: password, passkey, second factor, and credentials once more."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from vallum.identity import Outcome, Refused, SignedIn
from vallum.identity.authenticator import Refusal
from vallum.identity.tickets import TicketKind
from vallum.kernel import VallumError
from vallum.server.account.again import Again
from vallum.server.account.leaving import where_to
from vallum.server.account.web import Page, local_path
from vallum.server.http import Response

__all__ = ["PAGES", "answer_to", "confirming"]

_NEXT: Final = {
    TicketKind.FACTOR: "/account/factor",
    TicketKind.RENEW: "/account/renew",
    TicketKind.ENROL: "/account/enrol",
}
# One text for every reason: a stranger learns nothing of whose account it is, or how it stands.
_REFUSED: Final = (
    "Login or password is wrong, or there were too many attempts. Check both, or wait a quarter of an hour."
)


class _Wrong(VallumError):
    """What a form says of itself."""

    code = "wrong"


def home(page: Page, _: int) -> Response:
    """Where everyone begins."""
    return page.go("/account/security" if page.session else "/account/sign-in")


def sign_in_form(page: Page, _: int) -> Response:
    """The form, whoever asks for it."""
    return _sign_in_page(page, None, "", page.query.get("next", ""))


def _sign_in_page(page: Page, error: VallumError | None, login: str, target: str) -> Response:
    return page.show(
        "sign_in.html",
        status=HTTPStatus.UNAUTHORIZED if error else HTTPStatus.OK,
        error=error,
        login=login,
        next=local_path(target),
        providers=page.providers(),
    )


def sign_in(page: Page, _: int) -> Response:
    """A login and a password."""
    form = page.form()
    outcome = page.identity.sign_in.password(
        form.get("login", "")[:300],
        form.get("password", ""),
        page.request.client,
        device=page.cookies.device,
        replaces=page.cookies.session,
    )
    if isinstance(outcome, Refused):
        error = _Wrong(_REFUSED)
        if outcome.reason is Refusal.KEY_NEEDED:
            error = _Wrong("This user has a second factor in Odoo: sign in there, or use a passkey here.")
        return _sign_in_page(page, error, form.get("login", "")[:300], form.get("next", ""))
    return answer_to(page, outcome, form.get("next", ""))


def answer_to(page: Page, outcome: Outcome, target: str = "") -> Response:
    """What follows from a step of signing in."""
    if isinstance(outcome, SignedIn):
        page.begin(outcome.token, outcome.device)
        return page.go(target or "/account/security")
    if isinstance(outcome, Refused):
        return page.show(
            "factor.html",
            status=HTTPStatus.UNAUTHORIZED,
            error=_Wrong("This code is wrong, or was used already. Give the next one."),
            choices=("totp", "passkey"),
        )
    page.wait(outcome.ticket)
    return page.go(_NEXT[outcome.kind])


def passkey_options(page: Page, _: int) -> Response:
    """What the browser asks an authenticator for: the second factor of a sign-in, or all of it."""
    wants = page.json().get("second") is True
    ticket, options = page.identity.sign_in.ask_passkey(page.cookies.step if wants else None)
    return page.data({"ticket": ticket, "options": options})


def passkey(page: Page, _: int) -> Response:
    """The authenticator's answer."""
    sent = page.json()
    ticket, answer = str(sent.get("ticket", "")), json.dumps(sent.get("answer"))
    sign_in, client = page.identity.sign_in, page.request.client
    if sent.get("second") is True:
        outcome = sign_in.second_passkey(
            page.cookies.step or "", ticket, answer, client, device=page.cookies.device
        )
    else:
        outcome = sign_in.passkey(
            ticket, answer, client, device=page.cookies.device, replaces=page.cookies.session
        )
    target = answer_to(page, outcome, local_path(str(sent.get("next", "")))).headers.get("location", "")
    return page.data({"go": target})


def factor_form(page: Page, _: int) -> Response:
    """The second factor."""
    account = page.identity.base.tickets.peek(TicketKind.FACTOR, page.cookies.step or "", page.now)
    kinds = {factor.kind for factor in page.identity.factors.of(account.account_id or 0)}
    return page.show("factor.html", error=None, choices=tuple(sorted(kinds)))


def factor(page: Page, _: int) -> Response:
    """A one-time code or a recovery code."""
    code = page.form().get("code", "")
    outcome = page.identity.sign_in.code(
        page.cookies.step or "", code, page.request.client, device=page.cookies.device
    )
    return answer_to(page, outcome)


def sign_out(page: Page, _: int) -> Response:
    """The session ends; the provider that opened it is told next."""
    page.form()
    target = where_to(page)
    if page.session is not None:
        page.identity.base.sessions.end(page.token)
        by, ended = page.session.login, page.session.account_id
        page.identity.base.record("session.ended", ended, client=page.request.client, by=by)
    page.end()
    return page.go(target)


def confirm_form(page: Page, _: int) -> Response:
    """Credentials once more, before a sensitive act."""
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
    has_factor = page.identity.factors.has_any(page.account.id)
    return page.show(
        "confirm.html",
        status=status,
        error=error,
        has_factor=has_factor,
        next=local_path(target),
        again=again,
    )


def confirm(page: Page, _: int) -> Response:
    """They are right, or not."""
    form, again = page.form(), Again.carried(page.form())
    page.account  # noqa: B018 - whoever is signed in
    token = page.identity.sign_in.confirm(
        page.token,
        page.request.client,
        password=form.get("password"),
        code=form.get("code"),
        device=page.cookies.device,
    )
    if token is None:
        wrong = _Wrong("This is not right. Try again.")
        return confirming(
            page, form.get("next", ""), again=again, error=wrong, status=HTTPStatus.UNAUTHORIZED
        )
    page.begin(token, None)
    return page.show("again.html", again=again) if again else page.go(form.get("next", ""))


def confirm_passkey(page: Page, _: int) -> Response:
    """By a passkey."""
    sent = page.json()
    token = page.identity.sign_in.confirm_passkey(
        page.token, str(sent.get("ticket", "")), json.dumps(sent.get("answer")), page.request.client
    )
    if token is None:
        raise _Wrong("this passkey is not one of yours", fix="use another, or your password")
    page.begin(token, None)
    return page.data({"go": local_path(str(sent.get("next", "")))})


PAGES: Final[dict[tuple[str, str], Callable[[Page, int], Response]]] = {
    ("GET", "/account"): home,
    ("GET", "/account/sign-in"): sign_in_form,
    ("POST", "/account/sign-in"): sign_in,
    ("POST", "/account/passkey/options"): passkey_options,
    ("POST", "/account/passkey"): passkey,
    ("GET", "/account/factor"): factor_form,
    ("POST", "/account/factor"): factor,
    ("POST", "/account/sign-out"): sign_out,
    ("GET", "/account/confirm"): confirm_form,
    ("POST", "/account/confirm"): confirm,
    ("POST", "/account/confirm/passkey"): confirm_passkey,
}
