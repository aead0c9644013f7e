"""Credentials once more, for people who sign in elsewhere alone: over a real server and real providers."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.support.directories import RealDirectory, slapd
from tests.support.forms import tag
from tests.support.sign_on import Federation, Visitor, target_of

pytestmark = pytest.mark.slow
SENSITIVE = "/account/factors/add"
OWN = {"sec-fetch-site": "same-origin"}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealDirectory]:
    """OpenLDAP with two people."""
    with slapd(tmp_path_factory.mktemp("slapd")) as found:
        with found.changing() as connection:
            connection.add_s(found.base, [("objectClass", [b"domain"]), ("dc", [b"example"])])
            for uid in ("confldap", "otherldap"):
                found.add(
                    connection,
                    f"uid={uid}",
                    ["inetOrgPerson"],
                    uid=uid,
                    cn="Marie",
                    sn="M",
                    userPassword="Right-9",
                )
        yield found


def _by_openid(federation: Federation, visitor: Visitor, who: str) -> None:
    federation.openid()
    start = visitor.here.get("/sso/one/start")
    visitor.visit(start.headers["location"], login_hint=who)


def _by_saml(federation: Federation, visitor: Visitor, who: str) -> None:
    federation.corp(binding="redirect")
    start = visitor.here.get("/sso/corp/start")
    visitor.post_back(visitor.visit(start.headers["location"], who=who))


def _stale(federation: Federation, login: str) -> None:
    """So long after the sign-in that something sensitive needs the credentials once more."""
    federation.rows(
        "UPDATE vallum.session SET fresh = fresh - interval '1 hour' WHERE account_id ="
        " (SELECT id FROM vallum.account WHERE login = %s) RETURNING id",
        login,
    )


def _asked(visitor: Visitor) -> httpx.Response:
    """The page that asks for the credentials, as the browser comes to it."""
    sent = visitor.here.get(SENSITIVE)
    assert sent.status_code == 303
    assert sent.headers["location"].startswith("/account/confirm?")
    return visitor.here.get(sent.headers["location"])


def _go(visitor: Visitor, provider: str, back: str = SENSITIVE) -> httpx.Response:
    """Press the button that leads to the provider."""
    page = visitor.here.get("/account/confirm")
    sent = {"form": tag(page), "next": back}
    return visitor.here.post(f"/sso/{provider}/confirm", data=sent, headers=OWN)


def _sessions(federation: Federation, login: str) -> int:
    rows = federation.rows(
        "SELECT count(*) FROM vallum.session s JOIN vallum.account a ON a.id = s.account_id"
        " WHERE a.login = %s",
        login,
    )
    return int(rows[0][0])


@pytest.mark.asvs("6.8.4", "7.5.1", "7.5.3")
def test_person_of_openid_alone_confirms_there_and_comes_back(
    federation: Federation, visitor: Visitor
) -> None:
    """No password is asked for that they do not have; the page they wanted opens, in one session."""
    _by_openid(federation, visitor, "confmarie")
    _stale(federation, "confmarie")
    page = _asked(visitor)
    assert 'action="/sso/one/confirm"' in page.text
    assert 'type="password"' not in page.text
    away = httpx.URL(target_of(_go(visitor, "one")))
    assert away.params["prompt"] == "login"
    assert away.params["max_age"] == "0"
    assert target_of(visitor.visit(str(away), login_hint="confmarie")) == SENSITIVE
    assert visitor.here.get(SENSITIVE).status_code == 200
    assert _sessions(federation, "confmarie") == 1


@pytest.mark.asvs("6.8.4", "7.5.1")
def test_somebody_else_at_the_provider_confirms_nothing(federation: Federation, visitor: Visitor) -> None:
    """Whoever sits down at an open browser has their own account there; the session stays as it was."""
    _by_openid(federation, visitor, "confanna")
    _stale(federation, "confanna")
    asked = visitor.visit(target_of(_go(visitor, "one")), login_hint="confeve")
    # The provider signs the first one out before the second can come in.
    left = visitor.confirm(asked)
    refused = visitor.visit(str(left.request.url.join(left.headers["location"])))
    assert refused.status_code == 403
    assert "somebody else signed in there" in refused.text
    assert "confirmed" in refused.text
    assert visitor.here.get(SENSITIVE).status_code == 303
    assert "confanna" in visitor.here.get("/account/security").text
    assert federation.rows("SELECT 1 FROM vallum.account WHERE login = 'confeve'") == []


@pytest.mark.asvs("6.8.4", "7.5.3")
def test_provider_that_asks_for_nothing_confirms_nothing(federation: Federation, visitor: Visitor) -> None:
    """Who takes the wish for credentials out of the address comes back without them, and is refused."""
    _by_openid(federation, visitor, "confpaul")
    _stale(federation, "confpaul")
    away = httpx.URL(target_of(_go(visitor, "one")))
    silent = away.copy_remove_param("prompt").copy_remove_param("max_age")
    refused = visitor.visit(str(silent))
    assert refused.status_code == 403
    assert "just now" in refused.text
    assert visitor.here.get(SENSITIVE).status_code == 303


def test_form_that_waits_goes_on_after_the_provider(federation: Federation, visitor: Visitor) -> None:
    """The provider is in another tab; the first one sends again what was sent, with a click."""
    _by_openid(federation, visitor, "confwait")
    page = visitor.here.get("/account/security")
    _stale(federation, "confwait")
    asked = visitor.here.post("/account/sessions/end", data={"form": tag(page)}, headers=OWN)
    assert asked.status_code == 401
    assert 'target="_blank"' in asked.text
    again = re.search(r'<form id="again" method="post" action="([^"]*)"', asked.text)
    assert again is not None
    done = visitor.visit(target_of(_go(visitor, "one", "/account/confirmed")), login_hint="confwait")
    assert target_of(done) == "/account/confirmed"
    assert "Close this tab" in visitor.here.get("/account/confirmed").text
    sent = visitor.here.post(html.unescape(again[1]), data={"form": tag(asked)}, headers=OWN)
    assert (sent.status_code, sent.headers["location"]) == (303, "/account/security")


@pytest.mark.parametrize("headers", [{"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}])
@pytest.mark.asvs("3.5.1")
def test_other_site_cannot_begin_it(
    federation: Federation, visitor: Visitor, headers: dict[str, str]
) -> None:
    """Only a form of ours does."""
    _by_openid(federation, visitor, "confsite")
    page = visitor.here.get("/account/confirm")
    refused = visitor.here.post("/sso/one/confirm", data={"form": tag(page)}, headers=headers)
    assert refused.status_code == 403


def test_nobody_confirms_who_is_not_signed_in(federation: Federation, visitor: Visitor) -> None:
    """There is nothing to be fresh."""
    federation.openid()
    page = visitor.here.get("/account/sign-in")
    sent = visitor.here.post("/sso/one/confirm", data={"form": tag(page)}, headers=OWN)
    assert (sent.status_code, sent.headers["location"]) == (303, "/account/sign-in")


@pytest.mark.asvs("6.8.4", "7.5.1")
@pytest.mark.parametrize("binding", ["redirect", "post"])
def test_person_of_saml_alone_confirms_there_and_comes_back(
    federation: Federation, visitor: Visitor, binding: str
) -> None:
    """The answer comes from another site, without the session's cookie: there is one session all the same."""
    who = f"confsaml{binding}"
    _by_saml(federation, visitor, who)
    _stale(federation, f"{who}@example.com")
    federation.corp(binding=binding)
    assert 'action="/sso/corp/confirm"' in _asked(visitor).text
    page = _go(visitor, "corp")
    if binding == "redirect":
        page = visitor.visit(target_of(page), who=who)
    else:
        fields = {n: html.unescape(v) for n, v in re.findall(r'name="(\w+)" value="([^"]*)"', page.text)}
        page = visitor.there.post(f"{federation.saml.said['url']}/saml?who={who}", data=fields)
    session = visitor.here.cookies.pop("__Host-vallum")
    assert session
    assert target_of(visitor.post_back(page)) == SENSITIVE
    assert visitor.here.get(SENSITIVE).status_code == 200
    assert _sessions(federation, f"{who}@example.com") == 1


@pytest.mark.asvs("6.8.4")
def test_somebody_else_of_saml_confirms_nothing(federation: Federation, visitor: Visitor) -> None:
    """As with the other protocols."""
    _by_saml(federation, visitor, "confsamlanna")
    refused = visitor.post_back(visitor.visit(target_of(_go(visitor, "corp")), who="confsamleve"))
    assert refused.status_code == 403
    assert "somebody else signed in there" in refused.text


@pytest.mark.asvs("6.8.4", "7.5.1")
def test_person_of_a_directory_confirms_with_the_password_there(
    federation: Federation, visitor: Visitor, directory: RealDirectory
) -> None:
    """By a form of ours; another one's password is refused, as a wrong one is, and what was sent goes on."""
    secret = federation.folder / "bind-confirm"
    secret.write_text(directory.password)
    federation.provider(
        kind="ldap",
        id="confdir",
        label="Directory",
        url=directory.url,
        base=directory.base,
        bind_dn=directory.dn,
        secret=f"file:{secret}",
        ca_file=str(directory.ca_file),
        flavour="generic",
        create=True,
    )
    page = visitor.here.get("/sso/confdir/start")
    typed = {"form": tag(page), "login": "confldap", "password": "Right-9"}
    assert visitor.here.post("/sso/confdir/password", data=typed, headers=OWN).status_code == 303
    page = visitor.here.get("/account/security")
    _stale(federation, "confldap")
    path = "/account/sessions/end"
    asked = visitor.here.post(path, data={"form": tag(page)}, headers=OWN)
    assert 'action="/sso/confdir/confirm"' in asked.text

    def confirm(login: str, password: str) -> httpx.Response:
        sent = {"form": tag(asked), "login": login, "password": password, "again": path}
        return visitor.here.post("/sso/confdir/confirm", data=sent, headers=OWN)

    for login, password in (("confldap", "wrong"), ("confldap", ""), ("otherldap", "Right-9")):
        refused = confirm(login, password)
        assert refused.status_code == 401
        assert f'name="again" value="{path}"' in refused.text
    assert visitor.here.get(SENSITIVE).status_code == 303
    done = confirm("confldap", "Right-9")
    assert done.status_code == 200
    assert f'action="{path}"' in done.text
    assert visitor.here.get(SENSITIVE).status_code == 200
