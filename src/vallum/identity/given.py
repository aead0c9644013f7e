"""Give an application's users the groups Vallum gives them: for commands, and for a team's own processes.

The server does so by itself, and follows every change within a second. Here they are read once: whoever
lives long uses those without an end alone, which is what `lasting` says.
Invariant: what cannot be read is an error, not an answer without these groups.
"""

from __future__ import annotations

import psycopg

from vallum.enforce import Application
from vallum.identity.memberships import Memberships, overlay
from vallum.kernel import SettingsError
from vallum.policy import Directory, Policy
from vallum.postgres import Database, redact

__all__ = ["give_groups"]


def give_groups(application: Application, store: Database, *, lasting: bool = True) -> None:
    """Let users have the groups that the accounts of a store have now; `lasting`: only those without an end.

    Roles in PostgreSQL are always made of the latter: nobody is there to take a group away on time.

    Raises: ConnectionFailed, SettingsError (the tables may not be read).
    """
    memberships, now = Memberships(store), application.clock.now()
    try:
        for_good = memberships.by_user(now, lasting=True)
        all_now = for_good if lasting else memberships.by_user(now)
    except psycopg.errors.InsufficientPrivilege as error:
        raise SettingsError(
            "the groups that Vallum gives may not be read by the role of this connection",
            where=redact(store.dsn),
            fix="grant it USAGE on the schema vallum, and SELECT on vallum.account and vallum.membership",
        ) from error

    def with_all(directory: Directory, policy: Policy) -> Directory:
        return overlay(directory, policy, all_now)

    def with_lasting(directory: Directory, policy: Policy) -> Directory:
        return overlay(directory, policy, for_good)

    application.widen(with_all, with_lasting)
