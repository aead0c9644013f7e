"""Everything one actor may change: the public face of this package."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, overload

import psycopg

from vallum.enforce.application import Application
from vallum.enforce.query import search
from vallum.enforce.query.check import check, named_operation
from vallum.enforce.query.eyes import Eyes, record_ids
from vallum.enforce.telling import tells_refusals
from vallum.enforce.values import copying, defaults, idempotency, writer
from vallum.enforce.values.call import Call
from vallum.enforce.values.transaction import run, storage_of
from vallum.kernel import AccessDenied, InvalidValue, NotWritable, Operation, UnknownRecord, shown
from vallum.policy import Actor, refused
from vallum.postgres.migrations import migrate

__all__ = ["Values"]

Record = Mapping[str, Any]
T = TypeVar("T")


@tells_refusals
class Values:
    """What one actor creates, writes and deletes; None stands for the superuser.

    Each call is one transaction (within another, a savepoint): all of it is done, or nothing.
    Those that write raise: NotWritable, UnknownModel, AccessDenied, UnknownField, ReadonlyField,
    InvalidValue, MissingValue, ConstraintRefused, Conflict, ConnectionFailed.
    """

    def __init__(self, application: Application, actor: Actor | None) -> None:
        self.application = application
        self.actor = actor

    @overload
    def create(self, model: str, values: Record, *, key: str | None = None) -> int: ...

    @overload
    def create(self, model: str, values: Sequence[Record], *, key: str | None = None) -> list[int]: ...

    def create(
        self, model: str, values: Record | Sequence[Record], *, key: str | None = None
    ) -> int | list[int]:
        """Create a record from a dict of values, or one from each dict of a list; its id, or theirs in order.

        `key`: asked again with the same key and content within a day, nothing is created and the ids are
        given again.
        Raises: KeyReused (the key was used for other content), CyclicHierarchy.
        """
        records = [values] if isinstance(values, Mapping) else list(_listed(values))
        if key is None:
            ids = self._run(lambda call: writer.create(call, model, records))
        else:
            ids = self._once(idempotency.check_key(key), model, records)
        return ids[0] if isinstance(values, Mapping) else ids

    def write(self, model: str, ids: int | Iterable[int], values: Record, *, version: Any = None) -> None:
        """Write the same values to all of these records, or to none.

        `version`: write only records that are still as they were read: their `write_date` (or version column)
        then, one for all or a dict by id.
        Raises: UnknownRecord (superuser only), Conflict (another version), CyclicHierarchy.
        """
        given = _ids(ids)
        self._run(lambda call: writer.write(call, model, given, values, version=version))

    def unlink(self, model: str, ids: int | Iterable[int]) -> None:
        """Delete all of these records, or none.

        Raises: UnknownRecord (superuser only).
        """
        given = _ids(ids)
        self._run(lambda call: writer.unlink(call, model, given))

    def copy(self, model: str, record: int, default: Record | None = None) -> int:
        """The id of a new record like this one, as far as the actor sees it. `default`: what shall differ.

        Raises: UnknownRecord (superuser only).
        """
        (given,) = record_ids([record])
        return self._run(lambda call: copying.copy(call, model, given, default or {}))

    def default_get(self, model: str, fields: Iterable[str] | None = None) -> dict[str, Any]:
        """What a new record would hold where nothing is given, for the fields that have a default.

        Raises: NotWritable (an Odoo database), UnknownModel, UnknownField, AccessDenied.
        """
        storage = self.application.storage or storage_of(self.application)
        return defaults.default_get(self._looking, storage, model, fields)

    def exists(self, model: str, ids: int | Iterable[int]) -> list[int]:
        """Those of the ids that are of records the actor may read, in their order."""
        given = list(dict.fromkeys(record_ids(_ids(ids))))
        found = set(
            search.search(
                self._looking,
                model,
                [("id", "in", given)],
                active_test=False,
                limit=None,
                offset=0,
                order="id",
            )
        )
        return [i for i in given if i in found]

    def has_access(self, model: str, operation: str | Operation, ids: Iterable[int] | None = None) -> bool:
        """Whether the actor may do this with the model's records at all, or with every one of these."""
        try:
            self.check_access_rights(model, operation)
            if ids is not None:
                check(self._looking, model, ids, operation)
        except (AccessDenied, UnknownRecord):
            return False
        return True

    def check_access_rights(
        self, model: str, operation: str | Operation, raise_exception: bool = True
    ) -> bool:
        """Whether an access right grants the operation; where none does, AccessDenied unless told otherwise.

        Raises: UnknownModel, UnknownOperation, AccessDenied.
        """
        target, wanted = self._looking.model(model), named_operation(operation)
        access = self._looking.access
        if access is None or access.may(target, wanted):
            return True
        if raise_exception:
            raise refused(access.policy, access.actor, wanted, model)
        return False

    @property
    def _looking(self) -> Eyes:
        return Eyes(self.application, self.actor)

    def _run(self, work: Callable[[Call], T]) -> T:
        return run(self.application, self.actor, work)

    def _once(self, key: str, model: str, records: Sequence[Record]) -> list[int]:
        self._prepare_keys()

        def work(call: Call) -> list[int]:
            call.check_right(call.eyes.model(model), Operation.CREATE)
            return idempotency.once(call, key, model, records, lambda: writer.create(call, model, records))

        return run(self.application, self.actor, work)

    def _prepare_keys(self) -> None:
        """Make the table of keys, once."""
        storage_of(self.application)
        if self.application.keys_ready:
            return
        try:
            with self.application.database.transaction() as connection:
                migrate(connection, "enforce")
        except psycopg.errors.InsufficientPrivilege as error:
            raise NotWritable(
                "Vallum's own role may not make the table of idempotency keys",
                where="vallum.idempotency",
                fix="grant it CREATE on the database for once, or leave `key` out",
            ) from error
        # Within somebody's transaction the table may yet be rolled back.
        self.application.keys_ready = not self.application.database.in_transaction


def _ids(ids: int | Iterable[int]) -> list[int]:
    if isinstance(ids, int):
        return [ids]
    if isinstance(ids, str | bytes | Mapping) or not isinstance(ids, Iterable):
        raise InvalidValue(f"{shown(ids)} are no ids", fix="give a list of whole numbers")
    return list(ids)


def _listed(values: Any) -> Sequence[Record]:
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        raise InvalidValue(f"{shown(values)} are no values", fix="give a dict, or a list of dicts")
    return values
