"""Read the records that rules mention for many users at once.

Rules ask user by user: `user.partner_id`, `user.company_ids`. Here the first question
about a user answers it for all users that are looked at, and that about a user's
partner for all those partners: statements grow with the rules, not with the users.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from vallum.domain import RecordReader
from vallum.enforce.application import Application
from vallum.enforce.attempt import attempt
from vallum.kernel import VallumError
from vallum.policy import Actor
from vallum.schema import Schema

__all__ = ["Readers"]

_BATCH: Final = 5_000


class Readers:
    """A reader for each actor, shared by all whose records read alike.

    Alike: the same own company, language and time zone, and the same domains of the
    fields whose domain is code.
    """

    def __init__(self, application: Application, users: Iterable[int]) -> None:
        self._application = application
        self._eyes = application.env(None)
        self._users = tuple(users)
        self._shared: dict[tuple[Any, ...], _SharedReader] = {}

    def reader(self, actor: Actor) -> RecordReader:
        """The reader of an actor."""
        key = (actor.company_id, actor.lang, actor.tz, self._field_domains(actor))
        found = self._shared.get(key)
        if found is None:
            own = self._application.context(actor).reader
            found = self._shared[key] = _SharedReader(self._application, own, self._users)
        return found

    def _field_domains(self, actor: Actor) -> object:
        env = replace(
            self._eyes,
            user_id=actor.user_id,
            partner_id=None,
            company=actor.company_id,
            companies=(),
            lang=actor.lang,
            tz=actor.tz,
        )
        try:
            return tuple(domain(env) for domain in self._application.named.field_domains.values())
        except VallumError:
            return actor.user_id


class _SharedReader:
    def __init__(self, application: Application, reader: RecordReader, users: Sequence[int]) -> None:
        self._application = application
        self._reader = reader
        self._pools: dict[str, dict[int, None]] = {"res.users": dict.fromkeys(users)}
        self._known: dict[tuple[str, str], dict[int, Any]] = {}

    @property
    def schema(self) -> Schema:
        return self._reader.schema

    def read(self, model: str, ids: Sequence[int], field: str) -> Mapping[int, Any]:
        known = self._known.setdefault((model, field), {})
        if any(i not in known for i in ids):
            pool = self._pools.setdefault(model, {})
            pool.update(dict.fromkeys(ids))
            missing = [i for i in pool if i not in known]
            for start in range(0, len(missing), _BATCH):
                # Within a snapshot, a statement that fails must end nothing else.
                with attempt(self._application.database):
                    known.update(self._reader.read(model, missing[start : start + _BATCH], field))
            self._remember(model, field, known)
        return {i: known[i] for i in ids}

    def _remember(self, model: str, name: str, values: Mapping[int, Any]) -> None:
        """The records these lead to will be asked for next."""
        found = self._reader.schema.model(model).fields.get(name)
        if found is None or not found.relational or not found.comodel:
            return
        pool = self._pools.setdefault(found.comodel, {})
        for value in values.values():
            if isinstance(value, tuple):
                pool.update(dict.fromkeys(value))
            elif value:
                pool[value] = None
