"""Pages for a forgotten, first or expired password, and for a second factor that must be enrolled first."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from vallum.identity.errors import PasswordRefused
from vallum.identity.tickets import TicketKind
from vallum.kernel import VallumError
from vallum.server.account.signing import answer_to
from vallum.server.account.web import Page, local_path
from vallum.server.http import Response

__all__ = ["PAGES"]


def forgotten_form(page: Page, _: int) -> Response:
    """Ask for a link."""
    return page.show("forgotten.html", sent=False)


def forgotten(page: Page, _: int) -> Response:
    """The same answer for everyone."""
    page.identity.passwords.start_reset(page.form().get("login", "")[:300], page.request.client)
    return page.show("forgotten.html", sent=True)


def reset_form(page: Page, _: int) -> Response:
    """The link's own token stands behind the `#` and is put into the form by the browser."""
    invited = page.path.endswith("invitation")
    return page.show("reset.html", error=None, invited=invited, action=page.path)


def reset(page: Page, _: int) -> Response:
    """A password chosen by a link; then one signs in as always."""
    form = page.form()
    try:
        page.identity.passwords.finish_reset(
            form.get("token", ""), form.get("password", ""), page.request.client
        )
    except PasswordRefused as error:
        return page.show(
            "reset.html",
            status=HTTPStatus.BAD_REQUEST,
            error=error,
            invited=page.path.endswith("invitation"),
            action=page.path,
        )
    return page.show("message.html", title="The password is chosen", text="Sign in with it now.", fix=None)


def strength(page: Page, _: int) -> Response:
    """How strong a password is while it is typed, and what is wrong with it."""
    sent = page.json()
    password = str(sent.get("password", ""))[:256]
    account = page.account if page.session else None
    passwords = page.identity.passwords
    return page.data(
        {
            **passwords.strength(account, password).as_dict(),
            "faults": list(passwords.faults(account, password)),
        }
    )


def renew_form(page: Page, _: int) -> Response:
    """An expired password."""
    page.identity.base.tickets.peek(TicketKind.RENEW, page.cookies.step or "", page.now)
    return page.show("renew.html", error=None, next=local_path(page.query.get("next", ""), ""))


def renew(page: Page, _: int) -> Response:
    """A new one in its place."""
    form = page.form()
    wanted = local_path(form.get("next", ""), "")
    try:
        outcome = page.identity.sign_in.renew(
            page.cookies.step or "",
            form.get("password", ""),
            page.request.client,
            device=page.cookies.device,
        )
    except PasswordRefused as error:
        return page.show("renew.html", status=HTTPStatus.BAD_REQUEST, error=error, next=wanted)
    return answer_to(page, outcome, wanted)


def enrol_form(page: Page, _: int) -> Response:
    """A second factor must be added before there is a session."""
    account = page.identity.sign_in.enrolling(page.cookies.step or "")
    new = page.identity.factors.begin_totp(account)
    return page.show("enrol.html", error=None, new=new, step=True)


def enrol_totp(page: Page, _: int) -> Response:
    """The app shows the right code."""
    form, step = page.form(), page.cookies.step or ""
    account = page.identity.sign_in.enrolling(step)
    try:
        page.identity.factors.finish_totp(
            account, form.get("ticket", ""), form.get("code", ""), page.request.client, step=step
        )
    except VallumError as error:
        new = page.identity.factors.begin_totp(account)
        return page.show("enrol.html", status=HTTPStatus.BAD_REQUEST, error=error, new=new, step=True)
    outcome = page.identity.sign_in.enrolled(step, page.request.client, device=page.cookies.device)
    return answer_to(page, outcome, "/account/recovery")


def enrol_passkey_options(page: Page, _: int) -> Response:
    """What the browser asks an authenticator for."""
    page.json()
    account = page.identity.sign_in.enrolling(page.cookies.step or "")
    ticket, options = page.identity.factors.begin_passkey(account)
    return page.data({"ticket": ticket, "options": options})


def enrol_passkey(page: Page, _: int) -> Response:
    """The authenticator's answer."""
    sent, step = page.json(), page.cookies.step or ""
    account = page.identity.sign_in.enrolling(step)
    page.identity.factors.finish_passkey(
        account, str(sent.get("ticket", "")), json.dumps(sent.get("answer")), page.request.client, step=step
    )
    outcome = page.identity.sign_in.enrolled(step, page.request.client, device=page.cookies.device)
    answer_to(page, outcome)
    return page.data({"go": "/account/recovery"})


PAGES: Final[dict[tuple[str, str], Callable[[Page, int], Response]]] = {
    ("GET", "/account/forgotten"): forgotten_form,
    ("POST", "/account/forgotten"): forgotten,
    ("GET", "/account/reset"): reset_form,
    ("POST", "/account/reset"): reset,
    ("GET", "/account/invitation"): reset_form,
    ("POST", "/account/invitation"): reset,
    ("POST", "/account/strength"): strength,
    ("GET", "/account/renew"): renew_form,
    ("POST", "/account/renew"): renew,
    ("GET", "/account/enrol"): enrol_form,
    ("POST", "/account/enrol/totp"): enrol_totp,
    ("POST", "/account/enrol/passkey/options"): enrol_passkey_options,
    ("POST", "/account/enrol/passkey"): enrol_passkey,
}
