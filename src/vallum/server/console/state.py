"""How the layers stand: what home shows at a glance, looked up beside the page where that takes a while.

Pure but for the questions asked; numbers alone, no value of any record.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from vallum.audit.coverage import check_triggers
from vallum.audit.gaps import gaps
from vallum.audit.problem import Problem
from vallum.enforce.roles.status import Status
from vallum.facade import Check
from vallum.facade.check import check
from vallum.policy import User
from vallum.server.console.later import Later

if TYPE_CHECKING:
    from vallum.enforce import Application
    from vallum.facade.audit import Audit
    from vallum.server.console.site import Site

__all__ = ["AuditState", "States", "audit_state", "check_by_groups", "roles_state", "states"]

# Each set of groups is tried once; with more of them than this, the first are.
MOST_TRIED: Final = 200


@dataclass(frozen=True, slots=True)
class AuditState:
    """How the trail stands. `waiting`: events without a place in the log, the oldest `since`.

    `signed`: when the newest checkpoint was made, of how many events of `size`.
    """

    tables: int
    size: int
    waiting: int
    since: datetime | None
    signed_at: datetime | None
    signed_size: int
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class States:
    """What is looked up beside the pages of one opened application."""

    check: Later[Check] = field(default_factory=lambda: Later(fresh=600.0))
    # Planning roles takes seconds of work in this process: not too often.
    roles: Later[Status | None] = field(default_factory=lambda: Later(fresh=900.0))
    audit: Later[AuditState] = field(default_factory=lambda: Later(fresh=30.0))


_KEPT: Final[WeakKeyDictionary[Application, States]] = WeakKeyDictionary()
_LOCK: Final = Lock()


def states(application: Application) -> States:
    """Those of an application: after a change of its policy there is another, and all is looked up anew."""
    with _LOCK:
        return _KEPT.setdefault(application, States())


def check_by_groups(site: Site) -> Check:
    """Every record rule, tried for one active user of each set of groups."""
    some: dict[frozenset[int], User] = {}
    for user in site.census.users:
        if user.active:
            some.setdefault(site.actor(user).groups, user)
    return check(site.vallum.application, users=list(some.values())[:MOST_TRIED])


def roles_state(site: Site) -> Status | None:
    """Whether roles hold the policy; None where it is not applied to any. Raises: ConnectionFailed."""
    roles = site.vallum.roles
    return roles.status() if roles.applied() else None


def audit_state(trail: Audit, now: datetime) -> AuditState:
    """What a look finds. Raises: AuditRefused, ConnectionFailed."""
    with trail.connection() as connection:
        problems = (*gaps(connection, trail.home, now), *check_triggers(connection))
        waiting, since, size = connection.execute(
            "SELECT count(*), min(at), (SELECT size FROM vallum.audit_state) FROM vallum.audit_inbox"
        ).fetchall()[0]
    signed = trail.home.signed()
    return AuditState(
        tables=len(trail.audited()),
        size=int(size or 0),
        waiting=int(waiting),
        since=since,
        signed_at=signed.at if signed else None,
        signed_size=signed.size if signed else 0,
        problems=problems,
    )
