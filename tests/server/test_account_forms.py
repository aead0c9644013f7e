"""Forms of the pages of accounts: what waits, what is kept, and what administrators do with them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import httpx
import pytest

from tests.identity.world import GOOD
from tests.support.forms import post, sign_in, tag
from tests.support.installation import Installation


@pytest.fixture
def browser(installation: Installation) -> Iterator[httpx.Client]:
    """A browser without scripts, with cookies."""
    with installation.server.client(follow_redirects=False) as client:
        yield client


def _stale(installation: Installation, account: Any) -> None:
    """The credentials of an account's sessions were shown an hour ago."""
    installation.identity.base.store.rows(
        "UPDATE vallum.session SET fresh = fresh - interval '1 hour' WHERE account_id = %s", (account.id,)
    )


def _kept(page: httpx.Response) -> dict[str, str]:
    """The fields of the form that waits."""
    form = re.search(r'<form id="again".*?</form>', page.text, re.DOTALL)
    assert form, page.text
    found = re.findall(r'name="([^"]+)" value="([^"]*)"', form[0])
    return {name: unescape(value) for name, value in found if name != "form"}


@pytest.mark.asvs("7.5.1", "7.5.3")
def test_form_that_needs_fresh_credentials_waits_for_them(
    installation: Installation, browser: httpx.Client
) -> None:
    """Nothing is done before; then it goes on as it was sent, by a click and without a script."""
    admin = installation.person("again-admin", group="base.group_system")
    sign_in(browser, "again-admin")
    _stale(installation, admin)
    users = "/account/users"
    typed = {
        "login": "again-new",
        "name": 'Ann "Zoë" <b>',
        "email": "",
        "kind": "person",
        "password": "canary-1",
    }
    asked = post(browser, users, typed, at=users)
    assert asked.status_code == 401
    assert installation.identity.base.accounts.by_login("again-new") is None
    assert "canary-1" not in asked.text
    carried = {f"kept.{name}": value for name, value in _kept(asked).items()}
    wrong = post(browser, "/account/confirm", {**carried, "again": users, "password": "no"}, at=users)
    assert wrong.status_code == 401
    carried = {f"kept.{name}": value for name, value in _kept(wrong).items()}
    shown = post(browser, "/account/confirm", {**carried, "again": users, "password": GOOD}, at=users)
    assert shown.status_code == 200
    assert installation.identity.base.accounts.by_login("again-new") is None
    done = post(browser, users, _kept(shown), at=users)
    assert done.status_code == 303
    assert installation.identity.base.accounts.find("again-new").name == 'Ann "Zoë" <b>'


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example/account/", "/account/\\evil", "/data"]
)
def test_form_that_waits_goes_to_no_other_place(
    installation: Installation, browser: httpx.Client, target: str
) -> None:
    """Whatever was sent along: credentials that were shown lead to forms of accounts alone."""
    login = f"again-{abs(hash(target))}"
    installation.person(login)
    sign_in(browser, login)
    sent = {"again": target, "kept.x": "1", "password": GOOD}
    done = post(browser, "/account/confirm", sent, at="/account/confirm")
    assert done.status_code == 303
    assert done.headers["location"] == "/account/security"


def test_form_of_an_ended_session_is_refused_with_the_way_back(
    installation: Installation, browser: httpx.Client
) -> None:
    """Nothing is done; the page says that what was typed is kept, and where to sign in."""
    admin = installation.person("ended-admin", group="base.group_system")
    sign_in(browser, "ended-admin")
    own = tag(browser.get("/account/users"))
    installation.identity.end_sessions(admin, by=None)
    fields = {"form": own, "login": "ended-new"}
    done = browser.post("/account/users", data=fields, headers={"sec-fetch-site": "same-origin"})
    assert done.status_code == 401
    assert 'href="/account/sign-in"' in done.text
    assert installation.identity.base.accounts.by_login("ended-new") is None


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/account/users", {"login": "", "name": "typed-before", "email": "no address"}),
        ("/account/keys", {"service": "0", "name": "typed-before", "models": "x", "days": "9000"}),
        ("/account/groups", {"act": "give", "login": "nobody-here", "group": "typed-before"}),
        ("/account/requests", {"group": "typed-before", "minutes": "999999", "reason": "x"}),
    ],
)
def test_refused_form_comes_back_with_what_was_typed(
    installation: Installation, browser: httpx.Client, path: str, fields: dict[str, str]
) -> None:
    """The error above it, what helps, and every value where it was; without a script."""
    login = f"typed-{path.rpartition('/')[2]}"
    installation.person(login, group="base.group_system")
    if path.endswith("keys"):
        installation.identity.create_account("typed-robot", by=None, kind="service", user_id=4)
    sign_in(browser, login)
    done = post(browser, path, fields, at=path)
    assert done.status_code == 400
    assert 'role="alert"' in done.text
    assert 'value="typed-before"' in done.text


def test_sign_out_of_a_page_of_the_console_is_taken(
    installation: Installation, browser: httpx.Client
) -> None:
    """By the token of that page; one of another session, or none, signs nobody out."""
    installation.person("out-of-console")
    sign_in(browser, "out-of-console")
    own = {"sec-fetch-site": "same-origin"}
    found = re.search(
        r'action="/account/sign-out"><input type="hidden" name="csrf" value="([^"]+)"',
        browser.get("/me").text,
    )
    assert found
    for wrong in ("", found[1][:-4] + "AAA=", "x"):
        assert browser.post("/account/sign-out", data={"csrf": wrong}, headers=own).status_code == 403
    assert browser.post("/account/sign-out", data={"csrf": found[1]}, headers=own).status_code == 303
    assert browser.get("/me").headers["location"].startswith("/account/sign-in")


def test_all_that_is_known_about_somebody_is_theirs_as_a_file(
    installation: Installation, browser: httpx.Client
) -> None:
    """Account, sessions, devices, factors, groups, requests; and no secret."""
    account = installation.person("known-about", group="base.group_user")
    installation.identity.elevations.ask(account, "base.group_system", "to know", 5)
    sign_in(browser, "known-about")
    told = browser.get("/account/security?format=json")
    assert told.headers["content-type"].startswith("application/json")
    found = told.json()
    assert found["account"]["login"] == "known-about"
    assert len(found["sessions"]) == len(found["devices"]) == len(found["requests"]) == 1
    assert found["memberships"][0]["group"] == "base.group_user"
    assert browser.cookies["__Host-vallum"] not in told.text
    assert "argon2" not in told.text


def test_administrator_gives_groups_for_a_while_and_takes_them(
    installation: Installation, browser: httpx.Client
) -> None:
    """On the page of the group; the table and its twin tell who has it, from whom and until when."""
    installation.person("given-admin", group="base.group_system")
    installation.person("given-marie", user_id=None)
    sign_in(browser, "given-admin")
    path, group = "/account/groups", "trading.group_sale_manager"
    sent = {"act": "give", "login": "given-marie", "group": group, "for": "480"}
    assert post(browser, path, sent, at=path).status_code == 303
    [row] = browser.get(f"{path}?group={group}&format=json").json()
    assert (row["login"], row["source"], row["granted_by"]) == ("given-marie", "direct", "given-admin")
    assert row["expires"] is not None
    assert post(browser, path, {**sent, "for": "1"}, at=path).status_code == 400
    assert group in browser.get(path).text
    assert post(browser, path, {**sent, "act": "take"}, at=path).status_code == 303
    assert browser.get(f"{path}?group={group}&format=json").json() == []


def test_administrator_sees_how_far_second_factors_reach(
    installation: Installation, browser: httpx.Client
) -> None:
    """Each number leads to its people: as many as it says."""
    installation.person("cover-admin", group="base.group_system")
    installation.person("cover-hr", group="trading.group_hr_manager")
    sign_in(browser, "cover-admin")
    rows = {row["group"]: row for row in browser.get("/account/coverage?format=json").json()}
    assert rows["trading.group_hr_user"]["required"] is True
    for group, row in rows.items():
        at = f"/account/users?kind=person&state=open&factor=none&format=json&group={group or ''}"
        assert len(browser.get(at).json()) == row["none"], group
    assert rows["trading.group_hr_manager"]["none"] >= 1


def test_grant_is_approved_and_ended_before_its_time(
    installation: Installation, browser: httpx.Client
) -> None:
    """By somebody who may decide; for others there is no such form, and no such act."""
    asker = installation.person("grant-asker")
    installation.person("grant-admin", group="base.group_system")
    request = installation.identity.elevations.ask(asker, "trading.group_sale_manager", "a reason", 30)
    here = "/account/requests"
    sign_in(browser, "grant-admin")
    assert "a reason" in browser.get(here).text
    decided = post(browser, f"{here}/{request.id}/decide", {"decision": "approve"}, at=here)
    assert decided.status_code == 303
    base = installation.identity.base
    assert "trading.group_sale_manager" in {m.group for m in base.memberships.of(asker.id, base.now())}
    with installation.server.client(follow_redirects=False) as other:
        sign_in(other, "grant-asker")
        assert post(other, f"{here}/{request.id}/end", {}, at=here).status_code == 403
    assert post(browser, f"{here}/{request.id}/end", {}, at=here).status_code == 303
    assert not base.memberships.of(asker.id, base.now())
