"""Try one statement of many: what fails is reported, and the others go on.

Invariant: a lost connection is never taken for the failure of one statement.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from vallum.kernel import ConnectionFailed, VallumError
from vallum.postgres import Database

__all__ = ["as_error", "attempt"]


@contextmanager
def attempt(database: Database) -> Iterator[None]:
    """A savepoint: within a snapshot a failing statement does not end the transaction.

    Raises: ConnectionFailed, VallumError (what PostgreSQL says about the statement).
    """
    try:
        with database.transaction():
            yield
    except psycopg.Error as error:
        raise VallumError(f"PostgreSQL refuses the rule: {_first_line(error)}") from error


def as_error(error: Exception) -> VallumError:
    """The error that one rule or scope failed with.

    Raises: ConnectionFailed where the connection itself is lost: nothing else will work either.
    """
    if isinstance(error, ConnectionFailed) and not isinstance(error.__cause__, psycopg.errors.QueryCanceled):
        raise error
    if isinstance(error, VallumError):
        return error
    return VallumError(f"{type(error).__name__}: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
