"""The second factors of accounts: enrolled, shown, removed.

Invariant: a code is good once: the step of a one-time code only ever goes up, a recovery code is deleted
by the statement that finds it, a challenge is a ticket (ASVS 6.5.1).
Invariant: a factor is kept only after it was shown once, so that nobody is shut out by a half-done enrolment.
"""

from __future__ import annotations

import secrets
from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any, Final

import psycopg

from vallum.identity.accounts import Account
from vallum.identity.attempts import factor_counters
from vallum.identity.authenticator import Client
from vallum.identity.base import Base
from vallum.identity.errors import FactorRefused
from vallum.identity.factors.recovery import looks_like_code, new_codes, recovery_digest
from vallum.identity.factors.store import has_factor
from vallum.identity.factors.totp import matching_step, new_secret, provisioning_uri, qr_svg
from vallum.identity.store import Connection
from vallum.identity.tickets import TicketKind
from vallum.identity.tokens import digest

__all__ = ["Factor", "Factors", "NewTotp"]

_ENROLMENT: Final = timedelta(minutes=15)
_CHALLENGE: Final = timedelta(minutes=5)


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


class Factors:
    """The second factors of a store."""

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

    def recovery_left(self, account_id: int) -> int:
        """How many recovery codes an account has left."""
        statement = "SELECT count(*) FROM vallum.recovery_code WHERE account_id = %s"
        return int(self._base.store.rows(statement, (account_id,))[0][0])

    # One-time codes

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

    # Passkeys

    def begin_passkey(self, account: Account) -> tuple[str, dict[str, Any]]:
        """A ticket, and what the browser is to ask the authenticator for."""
        self._check_room(account)
        challenge = secrets.token_bytes(32)
        known = [key for key, *_ in self._passkeys(account.id)]
        options = _webauthn().wanted_options(self._base.settings, account, challenge, known)
        data = {"challenge": b64encode(challenge).decode()}
        ticket = self._base.tickets.issue(
            TicketKind.PASSKEY_NEW, account.id, _CHALLENGE, self._base.now(), data
        )
        return ticket, options

    def finish_passkey(
        self, account: Account, ticket: str, answer: str, client: Client, *, name: str = "", step: str = ""
    ) -> None:
        """Keep a passkey an authenticator has made. `step`: the sign-in that waits for it.

        Raises: LinkRefused, FactorRefused.
        """
        base, now = self._base, self._base.now()
        held = base.tickets.take(TicketKind.PASSKEY_NEW, ticket, now)
        if held.account_id != account.id:
            raise FactorRefused("this enrolment is somebody else's")
        made = _webauthn().verify_enrolled(base.settings, answer, b64decode(held.data["challenge"]))
        try:
            with base.store.transaction() as connection:
                connection.execute(
                    b"INSERT INTO vallum.passkey (account_id, name, credential_id, public_key, sign_count,"
                    b" transports, backed_up, created) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                    (
                        account.id,
                        name.strip() or "Passkey",
                        made.credential_id,
                        made.public_key,
                        made.sign_count,
                        list(made.transports),
                        made.backed_up,
                        now,
                    ),
                )
                self._enrolled(connection, account, "A passkey was added", step)
        except psycopg.errors.UniqueViolation:
            raise FactorRefused("this passkey is known already") from None
        base.record("factor.enrolled", account, client=client, factor="passkey")

    def ask_passkey(self, account: Account | None) -> tuple[str, dict[str, Any]]:
        """A ticket, and what the browser is to ask for: a passkey of the account, or (None) anybody's."""
        challenge = secrets.token_bytes(32)
        allowed = [key for key, *_ in self._passkeys(account.id)] if account else []
        options = _webauthn().request_options(self._base.settings, challenge, allowed, first=account is None)
        data = {"challenge": b64encode(challenge).decode()}
        ticket = self._base.tickets.issue(
            TicketKind.PASSKEY, account.id if account else None, _CHALLENGE, self._base.now(), data
        )
        return ticket, options

    def show_passkey(self, account: Account | None, ticket: str, answer: str, client: Client) -> Account:
        """Whose passkey was shown. With an account: it must be one of its own; without: one that verifies.

        Raises: LinkRefused, FactorRefused.
        """
        base, now = self._base, self._base.now()
        held = base.tickets.take(TicketKind.PASSKEY, ticket, now)
        if held.account_id != (account.id if account else None):
            raise FactorRefused("this challenge was for somebody else")
        credential, handle = _webauthn().credential_of(answer)
        rows = base.store.rows(
            "SELECT p.id, p.account_id, p.public_key, p.sign_count, a.handle FROM vallum.passkey p"
            " JOIN vallum.account a ON a.id = p.account_id WHERE p.credential_id = %s AND a.active",
            (credential,),
        )
        whose = rows[0][1] if rows else None
        foreign = account is not None and whose != account.id
        if whose is None or foreign or (handle is not None and handle != bytes(rows[0][4])):
            base.record("factor.wrong", account or whose, client=client, factor="passkey")
            raise FactorRefused("this passkey is not known here", fix="use another factor")
        number, _, public_key, count, _ = rows[0]
        challenge = b64decode(held.data["challenge"])
        try:
            shown = _webauthn().verify_shown(
                base.settings, answer, challenge, bytes(public_key), count, first=account is None
            )
        except FactorRefused:
            base.record("factor.wrong", whose, client=client, factor="passkey")
            raise
        # Compared again where it is written: of two answers with one count, one passes.
        if not base.store.rows(
            "UPDATE vallum.passkey SET sign_count = %s, used = %s, backed_up = %s"
            " WHERE id = %s AND (sign_count < %s OR (sign_count = 0 AND %s = 0)) RETURNING id",
            (shown.sign_count, now, shown.backed_up, number, shown.sign_count, shown.sign_count),
        ):
            raise FactorRefused(
                "this passkey was used elsewhere with the same count: it may have been copied"
            )
        base.record("factor.shown", whose, client=client, factor="passkey")
        return base.accounts.get(whose)

    # Recovery, removal

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

    def _passkeys(self, account_id: int) -> list[tuple[bytes, ...]]:
        rows = self._base.store.rows(
            "SELECT credential_id FROM vallum.passkey WHERE account_id = %s ORDER BY id", (account_id,)
        )
        return [(bytes(key),) for (key,) in rows]

    def _check_room(self, account: Account) -> None:
        if account.kind != "person":
            raise FactorRefused("a service has no second factor", fix="give it a key")
        if len(self.of(account.id)) >= self._settings.most:
            raise FactorRefused("there are too many factors already", fix="remove one that is not used")


def _webauthn() -> ModuleType:
    # Loaded with the first passkey: its library takes 8 MiB of a worker.
    from vallum.identity.factors import webauthn

    return webauthn
