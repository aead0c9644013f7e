"""What a provider is to be shown when somebody signs out: kept sealed, as long as a session can last.

An ID token, or a NameID, by which the provider knows at once whom to sign out, without asking. Kept are the
newest ones of each session at a provider.
Trust: whoever reads the table learns nothing without the secret of sign-in; whoever has both learns names,
and ID tokens that have long expired as proofs.
Invariant: a hint opens nothing, and is given away once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from vallum.identity.accounts_port import Transaction
from vallum.identity.keyring import Keyring
from vallum.kernel import SettingsError

__all__ = ["keep_hint", "sweep_hints", "take_hint"]


def keep_hint(
    tx: Transaction,
    keyring: Keyring,
    provider_id: str,
    account_id: int,
    session: str | None,
    hint: Mapping[str, Any],
    expires: datetime,
) -> None:
    """Keep it until then. `session`: what the provider calls its session, where it says."""
    sealed = keyring.seal(_purpose(provider_id, account_id), msgspec.json.encode(dict(hint)))
    tx.execute(
        "INSERT INTO vallum.sso_hint (provider_id, account_id, session, hint, expires)"
        " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (provider_id, account_id, session)"
        " DO UPDATE SET hint = EXCLUDED.hint, expires = EXCLUDED.expires",
        (provider_id, account_id, session or "", sealed, expires),
    )


def take_hint(
    tx: Transaction,
    keyring: Keyring,
    provider_id: str,
    account_id: int,
    session: str | None,
    now: datetime,
) -> dict[str, Any]:
    """The hint, which is gone thereby; nothing where there is none, or it does not open any more."""
    row = tx.execute(
        "DELETE FROM vallum.sso_hint WHERE provider_id = %s AND account_id = %s AND session = %s"
        " RETURNING hint, expires",
        (provider_id, account_id, session or ""),
    ).fetchone()
    if row is None or row[1] <= now:
        return {}
    try:
        plain = keyring.open(_purpose(provider_id, account_id), bytes(row[0]))
    except SettingsError:
        # Its secret is gone: the provider asks, and that is all.
        return {}
    return msgspec.json.decode(plain, type=dict[str, Any])


def sweep_hints(tx: Transaction, now: datetime) -> int:
    """Forget what is over; how many those were."""
    return tx.execute("DELETE FROM vallum.sso_hint WHERE expires <= %s", (now,)).rowcount


def _purpose(provider_id: str, account_id: int) -> str:
    return f"sign-out hint of {account_id} at {provider_id}"
