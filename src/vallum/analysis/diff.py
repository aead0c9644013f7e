"""Compare two snapshots: who gained or lost what.

Pure. Users are compared by login, models by name, records by id, never by position in a
file. Records are the effective ones: those that rules leave, where an access right grants
the operation at all. A model without any rule has no list of its records; there only the
access right is compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from vallum.analysis.changes import (
    AccessChange,
    FieldChange,
    MenuChange,
    RecordChange,
    SnapshotDiff,
    UserChange,
    kept,
)
from vallum.analysis.format import IdSet, Snapshot, UserEntry, UserVisible
from vallum.kernel import Operation

__all__ = ["diff_snapshots"]


def diff_snapshots(old: Snapshot, new: Snapshot, *, max_ids: int = 20) -> SnapshotDiff:
    """What `new` gives and takes compared with `old`; up to `max_ids` ids per change."""
    before, after = _View(old), _View(new)
    common = sorted(before.users.keys() & after.users.keys())
    return SnapshotDiff(
        tuple(sorted(after.users.keys() - before.users.keys())),
        tuple(sorted(before.users.keys() - after.users.keys())),
        kept(_user(before.users[login], after.users[login]) for login in common),
        tuple(c for login in common for c in _access(login, before, after)),
        tuple(c for login in common for c in _fields(login, before, after)),
        kept(_menus(login, before, after) for login in common),
        tuple(_Records(before, after, max_ids).changes(common)),
    )


class _View:
    """A snapshot by login."""

    def __init__(self, snapshot: Snapshot) -> None:
        login = {u.id: u.login for u in snapshot.users}
        self.snapshot = snapshot
        self.users = {u.login: u for u in snapshot.users}
        self.access = {login[a.user]: a.models for a in snapshot.access}
        self.denied = {login[f.user]: f.denied for f in snapshot.fields}
        self.menus = {login[m.user]: m.menu_ids or () for m in snapshot.menus}
        self.visible: dict[str, list[UserVisible]] = {}
        for entry in snapshot.visible:
            self.visible.setdefault(login[entry.user], []).append(entry)

    def all_of(self, model: str) -> IdSet | None:
        """All records of a model, where they were listed."""
        entry = self.snapshot.models.get(model)
        return None if entry is None or entry.all is None else self.snapshot.idsets[entry.all]


def _user(old: UserEntry, new: UserEntry) -> UserChange | None:
    found = UserChange(
        new.login,
        _more(new.group_ids, old.group_ids),
        _more(old.group_ids, new.group_ids),
        _more(new.company_ids, old.company_ids),
        _more(old.company_ids, new.company_ids),
        None if old.active == new.active else new.active,
    )
    return None if found == UserChange(new.login) else found


def _access(login: str, old: _View, new: _View) -> Iterator[AccessChange]:
    before, after = old.access.get(login, {}), new.access.get(login, {})
    for model in sorted(before.keys() | after.keys()):
        had, has = before.get(model, ""), after.get(model, "")
        if had != has:
            gained = "".join(c for c in has if c not in had)
            yield AccessChange(login, model, gained, "".join(c for c in had if c not in has))


def _fields(login: str, old: _View, new: _View) -> Iterator[FieldChange]:
    before, after = old.denied.get(login, {}), new.denied.get(login, {})
    for model in sorted(before.keys() | after.keys()):
        had, has = before.get(model, ()), after.get(model, ())
        if set(had) != set(has):
            yield FieldChange(login, model, _more(had, has), _more(has, had))


def _menus(login: str, old: _View, new: _View) -> MenuChange | None:
    before, after = old.menus.get(login, ()), new.menus.get(login, ())
    if set(before) == set(after):
        return None
    return MenuChange(login, _more(after, before), _more(before, after))


class _Records:
    """Compares effective records; equal pairs of sets are compared once."""

    def __init__(self, old: _View, new: _View, max_ids: int) -> None:
        self._old = old
        self._new = new
        self._max_ids = max_ids
        self._known: dict[tuple[int, int], tuple[int, int, tuple[int, ...], tuple[int, ...]]] = {}

    def changes(self, logins: Iterable[str]) -> Iterator[RecordChange]:
        old_models = {n for n in self._old.snapshot.models if self._old.all_of(n) is not None}
        new_models = {n for n in self._new.snapshot.models if self._new.all_of(n) is not None}
        models = sorted(old_models | new_models)
        for login in logins:
            for before, after in _pairs(self._old.visible.get(login, []), self._new.visible.get(login, [])):
                for model in models:
                    for operation in Operation:
                        found = self._change(login, before, after, model, operation)
                        if found is not None:
                            yield found

    def _change(
        self, login: str, before: UserVisible, after: UserVisible, model: str, operation: Operation
    ) -> RecordChange | None:
        had = _effective(self._old, self._new, login, before, model, operation)
        has = _effective(self._new, self._old, login, after, model, operation)
        if had is has:
            return None
        key = (id(had), id(has))
        if key not in self._known:
            gained, lost = (_more(has, had), _more(had, has)) if had != has else ((), ())
            some = slice(self._max_ids)
            self._known[key] = (len(gained), len(lost), gained[some], lost[some])
        found = self._known[key]
        if not found[0] and not found[1]:
            return None
        return RecordChange(login, after.companies, model, operation, *found)


_NONE = IdSet()


def _effective(
    view: _View, other: _View, login: str, entry: UserVisible, model: str, operation: Operation
) -> IdSet:
    """The records of a model the user may touch. Where the snapshot lists none, the other's are all."""
    if operation.letter not in view.access.get(login, {}).get(model, ""):
        return _NONE
    sets = entry.rules.get(model)
    index = None if sets is None else sets.of(operation)
    if index is not None:
        return view.snapshot.idsets[index]
    every = view.all_of(model)
    if every is None:
        every = other.all_of(model)
    return _NONE if every is None else every


def _pairs(
    before: Sequence[UserVisible], after: Sequence[UserVisible]
) -> Iterator[tuple[UserVisible, UserVisible]]:
    """The own company alone with the same, and all companies with all: one may be both."""
    if before and after:
        yield before[0], after[0]
        if len(before) > 1 or len(after) > 1:
            yield before[-1], after[-1]


T = TypeVar("T", int, str)


def _more(these: Iterable[T], those: Iterable[T]) -> tuple[T, ...]:
    """What is in the first only, sorted."""
    there = set(those)
    return tuple(sorted({i for i in these if i not in there}))
