"""The policy: groups, access rights, record rules, menus. Immutable and versioned.

Pure. Ids are the database's own where the policy comes from a database, and given
in order of appearance where it comes from files; `xml_id` is the identity between both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import TypeVar

from vallum.kernel import CyclicHierarchy, MalformedPolicy, MissingReference, Operation

__all__ = ["AccessRight", "Action", "Actor", "Group", "Menu", "Policy", "RecordRule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group of users. `implied` are the groups its members belong to as well (direct ones)."""

    id: int
    name: str
    xml_id: str | None = None
    implied: frozenset[int] = frozenset()
    source: str = ""

    @property
    def label(self) -> str:
        """The xml id, or the name where there is none."""
        return self.xml_id or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRight:
    """A right on a model for a group; `group` None: for every user."""

    id: int
    name: str
    model: str
    group: int | None
    operations: frozenset[Operation]
    xml_id: str | None = None
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRule:
    """A rule on the records of a model; without groups it is global. `domain` is its text."""

    id: int
    name: str
    model: str
    domain: str
    groups: frozenset[int]
    operations: frozenset[Operation]
    xml_id: str | None = None
    source: str = ""

    @property
    def is_global(self) -> bool:
        """Whether the rule applies to everyone."""
        return not self.groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What a menu opens: `model` is the model to be readable, `groups` who may run it."""

    type: str
    id: int
    model: str | None = None
    groups: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Menu:
    """A menu entry; without groups it is for everyone."""

    id: int
    name: str
    parent: int | None = None
    action: Action | None = None
    groups: frozenset[int] = frozenset()
    sequence: int = 10
    active: bool = True
    xml_id: str | None = None
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who asks: always passed explicitly.

    `groups` is the closed set (implied groups included); `companies` are the active
    ones, the first is the current company; `company_ids` are all the user's companies.
    """

    user_id: int
    login: str
    groups: frozenset[int]
    companies: tuple[int, ...] = ()
    company_ids: tuple[int, ...] = ()
    company_id: int | None = None
    lang: str = "en_US"
    tz: str | None = None
    superuser: bool = False
    active: bool = True

    @property
    def company(self) -> int | None:
        """The current company: the first active one."""
        return self.companies[0] if self.companies else self.company_id


@dataclass(frozen=True, eq=False)
class Policy:
    """Everything that decides, in one immutable value. `version` names its content."""

    groups: Mapping[int, Group]
    rights: tuple[AccessRight, ...] = ()
    rules: tuple[RecordRule, ...] = ()
    menus: tuple[Menu, ...] = ()
    source: str = ""

    @classmethod
    def of(
        cls,
        groups: Iterable[Group],
        rights: Iterable[AccessRight] = (),
        rules: Iterable[RecordRule] = (),
        menus: Iterable[Menu] = (),
        *,
        source: str = "",
    ) -> Policy:
        """A checked policy.

        Raises: CyclicHierarchy (groups that imply each other, menus in a circle),
        MissingReference (an id that no group has), MalformedPolicy (two groups, rules or menus with one id).
        """
        groups, rules, menus = tuple(groups), tuple(rules), tuple(menus)
        for kind, found in (("groups", groups), ("record rules", rules), ("menus", menus)):
            _check_ids(kind, found)
        policy = cls(
            MappingProxyType({g.id: g for g in groups}),
            tuple(rights),
            tuple(sorted(rules, key=lambda r: r.id)),
            menus,
            source,
        )
        policy._check()
        return policy

    def _check(self) -> None:
        used: dict[int, str] = {}
        for group in self.groups.values():
            used.update(dict.fromkeys(group.implied, group.source or group.label))
        for right in self.rights:
            if right.group is not None:
                used[right.group] = right.source or right.name
        for rule in self.rules:
            used.update(dict.fromkeys(rule.groups, rule.source or rule.name))
        for menu in self.menus:
            used.update(dict.fromkeys(menu.groups, menu.source or menu.name))
        for group_id, where in used.items():
            if group_id not in self.groups:
                raise MissingReference(f"no group has the id {group_id}", where=where)
        _ = self.closure
        _check_menus(self.menus)

    @cached_property
    def version(self) -> str:
        """A digest of the content: equal policies have equal versions."""
        digest = hashlib.sha256()
        for part in (sorted(self.groups.values(), key=lambda g: g.id), self.rights, self.rules, self.menus):
            for item in part:
                digest.update(repr(_canonical(item)).encode())
        return digest.hexdigest()[:16]

    @cached_property
    def closure(self) -> Mapping[int, frozenset[int]]:
        """Per group, the group itself and all it implies, directly or not.

        Raises: CyclicHierarchy.
        """
        closed: dict[int, frozenset[int]] = {}
        for start in self.groups:
            _close(start, self.groups, closed)
        return MappingProxyType(closed)

    @cached_property
    def group_ids(self) -> Mapping[str, int]:
        """Group ids by xml id."""
        return MappingProxyType({g.xml_id: g.id for g in self.groups.values() if g.xml_id})

    def group(self, xml_id: str) -> Group:
        """The group with that xml id.

        Raises: MissingReference.
        """
        try:
            return self.groups[self.group_ids[xml_id]]
        except KeyError:
            raise MissingReference(f"no group has the xml id `{xml_id}`") from None

    def close(self, groups: Iterable[int]) -> frozenset[int]:
        """These groups and all they imply."""
        return frozenset().union(*(self.closure[g] for g in groups if g in self.closure))

    @cached_property
    def rights_by_model(self) -> Mapping[str, tuple[AccessRight, ...]]:
        """Access rights per model."""
        return _by_model(self.rights)

    @cached_property
    def rules_by_model(self) -> Mapping[str, tuple[RecordRule, ...]]:
        """Record rules per model, in the order of their ids."""
        return _by_model(self.rules)

    def with_group_ids(self, ids: Mapping[str, int]) -> Policy:
        """The same policy, its groups renumbered to the ids a database gave their xml ids.

        Groups the mapping lacks get new ids above all others: nobody is a member of them.
        """
        top = max((0, *ids.values()))
        renumber: dict[int, int] = {}
        for group in sorted(self.groups.values(), key=lambda g: g.id):
            if group.xml_id is not None and group.xml_id in ids:
                renumber[group.id] = ids[group.xml_id]
            else:
                top += 1
                renumber[group.id] = top

        def all_of(groups: frozenset[int]) -> frozenset[int]:
            return frozenset(renumber[g] for g in groups)

        return Policy.of(
            (replace(g, id=renumber[g.id], implied=all_of(g.implied)) for g in self.groups.values()),
            (replace(r, group=None if r.group is None else renumber[r.group]) for r in self.rights),
            (replace(r, groups=all_of(r.groups)) for r in self.rules),
            (
                replace(
                    m,
                    groups=all_of(m.groups),
                    action=m.action and replace(m.action, groups=all_of(m.action.groups)),
                )
                for m in self.menus
            ),
            source=self.source,
        )


T = TypeVar("T", AccessRight, RecordRule)


def _by_model(items: Iterable[T]) -> Mapping[str, tuple[T, ...]]:
    result: dict[str, list[T]] = {}
    for item in items:
        result.setdefault(item.model, []).append(item)
    return MappingProxyType({model: tuple(found) for model, found in result.items()})


def _canonical(item: object) -> tuple[object, ...]:
    """Field values in declaration order, sets sorted: the same for equal items."""
    values: list[object] = []
    for name in item.__slots__:  # type: ignore[attr-defined]
        if name == "source":
            continue
        value = getattr(item, name)
        if isinstance(value, frozenset):
            value = tuple(sorted(map(str, value)))
        elif isinstance(value, Action):
            value = _canonical(value)
        values.append(value)
    return tuple(values)


def _close(start: int, groups: Mapping[int, Group], closed: dict[int, frozenset[int]]) -> None:
    """Fill `closed` for `start` and all it implies; iterative, so that depth cannot exhaust the stack."""
    path: list[int] = [start]
    on_path = {start}
    while path:
        current = path[-1]
        if current in closed:
            on_path.discard(path.pop())
            continue
        todo = [i for i in groups[current].implied if i not in closed]
        if todo:
            following = min(todo)
            if following in on_path:
                circle = [*path[path.index(following) :], following]
                raise CyclicHierarchy(
                    "groups imply each other: " + " → ".join(groups[g].label for g in circle),
                    where=groups[current].source or None,
                    fix="remove one of these implied groups",
                )
            path.append(following)
            on_path.add(following)
            continue
        closed[current] = frozenset({current}).union(*(closed[i] for i in groups[current].implied))


def _check_ids(kind: str, found: Iterable[Group | RecordRule | Menu]) -> None:
    seen: dict[int, str] = {}
    for item in found:
        label = item.xml_id or item.name
        if item.id in seen:
            raise MalformedPolicy(
                f"two {kind} have the id {item.id}: {seen[item.id]!r:.80} and {label!r:.80}",
                where=item.source or None,
                fix="give each an id of its own",
            )
        seen[item.id] = label


def _check_menus(menus: Iterable[Menu]) -> None:
    parents = {m.id: m.parent for m in menus}
    names = {m.id: m.xml_id or m.name for m in menus}
    sound: set[int] = set()
    for menu in parents:
        chain: list[int] = []
        current: int | None = menu
        while current is not None and current not in sound and current in parents:
            if current in chain:
                raise CyclicHierarchy("menus contain each other: " + " → ".join(names[i] for i in chain))
            chain.append(current)
            current = parents[current]
        sound.update(chain)
