"""From where users, groups and keys may be used: lists of networks that allow and deny.

Pure. One entry a line, `<whom> <networks>`: whom is `all`, `user <login>`, `group <xml id>` or
`key <id>`; a network with `!` is denied. Whoever is named in no entry may come from everywhere; whom
entries allow some networks, from those only. What one entry denies no other allows.
An IPv4 address in the form of IPv6 is that IPv4 address.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from vallum.kernel import SettingsError

__all__ = ["Addresses", "normal"]

_KINDS: Final = ("user", "group", "key")
Network = IPv4Network | IPv6Network


@lru_cache(maxsize=4096)
def normal(text: str) -> str:
    """An address in the one form it is compared in.

    >>> normal("::ffff:192.0.2.7"), normal("2001:DB8::0:1"), normal("not an address")
    ('192.0.2.7', '2001:db8::1', '')
    """
    try:
        return str(_plain(ip_address(text.strip().partition("%")[0])))
    except ValueError:
        return ""


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


@dataclass(frozen=True, slots=True)
class _Entry:
    kind: str
    name: str
    allowed: tuple[Network, ...]
    denied: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class Addresses:
    """The entries of a setting."""

    entries: tuple[_Entry, ...] = ()

    @classmethod
    def parse(cls, lines: Iterable[str]) -> Addresses:
        """The entries of these lines.

        Raises: SettingsError.
        """
        return cls(tuple(_entry(line) for line in lines))

    @property
    def restricted(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self.entries)

    def admits(self, address: str, login: str, groups: Sequence[str], key_id: int | None) -> bool:
        """Whether this user, or key of the user's, may come from that address."""
        names = {("user", login), *(("group", group) for group in groups)}
        if key_id is not None:
            names.add(("key", str(key_id)))
        mine = [e for e in self.entries if e.kind == "all" or (e.kind, e.name) in names]
        if not mine:
            return True
        try:
            found = _plain(ip_address(address))
        except ValueError:
            return False
        if any(_within(found, e.denied) for e in mine):
            return False
        return all(_within(found, e.allowed) for e in mine if e.allowed)


def _within(address: IPv4Address | IPv6Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _entry(line: str) -> _Entry:
    words = line.replace(",", " ").split()
    kind, name = (words[0] if words else ""), ""
    rest = words[1:]
    if kind in _KINDS and rest:
        name, rest = rest[0], rest[1:]
    elif kind != "all":
        raise _wrong(line)
    try:
        allowed = tuple(ip_network(word) for word in rest if not word.startswith("!"))
        denied = tuple(ip_network(word[1:]) for word in rest if word.startswith("!"))
    except ValueError:
        raise _wrong(line) from None
    if not rest:
        raise _wrong(line)
    return _Entry(kind, name, allowed, denied)


def _wrong(line: str) -> SettingsError:
    return SettingsError(
        f"`{line:.80}` does not say who may come from where",
        where="addresses",
        fix="write it as `user marie 192.0.2.0/24`, `group a.b 10.0.0.0/8` or `all !203.0.113.9`",
    )
