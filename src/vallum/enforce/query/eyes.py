"""One actor's eyes on one application: what every query of the actor starts from.

A shell around lowering: it binds the actor, runs statements and keeps compiled ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql import ColumnElement

from vallum.domain import TRUE, Domain, Env, Filter, parse, parse_asked, root
from vallum.domain.filter import Ids, Within, every
from vallum.domain.sql import Scope
from vallum.enforce.application import Application
from vallum.enforce.query.statements import Key, domain_key, statements_of
from vallum.enforce.statement import Compiled, compiled
from vallum.kernel import InvalidValue, covered, shown
from vallum.policy import SUPERUSER_ID, Actor, ActorAccess, menus
from vallum.schema import Field, Model

__all__ = ["CHUNK", "Build", "Eyes", "among", "batches", "natural", "own_id", "record_ids"]

CHUNK: Final = 10_000
Row = tuple[Any, ...]
Build = Callable[[Env], "sa.Select[Any] | sa.CompoundSelect[Any]"]
T = TypeVar("T")

_ID_ARRAY: Final = postgresql.ARRAY(sa.BigInteger())
# Another moment that differs from now in its year, month, day, weekday, hour, minute and second.
_ANOTHER_TIME: Final = timedelta(days=400, hours=1, minutes=1, seconds=1)


@dataclass(frozen=True, slots=True)
class Eyes:
    """An application as one actor sees it; None stands for the superuser.

    `only`: the models that the proof of the actor is for, where it is not for all. What is asked of others is
    for whoever asks to refuse; that records are ordered by those behind a many2one is known here alone.
    """

    application: Application
    actor: Actor | None
    only: frozenset[str] | None = None

    @property
    def access(self) -> ActorAccess | None:
        """What restricts the actor; None where nothing does."""
        actor = self.actor
        return None if actor is None or actor.superuser else self.application.access(actor)

    @property
    def login(self) -> str:
        """The actor's login, for messages."""
        return self.actor.login if self.actor else "the superuser"

    def model(self, name: str) -> Model:
        """The model of that name.

        Raises: UnknownModel.
        """
        return self.application.schema.model(name)

    def covers(self, model: str) -> bool:
        """Whether the proof of the actor is for that model."""
        return self.only is None or covered(model, self.only)

    def check_open(self, model: Model) -> None:
        """Raises AccessDenied where no access right lets the actor read the model.

        Where the model's code decides instead, its search says so.
        """
        access = self.access
        if access is not None and model.name not in self.application.named.searches:
            access.check_model(model)

    def env(self, *, active_test: bool = True) -> Env:
        """The eyes as lowering takes them."""
        return self.application.env(self.actor, active_test=active_test)

    def check_field(self, field: Field) -> None:
        """Raises AccessDenied where the field is shut to the actor."""
        access = self.access
        if access is not None:
            access.check_field(field)

    def where(self, model: Model, domain: Domain, env: Env) -> Filter:
        """What a search of the model finds, over its root row."""
        app = self.application
        found = app.lowering.search(model, domain, env)
        if model.name == "ir.ui.menu" and app.schema.version < 19 and app.policy.menus:
            visible = menus(app.policy, self.actor or app.actor(SUPERUSER_ID), version=app.schema.version)
            found = every((found, Within(app.lowering.id_ref(root(model)), Ids(tuple(sorted(visible))))))
        return found

    def every_record(self, model: Model, env: Env) -> Filter:
        """All records of the model that the actor may read, inactive ones included."""
        return self.application.lowering.search(model, TRUE, env.with_active_test(False))

    def searched(self, key: Key, domain: Any, build: Callable[[Env, Domain], sa.Select[Any]]) -> Compiled:
        """The statement that `build` makes of a domain, from the cache where it is known.

        Raises: MalformedDomain, and what `build` raises.
        """
        spelled = domain_key(domain)
        if spelled is None:
            given = self.asked(domain)
            return compiled(build(self.env(), given))
        return self.prepared((*key, spelled), lambda env: build(env, self.asked(domain)))

    def asked(self, domain: Any) -> Domain:
        """A domain as the actor gives it.

        Raises: MalformedDomain, UnknownOperator (one that is only for whom nothing restricts).
        """
        return parse(domain) if self.access is None else parse_asked(domain)

    def prepared(self, key: Key, build: Build) -> Compiled:
        """The statement of `build`, kept under the actor and `key` unless it depends on the time."""
        statements, access = statements_of(self.application), self.access
        whole = (self.actor, self.only, *key)
        found = statements.get(whole, access)
        if found is None:
            env, timed = self.env(), access.timed if access else 0
            found = compiled(build(env))
            lasting = access is None or access.timed == timed
            if lasting and compiled(build(replace(env, now=env.now + _ANOTHER_TIME))) == found:
                statements.keep(whole, access, found)
        return cast("Compiled", found)

    def kept(self, key: Key, make: Callable[[], T]) -> T:
        """What `make` gives, kept under the actor and `key`; it must not depend on the time."""
        statements, access = statements_of(self.application), self.access
        whole = (self.actor, self.only, *key)
        found = statements.get(whole, access)
        if found is None:
            found = make()
            statements.keep(whole, access, found)
        return cast("T", found)

    def rows(self, statement: Compiled, **values: Any) -> Sequence[Row]:
        """The rows of a statement with these values bound."""
        text, bound = statement
        return self.application.database.rows(text, {**bound, **values}, reads=True)


def own_id(scope: Scope) -> ColumnElement[int]:
    """The id of the row a scope ranges over."""
    return sa.column("id", sa.Integer(), _selectable=scope.table)


def among(column: ColumnElement[Any], name: str = "ids") -> ColumnElement[bool]:
    """The column is among the ids bound as `name` when the statement runs."""
    return column == sa.any_(sa.bindparam(name, type_=_ID_ARRAY))


def record_ids(ids: Iterable[Any]) -> list[int]:
    """Ids as given, checked.

    Raises: InvalidValue.
    """
    found = list(ids)
    for value in found:
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 2**63:
            raise InvalidValue(f"{shown(value)} is not an id", fix="give whole numbers")
    return found


def batches(ids: Sequence[int]) -> Iterable[list[int]]:
    """Distinct ids in portions that one statement takes."""
    distinct = list(dict.fromkeys(ids))
    for start in range(0, len(distinct), CHUNK):
        yield distinct[start : start + CHUNK]


def natural(name: str, value: Any, none: bool = False) -> Mapping[str, int]:
    """A bound on the number of records, as the value to bind; nothing where there is none.

    Raises: InvalidValue for what is not a whole number from 0 on.
    """
    if value is None and none:
        return {}
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise InvalidValue(f"the {name} is {shown(value)}", fix="give a whole number from 0 on")
    return {name: value}
