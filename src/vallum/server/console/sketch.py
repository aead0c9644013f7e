"""A rule, right or group in a draft: read from an address or a form, and the policy and change it makes."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from vallum.analysis import with_group, with_right, with_rule, without
from vallum.kernel import InvalidValue, Operation
from vallum.policy import AccessRight, Group, Policy, RecordRule
from vallum.policy.change import KINDS, Change, Item, Kind, item_of
from vallum.server.pages import NotFound, Query

__all__ = ["Sketch", "change_of", "drafted", "query_of", "read_sketch"]

Existing = Group | AccessRight | RecordRule
_LONGEST_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class Sketch:
    """What is in the draft, as the form has it. `id` 0: a new one; `groups`: of a group those it implies.

    `model` of a group: whose records are compared. `base`: what the item was when the draft was begun.
    """

    kind: Kind
    id: int
    name: str
    model: str
    groups: tuple[str, ...]
    domain: str
    operations: frozenset[Operation]
    reason: str
    xml_id: str
    base: str = ""
    remove: bool = False


def read_sketch(policy: Policy, query: Query) -> Sketch:
    """The draft of an address or form; what it leaves out is as the item is now.

    Raises: NotFound, InvalidValue.
    """
    kind: Kind = next((k for k in KINDS if k == query.text("kind")), "rule")
    found_id = query.number("id")
    now = existing(policy, kind, found_id) if found_id else None
    if found_id and now is None:
        raise NotFound(f"there is no {kind} {found_id}", fix="choose one of the list")
    tried = bool(query.text("try"))
    sketch = _of_item(policy, kind, now, query)
    if tried:
        groups = tuple(part for text in query.all("groups") for part in text.replace(",", " ").split())
        sketch = replace(
            sketch,
            name=query.text("name")[:_LONGEST_NAME],
            groups=groups,
            domain=query.text("domain", "[]"),
            operations=frozenset(o for o in Operation if o.value in query.all("ops")),
            remove=bool(query.text("remove")),
        )
    if now is None or not now.xml_id:
        sketch = replace(sketch, xml_id=_new_xml_id(policy, kind, sketch.name or sketch.model))
    return replace(sketch, base=query.text("base") or digest(item_of(policy, kind, sketch.xml_id)))


def _of_item(policy: Policy, kind: Kind, now: Existing | None, query: Query) -> Sketch:
    every = frozenset(Operation)
    sketch = Sketch(kind, 0, "", query.text("model"), (), "[]", every, query.text("reason"), "")
    if now is None:
        return sketch
    ids = (
        now.implied if isinstance(now, Group) else now.groups if isinstance(now, RecordRule) else {now.group}
    )
    labels = tuple(sorted(policy.groups[g].label for g in ids if g is not None))
    sketch = replace(sketch, id=now.id, name=now.name, groups=labels, xml_id=now.xml_id or "")
    if isinstance(now, Group):
        return sketch if sketch.model else replace(sketch, model=_first_model(policy, now))
    domain = now.domain if isinstance(now, RecordRule) else "[]"
    return replace(sketch, model=now.model, domain=domain, operations=now.operations)


def _groups_of(item: Existing) -> frozenset[int]:
    if isinstance(item, Group):
        return item.implied
    if isinstance(item, RecordRule):
        return item.groups
    return frozenset() if item.group is None else frozenset({item.group})


def _first_model(policy: Policy, group: Group) -> str:
    """A model that the group's own rights are about."""
    return next((right.model for right in policy.rights if right.group == group.id), "")


def existing(policy: Policy, kind: Kind, number: int) -> Existing | None:
    """The item of the policy with that id."""
    if kind == "group":
        return policy.groups.get(number)
    among: tuple[Any, ...] = policy.rights if kind == "right" else policy.rules
    return next((item for item in among if item.id == number), None)


def _new_xml_id(policy: Policy, kind: Kind, name: str) -> str:
    """An xml id that nothing has yet, in the module that most of the policy belongs to."""
    items: tuple[Any, ...] = (*policy.groups.values(), *policy.rights, *policy.rules)
    taken = {item.xml_id for item in items if item.xml_id}
    modules = Counter(xml_id.partition(".")[0] for xml_id in taken)
    module = modules.most_common(1)[0][0] if modules else "app"
    plain = "".join(c if c.isascii() and c.isalnum() else "_" for c in name.lower())[:60].strip("_")
    first = f"{module}.{plain or kind}"
    return next(
        x for n in range(1, len(taken) + 3) if (x := first if n == 1 else f"{first}_{n}") not in taken
    )


def digest(item: Item | None) -> str:
    """What tells an item from any other; the same for equal ones."""
    return hashlib.sha256(json.dumps(item, sort_keys=True).encode()).hexdigest()[:16]


def drafted(policy: Policy, sketch: Sketch) -> Policy:
    """The policy with the draft in it.

    Raises: InvalidValue, MissingReference, CyclicHierarchy.
    """
    ids = frozenset(_group_ids(policy, sketch))
    if sketch.remove:
        return without(policy, sketch.kind, sketch.id)
    if sketch.kind == "group":
        group = Group(
            id=sketch.id or max(policy.groups, default=0) + 1,
            name=sketch.name,
            xml_id=sketch.xml_id,
            implied=ids,
            source="the draft",
        )
        return with_group(policy, group)
    if sketch.kind == "right":
        return with_right(
            policy,
            AccessRight(
                id=sketch.id or max((right.id for right in policy.rights), default=0) + 1,
                name=sketch.name,
                model=sketch.model,
                group=next(iter(ids), None),
                operations=sketch.operations,
            ),
        )
    return with_rule(
        policy,
        RecordRule(
            id=sketch.id or max((rule.id for rule in policy.rules), default=0) + 1,
            name=sketch.name,
            model=sketch.model,
            domain=sketch.domain,
            groups=ids,
            operations=sketch.operations,
            source="the draft",
        ),
    )


def _group_ids(policy: Policy, sketch: Sketch) -> list[int]:
    """The groups of a draft that can be. Raises: InvalidValue."""
    if sketch.remove and (not sketch.id or sketch.kind == "group"):
        raise InvalidValue("only a rule or right that is there can be removed", fix="take the mark away")
    if not sketch.operations and sketch.kind != "group":
        raise InvalidValue("a rule or right that is for no operation does nothing", fix="choose an operation")
    if not sketch.name and sketch.kind == "group":
        raise InvalidValue("a group needs a name", fix="give one")
    unknown = [name for name in sketch.groups if name not in policy.group_ids]
    if unknown:
        raise InvalidValue(f"no group is called {unknown[0]!r:.60}", fix="give xml ids of groups")
    if sketch.kind == "right" and len(set(sketch.groups)) > 1:
        raise InvalidValue("an access right is for one group, or for everyone", fix="choose one group")
    return [policy.group_ids[name] for name in sketch.groups]


def change_of(policy: Policy, sketch: Sketch) -> Change:
    """The change that the draft proposes to what is in force."""
    before = item_of(policy, sketch.kind, sketch.xml_id)
    return Change(
        kind=sketch.kind,
        xml_id=sketch.xml_id,
        before=before,
        after=None if sketch.remove else _item(sketch),
        source="the draft",
    )


def _item(sketch: Sketch) -> Item:
    groups = sorted(set(sketch.groups))
    if sketch.kind == "group":
        return {"name": sketch.name, "implied": groups}
    item: dict[str, Any] = {
        "name": sketch.name,
        "model": sketch.model,
        "operations": [o.value for o in Operation if o in sketch.operations],
    }
    if sketch.kind == "right":
        return item | {"group": groups[0] if groups else None}
    return item | {"groups": groups, "domain": sketch.domain}


def query_of(policy: Policy, change: Change, item: Item | None, **more: str) -> Query:
    """The address of a draft that would make the item so; None: that it be no more."""
    found = next((i for i in _all(policy, change.kind) if i.xml_id == change.xml_id), None)
    known: Mapping[str, Any] = item or item_of(policy, change.kind, change.xml_id) or {}
    groups = known.get("groups", known.get("implied", [known["group"]] if known.get("group") else []))
    return Query().but(
        **{"try": "1", "kind": change.kind, "id": found.id if found else None},
        model=known.get("model"),
        name=known.get("name"),
        groups=" ".join(groups),
        domain=known.get("domain"),
        ops=known.get("operations", ()),
        remove="1" if item is None else None,
        **more,
    )


def _all(policy: Policy, kind: Kind) -> list[Existing]:
    if kind == "group":
        return list(policy.groups.values())
    return list(policy.rights if kind == "right" else policy.rules)
