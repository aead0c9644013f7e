"""Pages of one's own account: password, sessions, devices, second factors, recovery codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from vallum.identity.errors import PasswordRefused
from vallum.kernel import VallumError
from vallum.server.account.naming import SESSIONS
from vallum.server.account.web import Page
from vallum.server.http import Response
from vallum.server.pages import Download, as_json

__all__ = ["PAGES"]


def overview(page: Page, _: int, *, error: VallumError | None = None) -> Response:
    """Everything there is; as a file too, for whoever wants to know what is kept about them."""
    account, base, factors = page.account, page.identity.base, page.identity.factors
    memberships = base.memberships.of(account.id, page.now)
    as_file = page.query.get("format") == "json" and error is None
    known: dict[str, list[Any]] = {
        "sessions": base.signed_in(account.id, most=None if as_file else SESSIONS + 1),
        "devices": base.devices.of(account.id, page.now),
        "factors": factors.of(account.id),
        "keys": page.identity.keys.some(account.id),
    }
    if as_file:
        told = {
            "account": account.as_dict(),
            **{name: [one.as_dict() for one in some] for name, some in known.items()},
            "recovery_codes_left": factors.recovery_left(account.id),
            "groups": sorted(base.people.groups(account, page.now)),
            "memberships": [one.as_dict() for one in memberships],
            "requests": [one.as_dict() for one in page.identity.elevations.some(account_id=account.id)],
        }
        return page.file(Download(as_json(told), "application/json", "my-account.json"))
    stands, deadline = page.identity.sign_in.need(account, page.now)
    return page.show(
        "security.html",
        status=HTTPStatus.BAD_REQUEST if error else HTTPStatus.OK,
        error=error,
        own=account,
        session=page.session,
        shown=SESSIONS,
        **known,
        recovery_left=factors.recovery_left(account.id),
        groups=sorted(base.people.groups(account, page.now)),
        given=[one for one in memberships if one.expires],
        stands=stands.value,
        deadline=deadline,
        may_keys=page.identity.may_manage_keys(account),
    )


def password(page: Page, _: int) -> Response:
    """Change the password; all other sessions end."""
    form, account = page.form(), page.account
    try:
        page.identity.passwords.change(
            account,
            form.get("current", ""),
            form.get("password", ""),
            page.request.client,
            session=page.token,
        )
    except PasswordRefused as error:
        return overview(page, 0, error=error)
    return page.go("/account/security")


def end_session(page: Page, number: int) -> Response:
    """End one of the sessions, of a browser or of a program."""
    kind = page.form().get("kind", "browser")
    account, base = page.account, page.identity.base
    page.require_fresh()
    if base.end_session(account.id, kind, number):
        base.record("session.ended", account, client=page.request.client, session_kind=kind)
    return page.go("/account/security")


def end_sessions(page: Page, _: int) -> Response:
    """End all sessions but this one."""
    page.form()
    account = page.account
    page.require_fresh()
    ended = page.identity.base.sessions.end_all(account.id, keep=page.token)
    page.identity.base.record("session.all-ended", account, client=page.request.client, sessions=ended)
    return page.go("/account/security")


def forget_device(page: Page, number: int) -> Response:
    """Know a device no longer."""
    page.form()
    account = page.account
    page.require_fresh()
    page.identity.base.devices.forget(account.id, number)
    return page.go("/account/security")


def totp_form(page: Page, _: int, *, error: VallumError | None = None) -> Response:
    """Add an authenticator app, or a passkey."""
    account = page.account
    page.require_fresh()
    new = page.identity.factors.begin_totp(account)
    status = HTTPStatus.BAD_REQUEST if error else HTTPStatus.OK
    return page.show("enrol.html", status=status, error=error, new=new, step=False)


def totp(page: Page, _: int) -> Response:
    """The app shows the right code."""
    form, account = page.form(), page.account
    page.require_fresh()
    try:
        page.identity.factors.finish_totp(
            account,
            form.get("ticket", ""),
            form.get("code", ""),
            page.request.client,
            name=form.get("name", "")[:100],
        )
    except VallumError as error:
        return totp_form(page, 0, error=error)
    return _after_factor(page, form.get("others") == "end")


def passkey_options(page: Page, _: int) -> Response:
    """What the browser asks an authenticator for."""
    page.json()
    account = page.account
    page.require_fresh()
    ticket, options = page.identity.factors.begin_passkey(account)
    return page.data({"ticket": ticket, "options": options})


def passkey(page: Page, _: int) -> Response:
    """The authenticator's answer."""
    sent, account = page.json(), page.account
    page.require_fresh()
    page.identity.factors.finish_passkey(
        account,
        str(sent.get("ticket", "")),
        json.dumps(sent.get("answer")),
        page.request.client,
        name=str(sent.get("name", ""))[:100],
    )
    return page.data({"go": "/account/recovery" if not _has_recovery(page) else "/account/security"})


def remove_factor(page: Page, number: int) -> Response:
    """Remove a factor; the other sessions end if one says so."""
    form, account = page.form(), page.account
    page.require_fresh()
    page.identity.factors.remove(account, form.get("kind", ""), number, page.request.client)
    if form.get("others") == "end":
        page.identity.base.sessions.end_all(account.id, keep=page.token)
    return page.go("/account/security")


def recovery_form(page: Page, _: int) -> Response:
    """Recovery codes: how many are left, and new ones."""
    account = page.account
    return page.show("recovery.html", codes=(), left=page.identity.factors.recovery_left(account.id))


def recovery(page: Page, _: int) -> Response:
    """New codes, shown once."""
    page.form()
    account = page.account
    page.require_fresh()
    codes = page.identity.factors.new_recovery_codes(account, page.request.client)
    return page.show("recovery.html", codes=tuple(codes), left=len(codes))


def _has_recovery(page: Page) -> bool:
    return page.identity.factors.recovery_left(page.account.id) > 0


def _after_factor(page: Page, end_others: bool) -> Response:
    if end_others:
        page.identity.base.sessions.end_all(page.account.id, keep=page.token)
    return page.go("/account/security" if _has_recovery(page) else "/account/recovery")


PAGES: Final[dict[tuple[str, str], Callable[[Page, int], Response]]] = {
    ("GET", "/account/security"): overview,
    ("POST", "/account/password"): password,
    ("POST", "/account/sessions/#/end"): end_session,
    ("POST", "/account/sessions/end"): end_sessions,
    ("POST", "/account/devices/#/forget"): forget_device,
    ("GET", "/account/factors/add"): totp_form,
    ("POST", "/account/factors/totp"): totp,
    ("POST", "/account/factors/passkey/options"): passkey_options,
    ("POST", "/account/factors/passkey"): passkey,
    ("POST", "/account/factors/#/remove"): remove_factor,
    ("GET", "/account/recovery"): recovery_form,
    ("POST", "/account/recovery"): recovery,
}
