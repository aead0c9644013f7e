"""An account as it is stored, and what a login and a mail address may be.

Pure.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from vallum.kernel import SettingsError

__all__ = [
    "COLUMNS",
    "FOREIGN",
    "Account",
    "Kind",
    "account_of",
    "checked_email",
    "checked_login",
    "login_key",
]

Kind = Literal["person", "service"]
# Where the account of an Odoo's user comes from: its password stays there.
FOREIGN: Final = "odoo"
COLUMNS: Final = (
    "id, kind, login, name, email, user_id, source, active, break_glass, local_password, password_hash,"
    " password_set, factor_deadline, handle, created, last_sign_in"
)
_NAMES: Final = tuple(name.strip() for name in COLUMNS.split(","))
_EMAIL: Final = re.compile(r"[^@\s<>,;:\"\\]{1,64}@[^@\s<>,;:\"\\]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account as stored. `user_id`: the application's user; `handle`: what passkeys know it by."""

    id: int
    kind: Kind
    login: str
    name: str
    email: str | None
    user_id: int | None
    source: str
    active: bool
    break_glass: bool
    local_password: bool
    password_hash: str | None
    password_set: datetime | None
    factor_deadline: datetime | None
    handle: bytes
    created: datetime
    last_sign_in: datetime | None

    def __repr__(self) -> str:
        return f"Account({self.id}, {self.login!r})"

    def as_dict(self) -> dict[str, Any]:
        """The account for a program, without what only this program needs."""
        return {
            "id": self.id,
            "kind": self.kind,
            "login": self.login,
            "name": self.name,
            "email": self.email,
            "user_id": self.user_id,
            "source": self.source,
            "active": self.active,
            "break_glass": self.break_glass,
            "has_password": self.password_hash is not None,
            "created": self.created.isoformat(),
            "last_sign_in": self.last_sign_in.isoformat() if self.last_sign_in else None,
        }


def login_key(login: str) -> str:
    """What logins are compared by: alike to the eye is the same.

    >>> login_key("  Marie@Example.COM ")
    'marie@example.com'
    """
    key = unicodedata.normalize("NFKC", login).casefold().strip()
    # What PostgreSQL cannot hold is nobody's login.
    return key.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def account_of(row: Any) -> Account:
    """The account of a row of `COLUMNS`."""
    values = dict(zip(_NAMES, row, strict=True))
    return Account(**{**values, "handle": bytes(values["handle"])})


def checked_login(login: str) -> str:
    """The key of a login that may be one.

    Raises: SettingsError.
    """
    key = login_key(login)
    if not key or len(key) > 254 or any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in login.strip()):
        raise SettingsError("this cannot be a login", where=repr(login), fix="give a name or a mail address")
    return key


def checked_email(email: str | None) -> str | None:
    """The address without blanks around it; None where there is none.

    Raises: SettingsError.
    """
    if not email:
        return None
    if not _EMAIL.fullmatch(email.strip()):
        raise SettingsError("this is no mail address", where=repr(email), fix="write it as name@example.com")
    return email.strip()
