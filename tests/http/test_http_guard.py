"""Policies at connect time: whatever a request names and whatever DNS answers, nothing is opened to where load may not go."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from support.hostile import Hostile, Peer, hostile, well_behaved
from support.proxies import proxy_server

from squall_runner.http import HttpClient, Network, NetworkOptions, Proxy, Response, build
from squall_runner.http.resolver import Address, Resolver


class Names:
    """A DNS that answers as it is told, and remembers what it was asked."""

    def __init__(self, **answers: Sequence[str]) -> None:
        self.answers = {name.replace("_", "."): list(found) for name, found in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[Address]:
        self.asked.append(host)
        return [(socket.AF_INET, (address, port)) for address in self.answers.get(host, ())]


@asynccontextmanager
async def guarded(
    *policies: tuple[str, ...], names: Names | None = None, proxy: Proxy | None = None
) -> AsyncIterator[HttpClient]:
    resolver = Resolver(time.perf_counter, ttl=0.0, lookup=names) if names is not None else None
    options = NetworkOptions(connect_timeout=1.0, allowed_hosts=policies, proxy=proxy)
    network = Network(options, resolver=resolver)
    try:
        yield HttpClient(network)
    finally:
        await network.close()


async def get(client: HttpClient, url: str) -> Response:
    return await client.send(build("GET", url), timeout=5.0)


@pytest.mark.parametrize(
    ("policies", "error"),
    [
        ([], ""),
        ([("*",)], ""),
        ([("shop.example",)], ""),
        ([("127.0.0.0/8",)], ""),
        ([("*.example", "10.0.0.0/8"), ("127.0.0.1",)], ""),
        ([("10.0.0.0/8",)], "forbidden"),
        ([("other.example",)], "forbidden"),
        ([("*.example",), ("10.0.0.0/8",)], "forbidden"),
        ([()], "forbidden"),
    ],
)
async def test_every_policy_has_to_cover_the_name_or_the_address(
    good: Hostile, policies: list[tuple[str, ...]], error: str
) -> None:
    names = Names(shop_example=["127.0.0.1"])
    async with guarded(*policies, names=names) as client:
        response = await get(client, f"http://shop.example:{good.port}/")
    assert response.error == error, response.error_message
    assert bool(good.requests) is (not error)
    if error:
        assert "shop.example" in response.error_message


async def test_a_name_that_nothing_can_allow_is_not_asked_for() -> None:
    names = Names(shop_example=["127.0.0.1"])
    async with guarded(("*.test.example",), names=names) as client:
        assert (await get(client, "http://shop.example/")).error == "forbidden"
    assert names.asked == []


async def test_dns_that_changes_its_answer_opens_no_way(good: Hostile) -> None:
    names = Names(shop_example=["127.0.0.1"])
    async with guarded(("127.0.0.1",), names=names) as client:
        url = f"http://shop.example:{good.port}/"
        assert (await get(client, url)).error == ""
        client.close()
        names.answers["shop.example"] = ["127.0.0.2"]
        rebound = await get(client, url)
        assert rebound.error == "forbidden"
        assert "127.0.0.2" in rebound.error_message
        names.answers["shop.example"] = ["127.0.0.2", "127.0.0.1"]
        assert (await get(client, url)).error == ""
    assert len(good.requests) == 2


async def test_only_addresses_that_are_covered_are_tried(good: Hostile) -> None:
    names = Names(shop_example=["127.0.0.2", "127.0.0.3"])
    async with guarded(("127.0.0.1", "127.0.0.3"), names=names) as client:
        response = await get(client, f"http://shop.example:{good.port}/")
    # Nobody listens at the one that is allowed; the other would have refused with its own address.
    assert response.error == "connect_refused"
    assert "127.0.0.3" in response.error_message


async def test_a_redirect_is_no_way_around() -> None:
    def moved(peer: Peer) -> None:
        location = f"http://127.0.0.1:{target.port}/"
        peer.answer(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())

    with hostile(well_behaved) as target, hostile(moved) as first:
        async with guarded(("shop.example",), names=Names(shop_example=["127.0.0.1"])) as client:
            response = await get(client, f"http://shop.example:{first.port}/")
        assert response.error == "forbidden"
        assert len(first.requests) == 1
        assert target.requests == []


@pytest.mark.parametrize(
    ("scheme", "patterns", "error"),
    [
        ("http", ("shop.example", "127.0.0.1"), ""),
        ("http", ("shop.example",), "forbidden"),  # the proxy itself is connected to
        ("http", ("127.0.0.0/8",), "forbidden"),  # nobody here knows where the proxy would go
        ("https", ("127.0.0.0/8",), "forbidden"),
    ],
)
async def test_behind_a_proxy_the_name_of_the_target_counts(
    good: Hostile, scheme: str, patterns: tuple[str, ...], error: str
) -> None:
    with proxy_server(names={"shop.example"}) as proxy:
        async with guarded(patterns, proxy=Proxy.of(proxy.url)) as client:
            response = await get(client, f"{scheme}://shop.example:{good.port}/")
        assert response.error == error, response.error_message
        assert bool(proxy.heads) is (not error)
