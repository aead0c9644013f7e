"""A group, access right or record rule as it shall be: approved changes laid over the policy of files.

Pure. Items are named by xml id, and are of JSON's types, so that they can be kept, shown and compared.
Invariant: where a file says something else than what a change was made from or became, nobody knows which
of the two holds: that is an error, and an error denies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast

from vallum.kernel import MalformedPolicy, MissingReference, Operation
from vallum.policy.model import AccessRight, Group, Policy, RecordRule

__all__ = ["KINDS", "Change", "Item", "Kind", "item_of", "laid_over", "with_change"]

Item: TypeAlias = Mapping[str, Any]
Kind: TypeAlias = Literal["group", "right", "rule"]
KINDS: Final[tuple[Kind, ...]] = ("group", "right", "rule")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One item before and after. `before` None: it is new; `after` None: it shall be no more."""

    kind: Kind
    xml_id: str
    before: Item | None
    after: Item | None
    source: str = ""


def item_of(policy: Policy, kind: Kind, xml_id: str) -> Item | None:
    """The item of that name as it is; None where there is none."""
    found = _named(policy, kind).get(xml_id)
    return None if found is None else _item(policy, found)


def with_change(policy: Policy, change: Change) -> Policy:
    """The policy with this change alone, whatever was there before.

    Raises: MalformedPolicy, MissingReference, CyclicHierarchy.
    """
    return _with(policy, [change])


def laid_over(policy: Policy, approved: Sequence[Change]) -> Policy:
    """The policy of files with all approved changes, given in the order in which they were approved.

    Raises: MalformedPolicy (a file has moved on), MissingReference, CyclicHierarchy.
    """
    known: dict[tuple[Kind, str], list[Item | None]] = {}
    last: dict[tuple[Kind, str], Change] = {}
    for change in approved:
        name = (change.kind, change.xml_id)
        known.setdefault(name, [change.before]).append(change.after)
        last[name] = change
    for (kind, xml_id), items in known.items():
        if item_of(policy, kind, xml_id) not in items:
            raise MalformedPolicy(
                f"the {kind} `{xml_id}` has another text in the files than the approved change was made from",
                where=last[kind, xml_id].source or None,
                fix="write into the file what was approved, or run `vallum policy retire` for it",
            )
    return _with(policy, list(last.values())) if last else policy


def _named(policy: Policy, kind: Kind) -> Mapping[str, Group | AccessRight | RecordRule]:
    among: Iterable[Group | AccessRight | RecordRule] = policy.groups.values()
    if kind != "group":
        among = policy.rights if kind == "right" else policy.rules
    return {item.xml_id: item for item in among if item.xml_id}


def _item(policy: Policy, found: Group | AccessRight | RecordRule) -> Item:
    def labels(ids: Iterable[int]) -> list[str]:
        return sorted(policy.groups[i].label for i in ids)

    if isinstance(found, Group):
        return {"name": found.name, "implied": labels(found.implied)}
    common = {
        "name": found.name,
        "model": found.model,
        "operations": [o.value for o in Operation if o in found.operations],
    }
    if isinstance(found, AccessRight):
        return {**common, "group": None if found.group is None else policy.groups[found.group].label}
    return {**common, "groups": labels(found.groups), "domain": found.domain}


def _with(policy: Policy, changes: Sequence[Change]) -> Policy:
    """Groups first: rights and rules, and other groups, may name them."""
    ids = {group.label: group.id for group in policy.groups.values()}
    top = max(policy.groups, default=0)
    for change in changes:
        if change.kind == "group" and change.xml_id not in ids:
            top += 1
            ids[change.xml_id] = top
    groups = dict(policy.groups)
    rights: dict[str | int, AccessRight] = {r.xml_id or r.id: r for r in policy.rights}
    rules: dict[str | int, RecordRule] = {r.xml_id or r.id: r for r in policy.rules}
    for change in changes:
        if change.kind == "group":
            made = _group(change, ids)
            groups[made.id] = made
        elif change.after is None:
            (rights if change.kind == "right" else rules).pop(change.xml_id, None)
        elif change.kind == "right":
            rights[change.xml_id] = _right(change, change.after, ids, rights)
        else:
            rules[change.xml_id] = _rule(change, change.after, ids, rules)
    return Policy.of(groups.values(), rights.values(), rules.values(), policy.menus, source=policy.source)


def _group(change: Change, ids: Mapping[str, int]) -> Group:
    if change.after is None:
        raise MalformedPolicy(
            f"the group `{change.xml_id}` cannot be removed: fields and files may name it",
            where=change.source or None,
            fix="take its rights and members away instead",
        )
    return Group(
        id=ids[change.xml_id],
        name=str(change.after["name"]),
        xml_id=change.xml_id,
        implied=frozenset(_id(name, ids, change) for name in change.after["implied"]),
        source=change.source,
    )


def _right(
    change: Change, item: Item, ids: Mapping[str, int], others: Mapping[str | int, AccessRight]
) -> AccessRight:
    group = item["group"]
    return AccessRight(
        id=_number(change.xml_id, others),
        name=str(item["name"]),
        model=str(item["model"]),
        group=None if group is None else _id(group, ids, change),
        operations=_operations(item),
        xml_id=change.xml_id,
        source=change.source,
    )


def _rule(
    change: Change, item: Item, ids: Mapping[str, int], others: Mapping[str | int, RecordRule]
) -> RecordRule:
    return RecordRule(
        id=_number(change.xml_id, others),
        name=str(item["name"]),
        model=str(item["model"]),
        domain=str(item["domain"]),
        groups=frozenset(_id(name, ids, change) for name in item["groups"]),
        operations=_operations(item),
        xml_id=change.xml_id,
        source=change.source,
    )


def _number(xml_id: str, others: Mapping[str | int, AccessRight] | Mapping[str | int, RecordRule]) -> int:
    found = cast("Mapping[str | int, AccessRight | RecordRule]", others)
    if xml_id in found:
        return found[xml_id].id
    return max((item.id for item in found.values()), default=0) + 1


def _operations(item: Item) -> frozenset[Operation]:
    return frozenset(Operation(value) for value in item["operations"])


def _id(name: str, ids: Mapping[str, int], change: Change) -> int:
    if name not in ids:
        raise MissingReference(
            f"no group has the xml id `{name:.80}`", where=change.source or None, fix="give one that exists"
        )
    return ids[name]
