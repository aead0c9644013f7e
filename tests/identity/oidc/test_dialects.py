"""Entra ID and Google end to end: a real provider under their names, with what they publish and sign.

What they are is written down here after their documentation: metadata, forms of subjects, claims, and what of
the standards they leave out. The presets are used as anybody would; only their hosts lead to this machine.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.identity.oidc.conftest import BASE, SECRET, Browser
from tests.support.certificates import authority, signed_by
from tests.support.node import NodeProgram, node_program
from tests.support.sso_world import World
from vallum.identity.oidc.flow import OidcFlow
from vallum.identity.oidc.presets import preset
from vallum.identity.sso.errors import ProviderMisconfigured, SignInRefused
from vallum.identity.sso.join import SignedIn
from vallum.identity.sso.store import links_of

pytestmark = pytest.mark.slow

TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
MICROSOFT = "https://login.microsoftonline.com"
HOSTS = (
    "login.microsoftonline.com",
    "accounts.google.com",
    "oauth2.googleapis.com",
    "www.googleapis.com",
)
OVERAGE = {
    "_claim_names": {"groups": "src1"},
    "_claim_sources": {
        "src1": {"endpoint": f"https://graph.windows.net/{TENANT}/users/0ad1-many/getMemberObjects"}
    },
}


def entra_person(number: int, name: str, **more: Any) -> dict[str, Any]:
    """An ID token of version 2.0: no `email_verified`, a name that is no proof, ids of the tenant."""
    return {
        "ver": "2.0",
        "tid": TENANT,
        "oid": f"00000000-0000-0000-66f3-33322{number:07}",
        "preferred_username": f"{name}@contoso.com",
        "name": name.title(),
        "email": f"{name}@contoso.com",
        "email_verified": None,
        **more,
    }


# `sub` of Entra ID is another one for each application: 43 characters.
MARIE, MANY, ROLES, GUEST = (f"AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbt{n:02}" for n in range(4))
ENTRA = {
    MARIE: entra_person(1, "marie", groups=["8d0f8f6b-sales"]),
    MANY: entra_person(2, "many", groups=None, **OVERAGE),
    ROLES: entra_person(3, "roles", groups=None, roles=["Sales"], **OVERAGE),
    GUEST: entra_person(4, "guest", tid="11111111-2222-3333-4444-555555555555"),
}
ENTRA_PUBLISHES = {
    "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
    "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
    "subject_types_supported": ["pairwise"],
    "tenant_region_scope": None,
    "cloud_instance_name": "microsoftonline.com",
    # Both are not said, though S256 is taken.
    "code_challenge_methods_supported": None,
    "authorization_response_iss_parameter_supported": None,
}
GOOGLE_MARIE, GOOGLE_PRIVATE, GOOGLE_OTHER = "110169484474386276334", "110169484474386276335", "1101694844"
GOOGLE = {
    GOOGLE_MARIE: {"hd": "example.com", "email": "marie@example.com", "preferred_username": None},
    GOOGLE_PRIVATE: {"email": "marie@gmail.com", "preferred_username": None},
    # Whoever has a domain of their own at Google can have an address of ours, verified, before we did.
    GOOGLE_OTHER: {"hd": "evil.example", "email": "paul@example.com", "preferred_username": None},
}
GOOGLE_ROUTES = {"authorization": "/o/oauth2/v2/auth", "token": "/token", "jwks": "/oauth2/v3/certs"}
GOOGLE_PUBLISHES = {
    "token_endpoint": "https://oauth2.googleapis.com/token",
    "jwks_uri": "https://www.googleapis.com/oauth2/v3/certs",
    "code_challenge_methods_supported": ["plain", "S256"],
    "end_session_endpoint": None,
    "authorization_response_iss_parameter_supported": None,
}


@dataclass
class Likeness:
    """A provider that answers under somebody's name, and the way of a person to it and back."""

    program: NodeProgram
    world: World
    flow: OidcFlow
    browser: Browser

    def sign_in(self, who: str) -> SignedIn:
        """From the click to the account."""
        answer = self.browser.visit(self.flow.begin("theirs"), who)
        assert "iss" not in dict(answer)
        return self.flow.complete("theirs", answer, self.browser.cookie)

    def refused(self, who: str) -> str:
        """Why somebody is not signed in."""
        with pytest.raises(SignInRefused) as caught:
            self.sign_in(who)
        return caught.value.reason


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Of an authority, and of a server under all the names."""
    folder = tmp_path_factory.mktemp("dialects")
    ca = authority()
    return ca.write(folder, "ca")[0], *signed_by(ca, more=HOSTS).write(folder, "server")


def _client() -> dict[str, Any]:
    return {
        "client_id": "11111111-1111-1111-1111-111111111111",
        "client_secret": SECRET,
        "redirect_uris": [f"{BASE}/sso/theirs/callback"],
    }


@pytest.fixture(scope="module", params=["tenant", "organizations"])
def entra(
    request: pytest.FixtureRequest, certificates: tuple[Path, Path, Path], tmp_path_factory: Any
) -> Iterator[tuple[NodeProgram, str]]:
    """As a tenant's own issuer, and as the one for all tenants, whose issuer is a template."""
    _, certificate, key = certificates
    shared = {"issuer": f"{MICROSOFT}/{{tenantid}}/v2.0"} if request.param == "organizations" else {}
    given = {
        "cert": str(certificate),
        "key": str(key),
        "clients": [_client()],
        "issuer": f"{MICROSOFT}/{TENANT}/v2.0",
        "prefixes": [f"/{TENANT}/v2.0", "/organizations/v2.0"],
        "publishes": {**ENTRA_PUBLISHES, **shared},
        "plainAnswers": True,
        "claims": ENTRA,
    }
    with node_program("oidc.mjs", given, tmp_path_factory.mktemp("entra") / "log") as program:
        yield program, request.param


@pytest.fixture(scope="module")
def google(certificates: tuple[Path, Path, Path], tmp_path_factory: Any) -> Iterator[NodeProgram]:
    """Google, with its three hosts."""
    _, certificate, key = certificates
    given = {
        "cert": str(certificate),
        "key": str(key),
        "clients": [_client()],
        "issuer": "https://accounts.google.com",
        "routes": GOOGLE_ROUTES,
        "publishes": GOOGLE_PUBLISHES,
        "plainAnswers": True,
        "claims": GOOGLE,
    }
    with node_program("oidc.mjs", given, tmp_path_factory.mktemp("google") / "log") as program:
        yield program


def _likeness(
    program: NodeProgram,
    world: World,
    described: dict[str, Any],
    ca_file: Path,
    folder: Path,
    patch: pytest.MonkeyPatch,
) -> Likeness:
    found, port = socket.getaddrinfo, program.said["port"]

    def here(host: Any, *rest: Any, **more: Any) -> Any:
        if host in HOSTS:
            return found("127.0.0.1", port, *rest[1:], **{k: v for k, v in more.items() if k != "port"})
        return found(host, *rest, **more)

    patch.setattr(socket, "getaddrinfo", here)
    (folder / "secret").write_text(SECRET)
    secret = {"secret": f"file:{folder / 'secret'}", "client_id": _client()["client_id"]}
    world.provider(**{**described, **secret, "id": "theirs", "create": True, "ca_file": str(ca_file)})
    flow = OidcFlow(world.store, world.accounts, world.clock, BASE)
    return Likeness(program, world, flow, Browser(ca_file))


@pytest.fixture
def at_entra(
    entra: tuple[NodeProgram, str],
    world: World,
    certificates: tuple[Path, Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Likeness]:
    """With its preset, as one writes it down."""
    program, name = entra
    given: dict[str, Any] = {
        "rules": [
            {"value": "8d0f8f6b-sales", "groups": ["sales_team.group_sale_salesman"]},
        ]
    }
    if name == "organizations":
        given["tenants"] = [TENANT]
    tenant = TENANT if name == "tenant" else name
    found = _likeness(
        program, world, preset("entra", given, tenant=tenant), certificates[0], tmp_path, monkeypatch
    )
    yield found
    found.browser.client.close()


@pytest.fixture
def at_google(
    google: NodeProgram,
    world: World,
    certificates: tuple[Path, Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Likeness]:
    """With its preset."""
    described = preset("google", {"domains": ["example.com"]})
    found = _likeness(google, world, described, certificates[0], tmp_path, monkeypatch)
    yield found
    found.browser.client.close()


@pytest.mark.asvs("6.8.1", "10.5.2", "10.5.3")
def test_person_of_entra_is_known_by_object_and_tenant(at_entra: Likeness) -> None:
    """`oid` in the issuer of the tenant lasts: the name, the address and `sub` are none of it."""
    signed = at_entra.sign_in(MARIE)
    assert (signed.account.login, signed.created) == ("marie@contoso.com", True)
    assert at_entra.sign_in(MARIE).account == signed.account
    with at_entra.world.store.transaction() as tx:
        (linked,) = links_of(tx)
        groups = at_entra.world.accounts.groups(tx, signed.account.id, "theirs")
    assert (linked.issuer, linked.subject) == (f"{MICROSOFT}/{TENANT}/v2.0", ENTRA[MARIE]["oid"])
    assert groups == {"sales_team.group_sale_salesman"}


def test_person_in_too_many_groups_of_entra_loses_none(at_entra: Likeness) -> None:
    """What it puts in place of the groups is not "no groups": an error, with what to do."""
    with pytest.raises(ProviderMisconfigured, match="more groups than Entra ID puts into a token") as caught:
        at_entra.sign_in(MANY)
    assert "assigned to the application" in str(caught.value.fix)
    assert at_entra.world.rows("SELECT 1 FROM plain_account") == []


def test_groups_that_entra_leaves_out_do_not_matter_where_roles_count(at_entra: Likeness) -> None:
    """App roles are in every token: with rules for them alone, nobody is in too many groups."""
    rules = [{"attribute": "roles", "value": "Sales", "groups": ["sales_team.group_sale_salesman"]}]
    change = {"groups_claim": "roles", "rules": rules}
    rows = at_entra.world.rows("SELECT config FROM vallum.sso_provider WHERE id = 'theirs'")
    at_entra.world.provider(**{**dict(rows[0][0]), **change})  # type: ignore[call-overload]
    signed = at_entra.sign_in(ROLES)
    with at_entra.world.store.transaction() as tx:
        groups = at_entra.world.accounts.groups(tx, signed.account.id, "theirs")
    assert groups == {"sales_team.group_sale_salesman"}


@pytest.mark.asvs("10.5.3")
def test_token_of_another_tenant_is_refused(at_entra: Likeness) -> None:
    """Where the issuer is one for all, `tid` must be of a tenant that is let in, and be the issuer's."""
    rows = at_entra.world.rows("SELECT config->>'issuer' FROM vallum.sso_provider WHERE id = 'theirs'")
    if "organizations" in str(rows[0][0]):
        assert at_entra.refused(GUEST) == "tenant"
    else:
        # The tenant's own issuer signs for itself alone; who somebody is there is their `oid` in it.
        assert at_entra.sign_in(GUEST).identity.issuer == f"{MICROSOFT}/{TENANT}/v2.0"


@pytest.mark.asvs("6.8.1", "10.5.3")
def test_person_of_the_hosted_domain_comes_in_by_google(at_google: Likeness) -> None:
    """By `sub`; asked for with the domain, so that nobody chooses a private account in vain."""
    begun = at_google.flow.begin("theirs")
    query = parse_qs(urlsplit(begun.url).query)
    assert begun.url.startswith("https://accounts.google.com/o/oauth2/v2/auth?")
    assert query["hd"] == ["example.com"]
    signed = at_google.sign_in(GOOGLE_MARIE)
    assert (signed.account.login, signed.identity.subject) == ("marie@example.com", GOOGLE_MARIE)
    assert signed.identity.email_verified
    assert at_google.flow.logout_url("theirs", {}) is None


@pytest.mark.parametrize("who", [GOOGLE_PRIVATE, GOOGLE_OTHER])
def test_other_accounts_of_google_do_not_come_in(at_google: Likeness, who: str) -> None:
    """Google signs for everybody: neither a private account, nor another domain with an address of ours."""
    assert at_google.refused(who) == "required"
    assert at_google.world.rows("SELECT 1 FROM plain_account") == []


def test_likeness_publishes_what_is_written_down_here(at_google: Likeness) -> None:
    """So the tests above are about the form they say."""
    url = "https://accounts.google.com/.well-known/openid-configuration"
    said = at_google.browser.client.get(url).json()
    for name, value in GOOGLE_PUBLISHES.items():
        assert said.get(name) == value
