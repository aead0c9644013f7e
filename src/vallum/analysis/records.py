"""Sets of record ids, each kept once, each distinct condition asked once.

PostgreSQL sends a set as one value of eight bytes per id, sorted: no row, and no number
of Python's, per record.
"""

from __future__ import annotations

import hashlib
import sys
from array import array
from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import aggregate_order_by

from vallum.analysis.binding import Binder
from vallum.analysis.format import IdSet
from vallum.domain import TRUE, Domain, Filter, root
from vallum.domain.filter import Plain, Ref
from vallum.domain.sql import Scope
from vallum.enforce import Application
from vallum.enforce.attempt import attempt
from vallum.enforce.statement import compiled
from vallum.policy import Actor
from vallum.schema import Model

__all__ = ["RecordSets"]

_MAX_KEPT: Final = 50_000


class RecordSets:
    """Sets of ids by index, in the order they were first seen."""

    def __init__(self, application: Application, binder: Binder) -> None:
        self._application = application
        self._binder = binder
        self._sets: list[bytes] = []
        self._indexes: dict[bytes, int] = {}
        self._by_domain: dict[tuple[str, Domain], int] = {}
        self._by_filter: dict[tuple[str, Filter], int] = {}
        self.statements = 0

    def __len__(self) -> int:
        return len(self._sets)

    def since(self, index: int) -> Sequence[bytes]:
        """The sets from that index on."""
        return self._sets[index:]

    def all(self) -> tuple[IdSet, ...]:
        """All sets."""
        return tuple(map(_ids, self._sets))

    def index(self, ids: bytes) -> int:
        """The index of a set, which may be new."""
        key = hashlib.sha256(ids).digest()
        found = self._indexes.get(key)
        if found is None:
            found = self._indexes[key] = len(self._sets)
            self._sets.append(ids)
        return found

    def everything(self, model: Model) -> int:
        """The index of all records of a model."""
        env = self._application.env(None, active_test=False)
        return self._filtered(model, self._application.lowering.lower(model, TRUE, env, root(model)))

    def of(self, actor: Actor, model: Model, domain: Domain) -> int:
        """The index of the records that a bound domain leaves.

        Raises: VallumError.
        """
        if not self._binder.same_for_all:
            return self._filtered(model, self._binder.filter(actor, model, domain))
        key = (model.name, domain)
        found = self._by_domain.get(key)
        if found is None:
            if len(self._by_domain) >= _MAX_KEPT:
                self._by_domain.clear()
            condition = self._binder.filter(actor, model, domain)
            found = self._by_domain[key] = self._filtered(model, condition)
        return found

    def _filtered(self, model: Model, condition: Filter) -> int:
        key = (model.name, condition)
        found = self._by_filter.get(key)
        if found is None:
            if len(self._by_filter) >= _MAX_KEPT:
                self._by_filter.clear()
            found = self._by_filter[key] = self.index(self._select(model, condition))
        return found

    def _select(self, model: Model, condition: Filter) -> bytes:
        scope = Scope(root(model))
        where = scope.where(condition)
        own = scope.ref(Ref(scope.root, "id", Plain("int4")))
        piece = sa.func.int8send(sa.cast(own, sa.BigInteger()))
        ids = sa.func.string_agg(piece, aggregate_order_by(sa.literal_column("''::bytea"), own))
        self.statements += 1
        statement = sa.select(ids).select_from(scope.from_clause()).where(where)
        with attempt(self._application.database):
            found = self._application.database.rows(*compiled(statement))[0][0]
        return bytes(found or b"")


def _ids(ids: bytes) -> IdSet:
    """Eight bytes per id, the highest first, as numbers."""
    found = array("q")
    found.frombytes(ids)
    if sys.byteorder == "little":
        found.byteswap()
    return IdSet(found)
