"""Pages to sign in and out: password, passkey, second factor."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from vallum.identity import Outcome, Refused, SignedIn
from vallum.identity.authenticator import Refusal
from vallum.identity.tickets import TicketKind
from vallum.kernel import VallumError
from vallum.server.account.leaving import where_to
from vallum.server.account.web import Page, local_path
from vallum.server.http import Response

__all__ = ["PAGES", "Wrong", "answer_to"]

_NEXT: Final = {
    TicketKind.FACTOR: "/account/factor",
    TicketKind.RENEW: "/account/renew",
    TicketKind.ENROL: "/account/enrol",
}
# One text for every reason: a stranger learns nothing of whose account it is, or how it stands.
_REFUSED: Final = (
    "Login or password is wrong, or there were too many attempts. Check both, or wait a quarter of an hour."
)


class Wrong(VallumError):
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
        error = Wrong(_REFUSED)
        if outcome.reason is Refusal.KEY_NEEDED:
            error = Wrong("This user has a second factor in Odoo: sign in there, or use a passkey here.")
        return _sign_in_page(page, error, form.get("login", "")[:300], form.get("next", ""))
    return answer_to(page, outcome, form.get("next", ""))


def answer_to(page: Page, outcome: Outcome, target: str = "") -> Response:
    """What follows from a step of signing in."""
    if isinstance(outcome, SignedIn):
        page.begin(outcome.token, outcome.device)
        return page.go(target)
    if isinstance(outcome, Refused):
        return page.show(
            "factor.html",
            status=HTTPStatus.UNAUTHORIZED,
            error=Wrong("This code is wrong, or was used already. Give the next one."),
            choices=("totp", "passkey"),
            next=local_path(target, ""),
        )
    page.wait(outcome.ticket)
    wanted = f"?next={page.quoted(target)}" if local_path(target) != local_path("") else ""
    return page.go(f"{_NEXT[outcome.kind]}{wanted}")


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
    wanted = local_path(page.query.get("next", ""), "")
    return page.show("factor.html", error=None, choices=tuple(sorted(kinds)), next=wanted)


def factor(page: Page, _: int) -> Response:
    """A one-time code or a recovery code."""
    form = page.form()
    outcome = page.identity.sign_in.code(
        page.cookies.step or "", form.get("code", ""), page.request.client, device=page.cookies.device
    )
    return answer_to(page, outcome, local_path(form.get("next", ""), ""))


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


PAGES: Final[dict[tuple[str, str], Callable[[Page, int], Response]]] = {
    ("GET", "/account"): home,
    ("GET", "/account/sign-in"): sign_in_form,
    ("POST", "/account/sign-in"): sign_in,
    ("POST", "/account/passkey/options"): passkey_options,
    ("POST", "/account/passkey"): passkey,
    ("GET", "/account/factor"): factor_form,
    ("POST", "/account/factor"): factor,
    ("POST", "/account/sign-out"): sign_out,
}
