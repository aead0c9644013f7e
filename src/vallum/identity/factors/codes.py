"""Codes: of an authenticator app, and for recovery. Enrolled, and shown.

Invariant: a code is good once: the step of a one-time code only ever goes up, a recovery code is deleted by
the statement that finds it (ASVS 6.5.1).
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from vallum.identity.accounts import Account
from vallum.identity.attempts import factor_counters
from vallum.identity.authenticator import Client
from vallum.identity.errors import FactorRefused
from vallum.identity.factors.kept import Kept
from vallum.identity.factors.recovery import looks_like_code, new_codes, recovery_digest
from vallum.identity.factors.totp import matching_step, new_secret, provisioning_uri, qr_svg
from vallum.identity.tickets import TicketKind

__all__ = ["Codes", "NewTotp"]

_ENROLMENT: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class NewTotp:
    """What an authenticator app is to be told, and the ticket to confirm it with. Shown once."""

    ticket: str
    secret: str
    uri: str

    def __repr__(self) -> str:
        return "NewTotp(…)"

    @property
    def svg(self) -> str:
        """The QR code."""
        return qr_svg(self.uri)


class Codes(Kept):
    """The codes of a store's accounts."""

    def begin_totp(self, account: Account) -> NewTotp:
        """A new secret for an authenticator app; it counts once a code of it was shown."""
        self._check_room(account)
        secret = new_secret()
        sealed = self._base.keyring.seal(f"totp {account.id}", secret.encode())
        data = {"secret": b64encode(sealed).decode()}
        ticket = self._base.tickets.issue(TicketKind.TOTP_NEW, account.id, _ENROLMENT, self._base.now(), data)
        return NewTotp(ticket, secret, provisioning_uri(secret, account.login, self._base.settings.name))

    def finish_totp(
        self, account: Account, ticket: str, code: str, client: Client, *, name: str = "", step: str = ""
    ) -> None:
        """Keep the secret, since the app shows the right code. `step`: the sign-in that waits for it.

        Raises: LinkRefused, FactorRefused.
        """
        base, now = self._base, self._base.now()
        held = base.tickets.peek(TicketKind.TOTP_NEW, ticket, now)
        sealed = b64decode(held.data["secret"])
        if held.account_id != account.id:
            raise FactorRefused("this enrolment is somebody else's")
        secret = base.keyring.open(f"totp {account.id}", sealed).decode()
        shown = matching_step(secret, code, now, self._settings.totp_drift)
        if shown is None:
            raise FactorRefused(
                "this is not the code the app should show now",
                fix="check that the clock of the device is right, then give the next code",
            )
        with base.store.transaction() as connection:
            base.tickets.take(TicketKind.TOTP_NEW, ticket, now, connection)
            connection.execute(
                b"INSERT INTO vallum.totp (account_id, name, secret, last_step, created)"
                b" VALUES (%s, %s, %s, %s, %s)",
                (account.id, name.strip() or "Authenticator app", sealed, shown, now),
            )
            self._enrolled(connection, account, "An authenticator app was added", step)
        base.record("factor.enrolled", account, client=client, factor="totp")

    def show_code(self, account: Account, code: str, client: Client) -> str | None:
        """Whether a code is one of the account's, and of which kind (`otp`, `recovery`); counted.

        Raises: FactorRefused (too many failures: nothing was looked at).
        """
        base, now = self._base, self._base.now()
        counters = factor_counters(base.settings.lockout, account.id, client.address)
        reservation = base.attempts.reserve("factor", counters, now)
        if reservation.shut:
            base.record("factor.locked", account, client=client)
            raise FactorRefused(
                "too many codes were wrong: none is looked at for now",
                fix=f"wait {max(1, round(reservation.wait(now) / 60))} minutes, or use a passkey",
            )
        kind = (
            self._spend_recovery(account, code) if looks_like_code(code) else self._spend_totp(account, code)
        )
        if kind is None:
            base.record("factor.wrong", account, client=client)
            if "account" in reservation.locking:
                with base.store.transaction() as connection:
                    base.mail(connection, "factor-failed", base.notices.factor_failed(account, client, now))
            return None
        base.attempts.succeeded(reservation)
        base.record("factor.shown", account, client=client, factor=kind)
        return kind

    def _spend_totp(self, account: Account, code: str) -> str | None:
        now = self._base.now()
        rows = self._base.store.rows(
            "SELECT id, secret FROM vallum.totp WHERE account_id = %s ORDER BY id", (account.id,)
        )
        for number, sealed in rows:
            secret = self._base.keyring.open(f"totp {account.id}", bytes(sealed)).decode()
            step = matching_step(secret, code, now, self._settings.totp_drift)
            # Two that come together with one code: the row lets one of them pass.
            if step is not None and self._base.store.rows(
                "UPDATE vallum.totp SET last_step = %s, used = %s WHERE id = %s AND last_step < %s"
                " RETURNING id",
                (step, now, number, step),
            ):
                return "otp"
        return None

    def _spend_recovery(self, account: Account, code: str) -> str | None:
        base = self._base
        with base.store.transaction() as connection:
            done = connection.execute(
                b"DELETE FROM vallum.recovery_code WHERE account_id = %s AND digest = %s",
                (account.id, recovery_digest(code)),
            )
            if done.rowcount != 1:
                return None
            message = base.notices.changed(account, "A recovery code was used", base.now())
            base.mail(connection, "recovery-used", message)
        return "recovery"

    def recovery_left(self, account_id: int) -> int:
        """How many recovery codes an account has left."""
        statement = "SELECT count(*) FROM vallum.recovery_code WHERE account_id = %s"
        return int(self._base.store.rows(statement, (account_id,))[0][0])

    def new_recovery_codes(self, account: Account, client: Client) -> list[str]:
        """New codes, shown once; those before are worth nothing any more.

        Raises: FactorRefused (there is nothing to recover).
        """
        if not self.has_any(account.id):
            raise FactorRefused("recovery codes are for those with a second factor", fix="add one first")
        base, now = self._base, self._base.now()
        codes = new_codes(self._settings.recovery_codes)
        with base.store.transaction() as connection:
            connection.execute(b"DELETE FROM vallum.recovery_code WHERE account_id = %s", (account.id,))
            for code in codes:
                connection.execute(
                    b"INSERT INTO vallum.recovery_code (account_id, digest, created) VALUES (%s, %s, %s)",
                    (account.id, recovery_digest(code), now),
                )
        base.record("factor.recovery-codes", account, client=client, count=len(codes))
        return codes
