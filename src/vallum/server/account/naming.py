"""What forms about groups need to know: which there are, who has one, and for how long one can be given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from vallum.identity.search import Among
from vallum.kernel import SettingsError
from vallum.server.account.web import Page

__all__ = ["LENGTHS", "SESSIONS", "among", "end_of", "group_id", "group_names", "number", "typed_in"]

# So many sessions of programs are shown at once; what ends all ends the others too.
SESSIONS: Final = 200
# Minutes and what people call them.
LENGTHS: Final = (
    ("", "until it is taken"),
    ("60", "an hour"),
    ("480", "eight hours"),
    ("1440", "a day"),
    ("10080", "a week"),
    ("43200", "thirty days"),
)


def typed_in(form: Mapping[str, str] | None) -> Mapping[str, str]:
    """What was typed into a form, to be shown in it again; nothing where it was not sent yet."""
    return defaultdict(str, form or {})


def number(text: str) -> int:
    """A whole number of a form or an address; 0 where there is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0


def end_of(length: str, now: datetime) -> datetime | None:
    """When a group given for so long ends; None where it does not.

    Raises: SettingsError.
    """
    if length not in dict(LENGTHS):
        raise SettingsError(
            "this is none of the lengths", where=repr(length[:20]), fix="choose one of the list"
        )
    return now + timedelta(minutes=int(length)) if length else None


def group_names(page: Page) -> list[str]:
    """The xml ids of the groups the application knows; none while its policy cannot be read."""
    if page.service.state is None:
        return []
    return sorted(page.service.application.policy.group_ids)


def group_id(page: Page, name: str) -> int | None:
    """The application's group of that xml id, if it knows one."""
    if page.service.state is None:
        return None
    return page.service.application.policy.group_ids.get(name)


def among(page: Page, names: list[str]) -> dict[str, Among]:
    """Who is in each of these groups, directly or through another one."""
    if page.service.state is None:
        return {name: Among((), (name,), page.now) for name in names}
    policy, directory = page.service.application.policy, page.service.directory
    users: dict[int, list[int]] = {i: [] for name in names if (i := policy.group_ids.get(name))}
    for user in directory:
        if user.active:
            closed = user.groups if user.groups_closed else policy.close(user.groups)
            for group in closed & users.keys():
                users[group].append(user.id)
    found = {}
    for name in names:
        own = policy.group_ids.get(name)
        through = [xml_id for xml_id, i in policy.group_ids.items() if own in policy.closure[i]]
        found[name] = Among(tuple(users.get(own or 0, ())), (*{name, *through},), page.now)
    return found
