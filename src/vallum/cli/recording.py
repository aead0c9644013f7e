"""Tell the audit trail what is done from the command line, where the settings say that there is one.

Who acts is the user of the operating system, which whoever administers the machine may choose.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vallum.cli.shell import Shell

__all__ = ["record_for", "told", "whoever"]


def told(shell: Shell, kind: str, **facts: Any) -> None:
    """Record what the system's user is about to do.

    Raises: VallumError, where it cannot be recorded: then it must not be done.
    """
    record_for(shell, kind, facts, "")


def record_for(shell: Shell, kind: str, facts: Mapping[str, Any], login: str) -> None:
    """Record what is about to be done for an account; without one, by the system's user.

    Raises: VallumError, where it cannot be recorded: then it must not be done.
    """
    import psycopg

    from vallum.audit import Home, Recorder, Who
    from vallum.kernel import VallumError
    from vallum.postgres import connect

    settings = shell.settings
    dsn = settings.dsn
    if settings.audit_dir is None or dsn is None:
        return

    @contextmanager
    def transaction() -> Iterator[psycopg.Connection[Any]]:
        with (
            connect(dsn, readonly=False, autocommit=True, application_name="vallum-trail") as connection,
            connection.transaction(),
        ):
            yield connection

    who = Who(0, login or whoever())
    try:
        Recorder(transaction, Home(settings.audit_dir))(kind, facts, who)
    except psycopg.Error as error:
        raise VallumError("this could not be recorded, and so was not done") from error


def whoever() -> str:
    """The system's user, as the log names them."""
    return f"system:{_system_user()}"


def _system_user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
