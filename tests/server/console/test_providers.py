"""The pages of providers, as `vallum serve` serves them: what they show, write down and keep."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import accessibility
from tests.support.directories import RealDirectory, slapd
from tests.support.serving import free_port
from tests.support.sign_on import Federation, Visitor
from vallum.identity import Client

pytestmark = pytest.mark.slow

RULE = {"value": "Sales", "groups": ["trading.group_sale_salesman", "no.such_group"]}
_numbers = count(1)


@pytest.fixture(scope="module")
def administrator(federation: Federation) -> str:
    """A session of an administrator, freshly proven."""
    base = federation.identity.base
    account = base.accounts.create(f"keeper{next(_numbers)}", base.now())
    federation.identity.give_group(account, base.settings.administrators[0], by=None)
    with base.store.transaction() as tx:
        return base.sessions.start(tx, account.id, Client(address="127.0.0.1"), ["pwd", "otp"], base.now())


@pytest.fixture
def stale(federation: Federation, administrator: str) -> Iterator[None]:
    """The same session, proven long ago."""
    statement = "UPDATE vallum.session SET fresh = fresh {} interval '1 hour' WHERE 'otp' = ANY(methods)"
    federation.rows(statement.format("-"))
    yield
    federation.rows(statement.format("+"))


@pytest.fixture
def known(federation: Federation) -> Iterator[None]:
    """One provider of each kind, in several states."""
    federation.openid(rules=[RULE], secret_until="2020-01-01")
    federation.corp()
    federation.provider(kind="scim", id="people", label="People <i>")
    federation.provider(
        kind="ldap",
        id="down",
        label="Down",
        url=f"ldaps://127.0.0.1:{free_port()}",
        base="dc=example,dc=com",
        enabled=False,
    )
    federation.rows(
        'INSERT INTO vallum.sso_provider VALUES (\'odd\', \'{"kind": "oidc", "label": "Odd"}\', now())'
        " ON CONFLICT DO NOTHING"
    )
    federation.scim("people").close()
    yield
    federation.rows("DELETE FROM vallum.sso_provider WHERE id = 'odd'")
    federation.openid()


class Desk:
    """Pages by HTTP, with the session's cookie."""

    def __init__(self, federation: Federation, token: str) -> None:
        self.client = federation.server.client(
            headers={"cookie": f"__Host-vallum={token}", "sec-fetch-site": "same-origin"}
        )

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path)

    def post(self, path: str, /, form: str | None = None, **fields: Any) -> httpx.Response:
        """Send a form, with the token of the page it is on."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.get(form or path).text)
        csrf = found[1] if found else ""
        return self.client.post(path, data={"csrf": csrf, **fields})


@pytest.fixture
def desk(federation: Federation, administrator: str, known: None) -> Iterator[Desk]:
    """The administrator's."""
    found = Desk(federation, administrator)
    yield found
    found.client.close()


@contextmanager
def paged(browser: Browser, federation: Federation, token: str, **options: Any) -> Iterator[Any]:
    """A page of the administrator's in a browser; nothing may be complained about."""
    context = browser.new_context(ignore_https_errors=True, base_url=federation.server.url, **options)
    complaints: list[str] = []

    def heard(said: Any) -> None:
        if "Content Security" in said.text:
            complaints.append(said.text)

    try:
        context.add_cookies(
            [{"name": "__Host-vallum", "value": token, "url": federation.server.url, "secure": True}]
        )
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
        assert complaints == []
    finally:
        context.close()


PAGES = (
    "/providers",
    "/providers/one",
    "/providers/corp",
    "/providers/people",
    "/providers/down",
    "/providers/odd",
    "/providers/one/edit",
    "/providers/new?kind=saml",
    "/providers/new?kind=ldap",
    "/providers/none",
)


@pytest.mark.parametrize("path", PAGES)
def test_page_of_providers_is_usable_by_everyone(
    browser: Browser, federation: Federation, administrator: str, known: None, axe: str, path: str
) -> None:
    """No violation of WCAG 2.2 AA in light, dark and on a phone; the same to read without a script."""
    texts = []
    with paged(browser, federation, administrator) as page:
        page.goto(path)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert accessibility(page, axe) == []
        page.set_viewport_size({"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        texts.append(page.locator("main td, main dt, main h1, main h2, main label").all_inner_texts())
    with paged(browser, federation, administrator, java_script_enabled=False) as page:
        page.goto(path)
        texts.append(page.locator("main td, main dt, main h1, main h2, main label").all_inner_texts())
    undated = [[t for t in one if not re.search(r"\d{4}-\d\d-\d\d|\b20\d\d", t)] for one in texts]
    assert len(texts[0]) == len(texts[1]) > 0
    assert set(undated[0]) <= {*undated[1], *texts[1]} or undated[0] == undated[1]


def test_list_shows_how_providers_are(desk: Desk, federation: Federation) -> None:
    """Expiry, what is off, what was written down wrongly; markup in a name is text."""
    federation.provider(kind="scim", id="untried", label="Untried")
    text = desk.get("/providers").text
    for word in ("written down wrongly", "switched off", "not used yet", "token of SCIM", "certificate"):
        assert word in text, word
    assert "People &lt;i&gt;" in text
    found = {one["id"]: one for one in desk.get("/providers?format=json").json()}
    assert found["one"]["ends"][0] == {"what": "secret", "at": "2020-01-01T00:00:00+00:00"}
    assert "client_id" in found["odd"]["fault"] or "id" in found["odd"]["fault"]
    assert "client-secret" not in str(found)


def test_sign_ins_are_seen_in_the_state(federation: Federation, visitor: Visitor, desk: Desk) -> None:
    """A success, then a failure with its cause; what only the person did wrong is none of it."""
    start = visitor.here.get("/sso/one/start")
    visitor.visit(start.headers["location"], login_hint="statemarie")
    assert visitor.here.get("/sso/one/callback?state=x&code=y").status_code == 403
    page = desk.get("/providers/one").text
    assert "works" in page
    federation.openid(issuer=f"https://localhost:{free_port()}")
    assert visitor.here.get("/sso/one/start").status_code == 503
    page = desk.get("/providers/one").text
    assert "failed last" in page
    assert "cannot be reached" in page or "does not answer" in page


def test_test_button_says_what_a_sign_in_would_find(desk: Desk) -> None:
    """Of a provider that answers, and of one that is down."""
    found = desk.post("/providers/one/test", "/providers/one").text
    assert "What the test found" in found
    assert "published" in found
    assert "valid until 2020-01-01" in found
    assert "cannot be reached" in desk.post("/providers/down/test", "/providers/down").text


def test_rules_show_groups_and_what_no_policy_knows(desk: Desk) -> None:
    """A group that does not exist gives nothing, and is pointed out."""
    page = desk.get("/providers/one").text
    assert "Sales / User: Own Documents Only" in page
    assert "no.such_group (unknown)" in page


def test_provider_is_made_in_the_browser(
    browser: Browser, federation: Federation, administrator: str, visitor: Visitor
) -> None:
    """Typed, refused with what was typed, mended, saved: and then somebody signs in by it."""
    with paged(browser, federation, administrator) as page:
        page.goto("/providers")
        page.get_by_role("link", name="OpenID Connect").click()
        page.get_by_label("Id", exact=False).first.fill("typed")
        page.get_by_label("Name on the button").fill("Typed")
        page.get_by_label("Issuer").fill("http://insecure.example")
        page.get_by_label("Client id").fill("vallum")
        page.get_by_label("Secret", exact=True).fill("s3cret-of-the-client")
        page.get_by_label("Value 1").fill("sales")
        page.get_by_label("Groups here 1").fill("trading.group_sale_salesman")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("alert")).to_contain_text("https address")
        expect(page.get_by_label("Client id")).to_have_value("vallum")
        expect(page.get_by_label("Value 1")).to_have_value("sales")
        page.get_by_label("Issuer").fill("https://secure.example")
        page.get_by_label("Secret", exact=True).fill("s3cret-of-the-client")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("main h1")).to_have_text("Typed")
        expect(page.get_by_text("Saved.")).to_be_visible()
        assert "s3cret" not in page.content()
        page.get_by_role("link", name="Edit").click()
        assert "s3cret" not in page.content()
    config = federation.rows("SELECT config FROM vallum.sso_provider WHERE id = 'typed'")[0][0]
    path = Path(config["secret"].removeprefix("file:"))
    assert path.read_text() == "s3cret-of-the-client"
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
    assert config["rules"] == [
        {"attribute": "groups", "value": "sales", "groups": ["trading.group_sale_salesman"]}
    ]
    assert "Typed" in visitor.here.get("/account/sign-in").text


def _typed(federation: Federation, **given: Any) -> dict[str, Any]:
    """The form of the provider `one`, as it stands, but for what is given."""
    return {
        "label": "Staff",
        "issuer": federation.oidc.said["issuer"],
        "client_id": "vallum",
        "create": "1",
        "rule_attribute": "groups",
        "rule_value": "",
        "rule_groups": "",
        **given,
    }


def test_secret_stays_where_nothing_else_is_said(federation: Federation, desk: Desk) -> None:
    """An empty field keeps it; so does what the form does not show."""
    before = federation.rows("SELECT config FROM vallum.sso_provider WHERE id = 'one'")[0][0]
    done = desk.post("/providers/one/edit", **_typed(federation, label="Other"))
    assert done.headers["location"] == "/providers/one?done=saved"
    after = federation.rows("SELECT config FROM vallum.sso_provider WHERE id = 'one'")[0][0]
    assert (after["label"], after["secret"], after["ca_file"]) == (
        "Other",
        before["secret"],
        before["ca_file"],
    )
    assert after["rules"] == []


def test_secret_is_never_sent_to_another_address(federation: Federation, desk: Desk) -> None:
    """Whoever names another issuer types the secret anew; no file of the server can be named."""
    moved = _typed(federation, issuer="https://elsewhere.example")
    refused = desk.post("/providers/one/edit", **moved)
    assert refused.status_code in (400, 422)
    assert "secret was for another address" in refused.text
    done = desk.post("/providers/one/edit", **moved, secret="file:/etc/hostname")
    assert done.status_code == 303
    config = federation.rows("SELECT config FROM vallum.sso_provider WHERE id = 'one'")[0][0]
    assert Path(config["secret"].removeprefix("file:")).read_text() == "file:/etc/hostname"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rule_value": "x", "rule_groups": "no.such_group"}, "o group is called"),
        ({"rule_value": "x"}, "both sides"),
        ({"forbid_password": "1"}, "named mail domains"),
        ({"label": ""}, "described wrongly"),
        ({"skew": "x"}, "whole number"),
        ({"secret_until": "soon"}, "described wrongly"),
    ],
)
def test_what_is_wrong_comes_back_with_the_form(
    federation: Federation, desk: Desk, given: dict[str, str], said: str
) -> None:
    """Nothing is written down."""
    before = federation.rows("SELECT config FROM vallum.sso_provider WHERE id = 'one'")
    refused = desk.post("/providers/one/edit", **_typed(federation, **given))
    assert said in refused.text
    assert 'name="issuer"' in refused.text
    assert federation.rows("SELECT config FROM vallum.sso_provider WHERE id = 'one'") == before


def test_provider_is_switched_off_and_on(federation: Federation, visitor: Visitor, desk: Desk) -> None:
    """Nobody signs in by it meanwhile."""
    assert visitor.here.get("/sso/one/start").status_code == 303
    assert desk.post("/providers/one/switch", "/providers/one", to="off").status_code == 303
    assert visitor.here.get("/sso/one/start").status_code == 404
    desk.post("/providers/one/switch", "/providers/one", to="on")
    assert visitor.here.get("/sso/one/start").status_code == 303


def test_saml_provider_is_made_by_its_metadata(federation: Federation, desk: Desk) -> None:
    """Pasted; what they ask for is asked for."""
    url = f"{federation.saml.said['url']}/FederationMetadata/2007-06/FederationMetadata.xml"
    content = httpx.get(url, verify=federation.context, trust_env=False).text
    form = {"kind": "saml", "id": "pasted", "label": "Pasted", "rule_attribute": "", "rule_value": "",
            "rule_groups": "", "encrypt": "1"}  # fmt: skip
    wrong = desk.post("/providers/new", "/providers/new?kind=saml", **form, metadata="<a/>")
    assert "0 identity providers" in wrong.text
    done = desk.post("/providers/new", "/providers/new?kind=saml", **form, metadata=content)
    assert done.headers["location"] == "/providers/pasted?done=saved"
    assert "urn:provider" in desk.get("/providers/pasted").text
    assert 'use="encryption"' in desk.get("/sso/pasted/metadata").text
    again = desk.post("/providers/new", "/providers/new?kind=saml", **form, metadata=content)
    assert "here is a provider of this id already" in again.text


def test_token_of_a_directory_is_shown_once_and_ended(federation: Federation, desk: Desk) -> None:
    """It works until then; no page shows it again."""
    made = desk.post("/providers/people/tokens", "/providers/people", days="30").text
    token = re.findall(r"vscim_[0-9a-f]{8}_[\w-]{43}", made)[0]
    assert token not in desk.get("/providers/people").text

    def asked() -> int:
        with federation.server.client(headers={"authorization": f"Bearer {token}"}) as client:
            return client.get("/scim/v2/Users").status_code

    assert asked() == 200
    prefix = "_".join(token.split("_")[:2])
    foreign = desk.post("/providers/one/tokens", "/providers/one", act="revoke", prefix=prefix)
    assert foreign.status_code == 404
    ended = desk.post("/providers/people/tokens", "/providers/people", act="revoke", prefix=prefix)
    assert ended.status_code == 303
    assert asked() == 401


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealDirectory]:
    """OpenLDAP with one person."""
    with slapd(tmp_path_factory.mktemp("slapd")) as found:
        with found.changing() as connection:
            connection.add_s(found.base, [("objectClass", [b"domain"]), ("dc", [b"example"])])
            found.add(connection, "uid=previewed", ["inetOrgPerson"], uid="previewed", cn="P", sn="P")
        yield found


def test_synchronisation_is_shown_before_it_is_done(
    federation: Federation, desk: Desk, directory: RealDirectory
) -> None:
    """Who would be made, renamed, shut; and nothing is."""
    secret = federation.folder / "preview"
    secret.write_text(directory.password)
    federation.provider(
        kind="ldap", id="preview", label="Preview", url=directory.url, base=directory.base,
        bind_dn=directory.dn, secret=f"file:{secret}", ca_file=str(directory.ca_file), flavour="generic",
        create=True,
    )  # fmt: skip
    shown = desk.post("/providers/preview/preview", "/providers/preview").text
    assert "Nothing was changed" in shown
    assert "previewed" in shown
    assert federation.identity.base.accounts.by_login("previewed") is None


SENSITIVE = (
    ("/providers/one/edit", "/providers/one"),
    ("/providers/one/switch", "/providers/one"),
    ("/providers/one/test", "/providers/one"),
    ("/providers/down/preview", "/providers/down"),
    ("/providers/people/tokens", "/providers/people"),
    ("/providers/new", "/providers/one"),
)


def test_whatever_is_sensitive_asks_for_credentials_once_more(
    federation: Federation, desk: Desk, stale: None
) -> None:
    """To look at the list it does not; and nothing was done."""
    before = federation.rows("SELECT config FROM vallum.sso_provider ORDER BY id")
    assert desk.get("/providers").status_code == 200
    for path, page in SENSITIVE:
        answer = desk.post(path, page, kind="oidc", to="off", **_typed(federation, label="Changed"))
        assert answer.headers["location"].startswith("/account/confirm?next=%2Fproviders"), path
    assert desk.get("/providers/one/edit").headers["location"].startswith("/account/confirm?next=")
    assert federation.rows("SELECT config FROM vallum.sso_provider ORDER BY id") == before


def test_pages_of_providers_are_for_administrators_alone(federation: Federation, known: None) -> None:
    """Others are refused, and strangers sent to sign in; a form from elsewhere is nobody's."""
    base = federation.identity.base
    account = base.accounts.create(f"seller{next(_numbers)}", base.now())
    with base.store.transaction() as tx:
        token = base.sessions.start(tx, account.id, Client(address="127.0.0.1"), ["pwd"], base.now())
    other = Desk(federation, token)
    for path, page in SENSITIVE:
        assert other.post(path, page).status_code == 403
    assert other.get("/providers").status_code == 403
    other.client.close()
    with federation.server.client() as stranger:
        assert stranger.get("/providers/one").headers["location"].startswith("/account/sign-in")


def test_form_from_elsewhere_changes_nothing(federation: Federation, desk: Desk) -> None:
    """Without the token of the page, or from another site."""
    answers = [
        desk.client.post("/providers/one/switch", data={"to": "off"}),
        desk.client.post(
            "/providers/one/switch", data={"to": "off"}, headers={"sec-fetch-site": "cross-site"}
        ),
    ]
    assert all(answer.status_code in (400, 403, 409) for answer in answers)
    assert federation.rows("SELECT config ->> 'enabled' FROM vallum.sso_provider WHERE id = 'one'") == [
        ("true",)
    ]
