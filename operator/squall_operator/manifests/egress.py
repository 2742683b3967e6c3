"""The NetworkPolicy that keeps the pods of a run to where policies let load go.

The runner keeps to that by itself; the network holds whatever a template puts beside it as well.

A NetworkPolicy knows networks and namespaces, no names. Addresses that a name had at the launch would be wrong by the time it matters, and some
of them right by accident. So only what is true for good is said: a network as it is, and for a Service's name, `shop.team-a.svc`, its
namespace. Where `allowedHosts` has another name, there is no NetworkPolicy that says the same, and whoever wants one is told so.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlsplit

from squall.errors import SquallError
from squall.spec.hosts import HostRules
from squall_operator.manifests.owned import RUN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from squall_operator.manifests.owned import Owner

_IN_CLUSTER: Final = re.compile(r".+\.(?P<namespace>[a-z0-9]([-a-z0-9]*[a-z0-9])?)\.svc(\.cluster\.local)?")
_EVERYTHING: Final = tuple(map(ipaddress.ip_network, ("0.0.0.0/0", "::/0")))
_DNS: Final = {"ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]}
"""Names are asked for wherever a cluster or its nodes have their servers."""
_PORTS: Final = {"http": 80, "https": 443}


class EgressError(SquallError):
    """No NetworkPolicy says what policies say; the message tells why."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """All pods of a namespace."""

    name: str


Peer: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network | Namespace


def build_egress(owner: Owner, run: str, hub: str, hosts: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Make the NetworkPolicy.

    Args:
        owner: The LoadTest.
        run: The run's id.
        hub: The hub's URL.
        hosts: For each policy that says where load may go, its patterns.

    Raises:
        EgressError: There is none that says the same.
    """
    at_hub, port = hub_peer(hub)
    rules = [_DNS, {"to": [_written(at_hub)], "ports": [{"protocol": "TCP", "port": port}]}]
    # A rule without peers would let everything through, so where nothing is allowed there is no rule.
    if peers := peers_of(hosts):
        rules.append({"to": [_written(each) for each in peers]})
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": owner.metadata(run, run),
        "spec": {"podSelector": {"matchLabels": {RUN: run}}, "policyTypes": ["Egress"], "egress": rules},
    }


def hub_peer(url: str) -> tuple[Peer, int]:
    """Where a hub is, and its port.

    Raises:
        EgressError: Its URL has another name than that of a Service.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    found = tuple(_peers([host]))
    if len(found) != 1 or parts.scheme not in _PORTS:
        raise EgressError(
            f"the hub {url} has neither an address nor the name of a Service (NAME.NAMESPACE.svc)"
        )
    return found[0], parts.port or _PORTS[parts.scheme]


def peers_of(hosts: Sequence[Sequence[str]]) -> tuple[Peer, ...]:
    """Where load may go by all of several policies; empty when that is nowhere.

    Raises:
        EgressError: One of them has a name that is none of a Service, or there are none.
    """
    if not hosts:
        raise EgressError("no LoadTestPolicy with allowedHosts is about this namespace")
    named = [each for patterns in hosts for each in patterns if not tuple(_peers([each]))]
    if named:
        names = ", ".join(dict.fromkeys(named))
        raise EgressError(f"allowedHosts has names that are neither networks nor Services: {names}")
    return tuple(dict.fromkeys(reduce(_both, [tuple(_peers(patterns)) for patterns in hosts])))


def _peers(patterns: Iterable[str]) -> Iterable[Peer]:
    """What patterns stand for; nothing for names that only DNS knows."""
    for pattern in patterns:
        rules = HostRules.of([pattern])
        yield from rules.networks
        for name in rules.names:
            if name == "*":
                yield from _EVERYTHING
            elif found := _IN_CLUSTER.fullmatch(name):
                yield Namespace(found["namespace"])


def _both(ours: Iterable[Peer], theirs: Iterable[Peer]) -> tuple[Peer, ...]:
    """What two policies allow together.

    Where one speaks of a namespace and the other of networks, the namespace stays: its pods may be within them, and the runner looks at each
    connection.
    """
    both = ((one, other) for one in ours for other in theirs)
    return tuple(met for one, other in both if (met := _meet(one, other)) is not None)


def _meet(one: Peer, other: Peer) -> Peer | None:
    if isinstance(one, Namespace):
        return one if not isinstance(other, Namespace) or one == other else None
    if isinstance(other, Namespace):
        return other
    if one.version != other.version or not one.overlaps(other):
        return None
    return max(
        one, other, key=lambda each: each.prefixlen
    )  # of two networks that overlap one is within the other


def _written(peer: Peer) -> dict[str, Any]:
    if isinstance(peer, Namespace):
        return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": peer.name}}}
    return {"ipBlock": {"cidr": str(peer)}}
