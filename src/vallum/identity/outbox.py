"""Mail to be sent: written with what it is about, in one transaction, and sent later by whoever is there.

Messages are sealed while they wait, since some hold a link that lets in, and wiped once they are sent.
Invariant: a mail server that is down keeps nobody from signing in, and no notice is lost: it is tried
again for days, after growing pauses, and then marked as failed for an administrator to see.
"""

from __future__ import annotations

import json
import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import Final

from vallum.identity.keyring import Keyring
from vallum.identity.settings import MailSettings
from vallum.identity.store import Connection, Store
from vallum.kernel import SettingsError

__all__ = ["Message", "Outbox", "smtp_sender"]

_PURPOSE: Final = "outbox"
_FIRST_PAUSE: Final = timedelta(minutes=1)
_LONGEST_PAUSE: Final = timedelta(hours=8)


@dataclass(frozen=True, slots=True)
class Message:
    """A mail in plain text."""

    recipient: str
    subject: str
    text: str


Sender = Callable[[Message, datetime], None]


class Outbox:
    """The mail of a store."""

    def __init__(self, store: Store, keyring: Keyring, *, attempts: int = 12) -> None:
        self._store = store
        self._keyring = keyring
        self._attempts = attempts

    def put(self, connection: Connection, kind: str, message: Message, now: datetime) -> None:
        """Send it later, if the transaction is committed."""
        plain = json.dumps([message.subject, message.text]).encode()
        connection.execute(
            b"INSERT INTO vallum.outbox (kind, recipient, message, created, due) VALUES (%s, %s, %s, %s, %s)",
            (kind, message.recipient, self._keyring.seal(_PURPOSE, plain), now, now),
        )

    def deliver(self, send: Sender, now: datetime, *, most: int = 50) -> tuple[int, int]:
        """Send what is due, each mail once by whoever is first; how many were sent, and how many failed."""
        sent = failed = 0
        for _ in range(most):
            outcome = self._deliver_one(send, now)
            if outcome is None:
                break
            sent, failed = sent + outcome, failed + (not outcome)
        return sent, failed

    def waiting(self) -> int:
        """How many wait to be sent."""
        statement = "SELECT count(*) FROM vallum.outbox WHERE sent IS NULL AND failed IS NULL"
        return int(self._store.rows(statement)[0][0])

    def sweep(self, now: datetime) -> int:
        """Drop what was sent, given up or for nobody, after a month; and say how much."""
        statement = (
            "WITH gone AS (DELETE FROM vallum.outbox WHERE coalesce(sent, failed) < %s"
            " OR (kind = 'decoy' AND sent < %s) RETURNING 1) SELECT count(*) FROM gone"
        )
        before = (now - timedelta(days=30), now - timedelta(days=1))
        return int(self._store.rows(statement, before)[0][0])

    def _deliver_one(self, send: Sender, now: datetime) -> bool | None:
        with self._store.transaction() as connection:
            row = connection.execute(
                b"SELECT id, recipient, message, attempts FROM vallum.outbox WHERE sent IS NULL"
                b" AND failed IS NULL AND due <= %s ORDER BY due, id LIMIT 1 FOR UPDATE SKIP LOCKED",
                (now,),
            ).fetchone()
            if row is None:
                return None
            number, recipient, sealed, attempts = row
            try:
                subject, text = json.loads(self._keyring.open(_PURPOSE, bytes(sealed)))
                send(Message(recipient, subject, text), now)
            except (OSError, smtplib.SMTPException) as error:
                self._failed(connection, number, attempts + 1, type(error).__name__, now)
                return False
            except SettingsError:
                # Its secret is gone: it will never open, and must not stand in the way of others.
                self._failed(connection, number, self._attempts, "the secret it was sealed with is gone", now)
                return False
            connection.execute(
                b"UPDATE vallum.outbox SET sent = %s, message = NULL, attempts = attempts + 1 WHERE id = %s",
                (now, number),
            )
            return True

    def _failed(self, connection: Connection, number: int, attempts: int, why: str, now: datetime) -> None:
        pause = min(_FIRST_PAUSE * 2 ** min(attempts, 16), _LONGEST_PAUSE)
        gone = now if attempts >= self._attempts else None
        connection.execute(
            b"UPDATE vallum.outbox SET attempts = %s, due = %s, failed = %s, error = %s,"
            b" message = CASE WHEN %s::timestamptz IS NULL THEN message END WHERE id = %s",
            (attempts, now + pause, gone, why, gone, number),
        )


def smtp_sender(settings: MailSettings, password: str | None = None) -> Sender:
    """Sends by the mail server of the settings; its certificate is checked."""

    def send(message: Message, now: datetime) -> None:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = settings.sender, message.recipient, message.subject
        mail["Date"], mail["Auto-Submitted"] = format_datetime(now), "auto-generated"
        mail["Message-ID"] = make_msgid(domain=settings.sender.rpartition("@")[2] or None)
        mail.set_content(message.text)
        with _connected(settings) as server:
            if settings.security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if settings.user:
                server.login(settings.user, password or "")
            server.send_message(mail)

    return send


def _connected(settings: MailSettings) -> smtplib.SMTP:
    if settings.security == "tls":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(settings.host, settings.port, timeout=settings.timeout, context=context)
    return smtplib.SMTP(settings.host, settings.port, timeout=settings.timeout)
