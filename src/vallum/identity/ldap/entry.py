"""From a directory's entry to who somebody is, and whether they may still come in.

Pure. Active Directory and other directories say the same things by different attributes; where one that must
be there is missing, somebody is not active.
Source: MS-ADTS 2.2.16 (userAccountControl), 2.2.20 (accountExpires); RFC 4530; the password policy draft.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from vallum.identity.accounts import login_key
from vallum.identity.accounts_port import Person
from vallum.identity.sso.errors import ProviderMisconfigured
from vallum.identity.sso.providers import LdapProvider

__all__ = [
    "DirectoryUser",
    "Entry",
    "attributes_for",
    "closure",
    "is_active",
    "is_called",
    "names_of",
    "user_of",
]

_DISABLED: Final = 0x2
_NEVER: Final = (0, 0x7FFF_FFFF_FFFF_FFFF)
_EPOCH: Final = datetime(1601, 1, 1, tzinfo=UTC)
_LOCKED_FOR_GOOD: Final = "000001010000Z"
_LONGEST: Final = 255


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it came: names of attributes in lower case."""

    dn: str
    attributes: Mapping[str, tuple[bytes, ...]]

    def text(self, name: str) -> str | None:
        """The only, or first, value of an attribute as a text that can be shown."""
        for value in self.attributes.get(name.lower(), ()):
            try:
                text = value.decode("utf-8").strip()
            except UnicodeDecodeError:
                continue
            if 0 < len(text) <= _LONGEST and text.isprintable():
                return text
        return None


@dataclass(frozen=True, slots=True)
class DirectoryUser:
    """Somebody in the directory. `subject` stays when they are renamed or moved."""

    subject: str
    dn: str
    person: Person
    active: bool
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Names:
    login: str
    id: str


def names_of(provider: LdapProvider) -> _Names:
    """The attributes for login and id, as written down or as usual."""
    ad = provider.flavour == "active-directory"
    return _Names(
        (provider.login_attribute or ("sAMAccountName" if ad else "uid")).lower(),
        (provider.id_attribute or ("objectGUID" if ad else "entryUUID")).lower(),
    )


def attributes_for(provider: LdapProvider) -> list[str]:
    """What to ask for: nothing else leaves the directory."""
    names = names_of(provider)
    state = ["userAccountControl", "accountExpires"]
    if provider.flavour == "generic":
        state = ["pwdAccountLockedTime", "nsAccountLock"]
    more = {rule.attribute for rule in provider.rules} - {"groups"}
    return [names.login, names.id, "displayName", "cn", "mail", *state, *sorted(more)]


def user_of(entry: Entry, provider: LdapProvider, now: datetime) -> DirectoryUser:
    """Who that is. Raises: ProviderMisconfigured (an entry without id or login)."""
    names = names_of(provider)
    subject, login = _identifier(entry, names.id), entry.text(names.login)
    if subject is None or login is None:
        raise ProviderMisconfigured(
            f"an entry of the directory has no `{names.id if subject is None else names.login}`",
            where=provider.id,
            fix="set `id_attribute` and `login_attribute`, or a narrower `user_filter`",
        )
    name = entry.text("displayname") or entry.text("cn") or login
    person = Person(login, name, entry.text("mail"))
    return DirectoryUser(subject, entry.dn, person, is_active(entry, provider, now))


def _identifier(entry: Entry, name: str) -> str | None:
    values = entry.attributes.get(name, ())
    if name == "objectguid":
        return str(UUID(bytes_le=values[0])) if len(values) == 1 and len(values[0]) == 16 else None
    return entry.text(name) if len(values) == 1 else None


def is_called(entry: Entry, login: str, provider: LdapProvider) -> bool:
    """Whether somebody's login is this one, compared as attempts are counted.

    Directories find more (accents, blanks within): each spelling would have a count of its own.
    """
    values = entry.attributes.get(names_of(provider).login, ())
    return login_key(login) in {login_key(value.decode("utf-8", "replace")) for value in values}


def is_active(entry: Entry, provider: LdapProvider, now: datetime) -> bool:
    """Whether the directory lets somebody in at that instant."""
    if provider.flavour == "generic":
        locked = entry.text("pwdaccountlockedtime")
        return locked != _LOCKED_FOR_GOOD and (entry.text("nsaccountlock") or "").lower() != "true"
    control, expires = _number(entry, "useraccountcontrol"), _number(entry, "accountexpires")
    if control is None or control & _DISABLED:
        return False
    if expires is None or expires in _NEVER:
        return True
    return now < _EPOCH + timedelta(microseconds=expires // 10)


def _number(entry: Entry, name: str) -> int | None:
    text = entry.text(name)
    try:
        return int(text) if text is not None else None
    except ValueError:
        return None


def closure(members: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
    """From groups and their direct members to the groups everybody is in, directly or not; circles are fine.

    >>> found = closure({"staff": ["sales"], "sales": ["marie", "staff"]})
    >>> sorted(found["marie"])
    ['sales', 'staff']
    """
    above: dict[str, set[str]] = {}
    for group, inside in members.items():
        for member in inside:
            above.setdefault(member, set()).add(group)
    found: dict[str, frozenset[str]] = {}
    for member in above:
        seen: set[str] = set()
        open_ = list(above[member])
        while open_:
            group = open_.pop()
            if group not in seen:
                seen.add(group)
                open_.extend(above.get(group, ()))
        found[member] = frozenset(seen)
    return found
