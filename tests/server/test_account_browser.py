"""Pages of accounts in a real browser: passkeys, the strength of a password, links, keyboards and names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import pyotp
import pytest
from playwright.sync_api import Browser

from tests.identity.world import GOOD
from tests.support.browser import SCREENSHOTS, accessibility
from tests.support.installation import Installation
from tests.support.passkeys import virtual_authenticator

pytestmark = pytest.mark.slow


@pytest.fixture
def page(browser: Browser, installation: Installation) -> Iterator[Any]:
    """A page of a profile of its own; no page of ours may break its own content security policy."""
    context = browser.new_context(ignore_https_errors=True)
    context.set_default_timeout(20_000)
    found = context.new_page()
    broken: list[str] = []

    def heard(message: Any) -> None:
        if "Content Security" in message.text:
            broken.append(message.text)

    found.on("console", heard)
    found.on("pageerror", lambda error: broken.append(str(error)))
    yield found
    context.close()
    assert not broken


def _sign_in(page: Any, installation: Installation, login: str, password: str = GOOD) -> None:
    page.goto(f"{installation.server.url}/account/sign-in")
    page.get_by_label("Login").fill(login)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_passkey_is_added_and_signs_in_without_login_or_password(
    page: Any, installation: Installation
) -> None:
    """With Chromium's own authenticator; then as the second factor, and to confirm."""
    installation.person("chrome-one")
    _sign_in(page, installation, "chrome-one")
    virtual_authenticator(page)
    page.get_by_role("link", name="Add one").click()
    page.get_by_role("button", name="Add a passkey").click()
    page.wait_for_url("**/account/recovery")
    page.get_by_role("button", name="Make new codes").click()
    assert page.locator(".codes li").count() == 10
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/account/sign-in")

    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url("**/account/security")
    assert "chrome-one" in page.content()
    page.get_by_role("button", name="Sign out").click()

    _sign_in(page, installation, "chrome-one")
    page.wait_for_url("**/account/factor")
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url("**/account/security")


def test_passkey_that_does_not_verify_is_no_first_factor(page: Any, installation: Installation) -> None:
    """The page says so, and nobody is signed in."""
    installation.person("chrome-two")
    _sign_in(page, installation, "chrome-two")
    session, number = virtual_authenticator(page)
    page.goto(f"{installation.server.url}/account/factors/add")
    page.get_by_role("button", name="Add a passkey").click()
    page.wait_for_url("**/account/recovery")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/account/sign-in")
    session.send("WebAuthn.setUserVerified", {"authenticatorId": number, "isUserVerified": False})
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.locator("#script-error:not([hidden])").wait_for()
    assert page.url.endswith("/account/sign-in")


def test_app_is_added_by_its_code_and_asked_for(page: Any, installation: Installation) -> None:
    """The QR code is shown as a picture, the secret as text."""
    installation.person("chrome-app")
    _sign_in(page, installation, "chrome-app")
    page.goto(f"{installation.server.url}/account/factors/add")
    assert page.locator(".qr svg").is_visible()
    app = pyotp.TOTP(page.locator("#secret").inner_text())
    now = installation.identity.base.now
    page.get_by_label("The code it shows now").fill(app.at(now()))
    page.get_by_role("button", name="Add the app").click()
    page.wait_for_url("**/account/recovery")
    page.get_by_role("button", name="Sign out").click()
    _sign_in(page, installation, "chrome-app")
    page.wait_for_url("**/account/factor")
    page.get_by_label("Code").fill("000000")
    page.get_by_role("button", name="Go on").click()
    assert "wrong" in page.get_by_role("alert").first.inner_text()


@pytest.mark.asvs("6.4.1")
def test_link_of_an_invitation_is_read_from_behind_the_hash(page: Any, installation: Installation) -> None:
    """It is sent to no server as an address; the strength shows while typing, and a weak one is refused."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    account = installation.person("chrome-link")
    link = installation.identity.passwords.make_link(account, by="test")
    token = link.partition("#")[2]
    page.goto(link)
    assert "#" not in page.url
    page.get_by_label("New password").fill("chrome-link1")
    page.get_by_text("Not yet:").wait_for()
    page.get_by_role("button", name="Choose it").click()
    assert "15 are needed" in page.get_by_role("alert").first.inner_text()
    page.get_by_label("New password").fill("purple-ocelots-sing-late")
    page.get_by_text("Strong.").wait_for()
    page.get_by_role("button", name="Choose it").click()
    page.get_by_text("Sign in with it now").wait_for()
    assert not [url for url in asked if token in url]
    _sign_in(page, installation, "chrome-link", "purple-ocelots-sing-late")
    page.wait_for_url("**/account/security")


@pytest.mark.asvs("7.4.4", "7.4.1")
def test_every_page_can_be_left_and_the_back_button_shows_nothing(
    page: Any, installation: Installation
) -> None:
    """Sign out is on each page; going back afterwards leads to the sign-in."""
    installation.person("chrome-out", group="base.group_system")
    _sign_in(page, installation, "chrome-out")
    page.wait_for_url("**/account/security")
    for path in (
        "security",
        "users",
        "groups",
        "coverage",
        "keys",
        "requests",
        "leaked",
        "recovery",
        "factors/add",
    ):
        page.goto(f"{installation.server.url}/account/{path}")
        assert page.get_by_role("button", name="Sign out").is_visible(), path
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/account/sign-in")
    page.go_back()
    page.wait_for_url("**/account/sign-in?next=**")


STRANGERS: Final = ("sign-in", "forgotten", "reset", "invitation")
OWN: Final = (
    "security",
    "requests",
    "leaked",
    "recovery",
    "factors/add",
    "confirm",
    "users",
    "users?q=chrome-aa&state=open&factor=none",
    "users?q=nobody-is-called-so",
    "groups",
    "groups?group=base.group_system",
    "coverage",
    "keys",
    "nothing-here",
)


def test_pages_are_for_everyone(page: Any, installation: Installation, axe: str) -> None:
    """WCAG 2.2 AA by axe, light, dark and on a phone, which no page makes scroll sideways."""
    account = installation.person("chrome-aa", group="base.group_system")
    for path in STRANGERS:
        _check(page, axe, f"{installation.server.url}/account/{path}")
    _sign_in(page, installation, "chrome-aa")
    page.wait_for_url("**/account/security")
    for path in (*OWN, f"users/{account.id}"):
        _check(page, axe, f"{installation.server.url}/account/{path}")


def _check(page: Any, axe: str, url: str) -> None:
    name = re.sub(r"[^a-z]+", "-", url.partition("/account/")[2]).strip("-")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for width, scheme in ((1280, "light"), (1280, "dark"), (360, "light")):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme)
        page.goto(url)
        look = "phone" if width == 360 else scheme
        page.screenshot(path=SCREENSHOTS / f"account-{name}-{look}.png", full_page=True)
        assert accessibility(page, axe) == [], (url, look)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (url, look)
    page.set_viewport_size({"width": 1280, "height": 800})


def test_keyboard_skips_the_menu_and_goes_to_pages(page: Any, installation: Installation) -> None:
    """The first stop skips the rail; `g` and a letter lead to the pages of accounts as to any other."""
    installation.person("chrome-keys", group="base.group_system")
    _sign_in(page, installation, "chrome-keys")
    page.wait_for_url("**/account/security")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.evaluate("document.activeElement.blur()")
    for letter, path in (("n", "users"), ("y", "coverage"), ("k", "keys"), ("i", "security")):
        page.keyboard.press("g")
        page.keyboard.press(letter)
        page.wait_for_url(f"**/account/{path}")


@pytest.mark.parametrize("path", ["security", "users", "keys", "coverage", "groups", "requests"])
def test_page_reads_the_same_without_script(browser: Browser, installation: Installation, path: str) -> None:
    """Whoever has no JavaScript signs in, and reads all that others read."""
    login = f"chrome-plain-{path}"
    installation.person(login, group="base.group_system")
    context = browser.new_context(ignore_https_errors=True, java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto(f"{installation.server.url}/account/{path}")
        page.get_by_label("Login").fill(login)
        page.get_by_label("Password").fill(GOOD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        assert page.url.endswith(f"/account/{path}")
        assert page.locator("main h1").is_visible()
        assert page.get_by_role("button", name="Sign out").is_visible()
    finally:
        context.close()


def test_what_was_typed_outlives_a_session_that_ended(page: Any, installation: Installation) -> None:
    """The form is refused, and after signing in again the same tab offers what was typed."""
    account = installation.person("chrome-ended", group="base.group_system")
    _sign_in(page, installation, "chrome-ended")
    page.goto(f"{installation.server.url}/account/users")
    page.get_by_label("Name (optional)").fill("Somebody with a long name")
    page.get_by_label("Login", exact=True).fill("chrome-typed")
    installation.identity.end_sessions(account, by=None)
    page.get_by_role("button", name="Make it").click()
    assert page.locator("h1").inner_text() == "Your session has ended"
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Sign in again").click()
    other = opened.value
    other.get_by_label("Login").fill("chrome-ended")
    other.get_by_label("Password").fill(GOOD)
    other.get_by_role("button", name="Sign in", exact=True).click()
    other.wait_for_url("**/account/security")
    other.close()
    page.goto(f"{installation.server.url}/account/users")
    page.get_by_role("button", name="Bring it back").click()
    page.get_by_role("button", name="Make it").click()
    page.get_by_text("The account is made.").wait_for()
    assert "Somebody with a long name" in page.content()
    page.goto(f"{installation.server.url}/account/users")
    assert not page.get_by_role("button", name="Bring it back").is_visible()


def test_administration_works_in_the_browser(page: Any, installation: Installation) -> None:
    """An account is made, given a group, and shut; a key is made and shown once."""
    installation.person("chrome-admin", group="base.group_system")
    installation.identity.create_account("chrome-robot", by=None, kind="service", user_id=9)
    _sign_in(page, installation, "chrome-admin")
    page.wait_for_url("**/account/security")
    page.get_by_role("link", name="Accounts", exact=True).click()
    page.get_by_label("Login", exact=True).fill("chrome-new")
    page.get_by_role("button", name="Make it").click()
    page.wait_for_url(re.compile(r"/account/users/\d+\?made=1$"))
    page.get_by_role("combobox", name="Group", exact=True).fill("base.group_user")
    page.get_by_label("For how long").select_option(label="an hour")
    page.get_by_role("button", name="Give").click()
    page.get_by_role("button", name="Take").wait_for()
    page.get_by_role("button", name="Shut the account").click()
    page.get_by_role("button", name="Open the account").wait_for()
    page.get_by_role("link", name="API keys", exact=True).click()
    page.get_by_label("Service account").select_option(label="chrome-robot")
    page.get_by_label("What it is for").fill("stock")
    page.get_by_label("Models", exact=True).fill("stock.quant")
    page.get_by_role("button", name="Make it").click()
    assert page.locator("#made").inner_text().startswith("vlm_")
    page.reload()
