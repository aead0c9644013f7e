"""Records as they are shown: through the viewer's own eyes, or as somebody else sees them.

Invariant: a value is shown only where the viewer may read it themselves. As somebody else, records and
fields are those that the other one has *and* the viewer has; what only the other one has is marked, never
shown, and nothing is searched, sorted or summed by it. What an address looks for is looked for among the
viewer's own records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vallum.facade import Session
from vallum.kernel import AccessDenied
from vallum.policy import User
from vallum.schema import Field, Model
from vallum.server.console.site import Ask, Site
from vallum.server.pages import NotFound, NotYours

__all__ = ["HIDDEN", "Found", "Seen", "seen"]


@dataclass(frozen=True, slots=True)
class _Hidden:
    """A value that the other one may read, and the viewer may not."""


HIDDEN: Final = _Hidden()


@dataclass(frozen=True, slots=True)
class Found:
    """A window of records. `total` None: how many there are would say something of hidden ones."""

    ids: tuple[int, ...]
    total: int | None
    left_out: int = 0
    more: bool = False


def seen(visit: Ask) -> Seen:
    """The eyes an address asks for: `as` names another user.

    Raises: NotYours (only administrators view as others), UnknownUser, NotFound.
    """
    site = visit.site
    own = site.eyes(visit)
    given = visit.query.text("as")
    if not given:
        return Seen(site, own, None, own)
    if not visit.viewer.administrator:
        raise NotYours("only administrators view as others", fix="ask an administrator")
    if not (given.isascii() and given.isdigit()):
        raise NotFound("nobody of that number", fix="choose somebody of the list of people")
    other = site.user(int(given))
    if not other.active or site.actor(other).superuser:
        raise NotYours("inactive people and superusers are not viewed as", fix="choose somebody else")
    site.told(visit, "sensitive-read", as_user=other.id, path=visit.path)
    return Seen(site, own, other, site.eyes_of(other))


class Seen:
    """Two pairs of eyes, the same ones where nobody else is looked through."""

    def __init__(self, site: Site, own: Session, other: User | None, eyes: Session) -> None:
        self.site, self.own, self.other, self.eyes = site, own, other, eyes

    def models(self) -> list[Model]:
        """Models that can be read."""
        return [
            model
            for model in self.site.models
            if model.relation
            and not model.transient
            and self.eyes.can("read", model.name).allowed
            and self.own.can("read", model.name).allowed
        ]

    def fields(self, model: Model) -> Mapping[str, Field]:
        """The fields whose values can be shown."""
        mine = self.own.fields(model.name)
        return (
            mine
            if self.other is None
            else {n: f for n, f in self.eyes.fields(model.name).items() if n in mine}
        )

    def marked(self, model: Model) -> tuple[Sequence[str], Sequence[str]]:
        """Fields shut to the other one, and those shut to the viewer alone."""
        if self.other is None:
            return (), ()
        mine, theirs = self.own.fields(model.name), self.eyes.fields(model.name)
        return sorted(model.fields.keys() - theirs.keys()), sorted(theirs.keys() - mine.keys())

    def check(self, model: Model) -> None:
        """Raises AccessDenied where either may not read the model."""
        for eyes in dict.fromkeys((self.eyes, self.own)):
            if not eyes.can("read", model.name).allowed:
                who = "you" if eyes is self.own else eyes.login
                raise AccessDenied(f"no access right lets {who} read `{model.name}`")

    def search(
        self, model: Model, domain: Any, *, limit: int, offset: int, order: str | None, archived: bool
    ) -> Found:
        """A window of the records that match.

        Raises: AccessDenied, UnknownField, MalformedDomain and kin.
        """
        active = not archived
        asked: dict[str, Any] = {
            "limit": limit + 1,
            "offset": offset,
            "order": order or None,
            "active_test": active,
        }
        if self.other is None:
            ids = self.own.search(model.name, domain, **asked)
            count = self.own.search_count(model.name, domain, active_test=active)
            return Found(tuple(ids[:limit]), count, more=len(ids) > limit)
        if domain or order:
            return self._looked_for(model, domain, asked, limit)
        ids = self.eyes.search(model.name, domain, **asked)
        window = ids[:limit]
        mine = set(self._own_among(model, window))
        shown = tuple(i for i in window if i in mine)
        total = self.eyes.search_count(model.name, domain, active_test=active)
        return Found(shown, total, len(window) - len(shown), len(ids) > limit)

    def _looked_for(self, model: Model, domain: Any, asked: Mapping[str, Any], limit: int) -> Found:
        """What the viewer finds themselves and the other one has: of what else matches, nothing is told."""
        ids = self.own.search(model.name, domain, **asked)
        window = ids[:limit]
        theirs = self.eyes.search(model.name, [("id", "in", window)], active_test=False) if window else ()
        had = frozenset(theirs)
        return Found(tuple(i for i in window if i in had), None, more=len(ids) > limit)

    def _own_among(self, model: Model, ids: Sequence[int]) -> list[int]:
        return self.own.search(model.name, [("id", "in", list(ids))], active_test=False) if ids else []

    def read(self, model: Model, ids: Sequence[int], fields: Iterable[str] | None) -> list[dict[str, Any]]:
        """The values, as the viewer reads them; without `fields`, all that can be read.

        Raises: AccessDenied.
        """
        names = None if fields is None else list(fields)
        rows = self.own.read(model.name, ids, names, active_test=False)
        if self.other is None:
            return rows
        theirs = self.eyes.read(model.name, ids, names, active_test=False)
        return [_both(model, own, other) for own, other in zip(rows, theirs, strict=True)]

    def names(self, model: Model, ids: Sequence[int]) -> dict[int, str]:
        """What records are called, those that can be named."""
        if not ids:
            return {}
        found = self.own.name_search(model.name, "", [("id", "in", list(ids))], limit=len(ids))
        return {i: str(name) for i, name in found if name}


def _both(model: Model, own: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """What both read: names both may know, linked records both may see."""
    row: dict[str, Any] = {}
    for name, value in own.items():
        theirs = other.get(name)
        field = model.fields.get(name)
        if field is not None and field.x2many and isinstance(value, list | tuple):
            seen_too = set(theirs or ())
            row[name] = [i for i in value if i in seen_too]
        elif (
            field is not None
            and field.type == "many2one"
            and isinstance(value, tuple)
            and isinstance(theirs, tuple)
        ):
            row[name] = (value[0], value[1] if theirs[1] is not None else None)
        else:
            row[name] = value
    return row
