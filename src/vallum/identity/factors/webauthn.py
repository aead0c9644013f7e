"""Passkeys: what is asked of authenticators and what they answer, checked.

Pure. The library checks signatures, challenge, origin, relying party and flags; this module says what is
expected, and what follows. A counter that goes back means a copy of the authenticator: refused.
Source: WebAuthn Level 3, 7.1 and 7.2.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import webauthn
from webauthn.helpers import base64url_to_bytes
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AttestationConveyancePreference,
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from vallum.identity.accounts import Account
from vallum.identity.errors import FactorRefused
from vallum.identity.settings import IdentitySettings

__all__ = [
    "Enrolled",
    "Shown",
    "credential_of",
    "request_options",
    "verify_enrolled",
    "verify_shown",
    "wanted_options",
]


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A new passkey."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    transports: tuple[str, ...]
    backed_up: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """A passkey that was shown. `verified`: by a fingerprint, a face or a PIN as well."""

    sign_count: int
    verified: bool
    backed_up: bool


def wanted_options(
    settings: IdentitySettings, account: Account, challenge: bytes, known: Iterable[bytes]
) -> dict[str, Any]:
    """What the browser is asked for to make a passkey: one that is found without a login, and verifies."""
    options = webauthn.generate_registration_options(
        rp_id=settings.host,
        rp_name=settings.name,
        user_id=account.handle,
        user_name=account.login,
        user_display_name=account.name,
        challenge=challenge,
        attestation=AttestationConveyancePreference.NONE,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED,
            user_verification=UserVerificationRequirement.PREFERRED,
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=key) for key in known],
    )
    found: dict[str, Any] = json.loads(webauthn.options_to_json(options))
    return found


def verify_enrolled(settings: IdentitySettings, answer: str, challenge: bytes) -> Enrolled:
    """The passkey an authenticator has made.

    Raises: FactorRefused.
    """
    try:
        found = webauthn.verify_registration_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=settings.host,
            expected_origin=settings.origin,
            require_user_verification=False,
        )
        transports = json.loads(answer).get("response", {}).get("transports") or []
    except (WebAuthnException, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _refused() from error
    known = {transport.value for transport in AuthenticatorTransport}
    return Enrolled(
        found.credential_id,
        found.credential_public_key,
        found.sign_count,
        tuple(t for t in transports if isinstance(t, str) and t in known),
        found.credential_backed_up,
    )


def request_options(
    settings: IdentitySettings, challenge: bytes, allowed: Iterable[bytes], *, first: bool
) -> dict[str, Any]:
    """What the browser is asked for to show a passkey; `first`: in place of a password, so it must verify."""
    options = webauthn.generate_authentication_options(
        rp_id=settings.host,
        challenge=challenge,
        allow_credentials=[PublicKeyCredentialDescriptor(id=key) for key in allowed],
        user_verification=UserVerificationRequirement.REQUIRED
        if first
        else UserVerificationRequirement.PREFERRED,
    )
    found: dict[str, Any] = json.loads(webauthn.options_to_json(options))
    return found


def credential_of(answer: str) -> tuple[bytes, bytes | None]:
    """The id of the passkey an answer is of, and the handle of the account it says it belongs to.

    Raises: FactorRefused.
    """
    try:
        parsed = webauthn.helpers.parse_authentication_credential_json(answer)
        handle = parsed.response.user_handle
        return base64url_to_bytes(parsed.id), bytes(handle) if handle else None
    except (WebAuthnException, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _refused() from error


def verify_shown(
    settings: IdentitySettings,
    answer: str,
    challenge: bytes,
    public_key: bytes,
    sign_count: int,
    *,
    first: bool,
) -> Shown:
    """A passkey that was shown for this challenge, here, by whoever holds it.

    Raises: FactorRefused.
    """
    try:
        found = webauthn.verify_authentication_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=settings.host,
            expected_origin=settings.origin,
            credential_public_key=public_key,
            credential_current_sign_count=sign_count,
            require_user_verification=first,
        )
    except (WebAuthnException, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _refused() from error
    return Shown(found.new_sign_count, found.user_verified, found.credential_backed_up)


def _refused() -> FactorRefused:
    return FactorRefused("this passkey was not accepted", fix="try again, or use another factor")
