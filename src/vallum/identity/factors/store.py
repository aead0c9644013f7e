"""Whether an account has a second factor: asked by those who need no more of them."""

from __future__ import annotations

from vallum.identity.store import Store

__all__ = ["has_factor"]


def has_factor(store: Store, account_id: int) -> bool:
    """Whether an account has a one-time code or a passkey. Recovery codes alone are none."""
    return bool(
        store.rows(
            "SELECT 1 FROM vallum.totp WHERE account_id = %s UNION ALL"
            " SELECT 1 FROM vallum.passkey WHERE account_id = %s LIMIT 1",
            (account_id, account_id),
        )
    )
