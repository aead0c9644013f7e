"""Run a writing call in one transaction: all of it, or nothing.

A savepoint where the caller has a transaction open already. What PostgreSQL refuses is said in our own words;
a deadlock is tried again once, and only where the whole transaction is ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import psycopg

from vallum.enforce.application import Application
from vallum.enforce.query.eyes import Eyes
from vallum.enforce.values.call import Call
from vallum.enforce.values.problems import in_our_words, passing
from vallum.enforce.values.rows import Rows
from vallum.kernel import NotWritable, VallumError
from vallum.policy import Actor
from vallum.schema import Storage

__all__ = ["run", "storage_of"]

T = TypeVar("T")
_TRIES: Final = 2


def storage_of(application: Application) -> Storage:
    """How the application's fields are stored.

    Raises: NotWritable, for an Odoo database and where it was opened for reading.
    """
    if application.storage is None:
        raise NotWritable(
            "Vallum writes nothing to an Odoo database: what else has to happen when a record changes is"
            " known to Odoo's own code alone",
            fix="write through Odoo's API; Vallum writes the models of applications of one's own",
        )
    if application.database.readonly:
        raise NotWritable("the application was opened for reading", fix="open it with `writable=True`")
    return application.storage


def run(application: Application, actor: Actor | None, work: Callable[[Call], T]) -> T:
    """What `work` returns, once it is committed.

    Raises: NotWritable, Conflict, ConstraintRefused, InvalidValue, MissingValue, what `work` raises.
    """
    storage = storage_of(application)
    for left in reversed(range(_TRIES)):
        alone = not application.database.in_transaction
        try:
            return _once(application, storage, actor, work)
        except psycopg.Error as error:
            if passing(error) and alone and left:
                continue
            problem = in_our_words(error, application.schema, storage)
            if problem is None:
                raise
        # Outside the handler: what PostgreSQL said is not even the context of what we say.
        raise problem
    raise VallumError("unreachable")


def _once(application: Application, storage: Storage, actor: Actor | None, work: Callable[[Call], T]) -> T:
    call = Call(Eyes(application, actor), storage, Rows(application.database), application.clock.now())
    try:
        with application.database.transaction() as connection:
            for stamp in application.stamps:
                stamp(connection, actor)
            return work(call)
    finally:
        # After an error as well: rules may have been bound to what was rolled back.
        application.changed(call.touched, call.removed)
