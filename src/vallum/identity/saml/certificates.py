"""Certificates of providers of SAML, as they are written down: read, and those that hold now.

Apart from `signature`, whose libraries of XML a server loads with the first message it gets.
"""

from __future__ import annotations

from datetime import datetime

from cryptography import x509

from vallum.identity.sso.errors import ProviderMisconfigured

__all__ = ["certificate_of", "valid_certificates"]


def certificate_of(pem: str, where: str) -> x509.Certificate:
    """Raises: ProviderMisconfigured."""
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        raise ProviderMisconfigured(
            "a certificate cannot be read", where=where, fix="give it as PEM"
        ) from error


def valid_certificates(certificates: tuple[str, ...], now: datetime, where: str) -> list[x509.Certificate]:
    """Those that hold now. Raises: ProviderMisconfigured (none does)."""
    known = [certificate_of(pem, where) for pem in certificates]
    valid = [one for one in known if one.not_valid_before_utc <= now <= one.not_valid_after_utc]
    if not valid:
        latest = max(one.not_valid_after_utc for one in known)
        raise ProviderMisconfigured(
            f"no certificate of the provider is valid now; the last one ends on {latest:%Y-%m-%d}",
            where=where,
            fix="take over the provider's metadata anew: `vallum sso update --idp-metadata`",
        )
    return valid
