"""How providers have answered of late, and what of theirs ends when: for people who look after them.

One row a provider, written once a minute at most where all is well.
Invariant: a cause is a sentence of ours; what the other side said, which may be anybody's text, is kept
beside it, cleaned and bounded, for those who look after the provider.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final

from vallum.identity.accounts_port import Transaction
from vallum.identity.saml.certificates import certificate_of
from vallum.identity.sso.errors import NoSuchProvider, ProviderMisconfigured, SignInRefused
from vallum.identity.sso.providers import LdapProvider, OidcProvider, Provider, SamlProvider, parse
from vallum.kernel import VallumError

__all__ = ["End", "State", "failed", "state_of", "states", "succeeded"]

SOON: Final = timedelta(days=30)
_MINUTE: Final = timedelta(minutes=1)
_LONGEST: Final = 300
# Refused for what somebody did or is, which says nothing of the provider.
_PEOPLE: Final = frozenset(
    {
        *("state", "browser", "mix-up", "form", "flow", "denied", "interaction", "locked", "password"),
        *(
            "inactive",
            "no-account",
            "not-linked",
            "domain",
            "other-account",
            "replay",
            "auth-time",
            "wrapped",
        ),
    }
)


@dataclass(frozen=True, slots=True)
class End:
    """Something ends: a certificate, a secret, a token."""

    what: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A provider as it is written down, how it has answered, and what ends.

    `provider` None: what is written down is wrong, as `fault` says.
    """

    id: str
    kind: str
    label: str
    provider: Provider | None
    fault: str | None
    success: datetime | None
    failure: datetime | None
    cause: str | None
    said: str | None
    ends: tuple[End, ...]

    @property
    def enabled(self) -> bool:
        """Whether it is switched on."""
        return self.provider is not None and self.provider.enabled

    @property
    def well(self) -> bool | None:
        """Whether it last worked; None where nobody has tried."""
        if self.fault is not None:
            return False
        if self.failure is None:
            return True if self.success is not None else None
        return self.success is not None and self.success > self.failure

    @property
    def told(self) -> str:
        """Why it failed last, with what the other side said of it."""
        return (self.cause or "") + (f"; it said: {self.said}" if self.said else "")

    def as_dict(self) -> dict[str, Any]:
        """For a program."""
        return {
            "id": self.id,
            "kind": self.kind,
            "label": self.label,
            "enabled": self.enabled,
            "fault": self.fault,
            "last_success": self.success.isoformat() if self.success else None,
            "last_failure": self.failure.isoformat() if self.failure else None,
            "cause": self.cause,
            "said": self.said,
            "ends": [{"what": end.what, "at": end.at.isoformat()} for end in self.ends],
        }


def succeeded(tx: Transaction, provider_id: str, now: datetime) -> None:
    """Somebody came in by it, or it was followed."""
    tx.execute(
        "INSERT INTO vallum.sso_state (provider_id, success) SELECT id, %(now)s FROM vallum.sso_provider"
        " WHERE id = %(id)s ON CONFLICT (provider_id) DO UPDATE SET success = EXCLUDED.success"
        " WHERE sso_state.success IS NULL OR sso_state.success < %(before)s"
        " OR sso_state.failure > sso_state.success",
        {"id": provider_id, "now": now, "before": now - _MINUTE},
    )


def failed(tx: Transaction, provider_id: str, error: VallumError, now: datetime) -> None:
    """It did not answer, or not as it should; what only somebody who asked did wrong is passed over."""
    if isinstance(error, NoSuchProvider):
        return
    if isinstance(error, SignInRefused) and error.reason in _PEOPLE:
        return
    tx.execute(
        "INSERT INTO vallum.sso_state (provider_id, failure, cause, said)"
        " SELECT id, %(now)s, %(cause)s, %(said)s FROM vallum.sso_provider WHERE id = %(id)s"
        " ON CONFLICT (provider_id) DO UPDATE"
        " SET failure = EXCLUDED.failure, cause = EXCLUDED.cause, said = EXCLUDED.said",
        {
            "id": provider_id,
            "now": now,
            "cause": error.what[:_LONGEST],
            "said": getattr(error, "said", None),
        },
    )


def states(tx: Transaction) -> list[State]:
    """All providers, also those that are switched off or written down wrongly."""
    return [_state(row) for row in tx.execute(f"{_SELECT} ORDER BY p.id".encode()).fetchall()]


def state_of(tx: Transaction, provider_id: str) -> State:
    """One of them. Raises: NoSuchProvider."""
    row = tx.execute(f"{_SELECT} HAVING p.id = %s".encode(), (provider_id,)).fetchone()
    if row is None:
        raise NoSuchProvider("no identity provider has this id", fix="choose one of the list")
    return _state(row)


_SELECT: Final = (
    "SELECT p.id, p.config, s.success, s.failure, s.cause, s.said, max(t.last_used), min(t.expires)"
    " FROM vallum.sso_provider p LEFT JOIN vallum.sso_state s ON s.provider_id = p.id"
    " LEFT JOIN vallum.scim_token t ON t.provider_id = p.id"
    " GROUP BY p.id, p.config, s.success, s.failure, s.cause, s.said"
)


def _state(row: Any) -> State:
    name, config, success, failure, cause, said, used, expires = row
    provider, fault, ends = None, None, []
    try:
        provider = parse(config, where=name)
        ends = _ends(provider)
    except ProviderMisconfigured as error:
        fault = error.what
    if expires is not None:
        ends.append(End("token of SCIM", expires))
    return State(
        id=name,
        kind=str(config.get("kind")),
        label=str(config.get("label")),
        provider=provider,
        fault=fault,
        # Directories that provision show themselves by their token.
        success=max((one for one in (success, used) if one is not None), default=None),
        failure=failure,
        cause=cause,
        said=said,
        ends=tuple(sorted(ends, key=lambda end: end.at)),
    )


def _ends(provider: Provider) -> list[End]:
    """Raises: ProviderMisconfigured."""
    if isinstance(provider, SamlProvider):
        known = [certificate_of(pem, provider.id).not_valid_after_utc for pem in provider.certificates]
        # As long as one of them holds, people come in.
        return [End("certificate", max(known))]
    if isinstance(provider, OidcProvider | LdapProvider) and provider.secret_until is not None:
        return [End("secret", datetime.combine(provider.secret_until, time.min, UTC))]
    return []
