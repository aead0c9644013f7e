"""The layers as cards: a state in a word, and numbers that lead to their rows.

Nothing here waits for long: what takes a while is looked up beside the page (see `state`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from vallum.enforce.roles.status import Status
from vallum.facade import Check
from vallum.governance import Changes
from vallum.identity.state import SignInState, sign_in_state
from vallum.kernel import VallumError
from vallum.server.console.later import Found
from vallum.server.console.site import Ask, Site
from vallum.server.console.state import AuditState, audit_state, check_by_groups, roles_state, states
from vallum.server.pages import Viewer

__all__ = ["Layer", "Standing", "layers"]

Number = tuple[str, int, str]
_NOT_YET: Final = "being looked up"


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer's card. An empty address: nothing to open."""

    name: str
    icon: str
    kind: str
    state: str
    numbers: tuple[Number, ...] = ()
    href: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known of the layers at this moment. None: there is no such layer, or none for the viewer."""

    site: Site
    viewer: Viewer
    now: datetime
    check: Found[Check]
    roles: Found[Status | None] | None
    audit: Found[AuditState] | None
    sign_in: SignInState | None
    waiting: int

    @classmethod
    def of(cls, visit: Ask) -> Standing:
        """Ask all layers; the slow ones shortly."""
        site = visit.site
        kept, trail = states(site.vallum.application), site.audit
        now = site.vallum.application.clock.now()
        return cls(
            site=site,
            viewer=visit.viewer,
            now=now,
            check=kept.check.get(lambda: check_by_groups(site)),
            roles=kept.roles.get(lambda: roles_state(site)) if visit.viewer.administrator else None,
            audit=kept.audit.get(lambda: audit_state(trail, now)) if trail is not None else None,
            sign_in=sign_in_state(site.identity.base) if site.identity is not None else None,
            waiting=_waiting(site),
        )

    @property
    def pending(self) -> bool:
        """Whether something is still being looked up."""
        asked = (self.check, self.roles, self.audit)
        return any(one is not None and not one.done for one in asked)


def _waiting(site: Site) -> int:
    """How many changes of the policy wait for a decision."""
    if not site.native:
        return 0
    return len(Changes(site.vallum.application).some("waiting"))


def layers(standing: Standing) -> list[Layer]:
    """The layers that are there, each with its state."""
    return [_access(standing), *_sign_in(standing), *_audit(standing), *_roles(standing)]


def _access(standing: Standing) -> Layer:
    site, found = standing.site, standing.check
    policy = site.vallum.policy
    kind, state = "", f"rules are {_NOT_YET}"
    if found.value is not None:
        broken = len({rule.rule.id for rule in found.value.broken})
        kind = "refused" if broken else "allowed"
        state = f"{broken} rules cannot be read" if broken else "every rule can be read"
    elif found.error is not None:
        kind, state = "notice", "rules could not be tried"
    numbers: list[Number] = [
        ("people", sum(user.active for user in site.vallum.users), "/people"),
        ("groups", len(policy.groups), "/groups"),
        ("models with rights", len(policy.rights_by_model), "/access"),
        ("access rights", len(policy.rights), "/groups"),
        ("record rules", len(policy.rules), "/workshop" if standing.viewer.administrator else "/access"),
    ]
    if site.native:
        numbers.append(("changes wait", standing.waiting, "/changes?state=waiting"))
    return Layer("Access", "shield-check", kind, state, tuple(numbers), "/access")


def _sign_in(standing: Standing) -> Iterator[Layer]:
    found = standing.sign_in
    if found is None:
        return
    share = round(100 * found.with_factor / found.people) if found.people else 100
    kind = "notice" if found.locked or share < 100 else "allowed"
    state = f"{share} % of people have a second factor"
    users = "/account/users" if standing.viewer.administrator else ""
    keys = "/account/keys" if standing.viewer.administrator else ""
    numbers: tuple[Number, ...] = (
        ("accounts of people", found.people, users),
        ("with a second factor", found.with_factor, users),
        ("locked out now", found.locked, users),
        ("keys of programs", found.keys, keys),
        ("single sign-on providers", found.providers, ""),
    )
    yield Layer("Sign-in", "key-round", kind, state, numbers, users)


def _audit(standing: Standing) -> Iterator[Layer]:
    if standing.audit is None:
        return
    found, error = standing.audit.value, standing.audit.error
    if error is not None:
        yield Layer("Audit", "history", "notice", _sentence(error), (), "/audit/proofs")
        return
    if found is None:
        yield Layer("Audit", "history", "", f"the trail is {_NOT_YET}", (), "/audit")
        return
    kind, state = "allowed", "nothing is missing, nothing is late"
    if not found.tables:
        kind, state = "notice", "no table is audited"
    if found.problems:
        kind, state = "refused", f"{len(found.problems)} things need a look"
    numbers: list[Number] = [
        ("audited tables", found.tables, "/audit/coverage"),
        ("events", found.size, "/audit"),
        ("gaps", len(found.problems), "/audit/coverage"),
        ("events wait for their place", found.waiting, "/audit/coverage"),
        ("events not signed yet", max(0, found.size - found.signed_size), "/audit/proofs"),
    ]
    yield Layer("Audit", "history", kind, state, tuple(numbers), "/audit")


def _roles(standing: Standing) -> Iterator[Layer]:
    if standing.roles is None:
        return
    found, error = standing.roles.value, standing.roles.error
    if error is not None:
        yield Layer("PostgreSQL", "database", "notice", _sentence(error), (), "/postgres")
        return
    if not standing.roles.done:
        yield Layer("PostgreSQL", "database", "", f"roles are {_NOT_YET}", (), "/postgres")
        return
    if found is None or not found.applied:
        yield Layer("PostgreSQL", "database", "", "the policy is not applied to roles", (), "/postgres")
        return
    kind, state = "allowed", "roles hold today's policy"
    if not found.is_clean:
        kind, state = "notice", "roles are behind the policy"
    if found.drift:
        kind, state = "refused", "roles were changed by hand"
    numbers: tuple[Number, ...] = (
        ("roles of people", found.users, "/postgres"),
        ("log-ins", len(found.logins), "/postgres/log-ins"),
        ("changed by hand", len(found.drift), "/postgres?check=now"),
    )
    yield Layer("PostgreSQL", "database", kind, state, numbers, "/postgres")


def _sentence(error: VallumError) -> str:
    """Why a layer cannot be told about; nothing of hosts or users of the database."""
    return "the database cannot be reached" if error.code == "connection-failed" else error.what
