"""What goes to the provider by way of the browser, and what of its answer is believed.

Pure. Steps of the answer (RFC 6749, 9207; RFC 9700): 1. no parameter twice; 2. `iss` is the provider's, and
is there where the provider says it sends it; 3. it is no error; 4. there is a code, and nothing of
other flows.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlencode, urlsplit

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from vallum.identity.oidc.metadata import Metadata
from vallum.identity.sso.errors import ASK, SignInRefused, cleaned
from vallum.identity.sso.pending import Started, derive
from vallum.identity.sso.providers import GOOGLE, OidcProvider

__all__ = ["authorization_url", "code_of", "logout_url", "single"]

_CODE: Final = re.compile(r"\A[\x21-\x7e]{1,4096}\Z")
# What the errors of RFC 6749, 4.1.2.1 come to, for whoever reads them.
_OURS: Final = ("invalid_request", "unauthorized_client", "unsupported_response_type", "invalid_scope")
_DOWN: Final = ("server_error", "temporarily_unavailable")


def authorization_url(
    provider: OidcProvider,
    metadata: Metadata,
    started: Started,
    redirect_uri: str,
    max_age: int | None = None,
) -> str:
    """Where to send the browser. `max_age`: seconds; 0 asks for the credentials anew."""
    ages = [age for age in (max_age, provider.max_age) if age is not None]
    extra: dict[str, str] = {"max_age": str(min(ages))} if ages else {}
    if max_age == 0:
        extra["prompt"] = "login"
    hosted = provider.required.get("hd", ())
    if provider.issuer == GOOGLE and len(hosted) == 1:
        # So that nobody chooses a private account in vain; what counts is the claim.
        extra["hd"] = hosted[0]
    if provider.acr:
        extra["acr_values"] = " ".join(provider.acr)
    return str(
        prepare_grant_uri(
            metadata.authorization_endpoint,
            client_id=provider.client_id,
            response_type="code",
            redirect_uri=redirect_uri,
            scope=" ".join(provider.scopes),
            state=started.handle,
            nonce=derive(started, "nonce"),
            code_challenge=create_s256_code_challenge(derive(started, "verifier")),
            code_challenge_method="S256",
            **extra,
        )
    )


def logout_url(provider: OidcProvider, metadata: Metadata, back: str, token: str | None) -> str | None:
    """Where to send the browser to sign out there as well; None where the provider does not offer that.

    `token`: the ID token of the sign-in: the provider need not ask whom. It is in the address, since a form
    from elsewhere would come without the provider's own cookies; it opens nothing, here or there.
    """
    if metadata.end_session_endpoint is None:
        return None
    given = {"client_id": provider.client_id, "post_logout_redirect_uri": back}
    query = urlencode({**given, **({"id_token_hint": token} if token else {})})
    joint = "&" if urlsplit(metadata.end_session_endpoint).query else "?"
    return f"{metadata.end_session_endpoint}{joint}{query}"


def single(parameters: Iterable[tuple[str, str]], where: str) -> dict[str, str]:
    """The parameters of the answer. Raises: SignInRefused (one is there twice)."""
    found: dict[str, str] = {}
    for name, value in parameters:
        if name in found:
            raise SignInRefused("the answer says something twice", reason="form", where=where)
        found[name] = value
    return found


def code_of(answer: dict[str, str], provider: OidcProvider, metadata: Metadata) -> str:
    """The code. Raises: SignInRefused."""
    where = provider.id
    issuer = answer.get("iss")
    if issuer is None and metadata.sends_issuer:
        raise SignInRefused("the answer does not say which provider it is from", reason="mix-up", where=where)
    # A shared issuer of Entra ID sends none; whoever does is held to the issuer of the metadata.
    if issuer is not None and not hmac.compare_digest(issuer.encode(), metadata.issuer.encode()):
        raise SignInRefused("the answer came from another provider than asked", reason="mix-up", where=where)
    if "error" in answer:
        raise _refused(answer["error"], where, cleaned(answer["error"], answer.get("error_description")))
    if "id_token" in answer or "access_token" in answer:
        raise SignInRefused("the answer is of a flow that was not asked for", reason="flow", where=where)
    code = answer.get("code", "")
    if not _CODE.match(code):
        raise SignInRefused("the answer holds no code", reason="form", where=where)
    return code


def _refused(error: str, where: str, said: str | None) -> SignInRefused:
    """In our own words: the texts are the sender's, and anybody can be the sender."""
    if error == "access_denied":
        return SignInRefused(
            "the sign-in was cancelled, or not permitted there", reason="denied", where=where, said=said
        )
    if error in ("login_required", "interaction_required", "consent_required"):
        return SignInRefused(
            "the provider wants you to sign in there first", reason="interaction", where=where, said=said
        )
    what, fix = "the provider answered with an error", ASK
    if error in _DOWN:
        what, fix = "the provider cannot sign anybody in just now", "try again in a while"
    elif error in _OURS:
        what = "the provider does not take our request: this server is not set up for it as it should be"
    return SignInRefused(what, reason="provider-error", where=where, fix=fix, said=said)
