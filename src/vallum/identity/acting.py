"""Who may do what to accounts.

Acts of administration take `by`: the account that acts, which must be an administrator, or None for whoever
runs a command on the server, who holds the database and the secret anyway.
"""

from __future__ import annotations

from typing import Final

from vallum.identity.accounts import Account
from vallum.identity.base import Base
from vallum.identity.errors import NotPermitted

__all__ = ["SERVER", "Acting"]

# Whoever runs a command there, for the record.
SERVER: Final = "server"


class Acting:
    """Decides by the groups there are at the moment."""

    base: Base

    def is_administrator(self, account: Account) -> bool:
        """Whether an account is one of the administrators, at this moment."""
        return self.base.people.is_in(account, self.base.settings.administrators, self.base.now())

    def may_manage_keys(self, account: Account) -> bool:
        """Whether an account may make and revoke keys: an administrator, or in a group that may."""
        granted = (*self.base.settings.administrators, *self.base.settings.keys.managers)
        return self.base.people.is_in(account, granted, self.base.now())

    def require_administrator(self, by: Account | None) -> str:
        """Who acts, for the record.

        Raises: NotPermitted.
        """
        if by is None:
            return SERVER
        if not self.is_administrator(by):
            raise NotPermitted("this is for administrators", where=by.login)
        return by.login

    def require_keys(self, by: Account | None) -> str:
        """Who acts on keys, for the record.

        Raises: NotPermitted.
        """
        if by is None:
            return SERVER
        if not self.may_manage_keys(by):
            raise NotPermitted(
                "keys are made by administrators, or by those in a group that may", where=by.login
            )
        return by.login
