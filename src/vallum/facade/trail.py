"""What an application of one's own tells the trail, as the server does: writes, refusals, sensitive reads.

Where the database has a trail. A refusal that cannot be recorded stays a refusal, and is logged; what would
be given away is not given unless that is recorded. With each: the user, and where the call came from.
Limit: statements that a guarded session was allowed by name are text; what they read is not seen.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

import psycopg

from vallum.audit import Home, KeyRefused, Recorder, Who, stamp
from vallum.enforce import Application
from vallum.kernel import ConnectionFailed, SettingsError, VallumError
from vallum.policy import SUPERUSER_ID
from vallum.schema import Schema

if TYPE_CHECKING:
    from vallum.policy import Actor

__all__ = ["MOST_IDS", "SENSITIVE", "ApplicationTrail", "NotRecorded", "readable", "watched_models"]

_LOG: Final = logging.getLogger("vallum.audit")
MOST_IDS: Final = 100
_LONGEST: Final = 300
Transaction = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]
# What `sensitive` stands for: pay, contracts, bank accounts, keys.
SENSITIVE: Final = (
    "hr.employee",
    "hr.payslip",
    "hr.payslip.line",
    "hr.contract",
    "hr.version",
    "res.partner.bank",
    "res.users.apikeys",
)


class NotRecorded(VallumError):
    """What would have to be recorded cannot be, and so is not done."""

    code = "not-recorded"


def watched_models(schema: Schema, names: Iterable[str], where: str) -> frozenset[str]:
    """The models that these names stand for: models, `hr.*` for all that begin so, `sensitive`.

    Raises: SettingsError (a model that is none).
    """
    found: set[str] = set()
    for name in names:
        if name == "sensitive":
            found.update(model for model in SENSITIVE if model in schema.models)
            continue
        named = [m for m in schema.models if m == name or (name.endswith(".*") and m.startswith(name[:-1]))]
        if not named:
            raise SettingsError(
                f"there is no model `{name}`",
                where=where,
                fix="name models, `hr.*` for all that begin so, or `sensitive`",
            )
        found.update(named)
    return frozenset(found)


def readable(text: str) -> str:
    """What may be kept of a text that somebody else may have had a hand in."""
    return "".join(c for c in text if c.isprintable())[:_LONGEST]


class ApplicationTrail:
    """The trail as an application writes to it. `transaction`: of its database, for writing.

    `source`: the address and the request's id at that moment.
    """

    def __init__(self, home: Home, transaction: Transaction, source: Callable[[], tuple[str, str]]) -> None:
        self._recorder = Recorder(transaction, home)
        self._source = source

    def watch(self, application: Application, reads: Iterable[str]) -> None:
        """Let the application's writes say who acts, and its refusals and reads be recorded.

        Raises: SettingsError (a model that is none), KeyRefused (the trail has no key).
        """
        watched = watched_models(application.schema, reads, "reads")
        application.stamps.append(self._stamp)
        application.watched |= watched
        application.watchers.append(self._read)
        application.refusals.append(self._refused)

    def _who(self, actor: Actor | None) -> Who:
        user, login = (SUPERUSER_ID, "superuser") if actor is None else (actor.user_id, actor.login)
        return Who(user, login, *self._source())

    def _stamp(self, connection: psycopg.Connection[Any], actor: Actor | None) -> None:
        key = self._recorder.key
        if key is not None:
            stamp(connection, key, self._who(actor))

    def _read(self, actor: Actor | None, model: str, detail: Mapping[str, Any], ids: Sequence[int]) -> None:
        listed = {"records": len(ids), "ids": list(ids[:MOST_IDS])}
        try:
            self._recorder("sensitive-read", {**detail, **listed}, self._who(actor), model=model)
        except (psycopg.Error, ConnectionFailed, KeyRefused) as error:
            raise NotRecorded(
                "this could not be recorded, and so was not done",
                fix="see that the application's database role may call `vallum.audit_record`",
            ) from error

    def _refused(
        self, actor: Actor | None, method: str, model: str | None, ids: Sequence[int], error: VallumError
    ) -> None:
        detail = {
            "method": method,
            "code": error.code,
            "what": readable(error.what),
            **({"ids": list(ids[:MOST_IDS])} if ids else {}),
        }
        try:
            self._recorder("refusal", detail, self._who(actor), model=model)
        except (VallumError, psycopg.Error):
            _LOG.error("a refusal could not be recorded", extra={"kind": error.code})
