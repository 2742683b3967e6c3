"""Which hosts load may go to: the patterns of `LoadTestPolicy.allowedHosts`, understood alike by all who ask.

A manifest is looked at before it runs, when only names are known, and connections are looked at when they are opened, when a name has
become addresses. If the two read the patterns differently, one of them would be a way around the other.

A host is covered by its name (`shop.test.example`, `*.test.example`, `*`), and then wherever that name leads to; whoever allows a name
trusts those who answer for it. Or it is covered by its address (`10.0.0.0/8`, `192.0.2.7`). Policies add up: every one that says something
of hosts has to cover each of them.
"""

from __future__ import annotations

import fnmatch
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_ANY: Final = "*"


@dataclass(frozen=True, slots=True)
class HostRules:
    """The patterns of one policy.

    Attributes:
        names: Wildcards for names, lower case, without a trailing dot.
        networks: That addresses may be in; a single address is a network of one.
    """

    names: tuple[str, ...]
    networks: tuple[_Network, ...]

    @classmethod
    def of(cls, patterns: Iterable[str]) -> HostRules:
        """Read patterns. Each is a network if it can be, else it is about names."""
        names, networks = [], []
        for pattern in patterns:
            try:
                networks.append(ipaddress.ip_network(pattern.strip().strip("[]"), strict=False))
            except ValueError:
                names.append(_plain(pattern))
        return cls(tuple(names), tuple(networks))

    def covers(self, host: str) -> bool:
        """Whether a host is covered as it is written: by its name, or by its address if it is one."""
        if _ANY in self.names:
            return True
        address = address_of(host)
        if address is not None:
            return self.covers_address(address)
        name = _plain(host)
        return any(fnmatch.fnmatchcase(name, each) for each in self.names)

    def covers_address(self, address: Address) -> bool:
        """Whether an address is covered by a network; never by a name that may lead to it."""
        return _ANY in self.names or any(address in network for network in self.networks)

    def may_cover(self, host: str) -> bool:
        """Whether a host may turn out to be covered: it is, or it is a name that could lead to an address that is."""
        return self.covers(host) or (bool(self.networks) and address_of(host) is None)


def is_narrower(now: Iterable[Sequence[str]], before: Sequence[Sequence[str]]) -> bool:
    """Whether policies may refuse a host that they let pass before.

    Patterns are compared as they are written, so the same networks written in another way count as narrower.

    Args:
        now: The patterns of each policy that says something of hosts.
        before: The same, as it was.
    """
    return not all(_ANY in patterns or any(set(old) <= set(patterns) for old in before) for patterns in now)


def address_of(host: str) -> Address | None:
    """The address that a text is, if it is one. IPv4 within IPv6 is the IPv4 address: that is where packets go."""
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _plain(name: str) -> str:
    """A name as it goes to DNS, so that two ways of writing it are one."""
    name = name.strip().rstrip(".").lower()
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        return name
