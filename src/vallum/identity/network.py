"""Addresses and the networks they are counted by.

Pure. An IPv4 address written as IPv6 is the IPv4 address: whoever writes it otherwise is still the same.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

__all__ = ["Address", "Network", "address_of", "network_of", "networks_of", "within"]

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

# One customer of a provider: what an attacker usually has at hand.
_PREFIX: Final = {4: 24, 6: 64}


def address_of(text: str) -> Address | None:
    """The address a text is; None for what is none (a Unix socket, a proxy's `unknown`).

    >>> address_of("::ffff:192.0.2.7")
    IPv4Address('192.0.2.7')
    """
    try:
        found = ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


def network_of(address: Address) -> Network:
    """The network an address is counted with: /24 of IPv4, /64 of IPv6.

    >>> network_of(address_of("192.0.2.7"))
    IPv4Network('192.0.2.0/24')
    """
    return ip_network((address, _PREFIX[address.version]), strict=False)


def networks_of(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """Networks as written, a single address among them.

    Raises: ValueError.
    """
    return tuple(ip_network(text.strip(), strict=False) for text in texts)


def within(address: Address | None, networks: tuple[Network, ...]) -> bool:
    """Whether the address is in one of them; an unknown one is in none.

    >>> within(address_of("::ffff:10.1.2.3"), networks_of(("10.0.0.0/8",)))
    True
    """
    return address is not None and any(address in network for network in networks)
