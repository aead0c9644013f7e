"""Pages for administrators: accounts, their groups, sessions and factors. No page here knows a password."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from vallum.identity import Account
from vallum.identity.errors import NotPermitted
from vallum.identity.search import AccountQuery, find_accounts
from vallum.kernel import VallumError
from vallum.server.account.naming import LENGTHS, SESSIONS, among, end_of, group_names, number, typed_in
from vallum.server.account.web import Page
from vallum.server.http import Response
from vallum.server.pages import Download, twin

__all__ = ["PAGES"]

_PAGE: Final = 50
_MOST: Final = 10_000
_CHOICES: Final = {
    "kind": ("person", "service"),
    "state": ("open", "shut", "break-glass"),
    "factor": ("none", "app", "passkey"),
}


def users(
    page: Page, _: int, *, error: VallumError | None = None, form: Mapping[str, str] | None = None
) -> Response:
    """Accounts, and a form for a new one."""
    page.require_administrator()
    of_user = number(page.query.get("user", ""))
    if of_user and form is None:
        known = page.identity.base.accounts.by_user(of_user)
        if known is not None:
            return page.go(f"/account/users/{known.id}")
        form = _for_user(page, of_user)
    asked, group = _asked(page)
    after = number(page.query.get("after", ""))
    store = page.identity.base.store
    limit = _MOST if page.query.get("format") else _PAGE + 1
    found = find_accounts(store, asked, after=after, limit=limit)
    if isinstance(made := twin(page.visit, "accounts", [one.as_dict() for one in found]), Download):
        return page.file(made)
    more = len(found) > _PAGE
    return page.show(
        "users.html",
        status=400 if error else 200,
        error=error,
        users=found[:_PAGE],
        asked={
            "text": asked.text,
            "kind": asked.kind,
            "state": asked.state,
            "factor": asked.factor,
            "group": group,
        },
        # With a text they come in another order, of which there is no next page: a longer text is better.
        more=found[_PAGE - 1].id if more and not asked.text else None,
        cut=more,
        typed=typed_in(form),
    )


def _asked(page: Page) -> tuple[AccountQuery, str]:
    """What the address asks for, and the group it names."""
    query = page.query
    chosen: dict[str, Any] = {
        name: query[name] for name, among_them in _CHOICES.items() if query.get(name) in among_them
    }
    group = query.get("group", "")[:200]
    members = among(page, [group])[group] if group else None
    return AccountQuery(text=query.get("q", "").strip()[:100], among=members, **chosen), group


def _for_user(page: Page, user_id: int) -> Mapping[str, str] | None:
    """A form for a user of the application that has no account yet."""
    user = page.service.directory.get(user_id) if page.service.state is not None else None
    return {"login": user.login, "name": user.name, "user_id": str(user.id)} if user is not None else None


def create(page: Page, _: int) -> Response:
    """A new account; a person is sent an invitation."""
    form, by = page.form(), page.require_administrator()
    page.require_fresh()
    try:
        made = page.identity.create_account(
            form.get("login", "")[:254],
            by=by,
            name=form.get("name", "")[:200] or None,
            email=form.get("email") or None,
            user_id=_user_id(form),
            kind="service" if form.get("kind") == "service" else "person",
        )
    except NotPermitted:
        raise
    except VallumError as error:
        return users(page, 0, error=error, form=form)
    return page.go(f"/account/users/{made.id}?made=1")


def user(
    page: Page,
    which: int,
    *,
    error: VallumError | None = None,
    said: str = "",
    form: Mapping[str, str] | None = None,
) -> Response:
    """One account."""
    page.require_administrator()
    base, found = page.identity.base, page.identity.base.accounts.get(which)
    made = page.query.get("made") == "1"
    if made and not said:
        invited = f" {base.notices.on_its_way(found, 'An invitation')}." if found.email else ""
        said = f"The account is made.{invited}"
    stands, deadline = page.identity.sign_in.need(found, page.now)
    return page.show(
        "user.html",
        status=400 if error else 200,
        error=error,
        said=said,
        saved="account" if made else f"give-{found.id}" if said else "",
        user=found,
        stands=stands.value,
        deadline=deadline,
        memberships=base.memberships.of(found.id, page.now),
        groups=sorted(base.people.groups(found, page.now)),
        known=group_names(page),
        lengths=LENGTHS,
        factors=page.identity.factors.of(found.id),
        sessions=base.signed_in(found.id, most=SESSIONS + 1),
        shown=SESSIONS,
        keys=page.identity.keys.some(found.id),
        now=page.now,
        typed=typed_in(form),
    )


def act(page: Page, which: int) -> Response:
    """One of the things an administrator does with an account."""
    form, by = page.form(), page.require_administrator()
    page.require_fresh()
    found = page.identity.base.accounts.get(which)
    done = _ACTS.get(form.get("act", ""))
    if done is None:
        return user(page, which, said="Nothing was chosen.")
    try:
        said = done(page, found, form, by)
    except NotPermitted:
        raise
    except VallumError as error:
        return user(page, which, error=error, form=form)
    return user(page, which, said=said)


def _change(page: Page, found: Account, form: Mapping[str, str], by: Account) -> str:
    page.identity.change_account(
        found,
        by=by,
        name=form.get("name", "").strip()[:200] or None,
        email=form.get("email", ""),
        user_id=_user_id(form),
    )
    return "Saved."


def _deactivate(page: Page, found: Account, _: Mapping[str, str], by: Account) -> str:
    ended = page.identity.deactivate(found, by=by)
    return f"The account is shut; sessions ended: {ended}. Its keys and half-done steps have ended too."


def _activate(page: Page, found: Account, _: Mapping[str, str], by: Account) -> str:
    page.identity.activate(found, by=by)
    return "The account is open again. Sessions and keys that ended stay so."


def _end_sessions(page: Page, found: Account, _: Mapping[str, str], by: Account) -> str:
    return f"Sessions ended: {page.identity.end_sessions(found, by=by)}."


def _end_session(page: Page, found: Account, form: Mapping[str, str], by: Account) -> str:
    kind = form.get("kind", "browser")
    ended = page.identity.end_session(found, number(form.get("session", "")), by=by, kind=kind)
    return "The session has ended." if ended else "It had ended already."


def _reset(page: Page, found: Account, _: Mapping[str, str], by: Account) -> str:
    page.identity.start_reset(found, by=by)
    return f"{page.identity.base.notices.on_its_way(found, 'A link')}."


def _give(page: Page, found: Account, form: Mapping[str, str], by: Account) -> str:
    end = end_of(form.get("for", ""), page.now)
    page.identity.give_group(found, form.get("group", "").strip()[:200], by=by, expires=end)
    return "Given."


def _take(page: Page, found: Account, form: Mapping[str, str], by: Account) -> str:
    return "Taken." if page.identity.take_group(found, form.get("group", ""), by=by) else "It was not given."


def _remove_factor(page: Page, found: Account, form: Mapping[str, str], by: Account) -> str:
    page.identity.remove_factor(found, form.get("kind", ""), number(form.get("factor", "")), by=by)
    return "The factor is removed, the sessions have ended, and the holder is told."


def _user_id(form: Mapping[str, str]) -> int | None:
    given = form.get("user_id", "")
    return number(given) if len(given) < 10 and number(given) else None


_Act = Callable[[Page, Account, Mapping[str, str], Account], str]
_ACTS: Final[dict[str, _Act]] = {
    "change": _change,
    "deactivate": _deactivate,
    "activate": _activate,
    "end-sessions": _end_sessions,
    "end-session": _end_session,
    "reset": _reset,
    "give-group": _give,
    "take-group": _take,
    "remove-factor": _remove_factor,
}
PAGES: Final[dict[tuple[str, str], Callable[[Page, int], Response]]] = {
    ("GET", "/account/users"): users,
    ("POST", "/account/users"): create,
    ("GET", "/account/users/#"): user,
    ("POST", "/account/users/#"): act,
}
