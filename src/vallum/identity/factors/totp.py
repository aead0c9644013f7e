"""One-time codes from time (RFC 6238): six digits, 30 seconds, SHA-1, as every authenticator app has them.

Pure, but for the system's generator. The time is the server's (ASVS 6.5.8). Which step a code belongs to is
found here; that a step is used once is the database's to see to.
"""

from __future__ import annotations

import hmac
import re
from datetime import datetime
from typing import Final

import pyotp
import segno

__all__ = ["PERIOD", "matching_step", "new_secret", "provisioning_uri", "qr_svg"]

PERIOD: Final = 30
_CODE: Final = re.compile(r"[0-9]{6}")


def new_secret() -> str:
    """A new secret of 160 bits, in base32."""
    return pyotp.random_base32(32)


def matching_step(secret: str, code: str, now: datetime, drift: int) -> int | None:
    """The step a code is of: this one, or one at most `drift` away; None where it is of none.

    >>> from datetime import UTC
    >>> matching_step("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "287082", datetime.fromtimestamp(59, UTC), 0)
    1
    """
    digits = code.replace(" ", "")
    if not _CODE.fullmatch(digits):
        return None
    generator = pyotp.TOTP(secret, interval=PERIOD)
    step, found = int(now.timestamp()) // PERIOD, None
    # All are compared, so that the time taken tells nothing; the newest that matches counts.
    for candidate in range(step - drift, step + drift + 1):
        if hmac.compare_digest(generator.generate_otp(candidate), digits):
            found = candidate
    return found


def provisioning_uri(secret: str, login: str, issuer: str) -> str:
    """What the QR code says to an authenticator app."""
    return pyotp.TOTP(secret, interval=PERIOD).provisioning_uri(name=login, issuer_name=issuer)


def qr_svg(uri: str) -> str:
    """The QR code as an SVG without any style, to stand in a page."""
    svg: str = segno.make(uri, micro=False, error="m").svg_inline(scale=4, omitsize=True, title="QR code")
    return svg
