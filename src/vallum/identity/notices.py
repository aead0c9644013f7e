"""The texts of mails to account holders. Pure.

Invariant: a link's host is the one of the settings, never one that a request named.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from vallum.identity.accounts import Account
from vallum.identity.authenticator import Client
from vallum.identity.outbox import Message
from vallum.identity.settings import IdentitySettings

__all__ = ["Notices"]


class Notices:
    """Writes mails in the name of an installation."""

    def __init__(self, settings: IdentitySettings) -> None:
        self._name = settings.name
        self._url = settings.url.rstrip("/")
        self._sends = bool(settings.mail.host)

    def link(self, path: str, token: str) -> str:
        """A link to a page; its token stands behind the `#`, which browsers send to nobody."""
        return f"{self._url}/{path}#{token}"

    def on_its_way(self, account: Account, what: str) -> str:
        """What is said of a link to whoever has sent it: without a mail server it waits."""
        if self._sends:
            return f"{what} is on its way to {account.email}"
        return (
            f"{what} waits for a mail server, of which there is none (`host` in [identity.mail]);"
            f" on the server, `vallum user link {account.login}` prints one to hand over"
        )

    def reset(self, account: Account, token: str, lifetime: timedelta) -> Message:
        """A link to choose a new password."""
        return self._to(
            account,
            "Choose a new password",
            f"Somebody asked for a new password for {account.login}. If it was you, choose it here within "
            f"{_spoken(lifetime)}:\n\n{self.link('account/reset', token)}\n\n"
            "If it was not you, do nothing: your password stays as it is.",
        )

    def invitation(self, account: Account, token: str, lifetime: timedelta) -> Message:
        """A link to choose the first password."""
        return self._to(
            account,
            "Your account",
            f"There is an account for you: {account.login}. Choose your password here within "
            f"{_spoken(lifetime)}:\n\n{self.link('account/invitation', token)}",
        )

    def new_device(self, account: Account, client: Client, now: datetime) -> Message:
        """A sign-in from a device that was not seen before."""
        return self._written(
            account,
            "Sign-in on a new device",
            f"{account.login} was signed in on a device we did not know.",
            _place(client, now),
            f"If it was not you, change your password and end all sessions: {self._url}/account/security",
        )

    def locked(self, account: Account, client: Client, now: datetime, minutes: int) -> Message:
        """Too many failures."""
        return self._written(
            account,
            "Failed sign-ins",
            f"Sign-in to {account.login} failed too often and is shut for {minutes} minutes on devices we "
            "do not know. On those you have used before you can sign in as always.",
            _place(client, now),
        )

    def factor_failed(self, account: Account, client: Client, now: datetime) -> Message:
        """The password was right, and the second factor wrong too often."""
        return self._written(
            account,
            "Somebody knows your password",
            f"Somebody gave the right password of {account.login} and failed at the second factor.",
            _place(client, now),
            f"If it was not you, change your password now: {self._url}/account/security",
        )

    def changed(self, account: Account, what: str, now: datetime) -> Message:
        """Something by which the account is signed in to has changed."""
        return self._to(
            account,
            "Your account was changed",
            f"{what} ({_when(now)}).\n\nIf it was not you, tell your administrator at once.",
        )

    def alarm(self, recipient: str, account: Account, client: Client, now: datetime) -> Message:
        """The break-glass account was used."""
        return Message(
            recipient,
            f"{self._name}: ALARM: break-glass account used",
            f"The emergency account {account.login} was signed in to.\n\n{_place(client, now)}\n\n"
            "If this is no emergency you know of, treat it as an incident.",
        )

    def elevation(self, recipient: str, account: Account, group: str, minutes: int, reason: str) -> Message:
        """Somebody asks for a group."""
        return Message(
            recipient,
            f"{self._name}: {account.login} asks for {group}",
            f"{account.login} asks for the group {group} for {minutes} minutes.\n\nReason: {reason}\n\n"
            f"Decide: {self._url}/account/requests",
        )

    def _written(self, account: Account, subject: str, *paragraphs: str) -> Message:
        return self._to(account, subject, "\n\n".join(paragraphs))

    def _to(self, account: Account, subject: str, text: str) -> Message:
        return Message(account.email or "", f"{self._name}: {subject}", f"Hello {account.name},\n\n{text}\n")


def _place(client: Client, now: datetime) -> str:
    agent = "".join(char for char in client.user_agent if char.isprintable())[:200]
    return f"When: {_when(now)}\nFrom: {client.address or 'unknown'}\nWith: {agent or 'unknown'}"


def _when(now: datetime) -> str:
    return now.strftime("%Y-%m-%d %H:%M UTC")


def _spoken(lifetime: timedelta) -> str:
    minutes = round(lifetime.total_seconds() / 60)
    return f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} hours"
