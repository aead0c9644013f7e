"""The factors an account has, of every kind; and what follows where one is added.

Invariant: a factor is kept only after it was shown once, so that nobody is shut out by a half-done enrolment.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vallum.identity.accounts import Account
from vallum.identity.base import Base
from vallum.identity.errors import FactorRefused
from vallum.identity.factors.store import has_factor
from vallum.identity.store import Connection
from vallum.identity.tickets import TicketKind
from vallum.identity.tokens import digest

__all__ = ["Factor", "Kept"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """A factor as its holder sees it. `kind`: `totp` or `passkey`."""

    id: int
    kind: str
    name: str
    created: datetime
    used: datetime | None

    def as_dict(self) -> dict[str, Any]:
        """The factor for a program."""
        return {
            "id": self.id,
            "kind": self.kind,
            "name": self.name,
            "created": self.created.isoformat(),
            "used": self.used.isoformat() if self.used else None,
        }


class Kept:
    """What all kinds of factors have in common."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._settings = base.settings.factors

    def has_any(self, account_id: int) -> bool:
        """Whether an account has a second factor."""
        return has_factor(self._base.store, account_id)

    def of(self, account_id: int) -> list[Factor]:
        """An account's factors, the oldest first."""
        rows = self._base.store.rows(
            "SELECT id, 'totp', name, created, used FROM vallum.totp WHERE account_id = %s UNION ALL"
            " SELECT id, 'passkey', name, created, used FROM vallum.passkey WHERE account_id = %s"
            " ORDER BY 4, 1",
            (account_id, account_id),
        )
        return [Factor(id=i, kind=kind, name=name, created=at, used=used) for i, kind, name, at, used in rows]

    def _check_room(self, account: Account) -> None:
        if account.kind != "person":
            raise FactorRefused("a service has no second factor", fix="give it a key")
        if len(self.of(account.id)) >= self._settings.most:
            raise FactorRefused("there are too many factors already", fix="remove one that is not used")

    def _enrolled(self, connection: Connection, account: Account, what: str, step: str) -> None:
        """Note it, and let only the sign-in go on that has waited for it: others must show the factor now."""
        base = self._base
        connection.execute(b"UPDATE vallum.account SET factor_deadline = NULL WHERE id = %s", (account.id,))
        connection.execute(
            b"DELETE FROM vallum.ticket WHERE account_id = %s AND kind = %s AND digest <> %s",
            (account.id, TicketKind.ENROL.value, digest(step)),
        )
        connection.execute(
            b"UPDATE vallum.ticket SET data = data || '{\"enrolled\": true}'"
            b" WHERE account_id = %s AND digest = %s AND kind = %s",
            (account.id, digest(step), TicketKind.ENROL.value),
        )
        base.mail(connection, "factor-added", base.notices.changed(account, what, base.now()))
