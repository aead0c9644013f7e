"""ID tokens and logout tokens: what is believed, and what is not."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest

from tests.identity.oidc.tokens import (
    ISSUER,
    METADATA,
    NOW,
    claims,
    encoded,
    forge,
    key,
    key_set,
    logout_claims,
    provider,
    sign,
)
from vallum.identity.oidc.metadata import TEMPLATE
from vallum.identity.oidc.tokens import NoSuchKey, check_id_token, check_logout_token
from vallum.identity.sso.errors import SignInRefused
from vallum.identity.sso.providers import OidcProvider

TENANT = "11111111-2222-3333-4444-555555555555"


def check(token: str, who: OidcProvider | None = None, **given: Any) -> dict[str, Any]:
    """The claims of a token at noon."""
    every = {"provider": who or provider(), "metadata": METADATA, "keys": key_set(), "now": NOW}
    return check_id_token(token, **{**every, "nonce": "the-nonce", **given})


def check_logout(token: str, who: OidcProvider | None = None) -> Any:
    """Whose sessions a logout token ends, at noon."""
    return check_logout_token(token, provider=who or provider(), metadata=METADATA, keys=key_set(), now=NOW)


def reason(token: str, who: OidcProvider | None = None, **given: Any) -> str:
    """Why a token is refused."""
    with pytest.raises(SignInRefused) as caught:
        check(token, who, **given)
    return caught.value.reason


def part(value: object) -> str:
    """A part of a token, made by hand."""
    return encoded(json.dumps(value).encode())


def test_token_of_the_provider_is_accepted() -> None:
    """Its claims come out, and nothing else is needed."""
    assert check(sign(claims()))["sub"] == "m-1"


@pytest.mark.asvs("9.1.1", "6.8.2")
def test_token_with_a_changed_claim_is_refused() -> None:
    """The signature is over every byte."""
    header, _, signature = sign(claims()).split(".")
    assert reason(f"{header}.{part(claims(sub='root'))}.{signature}") == "signature"


@pytest.mark.asvs("9.1.1", "6.8.2")
@pytest.mark.parametrize("token", ["", "a.b", "a.b.c", "..", "x" * 70_000, "é.é.é"])
def test_what_is_no_token_is_refused(token: str) -> None:
    """Whatever it is."""
    assert reason(token) == "form"


@pytest.mark.asvs("9.1.2")
@pytest.mark.parametrize("name", ["none", "None", "NONE", "", None])
def test_unsigned_token_is_refused(name: str | None) -> None:
    """However `none` is spelled."""
    header = part({"alg": name, "typ": "JWT"})
    assert reason(f"{header}.{part(claims())}.") in ("algorithm", "form")


@pytest.mark.asvs("9.1.2")
def test_public_key_as_a_shared_secret_is_refused() -> None:
    """RS256 turned into HS256: everybody has the public key."""
    public = key().as_pem(private=False)
    text = f"{part({'alg': 'HS256', 'kid': 'one', 'typ': 'JWT'})}.{part(claims())}"
    token = f"{text}.{encoded(hmac.digest(public, text.encode(), hashlib.sha256))}"
    assert reason(token) == "algorithm"


@pytest.mark.asvs("9.1.3")
@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c", "crit"])
def test_token_that_brings_its_own_key_is_refused(name: str) -> None:
    """The keys are those the provider publishes, wherever the token points."""
    foreign = key("foreign").as_dict(private=False)
    value = {"jwk": foreign, "x5c": ["MII="], "crit": ["exp"]}.get(name, "https://evil.example/keys")
    header = {"alg": "RS256", "kid": "foreign", "typ": "JWT", name: value}
    assert reason(forge(header, json.dumps(claims()), "foreign")) in ("key", "form")


@pytest.mark.asvs("9.1.3")
@pytest.mark.parametrize("kid", ["foreign", "../../dev/null", "one' OR '1'='1", None])
def test_key_that_the_provider_does_not_publish_is_refused(kid: str | None) -> None:
    """An id is compared, never used to find a file or a row; without one, the only key is meant."""
    token = sign(claims(), "foreign", kid=kid)
    assert reason(token) == ("signature" if kid is None else "key")


def test_token_without_key_id_is_refused_where_several_keys_could_be_meant() -> None:
    """One key is used, not whichever fits."""
    with pytest.raises(NoSuchKey):
        check(sign(claims(), kid=None), keys=key_set("one", "two"))


@pytest.mark.parametrize("change", [{"use": "enc"}, {"alg": "PS256"}, {"kty": "EC"}])
def test_key_for_another_purpose_is_not_used(change: dict[str, str]) -> None:
    """An encryption key, or one for another algorithm, signs nothing."""
    other = {"keys": [{**key().as_dict(private=False), **change}]}
    assert reason(sign(claims()), keys=other) == "key"


@pytest.mark.asvs("9.2.1")
def test_expired_token_is_refused_beyond_the_skew() -> None:
    """A minute's difference of clocks is borne, and no more; the text says what to look at."""
    token = sign(claims())
    assert check(token, now=NOW + timedelta(seconds=359))
    with pytest.raises(SignInRefused, match="clocks") as caught:
        check(token, now=NOW + timedelta(seconds=360))
    assert caught.value.reason == "expired"


@pytest.mark.asvs("9.2.1")
@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_token_from_the_future_is_refused_beyond_the_skew(name: str) -> None:
    """A provider whose clock is ahead is heard of by the text."""
    ahead = int(NOW.timestamp())
    assert check(sign(claims(**{name: ahead + 60})))
    with pytest.raises(SignInRefused, match="clocks"):
        check(sign(claims(**{name: ahead + 61})))


@pytest.mark.asvs("9.2.1")
@pytest.mark.parametrize("value", [None, "2000000000", True, [], 1e400])
def test_token_without_a_sound_expiry_is_refused(value: object) -> None:
    """No token lives for ever."""
    said = {**claims(), "exp": value} if value is not None else claims(exp=None)
    text = json.dumps(said).replace("Infinity", "1e999")
    header = {"alg": "RS256", "kid": "one", "typ": "JWT"}
    assert reason(forge(header, text)) in ("claims", "expired")


@pytest.mark.asvs("9.2.2", "10.5.5")
@pytest.mark.parametrize("kind", ["logout+jwt", "at+jwt", "dpop+jwt", 7])
def test_token_of_another_type_is_no_id_token(kind: object) -> None:
    """An access token or a logout token proves nobody's identity."""
    header = {"alg": "RS256", "kid": "one", "typ": kind}
    assert reason(forge(header, json.dumps(claims()))) in ("type", "form")


@pytest.mark.asvs("9.2.2", "10.5.5")
def test_logout_token_is_no_id_token() -> None:
    """Also where its header hides what it is."""
    assert reason(sign(logout_claims(nonce="the-nonce"))) == "type"


@pytest.mark.asvs("9.2.3", "10.5.4")
@pytest.mark.parametrize("audience", ["other", ["other", "third"], [], None, {"vallum": 1}, "vallum2"])
def test_token_for_another_application_is_refused(audience: object) -> None:
    """The audience is our client id, whole."""
    assert reason(sign(claims(aud=audience))) in ("audience", "claims")


@pytest.mark.asvs("9.2.3", "10.5.4")
@pytest.mark.parametrize(
    ("audience", "party", "why"),
    [
        (["vallum", "other"], None, "party"),
        (["vallum", "other"], "other", "party"),
        ("vallum", "other", "party"),
    ],
)
def test_token_issued_to_another_party_is_refused(audience: object, party: str | None, why: str) -> None:
    """Several audiences need an authorised party, and that is us."""
    assert reason(sign(claims(aud=audience, azp=party))) == why


def test_token_for_several_audiences_names_us_as_the_party() -> None:
    """Then it is ours."""
    assert check(sign(claims(aud=["other", "vallum"], azp="vallum")))


@pytest.mark.asvs("10.5.3", "6.8.1")
@pytest.mark.parametrize("issuer", [f"{ISSUER}/", "https://ID.example.com", "https://evil.example", None])
def test_token_of_another_issuer_is_refused(issuer: str | None) -> None:
    """To the letter."""
    assert reason(sign(claims(iss=issuer))) in ("issuer", "claims")


@pytest.mark.asvs("10.5.1", "10.1.2")
@pytest.mark.parametrize("nonce", ["other", "", None, 7])
def test_token_of_another_sign_in_is_refused(nonce: object) -> None:
    """A code or token that was stolen elsewhere carries another nonce."""
    assert reason(sign(claims(nonce=nonce))) == "nonce"


@pytest.mark.asvs("10.5.2")
@pytest.mark.parametrize("subject", [None, "", 7, "x" * 256])
def test_token_that_does_not_say_whose_it_is_is_refused(subject: object) -> None:
    """The subject is a text."""
    assert reason(sign(claims(sub=subject))) in ("subject", "claims")


@pytest.mark.asvs("6.8.4")
@pytest.mark.parametrize("moment", [None, True, "now", int(NOW.timestamp()) - 400])
def test_asked_recency_that_is_not_shown_is_refused(moment: object) -> None:
    """Whoever asks for a fresh sign-in gets one, or nobody."""
    assert reason(sign(claims(auth_time=moment)), max_age=300) == "auth-time"
    assert reason(sign(claims(auth_time=moment)), provider(max_age=300)) == "auth-time"


@pytest.mark.asvs("6.8.4")
def test_recency_is_counted_from_the_moment_it_was_asked_for() -> None:
    """Who takes minutes over the rest of it has signed in just now all the same; who did before has not."""
    asked = NOW - timedelta(minutes=5)
    at = int(asked.timestamp())
    assert check(sign(claims(auth_time=at + 5)), asked=asked, max_age=0)
    assert check(sign(claims(auth_time=at - 59)), asked=asked, max_age=0)
    assert reason(sign(claims(auth_time=at - 61)), asked=asked, max_age=0) == "auth-time"


@pytest.mark.asvs("6.8.4")
def test_asked_strength_that_is_not_shown_is_refused() -> None:
    """Context and methods are what was asked for; said by nobody, they are missing."""
    strong = provider(acr=["mfa"], amr=["otp"])
    assert check(sign(claims(acr="mfa", amr=["pwd", "otp"])), strong)
    assert reason(sign(claims(amr=["pwd", "otp"])), strong) == "acr"
    assert reason(sign(claims(acr="mfa", amr=["pwd"])), strong) == "amr"
    assert reason(sign(claims(acr="mfa", amr="otp")), strong) == "amr"


def test_account_of_another_organisation_is_refused() -> None:
    """Google signs everybody's tokens; the hosted domain says whose people they are."""
    ours = provider(required={"hd": ["example.com"]})
    assert check(sign(claims(hd="example.com")), ours)
    assert reason(sign(claims()), ours) == "required"
    assert reason(sign(claims(hd="evil.example")), ours) == "required"


@pytest.mark.parametrize("tenant", [TENANT, "99999999-2222-3333-4444-555555555555", None, "../x", 7])
def test_shared_issuer_of_entra_lets_in_listed_tenants_only(tenant: object) -> None:
    """The issuer is the template with the token's own tenant, and that is one of those listed."""
    entra = provider(issuer="https://login.microsoftonline.com/organizations/v2.0", tenants=[TENANT])
    issuer = TEMPLATE.replace("{tenantid}", str(tenant))
    token = sign(claims(iss=issuer, tid=tenant))
    if tenant == TENANT:
        assert check(token, entra)["iss"] == issuer
        assert reason(sign(claims(iss=issuer.replace("1111", "2222"), tid=tenant)), entra) == "issuer"
    else:
        assert reason(token, entra) == "tenant"


def test_logout_token_says_whose_sessions_are_over() -> None:
    """By subject, by session, or both."""
    found = check_logout(sign(logout_claims(), typ="logout+jwt"))
    assert (found.subject, found.sid, found.jti) == ("m-1", "s-1", "j-1")
    assert check_logout(sign(logout_claims(sub=None), typ="logout+jwt")).subject is None


@pytest.mark.asvs("10.5.5")
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"nonce": "n"}, "type"),
        ({"events": None}, "type"),
        ({"events": {}}, "type"),
        ({"events": {"http://schemas.openid.net/event/backchannel-logout": 1}}, "type"),
        ({"sub": None, "sid": None}, "subject"),
        ({"jti": None}, "claims"),
        ({"exp": None}, "claims"),
        ({"aud": "other"}, "audience"),
        ({"iss": "https://evil.example"}, "issuer"),
        ({"iat": int(NOW.timestamp()) - 361}, "expired"),
    ],
)
def test_what_is_no_sound_logout_token_ends_no_session(change: dict[str, Any], why: str) -> None:
    """Every claim it must have, and none it must not have."""
    with pytest.raises(SignInRefused) as caught:
        check_logout(sign(logout_claims(**change), typ="logout+jwt"))
    assert caught.value.reason == why


@pytest.mark.asvs("10.5.5")
def test_logout_token_says_so_in_its_header() -> None:
    """Unless an old provider is known not to; then the other checks still hold."""
    with pytest.raises(SignInRefused):
        check_logout(sign(logout_claims()))
    assert check_logout(sign(logout_claims()), provider(logout_typ=False))
    with pytest.raises(SignInRefused):
        check_logout(sign(claims()), provider(logout_typ=False))
