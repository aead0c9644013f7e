"""The second factors of accounts in one hand: codes, passkeys, and how one is taken away."""

from __future__ import annotations

from vallum.identity.accounts import Account
from vallum.identity.authenticator import Client
from vallum.identity.errors import FactorRefused
from vallum.identity.factors.codes import Codes
from vallum.identity.factors.passkeys import Passkeys

__all__ = ["Factors"]


class Factors(Codes, Passkeys):
    """The second factors of a store."""

    def remove(
        self, account: Account, kind: str, number: int, client: Client | None = None, *, by: str = ""
    ) -> bool:
        """Remove a factor, for its holder or in an administrator's name; whether there was one.

        Where it was the last, the recovery codes go with it. Sessions end where somebody else does it.
        """
        base, now = self._base, self._base.now()
        if kind not in ("totp", "passkey"):
            raise FactorRefused(f"no factor is of the kind `{kind}`", fix="it is `totp` or `passkey`")
        with base.store.transaction() as connection:
            done = connection.execute(
                f"DELETE FROM vallum.{kind} WHERE account_id = %s AND id = %s".encode(),
                (account.id, number),
            )
            if done.rowcount != 1:
                return False
            connection.execute(
                b"DELETE FROM vallum.recovery_code WHERE account_id = %(id)s"
                b" AND NOT EXISTS (SELECT 1 FROM vallum.totp WHERE account_id = %(id)s)"
                b" AND NOT EXISTS (SELECT 1 FROM vallum.passkey WHERE account_id = %(id)s)",
                {"id": account.id},
            )
            # Where one is required there is no grace once more: the next sign-in asks for another.
            connection.execute(
                b"UPDATE vallum.account SET factor_deadline = %(now)s WHERE id = %(id)s"
                b" AND NOT EXISTS (SELECT FROM vallum.totp WHERE account_id = %(id)s)"
                b" AND NOT EXISTS (SELECT FROM vallum.passkey WHERE account_id = %(id)s)",
                {"id": account.id, "now": now},
            )
            base.mail(
                connection,
                "factor-removed",
                base.notices.changed(account, "A second factor was removed", now),
            )
        if by:
            base.sessions.end_all(account.id)
        base.record("factor.removed", account, client=client, by=by, factor=kind)
        return True
