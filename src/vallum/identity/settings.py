"""Every number of sign-in: the table `[identity]` of vallum.toml, parsed once and strictly.

Pure. What is left out has the default written here; an unknown name or a value out of range is an error.
Invariant: no setting switches hashing, the blocklist's file or the lockout off altogether.
Source: NIST SP 800-63B-4, OWASP ASVS 5.0 (V6, V7), Odoo hardening guides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from vallum.kernel import SettingsError

__all__ = [
    "FactorSettings",
    "HashSettings",
    "IdentitySettings",
    "KeySettings",
    "Limit",
    "LockoutSettings",
    "MailSettings",
    "PasswordSettings",
    "SessionSettings",
]

Positive = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[int, Meta(ge=0)]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of settings."""


class PasswordSettings(_Table, frozen=True):
    """What a new password must be. `policy` gives the defaults of all that is None."""

    policy: Literal["nist", "guide"] = "nist"
    min_length: Annotated[int, Meta(ge=8, le=64)] | None = None
    min_length_with_factor: Annotated[int, Meta(ge=8, le=64)] | None = None
    max_length: Annotated[int, Meta(ge=64, le=1024)] = 256
    classes: Annotated[int, Meta(ge=0, le=4)] | None = None
    history: Annotated[int, Meta(ge=0, le=100)] | None = None
    max_days: Annotated[int, Meta(ge=0, le=3650)] | None = None
    min_hours: Annotated[int, Meta(ge=0, le=24 * 30)] | None = None
    blocklist: bool = True
    context_words: tuple[str, ...] = ()
    reset_minutes: Annotated[int, Meta(ge=5, le=24 * 60)] = 60
    invitation_hours: Annotated[int, Meta(ge=1, le=24 * 14)] = 72


class HashSettings(_Table, frozen=True):
    """Argon2id. `memory`: KiB. `parallel`: hashes at once in a process; `waiting`: how many may queue."""

    memory: Annotated[int, Meta(ge=7168, le=1_048_576)] = 19_456
    time: Annotated[int, Meta(ge=1, le=20)] = 2
    lanes: Annotated[int, Meta(ge=1, le=8)] = 1
    parallel: Annotated[int, Meta(ge=1, le=64)] = 2
    waiting: Annotated[int, Meta(ge=1, le=10_000)] = 256


class Limit(_Table, frozen=True):
    """So many failures within `window` minutes shut for `lock` minutes, doubled `doublings` times at most."""

    failures: Positive = 5
    window: Positive = 15
    lock: Positive = 15
    doublings: Annotated[int, Meta(ge=0, le=10)] = 0


class LockoutSettings(_Table, frozen=True):
    """The counters of failures: by account, known device, address and network; second factors apart."""

    account: Limit = Limit()
    device: Limit = Limit()
    address: Limit = Limit(failures=20)
    network: Limit = Limit(failures=100)
    factor: Limit = Limit(doublings=6)
    factor_address: Limit = Limit(failures=30)
    reset: Limit = Limit(failures=3, window=60, lock=60)
    device_days: Annotated[int, Meta(ge=1, le=400)] = 180


class SessionSettings(_Table, frozen=True):
    """How long a session lasts: unused (`idle_minutes`), at all (`hours`), and fresh for sensitive acts."""

    idle_minutes: Annotated[int, Meta(ge=1, le=24 * 60 * 30)] = 60
    hours: Annotated[int, Meta(ge=1, le=24 * 30)] = 24
    fresh_minutes: Annotated[int, Meta(ge=1, le=24 * 60)] = 10
    most: Annotated[int, Meta(ge=1, le=1000)] = 20
    factor_minutes: Annotated[int, Meta(ge=1, le=30)] = 10


class FactorSettings(_Table, frozen=True):
    """Who needs a second factor. `groups` may hold presets (`finance`) and patterns (`sales.group_*`)."""

    required: Literal["optional", "groups", "all"] = "groups"
    groups: tuple[str, ...] = ("administrators", "finance", "hr", "key-holders")
    grace_days: Annotated[int, Meta(ge=0, le=90)] = 7
    totp_drift: Annotated[int, Meta(ge=0, le=2)] = 1
    recovery_codes: Annotated[int, Meta(ge=4, le=20)] = 10
    most: Annotated[int, Meta(ge=1, le=50)] = 10


class KeySettings(_Table, frozen=True):
    """API keys: who may make them, and for how long."""

    managers: tuple[str, ...] = ()
    max_days: Annotated[int, Meta(ge=1, le=90)] = 90
    overlap_hours: Annotated[int, Meta(ge=0, le=24 * 7)] = 24


class MailSettings(_Table, frozen=True):
    """How notices leave. Without `host` they wait. The password comes from VALLUM_MAIL_PASSWORD."""

    host: str = ""
    port: Annotated[int, Meta(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    sender: str = "vallum@localhost"
    timeout: Annotated[int, Meta(ge=1, le=300)] = 20
    attempts: Annotated[int, Meta(ge=1, le=100)] = 12


class IdentitySettings(_Table, frozen=True):
    """All of them. `url`: where people reach Vallum; links and passkeys are made for it alone.

    `link_users`: whether an account that a directory makes is tied to the user with the same login.
    """

    url: str = "https://localhost:8443"
    name: str = "Vallum"
    administrators: tuple[str, ...] = ("base.group_system",)
    auditors: tuple[str, ...] = ()
    alarm: tuple[str, ...] = ()
    max_elevation_minutes: Annotated[int, Meta(ge=5, le=24 * 60 * 30)] = 8 * 60
    approvers: tuple[str, ...] = ()
    link_users: bool = False
    passwords: PasswordSettings = PasswordSettings()
    hashing: HashSettings = HashSettings()
    lockout: LockoutSettings = LockoutSettings()
    sessions: SessionSettings = SessionSettings()
    factors: FactorSettings = FactorSettings()
    keys: KeySettings = KeySettings()
    mail: MailSettings = MailSettings()

    @classmethod
    def parse(cls, raw: Mapping[str, Any], *, where: str = "[identity]") -> IdentitySettings:
        """The settings a table holds.

        Raises: SettingsError.
        """
        try:
            found = msgspec.convert(raw, cls)
        except msgspec.ValidationError as error:
            raise SettingsError(
                f"a setting of sign-in is wrong: {error}",
                where=where,
                fix="see docs/how-to/accounts.md for the names and their ranges",
            ) from None
        _check_url(found.url, where)
        return found

    @property
    def origin(self) -> str:
        """The origin of `url`, as browsers write it."""
        parts = urlsplit(self.url)
        default = {"https": 443, "http": 80}[parts.scheme]
        port = f":{parts.port}" if parts.port not in (None, default) else ""
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{host}{port}"

    @property
    def host(self) -> str:
        """The host of `url`: what passkeys are bound to."""
        return urlsplit(self.url).hostname or ""


_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def _check_url(url: str, where: str) -> None:
    try:
        parts = urlsplit(url)
        sound = bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, sound = urlsplit(""), False
    if not sound or parts.scheme not in ("https", "http") or parts.query or parts.fragment or "@" in url:
        raise SettingsError(
            f"`{url}` is no address people could open", where=f"{where}: url", fix="write https://host"
        )
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise SettingsError(
            "passwords do not travel in the clear", where=f"{where}: url", fix="write it as https://…"
        )
