"""Passkeys: enrolled, asked for, and shown.

Invariant: a challenge is a ticket, taken by the answer to it, whatever that is worth (ASVS 6.5.1).
"""

from __future__ import annotations

import secrets
from base64 import b64decode, b64encode
from datetime import timedelta
from types import ModuleType
from typing import Any, Final

import psycopg

from vallum.identity.accounts import Account
from vallum.identity.authenticator import Client
from vallum.identity.errors import FactorRefused
from vallum.identity.factors.kept import Kept
from vallum.identity.tickets import TicketKind

__all__ = ["Passkeys"]

_CHALLENGE: Final = timedelta(minutes=5)


class Passkeys(Kept):
    """The passkeys of a store's accounts."""

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

    def _passkeys(self, account_id: int) -> list[tuple[bytes, ...]]:
        rows = self._base.store.rows(
            "SELECT credential_id FROM vallum.passkey WHERE account_id = %s ORDER BY id", (account_id,)
        )
        return [(bytes(key),) for (key,) in rows]


def _webauthn() -> ModuleType:
    # Loaded with the first passkey: its library takes 8 MiB of a worker.
    from vallum.identity.factors import webauthn

    return webauthn
