"""What patterns of hosts cover: the same for whoever asks before a run and while it connects."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.spec.hosts import HostRules, address_of, is_narrower


@pytest.mark.parametrize(
    ("host", "patterns", "covered"),
    [
        ("shop.test.example", ["*.test.example"], True),
        ("a.b.test.example", ["*.test.example"], True),
        ("test.example", ["*.test.example"], False),
        ("eviltest.example", ["*.test.example"], False),
        ("shop.test.example.evil", ["*.test.example"], False),
        ("SHOP.Test.Example", ["shop.test.EXAMPLE"], True),
        ("shop.test.example.", ["shop.test.example"], True),
        ("shop.test.example", ["shop.test.example."], True),
        ("bücher.example", ["xn--bcher-kva.example"], True),
        ("xn--bcher-kva.example", ["*bücher.example", "bücher.example"], True),
        ("10.1.2.3", ["10.0.0.0/8"], True),
        ("11.1.2.3", ["10.0.0.0/8"], False),
        ("10.1.2.3", ["10.1.2.3"], True),
        ("10.1.2.3", ["10.*"], False),
        ("::ffff:10.1.2.3", ["10.0.0.0/8"], True),
        ("::ffff:10.1.2.3", ["::/0"], False),
        ("[2001:db8::1]", ["2001:db8::/32"], True),
        ("fe80::1%eth0", ["fe80::/10"], True),
        ("shop.example", ["10.0.0.0/8"], False),
        ("anything", ["*"], True),
        ("10.1.2.3", ["*"], True),
        ("shop.example", [], False),
    ],
)
def test_what_is_covered(host: str, patterns: list[str], covered: bool) -> None:
    assert HostRules.of(patterns).covers(host) is covered


def test_a_name_may_lead_into_a_network_and_an_address_leads_nowhere_else() -> None:
    rules = HostRules.of(["10.0.0.0/8"])
    assert rules.may_cover("shop.example")
    assert not rules.may_cover("192.0.2.1")
    assert not HostRules.of(["*.test.example"]).may_cover("shop.example")


@given(st.ip_addresses(), st.integers(0, 32))
def test_networks_cover_exactly_what_is_in_them(address: ipaddress.IPv4Address, length: int) -> None:
    found = address_of(str(address))
    assert found is not None
    network = ipaddress.ip_network("10.32.0.0").supernet(new_prefix=length)
    assert HostRules.of([str(network)]).covers(str(address)) is (found in network)


_PATTERNS = st.lists(
    st.lists(st.sampled_from(["*", "a.example", "*.example", "10.0.0.0/8", "10.1.0.0/16"]), max_size=3),
    max_size=3,
)
_HOSTS = ("a.example", "b.example", "elsewhere.test", "10.1.2.3", "10.2.3.4", "192.0.2.7")


def passing(policies: list[list[str]]) -> set[str]:
    return {host for host in _HOSTS if all(HostRules.of(each).covers(host) for each in policies)}


@given(_PATTERNS, _PATTERNS)
def test_what_is_not_narrower_refuses_nothing_that_passed(
    before: list[list[str]], now: list[list[str]]
) -> None:
    assert is_narrower(now, before) or passing(before) <= passing(now)


@pytest.mark.parametrize(
    ("before", "now", "narrower"),
    [
        ([], [], False),
        ([], [["10.0.0.0/8"]], True),
        ([], [["*"]], False),
        ([["10.0.0.0/8"]], [], False),
        ([["10.0.0.0/8"]], [["a.example", "10.0.0.0/8"]], False),
        ([["a.example", "10.0.0.0/8"]], [["10.0.0.0/8"]], True),
        ([["a.example"], ["10.0.0.0/8"]], [["10.0.0.0/8"]], False),
        ([["a.example"]], [["a.example"], ["b.example"]], True),
    ],
)
def test_what_takes_hosts_away_is_narrower(
    before: list[list[str]], now: list[list[str]], narrower: bool
) -> None:
    assert is_narrower(now, before) is narrower
