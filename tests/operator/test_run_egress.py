"""The NetworkPolicy of a run: never narrower than what policies allow together, and none where it could not say what they say."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.spec.hosts import HostRules
from squall_operator.acting import Actor
from squall_operator.checked import check
from squall_operator.manifests.egress import EgressError, Namespace, build_egress, hub_peer, peers_of
from squall_operator.manifests.owned import Owner
from squall_operator.model import Launch
from squall_operator.settings import RunnerDefaults, Settings

OWNER = Owner(namespace="team-a", name="shop", uid="u")
HUB = "http://squall-hub.squall-system.svc:4180"
RUN = "shop-1"


def allowed(*policies: list[str]) -> set[str]:
    return {each.name if isinstance(each, Namespace) else str(each) for each in peers_of(policies)}


@pytest.mark.parametrize(
    ("policies", "peers"),
    [
        ([["10.0.0.0/8"]], {"10.0.0.0/8"}),
        ([["192.0.2.7", "2001:db8::/32"]], {"192.0.2.7/32", "2001:db8::/32"}),
        ([["10.1.2.3/8"]], {"10.0.0.0/8"}),
        (
            [["shop.team-a.svc", "*.team-b.svc.cluster.local", "pod-0.db.team-c.svc"]],
            {"team-a", "team-b", "team-c"},
        ),
        ([["SHOP.Team-A.svc."]], {"team-a"}),
        ([["*"]], {"0.0.0.0/0", "::/0"}),
        ([[]], set()),
        ([["10.0.0.0/8", "192.0.2.0/24"], ["10.1.0.0/16", "198.51.100.0/24"]], {"10.1.0.0/16"}),
        ([["10.0.0.0/8"], ["192.0.2.0/24"]], set()),
        ([["*"], ["10.0.0.0/8"]], {"10.0.0.0/8"}),
        ([["*.team-a.svc", "*.team-b.svc"], ["*.team-b.svc"]], {"team-b"}),
        ([["*.team-a.svc"], ["10.0.0.0/8"]], {"team-a"}),
    ],
)
def test_where_load_may_go(policies: list[list[str]], peers: set[str]) -> None:
    assert allowed(*policies) == peers


@pytest.mark.parametrize(
    ("policies", "says"),
    [
        ([], "no LoadTestPolicy"),
        ([["shop.example"]], "shop.example"),
        ([["10.0.0.0/8"], ["*.test.example", "10.0.0.0/8"]], r"\*\.test\.example"),
        ([["team-a.svc"]], "team-a.svc"),
        ([["shop.*.svc"]], r"shop\.\*\.svc"),
        ([["shop.team-a.svc.example"]], "shop.team-a"),
    ],
)
def test_what_cannot_be_said_is_not_said(policies: list[list[str]], says: str) -> None:
    with pytest.raises(EgressError, match=says):
        peers_of(policies)


_NETWORKS = st.builds(
    lambda number, length: str(ipaddress.ip_network((number << 16, length), strict=False)),
    st.integers(0, 2**16 - 1),
    st.integers(0, 16),
)


@given(
    policies=st.lists(st.lists(_NETWORKS, max_size=4), min_size=1, max_size=3),
    number=st.integers(0, 2**32 - 1),
)
def test_an_address_gets_through_when_every_policy_covers_it(policies: list[list[str]], number: int) -> None:
    address = ipaddress.IPv4Address(number)
    through = any(address in each for each in peers_of(policies) if not isinstance(each, Namespace))
    assert through == all(HostRules.of(each).covers_address(address) for each in policies)


@pytest.mark.parametrize(
    ("url", "peer", "port"),
    [
        (HUB, "squall-system", 4180),
        ("https://squall-hub.squall-system.svc", "squall-system", 443),
        ("http://10.1.2.3:80", "10.1.2.3/32", 80),
        ("http://[::1]:4180", "::1/128", 4180),
    ],
)
def test_the_hub_is_reached(url: str, peer: str, port: int) -> None:
    found, at = hub_peer(url)
    assert (found.name if isinstance(found, Namespace) else str(found), at) == (peer, port)


@pytest.mark.parametrize("url", ["http://hub:4180", "http://hub.example", "ftp://10.0.0.1", "nothing"])
def test_a_hub_that_is_nowhere_in_particular_is_refused(url: str) -> None:
    with pytest.raises(EgressError, match="the hub"):
        hub_peer(url)


def test_what_is_made() -> None:
    made = build_egress(OWNER, RUN, HUB, [["10.0.0.0/8", "*.team-b.svc"]])
    assert made["metadata"] == OWNER.metadata(RUN, RUN)
    assert made["spec"] == {
        "podSelector": {"matchLabels": {"squall.dev/run": RUN}},
        "policyTypes": ["Egress"],
        "egress": [
            {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]},
            {
                "to": [
                    {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "squall-system"}}}
                ],
                "ports": [{"protocol": "TCP", "port": 4180}],
            },
            {
                "to": [
                    {"ipBlock": {"cidr": "10.0.0.0/8"}},
                    {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "team-b"}}},
                ]
            },
        ],
    }


def test_where_nothing_is_allowed_no_rule_lets_everything_through() -> None:
    assert len(build_egress(OWNER, RUN, HUB, [[]])["spec"]["egress"]) == 2


# -- what a launch makes of it --------------------------------------------------------------------------------

LOAD_TEST: dict[str, Any] = {
    "apiVersion": "squall.dev/v1alpha1",
    "kind": "LoadTest",
    "metadata": {"name": "shop", "namespace": "team-a", "uid": "u"},
    "spec": {
        "scenarios": [
            {
                "name": "s",
                "executor": "constant-vus",
                "vus": 1,
                "duration": "1s",
                "steps": [{"http": {"url": "http://10.0.0.1/"}}],
            }
        ]
    },
}


class Recorded:
    """An API server, a hub and people who are told: all that was asked of them, in order."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.told: list[str] = []

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(path.rpartition("/")[2])
        return body

    async def add(self, hub: str, spec: object) -> None:
        self.asked.append(f"hub {hub}")

    async def tell(self, body: object, kind: str, reason: str, message: str) -> None:
        self.told.append(f"{kind} {reason}: {message}")


async def launched(*hosts: list[str], egress: bool = True) -> Recorded:
    world = Recorded()
    settings = Settings(hubs=(HUB,), hub_key=b"k", runner=RunnerDefaults(image="r"), egress=egress)
    actor = Actor(world, world, world, settings)  # type: ignore[arg-type]
    checked = check(LOAD_TEST, settings.runner)
    await actor.act(LOAD_TEST, checked, Launch(RUN, HUB, tuple(map(tuple, hosts))))
    return world


async def test_it_is_there_before_any_pod() -> None:
    world = await launched(["10.0.0.0/8"])
    assert world.asked[0] == "networkpolicies"
    assert world.asked[-1] == "jobs"
    assert world.told == []


async def test_who_wants_one_is_told_why_there_is_none() -> None:
    world = await launched(["shop.example"])
    assert "networkpolicies" not in world.asked
    assert world.asked[-1] == "jobs"
    (told,) = world.told
    assert told.startswith("Warning NoEgressPolicy: run shop-1 has no NetworkPolicy: allowedHosts has names")


async def test_without_the_choice_nothing_is_made_or_said() -> None:
    for hosts in (["10.0.0.0/8"], ["shop.example"]):
        world = await launched(hosts, egress=False)
        assert "networkpolicies" not in world.asked
        assert world.told == []
