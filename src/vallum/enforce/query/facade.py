"""Everything one actor may ask of the records: the public face of this package."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from vallum.domain import Filter
from vallum.enforce.application import Application
from vallum.enforce.query import group, names, read, search
from vallum.enforce.query.check import check
from vallum.enforce.query.describe import fields_get
from vallum.enforce.query.eyes import Eyes
from vallum.enforce.query.names import Names
from vallum.enforce.query.page import Page, page
from vallum.enforce.query.reach import Reach
from vallum.enforce.telling import tells_refusals
from vallum.kernel import Operation
from vallum.policy import Actor
from vallum.schema import Model

__all__ = ["Query"]


@tells_refusals
class Query:
    """What one actor finds and reads; None stands for the superuser. `only`: see `Eyes`.

    Rights, record rules and field groups hold in every part of every statement.
    Every method raises: UnknownModel, AccessDenied, UnknownField, MalformedDomain and its
    kin, UnsupportedDomain (what is asked for lives in code), ConnectionFailed.
    """

    def __init__(
        self, application: Application, actor: Actor | None, only: frozenset[str] | None = None
    ) -> None:
        self.application = application
        self.actor = actor
        self._eyes = Eyes(application, actor, only)

    def where(self, model: Model, domain: Any, *, active_test: bool = True) -> Filter:
        """The filter of a search of the model, over its root row."""
        return self._eyes.where(model, self._eyes.asked(domain), self._eyes.env(active_test=active_test))

    def search(
        self,
        model: str,
        domain: Any = (),
        *,
        active_test: bool = True,
        limit: int | None = None,
        offset: int = 0,
        order: str | None = None,
    ) -> list[int]:
        """The ids of the records found, in the order given or the model's own; ties by id."""
        found = search.search(
            self._eyes, model, domain, active_test=active_test, limit=limit, offset=offset, order=order
        )
        self._searched("search", model, found, domain, order)
        return found

    def page(
        self,
        model: str,
        domain: Any = (),
        *,
        limit: int = 80,
        order: str | None = None,
        after: int | None = None,
        active_test: bool = True,
    ) -> Page:
        """The records found behind the record `after`, or the first ones.

        Raises: UnknownRecord, where the record `after` is gone or out of sight.
        """
        found = page(
            self._eyes, model, domain, limit=limit, order=order, after=after, active_test=active_test
        )
        self._searched("page", model, found.ids, domain, order)
        return found

    def search_count(
        self, model: str, domain: Any = (), *, active_test: bool = True, limit: int | None = None
    ) -> int:
        """How many records are found; counting stops at the limit."""
        found = search.count(self._eyes, model, domain, active_test=active_test, limit=limit)
        self._searched("search_count", model, (), domain)
        return found

    def check(self, model: str, ids: Iterable[int], operation: Operation | str) -> None:
        """Raise unless the actor may do this with every one of the records.

        Raises: AccessDenied, naming the ids; UnknownRecord (superuser only).
        """
        check(self._eyes, model, ids, operation)

    def read(
        self,
        model: str,
        ids: Iterable[int],
        fields: Iterable[str] | None = None,
        *,
        names: Names = True,
        active_test: bool = True,
    ) -> list[dict[str, Any]]:
        """The records of these ids, in their order; without `fields`, all that can be read.

        A many2one is `(id, name)`, the name None where the actor may not read that record
        (`names="always"`: shown all the same, as Odoo does; False: the bare id). An x2many
        is the ids the actor may read, inactive ones only without `active_test`.
        """
        found = read.read(self._eyes, model, ids, fields, names=names, active_test=active_test)
        self._watch("read", model, found, fields)
        return found

    def search_read(
        self,
        model: str,
        domain: Any = (),
        fields: Iterable[str] | None = None,
        *,
        limit: int | None = None,
        offset: int = 0,
        order: str | None = None,
        active_test: bool = True,
        names: Names = True,
    ) -> list[dict[str, Any]]:
        """`search` and `read` in one."""
        found = read.search_read(
            self._eyes,
            model,
            domain,
            fields,
            limit=limit,
            offset=offset,
            order=order,
            active_test=active_test,
            names=names,
        )
        self._watch("search_read", model, found, fields, domain, order)
        return found

    def read_group(
        self,
        model: str,
        domain: Any = (),
        groupby: Sequence[str] = (),
        aggregates: Sequence[str] = ("__count",),
        *,
        order: str | None = None,
        limit: int | None = None,
        offset: int = 0,
        active_test: bool = True,
        names: Names = True,
    ) -> list[dict[str, Any]]:
        """One dict per group, keyed by `field`, `field:month`, `field:sum` and `__count` as given.

        A period is its first moment: a date, or a naive datetime in the actor's time zone.
        """
        found = group.read_group(
            self._eyes,
            model,
            domain,
            groupby,
            aggregates,
            order=order,
            limit=limit,
            offset=offset,
            active_test=active_test,
            names=names,
        )
        self._watch("read_group", model, (), (*groupby, *aggregates), domain, order)
        return found

    def _watch(
        self,
        method: str,
        model: str,
        found: Sequence[dict[str, Any]],
        fields: Iterable[str] | None,
        domain: Any = (),
        order: str | None = None,
    ) -> None:
        """Tell whoever watches the model, or one it leads to, before anything of it is given away."""
        if not self._is_watched:
            return
        named = list(found[0]) if fields is None and found else [str(name) for name in fields or ()]
        reach = self._reach(model, domain, order)
        if model in self.application.watched:
            detail: dict[str, Any] = {"method": method, "fields": [name for name in named if name != "id"]}
            searched = sorted(set(reach.found.get(model, ())) - set(named))
            self._tell(model, {**detail, **({"searched": searched} if searched else {})}, found)
        reach.names(model, named)
        self._tell_beyond(method, model, reach)

    def _searched(
        self, method: str, model: str, ids: Sequence[int], domain: Any, order: str | None = None
    ) -> None:
        """Tell of a search that gives no values: by fields of a watched model it says what they hold."""
        if not self._is_watched:
            return
        reach = self._reach(model, domain, order)
        if model in reach.found:
            detail = {"method": method, "searched": sorted(reach.found[model])}
            self._tell(model, detail, [{"id": record} for record in ids])
        self._tell_beyond(method, model, reach)

    @property
    def _is_watched(self) -> bool:
        return bool(self.application.watchers and self.application.watched)

    def _reach(self, model: str, domain: Any, order: str | None) -> Reach:
        reach = Reach(self.application.schema, self.application.watched)
        reach.domain(model, domain)
        reach.order(model, order)
        return reach

    def _tell_beyond(self, method: str, model: str, reach: Reach) -> None:
        for other, fields in reach.beyond(model):
            paths = sorted(set(fields.values()))
            self._tell(other, {"method": method, "from": model, "fields": sorted(fields), "paths": paths}, ())

    def _tell(self, model: str, detail: dict[str, Any], found: Sequence[dict[str, Any]]) -> None:
        for watcher in self.application.watchers:
            watcher(self.actor, model, detail, [record["id"] for record in found])

    def fields_get(self, model: str, fields: Iterable[str] | None = None) -> dict[str, dict[str, Any]]:
        """Type, label and more of the fields that are open to the actor."""
        return fields_get(self._eyes, model, fields)

    def name_search(
        self, model: str, name: str = "", domain: Any = (), operator: str = "ilike", limit: int | None = 100
    ) -> list[tuple[int, str | bool]]:
        """Ids and names of the records that are called so."""
        found = read.name_search(self._eyes, model, name, domain, operator, limit)
        self._watch("name_search", model, [{"id": record} for record, _ in found], (), domain)
        return found

    def inexact_names(self, model: str) -> tuple[str, ...]:
        """The modules whose code names records of the model otherwise than is read here."""
        return names.inexact_names(self._eyes.model(model))
