"""What is said about a proxy: where it is, with which credentials, and which hosts are reached without it."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall_runner.http import Proxy
from squall_runner.http.proxy import Bypass


@pytest.mark.parametrize(
    ("patterns", "inside", "outside"),
    [
        (["shop.example"], ["shop.example"], ["www.shop.example", "myshop.example"]),
        (["SHOP.Example", "bücher.example"], ["shop.example", "xn--bcher-kva.example"], []),
        ([".shop.example"], ["www.shop.example", "a.b.shop.example"], ["shop.example", "myshop.example"]),
        (["10.0.0.1", "[::1]"], ["10.0.0.1", "::1"], ["10.0.0.2", "::2", "127.0.0.1"]),
        (["10.0.0.0/8", "fd00::/8"], ["10.255.0.1", "fd00::1"], ["11.0.0.1", "fe80::1", "ten.example"]),
        (["[fe80::]/10"], ["fe80::1%eth0"], ["fd00::1"]),
        ([], [], ["localhost", "127.0.0.1", "::1"]),
    ],
)
def test_hosts_that_are_reached_directly(patterns: list[str], inside: list[str], outside: list[str]) -> None:
    bypass = Bypass.of(patterns)
    assert [host for host in inside if host not in bypass] == []
    assert [host for host in outside if host in bypass] == []


@pytest.mark.parametrize("pattern", ["*.example.com", "a b", "10.0.0.1/8", "x/8", "", ".", "http://x"])
def test_pattern_that_is_no_host(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        Bypass.of([pattern])


@given(st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address), st.integers(0, 32))
def test_networks_hold_what_their_mask_says(address: ipaddress.IPv4Address, bits: int) -> None:
    network = ipaddress.ip_network((int(address), bits), strict=False)
    bypass = Bypass.of([str(network)])
    assert str(address) in bypass
    assert str(network[0]) in bypass
    assert str(network[-1]) in bypass
    if bits:
        flipped = ipaddress.IPv4Address(int(address) ^ (1 << (32 - bits)))
        assert str(flipped) not in bypass


@pytest.mark.parametrize(
    ("url", "credentials"),
    [
        ("proxy:3128", None),
        ("socks5://proxy:1080", None),
        ("http://proxy:3128/path", None),
        ("http://me:secret@proxy:3128", None),
        ("http://proxy:3128", ("a:b", "c")),
    ],
)
def test_proxy_that_cannot_be(url: str, credentials: tuple[str, str] | None) -> None:
    with pytest.raises(ValueError, match=r"\S") as caught:
        Proxy.of(url, credentials)
    assert "secret" not in str(caught.value)


def test_credentials_are_not_shown() -> None:
    assert "Basic" not in repr(Proxy.of("http://proxy:3128", ("me", "secret")))
