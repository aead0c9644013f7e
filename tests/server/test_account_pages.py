"""Pages of accounts over a real server: who is let in, what forged requests get, what strangers learn."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from time import sleep
from typing import Any

import httpx
import pyotp
import pytest

from tests.identity.world import GOOD
from tests.support.forms import post, sign_in, tag
from tests.support.installation import FENCED, Installation
from vallum.identity.keys.scope import Scope
from vallum.postgres import Database

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def browser(installation: Installation) -> Iterator[httpx.Client]:
    """A browser without scripts, with cookies."""
    with installation.server.client(follow_redirects=False) as client:
        yield client


def test_person_signs_in_sees_the_account_and_signs_out(
    installation: Installation, browser: httpx.Client
) -> None:
    """And then there is no way back."""
    installation.person("page-marie", user_id=3)
    done = sign_in(browser, "page-marie")
    assert (done.status_code, done.headers["location"]) == (303, "/account/security")
    page = browser.get("/account/security")
    assert page.status_code == 200
    assert "page-marie@example.com" in page.text
    assert "trading.group_sale_salesman" in page.text
    assert post(browser, "/account/sign-out", {}, at="/account/security").status_code == 303
    again = browser.get("/account/security")
    assert again.headers["location"].startswith("/account/sign-in")


@pytest.mark.asvs("6.3.8")
def test_refusals_of_unknown_wrong_and_shut_are_the_same_to_the_byte(
    installation: Installation, browser: httpx.Client
) -> None:
    """Status, headers and body, but for what changes with every answer."""
    installation.person("same-1")
    gone = installation.person("same-2")
    installation.identity.deactivate(gone, by=None)

    def seen(login: str, password: str) -> tuple[int, list[str], str]:
        answer = sign_in(browser, login, password)
        return (
            answer.status_code,
            sorted(name for name in answer.headers if name != "set-cookie"),
            answer.text.replace(login, "LOGIN"),
        )

    answers = [seen("same-1", "wrong-horse-battery"), seen("nobody", GOOD), seen("same-2", GOOD)]
    assert answers[0][0] == 401
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.asvs("3.4.2", "3.4.3", "3.4.4", "3.4.5", "3.4.6", "3.3.1", "3.3.4")
def test_pages_run_no_script_but_our_own(installation: Installation, browser: httpx.Client) -> None:
    """Headers, cookies, and no inline script or style in any page."""
    installation.person("page-head", group="base.group_system")
    sign_in(browser, "page-head")
    for path in (
        "/account/sign-in",
        "/account/security",
        "/account/users",
        "/account/keys",
        "/account/requests",
    ):
        page = browser.get(path, headers={"origin": "https://evil.example"})
        assert page.status_code == 200, path
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert not [name for name in page.headers if name.startswith("access-control")]
        assert page.headers["cache-control"] == "no-store"
        assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=|javascript:", page.text)
    for line in browser.get("/account/sign-in").headers.get_list("set-cookie"):
        assert line.startswith("__Host-")
        assert "HttpOnly" in line
        assert "Secure" in line


@pytest.mark.asvs("3.5.1", "3.5.2", "3.5.3", "7.6.2")
@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "same-origin", "origin": "https://evil.example"},
        {},
    ],
)
@pytest.mark.attacks("web: CSRF", "web: login CSRF")
def test_form_from_elsewhere_is_refused(
    installation: Installation, browser: httpx.Client, headers: dict[str, str]
) -> None:
    """With the right tag and cookies even; signing somebody in from elsewhere included."""
    carried = tag(browser.get("/account/sign-in"))
    fields = {"form": carried, "login": "x", "password": "y"}
    assert browser.post("/account/sign-in", data=fields, headers=headers).status_code == 403


@pytest.mark.parametrize("sent", ["", "0" * 64, "own"])
@pytest.mark.attacks("web: CSRF", "web: login CSRF")
def test_form_without_the_tag_of_the_browser_is_refused(
    installation: Installation, browser: httpx.Client, sent: str
) -> None:
    """A tag that was made for somebody else is none."""
    with installation.server.client() as other:
        foreign = tag(other.get("/account/sign-in"))
    browser.get("/account/sign-in")
    done = browser.post(
        "/account/sign-in",
        data={"form": foreign if sent == "own" else sent, "login": "x", "password": "y"},
        headers={"sec-fetch-site": "same-origin"},
    )
    assert done.status_code == 403


@pytest.mark.parametrize(
    "path", ["/account/sign-out", "/account/password", "/account/users", "/account/sessions/end"]
)
@pytest.mark.attacks("web: CSRF")
def test_nothing_is_changed_by_a_get(installation: Installation, browser: httpx.Client, path: str) -> None:
    """An image on a foreign page does nothing."""
    installation.person(f"page-get-{abs(hash(path))}")
    sign_in(browser, f"page-get-{abs(hash(path))}")
    assert browser.get(path).status_code in (403, 405)
    assert browser.get("/account/security").status_code == 200


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "/\tevil",
        "javascript:alert(1)",
        "/a//evil.example",
        "/%0d%0aset-cookie:x=y\r\nx",
        "@evil.example",
        "",
        "account",
        "/account@evil.example\\",
    ],
)
@pytest.mark.asvs("3.7.2")
@pytest.mark.attacks("web: open redirect")
def test_nobody_is_sent_elsewhere(installation: Installation, browser: httpx.Client, target: str) -> None:
    """Whatever a link says to go on to."""
    login = f"go-{abs(hash(target))}"
    installation.person(login)
    done = sign_in(browser, login, next=target)
    assert done.status_code == 303
    assert re.fullmatch(r"/[a-z][A-Za-z0-9/_\-.%?=&]*", done.headers["location"])


@pytest.mark.attacks("web: Host of a reset link")
def test_link_of_a_reset_does_not_follow_a_foreign_host(installation: Installation) -> None:
    """The server answers to its own names only; a forged one gets nothing."""
    with installation.server.client() as client:
        for headers in ({"host": "evil.example"}, {"x-forwarded-host": "evil.example"}):
            answer = client.get("/account/forgotten", headers=headers)
            assert "evil.example" not in answer.text
            assert answer.status_code in (421, 200)
            assert (answer.status_code == 200) is ("host" not in headers)


@pytest.mark.asvs("6.3.2", "7.2.4")
def test_cookie_before_the_second_factor_is_no_session(
    installation: Installation, browser: httpx.Client
) -> None:
    """The password alone shows nothing; the code opens a session under a new token."""
    from vallum.identity import Client

    account = installation.person("page-two")
    factors, now = installation.identity.factors, installation.identity.base.now
    new = factors.begin_totp(account)
    app = pyotp.TOTP(new.secret)
    factors.finish_totp(account, new.ticket, app.at(now()), Client(address="192.0.2.1"))
    done = sign_in(browser, "page-two")
    assert done.headers["location"] == "/account/factor"
    step = browser.cookies["__Host-vallum-step"]
    assert "__Host-vallum" not in browser.cookies
    assert browser.get("/account/security").headers["location"].startswith("/account/sign-in")
    with installation.server.client(cookies={"__Host-vallum": step}) as thief:
        assert thief.get("/account/security").status_code == 303
    wrong = post(browser, "/account/factor", {"code": "000000"}, at="/account/factor")
    assert wrong.status_code == 401
    right = post(
        browser, "/account/factor", {"code": app.at(now() + timedelta(seconds=30))}, at="/account/factor"
    )
    assert right.headers["location"] == "/account/security"
    assert browser.cookies["__Host-vallum"] != step


def test_page_that_was_wanted_opens_after_the_second_factor(
    installation: Installation, browser: httpx.Client
) -> None:
    """It is carried through the steps, and leads to no other place."""
    from vallum.identity import Client

    account = installation.person("page-wanted")
    factors, now = installation.identity.factors, installation.identity.base.now
    new = factors.begin_totp(account)
    app = pyotp.TOTP(new.secret)
    factors.finish_totp(account, new.ticket, app.at(now()), Client(address="192.0.2.1"))
    codes = factors.new_recovery_codes(account, Client(address="192.0.2.1"))
    for code, wanted, target in (
        (codes[0], "/account/requests", "/account/requests"),
        (codes[1], "//evil.example", "/account/security"),
    ):
        location = sign_in(browser, "page-wanted", next=wanted).headers["location"]
        page = browser.get(location)
        wrong = post(browser, "/account/factor", {"code": "000000", "next": wanted}, at=location)
        assert wrong.status_code == 401
        shown = re.search(r'name="next" value="([^"]*)"', page.text)
        assert shown is not None
        done = post(browser, "/account/factor", {"code": code, "next": shown[1]}, at=location)
        assert done.headers["location"] == target


@pytest.mark.asvs("8.2.1", "8.2.2", "8.3.1")
@pytest.mark.parametrize("path", ["/account/users", "/account/users/1", "/account/keys"])
def test_pages_of_administrators_are_for_them(
    installation: Installation, browser: httpx.Client, path: str
) -> None:
    """Hidden in the menu, and refused at the door; for strangers there is only the sign-in."""
    login = f"page-plain-{path.count('/')}{len(path)}"
    installation.person(login)
    assert browser.get(path).headers["location"].startswith("/account/sign-in")
    sign_in(browser, login)
    assert 'href="/account/users"' not in browser.get("/account/security").text
    assert browser.get(path).status_code == 403


def test_administrator_looks_after_accounts(installation: Installation, browser: httpx.Client) -> None:
    """Make, give a group, end sessions, shut; each shows at once."""
    installation.person("page-admin", group="base.group_system")
    sign_in(browser, "page-admin")
    users = "/account/users"
    made = post(browser, users, {"login": "page-new", "kind": "person"}, at=users)
    assert made.status_code == 303
    here = made.headers["location"]
    post(browser, here, {"act": "give-group", "group": "base.group_user"}, at=here)
    assert "base.group_user" in browser.get(here).text
    assert "no mail address" in post(browser, here, {"act": "reset"}, at=here).text
    post(browser, here, {"act": "deactivate"}, at=here)
    assert "shut" in browser.get(here).text
    assert "page-new" in browser.get(users + "?q=PAGE-NEW").text
    assert post(browser, users, {"login": "page-new"}, at=users).status_code == 400


def test_key_is_made_shown_once_and_works_within_its_scope(
    installation: Installation, browser: httpx.Client
) -> None:
    """On the page and then over the API; a write is refused, and after revoking everything."""
    installation.person("page-keys", group="base.group_system")
    installation.identity.create_account("page-robot", by=None, kind="service", user_id=4)
    service = installation.identity.base.accounts.find("page-robot")
    sign_in(browser, "page-keys")
    fields = {"service": str(service.id), "name": "sync", "models": "crm.lead", "may_read": "1", "days": "30"}
    page = post(browser, "/account/keys", fields, at="/account/keys")
    found = re.search(r'id="made">(vlm_[^<]+)<', page.text)
    assert found
    key = found[1]
    assert key not in browser.get("/account/keys").text
    with installation.server.client(headers={"authorization": f"Bearer {key}"}) as program:
        assert program.post("/json/2/crm.lead/search", json={"domain": []}).status_code == 200
        assert program.post("/json/2/res.partner/search", json={"domain": []}).status_code == 403
        assert program.post("/json/2/crm.lead/create", json={"vals_list": [{}]}).status_code == 403
        leaked = post(browser, "/account/leaked", {"key": key}, at="/account/leaked")
        assert "revoked" in leaked.text
        assert program.post("/json/2/crm.lead/search", json={"domain": []}).status_code == 401
    assert key not in installation.server.log.read_text()


def test_password_of_an_account_works_over_the_api_until_it_is_shut(installation: Installation) -> None:
    """By JSON-RPC, as Odoo's clients speak it; refused at the next call."""
    account = installation.person("diego", user_id=6)
    with installation.server.client() as client:
        database = installation.server.database
        found = installation.server.rpc(client, "common", "login", database, "diego", GOOD)
        assert found["result"] == 6
        args: tuple[Any, ...] = (database, 6, GOOD, "crm.lead", "search", [[]])
        assert "result" in installation.server.rpc(client, "object", "execute_kw", *args)
        installation.identity.deactivate(account, by=None)
        assert "error" in installation.server.rpc(client, "object", "execute_kw", *args)


@pytest.mark.parametrize("name", ["their-own-name", "THEIR-own-name"])
def test_account_called_otherwise_than_its_user_signs_in_over_the_api(
    installation: Installation, name: str
) -> None:
    """By the name of the account, which is the one that goes with the password; the user's is nobody's."""
    if installation.identity.base.accounts.by_login(name) is None:
        installation.person("their-own-name", user_id=9)
    user = 9
    database = installation.server.database

    def ask(client: httpx.Client, service: str, method: str, *args: Any) -> Any:
        return installation.server.rpc(client, service, method, database, *args)

    with installation.server.client() as client:
        assert ask(client, "common", "authenticate", name, GOOD, {})["result"] == user
        assert ask(client, "common", "authenticate", name, "wrong-horse-battery", {})["result"] is False
        call: tuple[Any, ...] = ("crm.lead", "search", [[]])
        assert "result" in ask(client, "object", "execute_kw", user, GOOD, *call)
        assert "error" in ask(client, "object", "execute_kw", user, "wrong-horse-battery", *call)
        assert "error" in ask(client, "object", "execute_kw", 6, GOOD, *call)


def test_key_signs_in_under_the_names_of_its_user_alone(
    installation: Installation, browser: httpx.Client
) -> None:
    """The user's own, or an account's that is tied to it; any other one is refused."""
    service, headers = _key(installation, "named-service", 10)
    key = headers["authorization"].removeprefix("Bearer ")
    database = installation.server.database
    with installation.server.client() as client:

        def sign_in(name: str) -> object:
            return installation.server.rpc(client, "common", "authenticate", database, name, key, {})[
                "result"
            ]

        assert sign_in("named-service") == service.user_id
        assert sign_in("admin") is False
        assert sign_in("nobody") is False


def _key(installation: Installation, login: str, user_id: int) -> tuple[Any, dict[str, str]]:
    identity = installation.identity
    service = identity.create_account(login, by=None, kind="service", user_id=user_id)
    made = identity.make_key(service, "test", Scope.parse(["crm.*"], ["read"]), days=1, by=None)
    return service, {"authorization": f"Bearer {made.text}"}


@pytest.mark.asvs("8.3.2")
def test_group_that_is_given_and_taken_holds_soon(installation: Installation) -> None:
    """In the running server, without anyone starting anything anew."""
    service, headers = _key(installation, "page-lead", 3)
    with installation.server.client(headers=headers) as program:

        def count() -> int:
            return int(program.post("/json/2/crm.lead/search_count", json={"domain": []}).json())

        def becomes(wanted: Callable[[int], bool]) -> bool:
            for _ in range(600):
                if wanted(count()):
                    return True
                sleep(0.1)
            return False

        own = count()
        installation.identity.give_group(service, "trading.group_sale_manager", by=None)
        assert becomes(lambda found: found > own)
        installation.identity.take_group(service, "trading.group_sale_manager", by=None)
        assert becomes(lambda found: found == own), (
            own,
            count(),
            installation.identity.base.memberships.of(service.id, installation.identity.base.now()),
        )


@pytest.mark.slow
@pytest.mark.asvs("8.3.2")
def test_group_given_and_taken_while_users_are_read_does_not_stay(
    installation: Installation, company: str
) -> None:
    """Another change has everything read anew, at all moments of that: nothing undone since is kept."""
    service, headers = _key(installation, "page-moment", 3)
    with installation.server.client(headers=headers) as program, Database(company, readonly=False) as owner:

        def becomes(wanted: Callable[[int], bool]) -> bool:
            for _ in range(60):
                answer = program.post("/json/2/crm.lead/search_count", json={"domain": []})
                if wanted(int(answer.json())):
                    return True
                sleep(0.1)
            return False

        own = int(program.post("/json/2/crm.lead/search_count", json={"domain": []}).json())
        for turn in range(12):
            owner.rows("UPDATE res_groups SET name = name WHERE id = (SELECT min(id) FROM res_groups)")
            sleep(turn * 0.05)
            installation.identity.give_group(service, "trading.group_sale_manager", by=None)
            becomes(lambda found: found > own)
            installation.identity.take_group(service, "trading.group_sale_manager", by=None)
            assert becomes(lambda found: found == own), turn


@pytest.mark.asvs("8.4.1")
def test_companies_are_kept_apart(installation: Installation) -> None:
    """A user of one company sees nothing of another, even by naming it."""
    _, headers = _key(installation, "page-company", 7)
    with installation.server.client(headers=headers) as program:
        ask = {"domain": [], "fields": ["company_id"]}
        found = program.post("/json/2/crm.lead/search_read", json=ask).json()
        assert {record["company_id"][0] for record in found if record["company_id"]} == {2}
        foreign = {**ask, "context": {"allowed_company_ids": [1]}}
        assert program.post("/json/2/crm.lead/search_read", json=foreign).status_code == 403


@pytest.mark.asvs("16.2.5")
def test_secrets_are_in_no_log(installation: Installation, browser: httpx.Client) -> None:
    """Neither password, nor token, cookie, tag or link."""
    installation.person("page-log")
    sign_in(browser, "page-log")
    sign_in(browser, "page-log", "a-canary-never-seen")
    browser.get("/account/reset?token=canary-in-query")
    log = installation.server.log.read_text()
    secrets = [GOOD, "a-canary-never-seen", "canary-in-query", *browser.cookies.values()]
    assert not [secret for secret in secrets if secret and secret in log]


@pytest.mark.parametrize(
    "path",
    [
        "/account/nothing",
        "/account/users/0",
        "/account/users/99999999999999999999",
        "/account/static/../web.py",
        "/account/static/account.css",
    ],
)
def test_paths_that_are_not_there_are_not_there(
    installation: Installation, browser: httpx.Client, path: str
) -> None:
    """Quietly."""
    assert browser.get(path).status_code in (303, 403, 404)


def test_broken_forms_are_refused_quietly(installation: Installation, browser: httpx.Client) -> None:
    """No answer of 500, whatever is sent."""
    carried = tag(browser.get("/account/sign-in"))
    own = {"sec-fetch-site": "same-origin"}
    for body in (
        b"",
        b"\xff\xfe",
        b"a=1&" * 5000,
        f"form={carried}&form={carried}".encode(),
        f"form={carried}&login=%ff%00".encode(),
    ):
        done = browser.post("/account/sign-in", content=body, headers={**own, **FORM})
        assert done.status_code in (401, 403), body[:40]
    for path in (
        "/account/passkey",
        "/account/strength",
        "/account/passkey/options",
        "/account/enrol/passkey",
    ):
        for body in (
            b"",
            b"[]",
            b'{"ticket": [1], "answer": {"id": 7}}',
            b'{"password": {"x": 1}}',
            b"{" * 100_000,
        ):
            done = browser.post(
                path, content=body, headers={**own, "x-form": carried, "content-type": "application/json"}
            )
            assert done.status_code < 500, (path, body[:40])


@pytest.mark.parametrize("path", ["/account/security", "/", "/data"])
def test_address_list_holds_for_browsers_too(
    installation: Installation, browser: httpx.Client, path: str
) -> None:
    """A session carried elsewhere shows nothing there, neither of the account nor of the data."""
    login, inside, outside = FENCED, "192.0.2.7", "198.51.100.7"
    if installation.identity.base.accounts.by_login(login) is None:
        installation.person(login, user_id=19)
    browser.headers["x-forwarded-for"] = inside
    assert sign_in(browser, login).status_code == 303
    assert browser.get(path).status_code == 200
    browser.headers["x-forwarded-for"] = outside
    refused = browser.get(path, follow_redirects=True)
    assert refused.status_code == 403, refused.text
    assert f"{login}@example.com" not in refused.text
    browser.headers["x-forwarded-for"] = inside
    assert browser.get(path).status_code == 303, "the browser has forgotten the session"
    assert sign_in(browser, login).status_code == 303
    assert browser.get(path).status_code == 200


def test_address_list_of_a_group_holds_for_browsers_too(
    installation: Installation, browser: httpx.Client
) -> None:
    """Also where Vallum itself gives the group, and as soon as it does."""
    account = installation.person("page-chief")
    browser.headers["x-forwarded-for"] = "203.0.113.9"
    assert sign_in(browser, "page-chief").status_code == 303
    assert browser.get("/account/security").status_code == 200
    installation.identity.give_group(account, "trading.group_direction", by=None)
    assert browser.get("/account/security").status_code == 403
    browser.headers["x-forwarded-for"] = "203.0.113.10"
    assert sign_in(browser, "page-chief").status_code == 303
    assert browser.get("/account/security").status_code == 200
