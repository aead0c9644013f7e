"""Passwords: chosen, changed, forgotten and reset, always by whose they are.

Administrators start a reset; the link goes to the account's own address, and nobody but its holder ever
chooses or learns a password (ASVS 6.4.6).
Invariant: every new password ends all sessions but the one it was chosen in, and all half-done steps.
Invariant: a reset shows no second factor and opens no session: after it one signs in as always (6.4.3).
"""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from typing import Final

from vallum.identity.accounts import Account, end_all, login_key
from vallum.identity.attempts import password_counters, reset_counters
from vallum.identity.authenticator import Client
from vallum.identity.base import Base
from vallum.identity.errors import LinkRefused, PasswordRefused
from vallum.identity.factors.store import has_factor
from vallum.identity.passwords.blocklist import Blocklist
from vallum.identity.passwords.hashing import Hasher
from vallum.identity.passwords.pbkdf2 import is_pbkdf2
from vallum.identity.passwords.policy import PasswordPolicy, context_words, judge
from vallum.identity.passwords.strength import Strength, strength
from vallum.identity.store import Connection
from vallum.identity.tickets import Ticket, TicketKind
from vallum.identity.tokens import digest
from vallum.kernel import SettingsError

__all__ = ["Passwords"]

_LINKS: Final = (TicketKind.RESET, TicketKind.INVITE, TicketKind.FIRST)


class Passwords:
    """The passwords of a store."""

    def __init__(self, base: Base, hasher: Hasher) -> None:
        self._base = base
        self._hasher = hasher
        self.policy = PasswordPolicy.of(base.settings.passwords)

    @cached_property
    def _blocklist(self) -> Blocklist:
        return Blocklist()

    def words(self, account: Account | None) -> tuple[str, ...]:
        """What must not make up a password: words of the place and of the person."""
        settings = self._base.settings
        own = (account.login, account.name, account.email) if account else ()
        return context_words(*settings.passwords.context_words, settings.name, settings.host, *own)

    def faults(self, account: Account | None, password: str) -> tuple[str, ...]:
        """What is wrong with a password for that account; its history aside, which takes time to ask."""
        factor = account is not None and has_factor(self._base.store, account.id)
        return judge(
            password, self.policy, has_factor=factor, words=self.words(account), known=self._blocklist
        )

    def strength(self, account: Account | None, password: str) -> Strength:
        """How strong it is, for whoever is typing it."""
        return strength(password, self.words(account))

    def change(
        self, account: Account, current: str, new: str, client: Client, *, session: str | None = None
    ) -> None:
        """Change a password, knowing the current one. The session with that token goes on.

        Raises: PasswordRefused (also where the current one is wrong, or was guessed too often).
        """
        base, now = self._base, self._base.now()
        if self.policy.is_too_young(account.password_set, now):
            raise PasswordRefused(("the current one was chosen too short a while ago",))
        counters = password_counters(base.settings.lockout, login_key(account.login), client.address, None)
        reservation = base.attempts.reserve("change", counters, now)
        match = self._hasher.verify(None if reservation.shut else account.password_hash, current)
        if not match.right:
            base.record("password.change-refused", account, client=client)
            raise PasswordRefused(("the current password is not the one you gave",))
        base.attempts.succeeded(reservation)
        self.replace(account, new, client, session=session)

    def replace(
        self,
        account: Account,
        new: str,
        client: Client,
        *,
        session: str | None = None,
        ticket: tuple[TicketKind, str] | None = None,
    ) -> None:
        """Give an account the password its holder has chosen; a ticket is used up by it.

        Raises: PasswordRefused, LinkRefused, Busy.
        """
        base, now = self._base, self._base.now()
        self._check(account, new)
        hashed = self._hasher.hash(new)
        with base.store.transaction() as connection:
            if ticket is not None:
                base.tickets.take(*ticket, now, connection)
            self._keep(connection, account, hashed)
            end_all(connection, account.id, keep=digest(session) if session else None)
            message = base.notices.changed(account, "The password was changed", now)
            base.mail(connection, "password-changed", message)
        base.record("password.changed", account, client=client)

    def start_reset(self, login: str, client: Client) -> None:
        """Send a link to whoever has that login or address; says nothing of whether anyone has."""
        base, now = self._base, self._base.now()
        reservation = base.attempts.reserve(
            "reset", reset_counters(base.settings.lockout, login_key(login), client.address), now
        )
        by_login, by_email = base.accounts.by_login(login), self._by_email(login)
        account = by_login or by_email
        wanted = (
            account is not None
            and account.active
            and account.kind == "person"
            and account.local_password
            and bool(account.email)
            and reservation.is_open
        )
        self._send(account if wanted else None, TicketKind.RESET)
        # Whoever asked is nobody yet, and it is recorded whether or not there is such an account.
        base.record("password.link-asked", account.id if account else None, client=client, sent=bool(wanted))

    def send_link(self, account: Account, *, by: str, client: Client | None = None) -> None:
        """An administrator starts a reset, or invites: a link to the account's own address.

        Raises: SettingsError (no address, or no password of its own).
        """
        self._check_link(account)
        if not account.email:
            raise SettingsError(
                f"`{account.login}` has no mail address to send a link to",
                fix="give one, or run `vallum user link` on the server and hand the link over",
            )
        kind = TicketKind.RESET if account.password_hash else TicketKind.INVITE
        self._send(account, kind)
        self._base.record("password.link-sent", account, client=client, by=by)

    def make_link(self, account: Account, *, by: str) -> str:
        """A link for whoever runs the server to hand over: the same as in a mail.

        Raises: SettingsError.
        """
        self._check_link(account)
        kind = TicketKind.RESET if account.password_hash else TicketKind.INVITE
        now = self._base.now()
        token = self._base.tickets.issue(kind, account.id, self._lifetime(kind), now)
        self._base.record("password.link-made", account, by=by)
        path = "account/reset" if kind is TicketKind.RESET else "account/invitation"
        return self._base.notices.link(path, token)

    def look(self, token: str) -> tuple[Ticket, Account]:
        """Whose link it is; it stays good until a password is chosen.

        Raises: LinkRefused.
        """
        base, now = self._base, self._base.now()
        for kind in _LINKS:
            try:
                ticket = base.tickets.peek(kind, token, now)
            except LinkRefused:
                continue
            if ticket.account_id is not None:
                account = base.accounts.get(ticket.account_id)
                if account.active:
                    return ticket, account
        raise LinkRefused("this link is unknown, was used already, or is too old", fix="ask for a new one")

    def finish_reset(self, token: str, new: str, client: Client) -> Account:
        """Choose a password by a link. Opens no session.

        Raises: LinkRefused, PasswordRefused.
        """
        ticket, account = self.look(token)
        self.replace(account, new, client, ticket=(ticket.kind, token))
        # Who reads the account's mail is its holder: failures of others shut it no longer.
        limits = self._base.settings.lockout
        self._base.attempts.unlock("password", "account", login_key(account.login), limits.account)
        return self._base.accounts.get(account.id)

    def import_hash(self, account: Account, kept: str) -> None:
        """Take over a password hash of Odoo's; it is hashed anew at the first sign-in.

        Raises: SettingsError (of another form).
        """
        if not is_pbkdf2(kept):
            raise SettingsError(
                "this is no password hash of Odoo's",
                where=account.login,
                fix="give `res_users.password` as it is",
            )
        self._base.store.rows(
            "UPDATE vallum.account SET password_hash = %s, password_set = %s WHERE id = %s",
            (kept, self._base.now(), account.id),
        )
        self._base.record("password.imported", account)

    def rehash(self, account: Account, password: str) -> None:
        """Hash a password that was right anew: by today's parameters and secret."""
        hashed = self._hasher.hash(password)
        self._base.store.rows(
            "UPDATE vallum.account SET password_hash = %s WHERE id = %s AND password_hash = %s",
            (hashed, account.id, account.password_hash),
        )

    def any_imported(self) -> bool:
        """Whether hashes of others are about, so that failures must cost as much as theirs."""
        statement = "SELECT 1 FROM vallum.account WHERE password_hash LIKE '$pbkdf2%' LIMIT 1"
        return bool(self._base.store.rows(statement))

    def _check(self, account: Account, new: str) -> None:
        faults = self.faults(account, new)
        if not account.local_password or account.kind != "person":
            faults = (*faults, "this account signs in elsewhere")
        if not faults and self.policy.history:
            rows = self._base.store.rows(
                "SELECT hash FROM vallum.password_history WHERE account_id = %s ORDER BY set DESC LIMIT %s",
                (account.id, self.policy.history - 1),
            )
            kept = [account.password_hash] if account.password_hash else []
            if self._hasher.any_of([*kept, *(hashed for (hashed,) in rows)], new):
                faults = (f"it is one of the last {self.policy.history}",)
        elif not faults and account.password_hash and self._hasher.any_of([account.password_hash], new):
            faults = ("it is the current one",)
        if faults:
            raise PasswordRefused(faults)

    def _keep(self, connection: Connection, account: Account, hashed: str) -> None:
        now = self._base.now()
        done = connection.execute(
            b"UPDATE vallum.account SET password_hash = %s, password_set = %s"
            b" WHERE id = %s AND active AND password_hash IS NOT DISTINCT FROM %s",
            (hashed, now, account.id, account.password_hash),
        )
        if done.rowcount != 1:
            raise PasswordRefused(("it was changed by somebody else at this moment",))
        if account.password_hash:
            connection.execute(
                b"INSERT INTO vallum.password_history (account_id, hash, set) VALUES (%s, %s, %s)",
                (account.id, account.password_hash, now),
            )
        connection.execute(
            b"DELETE FROM vallum.password_history WHERE account_id = %s AND ctid NOT IN"
            b" (SELECT ctid FROM vallum.password_history WHERE account_id = %s ORDER BY set DESC LIMIT %s)",
            (account.id, account.id, max(0, self.policy.history - 1)),
        )

    def _send(self, account: Account | None, kind: TicketKind) -> None:
        """Make a link and put it into the outbox; for nobody, do as much and send nothing."""
        base, now = self._base, self._base.now()
        lifetime = self._lifetime(kind)
        with base.store.transaction() as connection:
            token = base.tickets.issue(
                kind, account.id if account else None, lifetime, now, connection=connection
            )
            if account is None:
                decoy(base, connection)
            elif kind is TicketKind.RESET:
                base.mail(connection, "reset", base.notices.reset(account, token, lifetime))
            else:
                base.mail(connection, "invitation", base.notices.invitation(account, token, lifetime))

    def _lifetime(self, kind: TicketKind) -> timedelta:
        settings = self._base.settings.passwords
        if kind is TicketKind.RESET:
            return timedelta(minutes=settings.reset_minutes)
        return timedelta(hours=settings.invitation_hours)

    def _by_email(self, text: str) -> Account | None:
        found = self._base.accounts.by_email(text)
        return found[0] if len(found) == 1 else None

    def _check_link(self, account: Account) -> None:
        if account.kind != "person" or not account.local_password or not account.active:
            raise SettingsError(
                f"`{account.login}` has no password of its own: it is shut, a service, or signs in elsewhere"
            )


def decoy(base: Base, connection: Connection) -> None:
    """Write what a mail would have written, to nobody: a stranger's login takes as long as a known one."""
    now = base.now()
    sealed = base.keyring.seal("decoy", bytes(600))
    connection.execute(
        b"INSERT INTO vallum.outbox (kind, recipient, message, created, due, sent)"
        b" VALUES ('decoy', '', %s, %s, %s, %s)",
        (sealed, now, now, now),
    )
