"""What providers publish of themselves, presets, and what of claims becomes a person."""

from __future__ import annotations

from typing import Any

import pytest

from tests.identity.oidc.tokens import ISSUER, claims, provider
from vallum.identity.oidc.claims import identity_of
from vallum.identity.oidc.metadata import TEMPLATE, discovery_url, read
from vallum.identity.oidc.presets import preset
from vallum.identity.oidc.request import authorization_url
from vallum.identity.sso.errors import ProviderMisconfigured, SignInRefused
from vallum.identity.sso.pending import start
from vallum.identity.sso.providers import OidcProvider, parse

TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"


def published(**given: Any) -> dict[str, Any]:
    """A discovery document; None takes an entry away."""
    every = {
        "issuer": ISSUER,
        "authorization_endpoint": f"{ISSUER}/authorize",
        "token_endpoint": f"{ISSUER}/token",
        "jwks_uri": f"{ISSUER}/keys",
        "response_types_supported": ["code"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        **given,
    }
    return {name: value for name, value in every.items() if value is not None}


def test_sound_metadata_are_read() -> None:
    """All that is used."""
    found = read(published(), provider())
    assert (found.token_endpoint, found.sends_issuer) == (f"{ISSUER}/token", True)


@pytest.mark.asvs("10.5.3")
@pytest.mark.parametrize(
    "change",
    [
        {"issuer": f"{ISSUER}/"},
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"issuer": TEMPLATE},
        {"token_endpoint": "http://id.example.com/token"},
        {"token_endpoint": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": ["https://id.example.com/keys"]},
        {"end_session_endpoint": "http://id.example.com/logout"},
        {"response_types_supported": ["id_token"]},
        {"code_challenge_methods_supported": ["plain"]},
        {"id_token_signing_alg_values_supported": ["HS256", "none"]},
    ],
)
def test_unsound_metadata_are_refused(change: dict[str, Any]) -> None:
    """Each with an error of its own, before anything of them is used."""
    with pytest.raises(ProviderMisconfigured):
        read(published(**change), provider())


def test_entra_is_read_without_what_it_leaves_out() -> None:
    """It does S256 without saying so; its shared issuers publish a template."""
    found = preset("entra", {"id": "m", "client_id": "c", "authentication": "none"}, tenant="organizations")
    entra = parse({**found, "tenants": ["11111111-2222-3333-4444-555555555555"]})
    assert isinstance(entra, OidcProvider)
    assert discovery_url(entra.issuer).startswith(
        "https://login.microsoftonline.com/organizations/v2.0/.well"
    )
    assert read(published(issuer=TEMPLATE, code_challenge_methods_supported=None), entra).issuer == TEMPLATE


@pytest.mark.parametrize(
    ("name", "given", "more"),
    [
        ("entra", {}, {}),
        ("entra", {}, {"tenant": "common"}),
        ("entra", {"adopt": "email", "domains": ["example.com"]}, {"tenant": TENANT}),
        ("entra", {}, {"tenant": "contoso.onmicrosoft.com"}),
        ("keycloak", {}, {"url": "https://id.example.com"}),
        ("keycloak", {}, {"url": "http://id.example.com", "realm": "staff"}),
        ("google", {}, {}),
        ("facebook", {}, {}),
    ],
)
def test_preset_that_would_let_strangers_in_is_refused(
    name: str, given: dict[str, Any], more: dict[str, str]
) -> None:
    """Every tenant of Entra ID, every address it does not verify, everybody with a Google account."""
    base = {"id": "p", "client_id": "c", "authentication": "none"}
    with pytest.raises(ProviderMisconfigured):
        parse(preset(name, {**base, **given}, **more))


def test_google_lets_in_a_hosted_domain_only() -> None:
    """The claim `hd`, not the address, says whose account that is."""
    given = {"id": "g", "client_id": "c", "authentication": "none", "domains": ["example.com"]}
    found = parse(preset("google", given))
    assert isinstance(found, OidcProvider)
    assert found.required == {"hd": ("example.com",)}


def test_groups_come_from_the_named_claim() -> None:
    """A list, a single text, or one within another."""
    keycloak = provider(groups_claim="realm_access.roles")
    assert identity_of(claims(realm_access={"roles": ["a", 7]}), keycloak).attributes["groups"] == ("a",)
    assert identity_of(claims(groups="a"), provider()).attributes["groups"] == ("a",)
    assert identity_of(claims(), provider()).attributes["groups"] == ()


def test_groups_that_entra_left_out_are_an_error() -> None:
    """Too many for the token is not the same as none: no group is taken away by it."""
    overage = claims(_claim_names={"groups": "src1"}, _claim_sources={"src1": {"endpoint": "https://x"}})
    with pytest.raises(ProviderMisconfigured, match="more groups"):
        identity_of(overage, provider())


def test_groups_that_do_not_matter_may_be_left_out() -> None:
    """Whoever maps app roles needs no groups; the other way of saying it is understood as well."""
    roles = provider(groups_claim="roles")
    found = identity_of(claims(_claim_names={"groups": "src1"}, roles=["Sales.All"]), roles)
    assert found.attributes["groups"] == ("Sales.All",)
    with pytest.raises(ProviderMisconfigured, match="more groups") as caught:
        identity_of(claims(hasgroups=True), provider())
    assert "app roles" in str(caught.value.fix)


# What the three providers put into ID tokens, by their own documentation.
ENTRA: dict[str, Any] = {
    "ver": "2.0",
    "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
    "tid": TENANT,
    "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
    "oid": "00000000-0000-0000-66f3-3332eca7ea81",
    "name": "Abe Lincoln",
    "preferred_username": "abeli@contoso.example",
    "email": "abeli@contoso.example",
    "groups": ["3fa85f64-5717-4562-b3fc-2c963f66afa6"],
    "roles": ["Sales.All"],
}
KEYCLOAK: dict[str, Any] = {
    "iss": "https://id.example.com/realms/staff",
    "sub": "f9c0b0e2-1e0f-4b0e-9d2a-0c6d8f1e2a3b",
    "typ": "ID",
    "azp": "vallum",
    "sid": "7e3c1a",
    "email_verified": True,
    "name": "Abe Lincoln",
    "preferred_username": "abe",
    "email": "abe@example.com",
    "groups": ["/sales", "/staff/lyon"],
}
GOOGLE: dict[str, Any] = {
    "iss": "https://accounts.google.com",
    "azp": "1234987819200.apps.googleusercontent.com",
    "sub": "10769150350006150715113082367",
    "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q",
    "hd": "example.com",
    "email": "abe@example.com",
    "email_verified": True,
    "name": "Abe Lincoln",
}


@pytest.mark.parametrize(
    ("name", "more", "said", "login", "match", "groups"),
    [
        ("entra", {"tenant": TENANT}, ENTRA, "abeli@contoso.example", ENTRA["oid"], ENTRA["groups"]),
        ("keycloak", {"url": "https://id.example.com", "realm": "staff"}, KEYCLOAK, "abe", "abe",
         KEYCLOAK["groups"]),
        ("google", {}, GOOGLE, "abe@example.com", "abe@example.com", []),
    ],
    ids=["entra", "keycloak", "google"],
)  # fmt: skip
def test_preset_reads_what_its_provider_says(
    name: str, more: dict[str, str], said: dict[str, Any], login: str, match: str, groups: list[str]
) -> None:
    """Issuer to the letter, login, by what a provisioned account is known, groups as they are sent."""
    given: dict[str, Any] = {"id": "p", "client_id": "c", "authentication": "none"}
    given |= {"domains": ["example.com"]} if name == "google" else {}
    found = parse(preset(name, given, **more))
    assert isinstance(found, OidcProvider)
    assert found.issuer == said["iss"]
    who = identity_of(said, found)
    assert (who.person.login, who.match, list(who.attributes["groups"])) == (login, match, groups)
    assert (who.subject, who.person.name) == (said["oid" if name == "entra" else "sub"], "Abe Lincoln")
    # Entra ID does not say so of any address.
    assert who.email_verified == (name != "entra")


def test_google_is_asked_for_the_hosted_domain() -> None:
    """So that nobody chooses a private account in vain; where there are several, it cannot be."""
    base = {"id": "g", "client_id": "c", "authentication": "none"}
    for domains, asked in ((["example.com"], True), (["example.com", "example.org"], False)):
        found = parse(preset("google", {**base, "domains": domains}))
        assert isinstance(found, OidcProvider)
        url = authorization_url(found, read(published(issuer=found.issuer), found), start(None), "https://us")
        assert ("hd=example.com" in url) == asked


@pytest.mark.parametrize("said", [False, "false"])
def test_address_that_was_not_verified_says_nothing(said: object) -> None:
    """Neither by whose domain nor as a name: whoever registers there could write any."""
    typed = claims(email="boss@example.com", email_verified=said)
    assert identity_of(typed, provider()).person.email is None
    assert identity_of(typed, provider(match_claim="email")).match is None
    with pytest.raises(SignInRefused):
        identity_of(typed, provider(login_claim="email"))
    assert identity_of(claims(email="boss@example.com"), provider()).person.email == "boss@example.com"


def test_person_without_a_name_is_refused() -> None:
    """The text says which claim was looked for."""
    with pytest.raises(SignInRefused, match="login_claim"):
        identity_of(claims(preferred_username=None), provider())
    with pytest.raises(SignInRefused):
        identity_of(claims(preferred_username="a\u202eb"), provider())
