"""The operations of SCIM on people and groups of one directory, each one transaction.

A shell around scim2-models (what may be said), `filter_sql` (of which resources), `people` (what it means).
Invariant: what a directory sees and changes is its own; another directory's resources do not exist for it.
Invariant: a resource and the account behind it change together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar
from uuid import uuid4

from psycopg.errors import UniqueViolation
from scim2_models import (
    Context,
    InvalidValueException,
    ListResponse,
    NotFoundException,
    PatchOp,
    PreconditionFailedException,
    Resource,
    SearchRequest,
    UniquenessException,
)

from vallum.identity.accounts_port import Accounts, Store, Transaction
from vallum.identity.scim import store
from vallum.identity.scim.answers import Answers, Given, etag
from vallum.identity.scim.dialects import plain_patch, plain_resource
from vallum.identity.scim.filter_sql import condition, sort_key
from vallum.identity.scim.matching import account_for
from vallum.identity.scim.models import KINDS, PAGE, POLICY, Group, Kind, Person
from vallum.identity.scim.people import follow, person_of, regroup
from vallum.identity.scim.store import Stored
from vallum.identity.sso import store as links
from vallum.identity.sso.providers import Provider
from vallum.kernel import Clock

__all__ = ["Given", "ScimService", "etag"]

T = TypeVar("T")
_OWN = {"id", "meta", "groups", "password"}


class ScimService:
    """The service for one directory. `base`: where its endpoints are, without a closing slash."""

    def __init__(self, db: Store, accounts: Accounts, clock: Clock, provider_id: str, base: str) -> None:
        self._db = db
        self._accounts = accounts
        self._clock = clock
        self._provider_id = provider_id
        self._answers = Answers(base)

    def create(self, name: str, payload: Any, given: Given) -> dict[str, Any]:
        """A new resource. Raises: SCIMException, pydantic.ValidationError, VallumError."""
        kind = KINDS[name]
        wanted = kind.model_validate(
            plain_resource(payload), scim_ctx=Context.RESOURCE_CREATION_REQUEST, scim_policy=POLICY
        )
        _here(wanted)
        now = self._clock.now()

        def work(tx: Transaction, provider: Provider) -> dict[str, Any]:
            data = _data(wanted)
            stored = Stored(str(uuid4()), None, data, 1, now, now)
            if kind is Group:
                store.insert(tx, kind, provider.id, stored)
                self._set_members(tx, provider, stored, wanted)
            else:
                account = account_for(tx, self._accounts, provider, person_of(data), data.get("externalId"))
                stored = replace(stored, account_id=account.id)
                store.insert(tx, kind, provider.id, stored)
                self._remember(tx, provider, stored)
                follow(tx, self._accounts, provider, None, stored)
            self._record(tx, "created", kind, stored)
            return self._answers.shown(tx, kind, [stored], given, Context.RESOURCE_CREATION_RESPONSE)[0]

        return self._do(work)

    def read(self, name: str, id_: str, given: Given) -> dict[str, Any]:
        """One resource. Raises: SCIMException."""

        def work(tx: Transaction, provider: Provider) -> dict[str, Any]:
            found = _existing(store.get(tx, KINDS[name], provider.id, id_), id_)
            return self._answers.shown(tx, KINDS[name], [found], given, Context.RESOURCE_QUERY_RESPONSE)[0]

        return self._do(work)

    def search(self, name: str | None, request: dict[str, Any], *, posted: bool = False) -> dict[str, Any]:
        """A page of resources, of one kind or (None) of all. Raises: as `create`."""
        kinds = list(KINDS.values()) if name is None else [KINDS[name]]
        model: Any = Person | Group if name is None else kinds[0]
        context = Context.SEARCH_REQUEST if posted else Context.RESOURCE_QUERY_REQUEST
        wanted = SearchRequest[model].model_validate(request, scim_ctx=context)
        start = wanted.start_index or 1
        limit = PAGE if wanted.count is None else min(wanted.count, PAGE)

        def work(tx: Transaction, provider: Provider) -> dict[str, Any]:
            total = 0
            shown: list[dict[str, Any]] = []
            for kind in kinds:
                where = None
                if wanted.filter is not None:
                    where = condition(wanted.filter, kind, among_others=name is None)
                # One kind behind the other: what of the page is left begins where the last one ended.
                offset, left = max(start - 1 - total, 0), limit - len(shown)
                count, rows = store.search(tx, kind, provider.id, where, _order(wanted, kind), offset, left)
                total += count
                shown += self._answers.shown(tx, kind, rows, wanted, Context.RESOURCE_QUERY_RESPONSE)
            envelope = ListResponse[model](
                total_results=total, start_index=start, items_per_page=len(shown), resources=[]
            ).model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE)
            return {**envelope, "Resources": shown}

        return self._do(work)

    def replace(self, name: str, id_: str, payload: Any, given: Given) -> dict[str, Any]:
        """Another state of a resource, whole. Raises: as `create`."""
        kind = KINDS[name]
        wanted = kind.model_validate(
            plain_resource(payload), scim_ctx=Context.RESOURCE_REPLACEMENT_REQUEST, scim_policy=POLICY
        )

        def change(original: Resource[Any]) -> Resource[Any]:
            wanted.replace(original)
            return _here(wanted)

        return self._change(kind, id_, change, given, Context.RESOURCE_REPLACEMENT_RESPONSE)

    def patch(self, name: str, id_: str, payload: Any, given: Given) -> dict[str, Any]:
        """Some changes to a resource. Raises: as `create`."""
        kind = KINDS[name]
        operations = PatchOp[kind].model_validate(  # type: ignore[valid-type]
            plain_patch(payload, id_), scim_ctx=Context.RESOURCE_PATCH_REQUEST, scim_policy=POLICY
        )

        def change(original: Resource[Any]) -> Resource[Any]:
            changed = original.model_copy(deep=True)
            operations.patch(changed, scim_policy=POLICY)
            return changed

        return self._change(kind, id_, change, given, Context.RESOURCE_PATCH_RESPONSE)

    def delete(self, name: str, id_: str, given: Given) -> None:
        """It is gone, and with it all that somebody had here. Raises: SCIMException."""
        kind = KINDS[name]

        def work(tx: Transaction, provider: Provider) -> None:
            found = _existing(store.get(tx, kind, provider.id, id_, lock=True), id_)
            _check_match(found, given)
            members = store.members_of(tx, [found.id])[found.id] if kind is Group else []
            if found.account_id is not None:
                self._accounts.set_groups(tx, found.account_id, frozenset(), provider.id)
                self._accounts.deactivate(tx, found.account_id, provider.id)
                # Should the directory bring the name again: whoever had it signs in to it no more.
                links.unlink(tx, provider.id, found.account_id, provisioned=False)
            store.delete(tx, kind, found.id)
            regroup(tx, self._accounts, provider, store.users(tx, provider.id, members))
            self._record(tx, "deleted", kind, found)

        self._do(work)

    def _change(
        self,
        kind: Kind,
        id_: str,
        change: Callable[[Resource[Any]], Resource[Any]],
        given: Given,
        context: Context,
    ) -> dict[str, Any]:
        now = self._clock.now()

        def work(tx: Transaction, provider: Provider) -> dict[str, Any]:
            before = _existing(store.get(tx, kind, provider.id, id_, lock=True), id_)
            _check_match(before, given)
            changed = change(self._answers.resources(tx, kind, [before])[0])
            data = _data(changed)
            after = replace(before, data=data, version=before.version + 1, modified=now)
            if kind is Group:
                moved = self._set_members(tx, provider, after, changed)
                if data["displayName"] != before.data["displayName"]:
                    moved |= frozenset(store.members_of(tx, [id_])[id_])
            else:
                moved = frozenset()
                follow(tx, self._accounts, provider, before, after)
            if data != before.data or moved:
                store.update(tx, kind, after)
                self._record(tx, "changed", kind, after)
            else:
                after = before
            regroup(tx, self._accounts, provider, store.users(tx, provider.id, sorted(moved)))
            return self._answers.shown(tx, kind, [after], given, context)[0]

        return self._do(work)

    def _set_members(
        self, tx: Transaction, provider: Provider, stored: Stored, wanted: Resource[Any]
    ) -> frozenset[str]:
        ids = {str(one.value) for one in getattr(wanted, "members", None) or ()}
        if any(
            str(one.type or "User").casefold() != "user" for one in getattr(wanted, "members", None) or ()
        ):
            raise InvalidValueException(detail="groups within groups are not provisioned: send their members")
        # Who is nobody here, or another directory's, cannot be told apart, and is no member: the answer shows
        # who is. Clients expect that to be no error.
        known = frozenset(one.id for one in store.users(tx, provider.id, sorted(ids)))
        if known != ids:
            self._record(tx, "member-unknown", Group, stored)
        moved = store.set_members(tx, stored.id, known)
        regroup(tx, self._accounts, provider, store.users(tx, provider.id, sorted(moved)))
        return moved

    def _remember(self, tx: Transaction, provider: Provider, stored: Stored) -> None:
        """That the account is this directory's, also after it was removed and comes again."""
        if stored.account_id is not None:
            wanted = links.Link(provider.id, f"scim:{provider.id}", stored.id, stored.account_id)
            links.link(tx, wanted, stored.created)

    def _record(self, tx: Transaction, what: str, kind: Kind, stored: Stored) -> None:
        details = {"provider": self._provider_id, "resource": stored.id}
        event = f"scim.{'group' if kind is Group else 'user'}-{what}"
        self._accounts.record(tx, event, stored.account_id, details)

    def _do(self, work: Callable[[Transaction, Provider], T]) -> T:
        try:
            with self._db.transaction() as tx:
                return work(tx, links.provider(tx, self._provider_id))
        except UniqueViolation:
            raise UniquenessException(detail="userName, displayName or externalId is taken") from None


def _order(wanted: Any, kind: Kind) -> Any:
    binding = wanted.sort_binding(kind) if wanted.sort_by is not None else None
    if binding is None:
        return None
    descending = wanted.sort_order == SearchRequest.SortOrder.descending
    key = sort_key(binding, kind)
    return key.desc().nulls_last() if descending else key.asc().nulls_last()


def _existing(found: Stored | None, id_: str) -> Stored:
    if found is None:
        raise NotFoundException(detail=f"no resource has the id {id_[:40]}")
    return found


def _check_match(found: Stored, given: Given) -> None:
    if given.if_match is None or given.if_match.strip() == "*":
        return
    versions = [part.strip().removeprefix("W/") for part in given.if_match.split(",")]
    if f'"{found.version}"' not in versions:
        raise PreconditionFailedException(detail="the resource has another version by now")


def _data(resource: Resource[Any]) -> dict[str, Any]:
    """What is stored: no password, ever, and nothing that others say."""
    data = resource.model_dump(mode="json", exclude_none=True)
    data = {name: value for name, value in data.items() if name not in _OWN}
    if isinstance(resource, Group):
        data.pop("members", None)
    return data


def _here(resource: Resource[Any]) -> Resource[Any]:
    """Whoever is described whole is here, unless it is said that they are not."""
    if not isinstance(resource, Group) and getattr(resource, "active", True) is None:
        resource.active = True  # type: ignore[attr-defined]
    return resource
