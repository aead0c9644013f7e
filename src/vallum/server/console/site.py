"""What the pages of the console work on: the opened application, and the eyes of whoever looks.

One per request, so that a page is answered under one policy. Whoever holds a `Site` can be anyone;
handlers show records through `Site.eyes` alone, which are the viewer's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from vallum.facade import Session, Vallum
from vallum.facade.audit import Audit
from vallum.kernel import Operation, VallumError
from vallum.policy import User, actor_of
from vallum.schema import Model
from vallum.server.console.census import Census, census
from vallum.server.pages import NotFound, Visit

if TYPE_CHECKING:
    from vallum.identity import Identity
    from vallum.policy import Actor
    from vallum.server.sso.parts import SignOn

__all__ = ["Ask", "Event", "Site", "model_label", "operation_in"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something done in the console that the trail should keep."""

    kind: str
    by: str
    facts: Mapping[str, Any]
    user_id: int = 0
    address: str = ""
    request_id: str = ""


def _nobody(event: Event) -> None:
    """Nobody keeps a trail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The application as it is now. `identity`: who signs in here, where that is Vallum.

    `record`: told what is done here; an error of it refuses the act.
    """

    vallum: Vallum
    record: Callable[[Event], None] = _nobody
    writable: bool = False
    odoo: bool = False
    audit: Audit | None = None
    identity: Identity | None = None
    sso: SignOn | None = None

    @property
    def native(self) -> bool:
        """Whether it is an application of one's own, whose policy can be changed here."""
        return not self.odoo

    def eyes(self, visit: Visit[Site]) -> Session:
        """The viewer's own eyes, with all their companies."""
        return self.eyes_of(self.viewer(visit))

    def eyes_of(self, user: User) -> Session:
        """A user's eyes, with all their companies, the own one first."""
        companies = companies_of(user) or None
        return Session(self.vallum.application, actor_of(user, self.vallum.policy, companies))

    def viewer(self, visit: Visit[Site]) -> User:
        """The viewer's user; one without any group where their account is no user of the application's."""
        viewer = visit.viewer
        known = self.vallum.users.get(viewer.user_id)
        return known or User(id=0, login=viewer.login, name=viewer.name, lang=viewer.lang, tz=viewer.tz)

    def told(self, visit: Visit[Site], kind: str, /, **facts: Any) -> None:
        """Record an act of the viewer.

        Raises: VallumError, where it cannot be recorded: then it must not be done.
        """
        viewer = visit.viewer
        self.record(
            Event(
                kind=kind,
                by=viewer.login,
                facts=facts,
                user_id=viewer.user_id,
                address=viewer.address,
                request_id=viewer.request_id,
            )
        )

    def user(self, user_id: int) -> User:
        """The user of that id. Raises: UnknownUser."""
        return self.vallum.users.find(user_id)

    def actor(self, user: User) -> Actor:
        """The user with their own company alone, as rights are told."""
        return self.census.actors.get(user.id) or actor_of(user, self.vallum.policy)

    @property
    def census(self) -> Census:
        """What there is to know about all users."""
        return census(self.vallum.application)

    def model(self, name: str) -> Model:
        """The model of that name. Raises: UnknownModel."""
        return self.vallum.schema.model(name)

    @property
    def models(self) -> Sequence[Model]:
        """Models with records that people could be allowed to see."""
        return [m for m in self.vallum.schema.models.values() if not m.abstract]


Ask: TypeAlias = Visit[Site]


def companies_of(user: User) -> tuple[int, ...]:
    """All companies of a user, the own one first: it is the current one."""
    own = () if user.company_id is None else (user.company_id,)
    return tuple(dict.fromkeys((*own, *user.company_ids)))


def model_label(model: Model) -> str:
    """What people call a model."""
    return model.description or model.name


def operation_in(visit: Ask, name: str = "op") -> Operation:
    """The operation an address names; reading where it names none.

    Raises: NotFound.
    """
    given = visit.query.text(name, "read")
    try:
        return Operation(given)
    except ValueError:
        raise NotFound(
            f"there is no operation `{given:.40}`", fix="use read, write, create or unlink"
        ) from None


def person_in(visit: Ask, name: str = "user") -> User | None:
    """The user an address names by login or id; None where it names none.

    Raises: UnknownUser.
    """
    given = visit.query.text(name)
    if not given:
        return None
    directory = visit.site.vallum.users
    if given.isascii() and given.isdigit() and directory.get(int(given)) is not None:
        return directory.get(int(given))
    try:
        return directory.find(given)
    except VallumError:
        named = [user for user in directory if user.name.casefold() == given.casefold()]
        if len(named) == 1:
            return named[0]
        visit.site.vallum.as_user(given)
        raise
