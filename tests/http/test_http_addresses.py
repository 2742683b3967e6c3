"""Addresses of a target, over real sockets: all of them are used, of both families, and a name is asked for again."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from support.networks import watched_network

from squall_runner.http import HttpClient, Network, TlsOptions, build
from squall_runner.http.resolver import Address, Resolver

AUTHORITY = trustme.CA()


@asynccontextmanager
async def listeners(*hosts: str, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on the same port of several addresses; it answers with the address that was asked."""

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        return web.Response(text=request.transport.get_extra_info("sockname")[0])

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    port = 0
    try:
        for host in hosts:
            site = web.TCPSite(runner, host, port, ssl_context=context)
            await site.start()
            port = runner.addresses[0][1]
        yield port
    except OSError as error:
        pytest.skip(f"this machine cannot listen there: {error}")
    finally:
        await runner.cleanup()


def knows(network: Network, *hosts: str, ttl: float = 60.0) -> list[str]:
    """Gives a network a resolver that knows any name by these addresses; returns what it is asked."""
    asked: list[str] = []

    async def lookup(host: str, port: int) -> list[Address]:
        asked.append(host)
        return [_address(each, port) for each in hosts]

    network._resolver = Resolver(network.clock, ttl=ttl, lookup=lookup)
    return asked


def _address(host: str, port: int) -> Address:
    return (socket.AF_INET6, (host, port, 0, 0)) if ":" in host else (socket.AF_INET, (host, port))


async def visit(network: Network, url: str) -> str:
    """What one new visitor is answered."""
    client = HttpClient(network)
    response = await client.send(build("GET", url), timeout=5.0, keep_body=True)
    client.close()
    return response.text if response.status == 200 else response.error


async def test_connections_are_spread_evenly_over_all_addresses(network: Network) -> None:
    hosts = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
    async with listeners(*hosts) as port:
        asked = knows(network, *hosts)
        seen = Counter([await visit(network, f"http://shop.example:{port}/") for _ in range(30)])
    assert seen == dict.fromkeys(hosts, 10)
    assert asked == ["shop.example"]


async def test_connections_at_once_are_spread_too(network: Network) -> None:
    hosts = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
    async with listeners(*hosts) as port:
        asked = knows(network, *hosts)
        visits = (visit(network, f"http://shop.example:{port}/") for _ in range(30))
        seen = Counter(await asyncio.gather(*visits))
    assert seen == dict.fromkeys(hosts, 10)
    assert asked == ["shop.example"]


async def test_an_address_where_nobody_listens_costs_one_try(network: Network) -> None:
    async with listeners("127.0.0.1", "127.0.0.3") as port:
        knows(network, "127.0.0.1", "127.0.0.2", "127.0.0.3")
        seen = Counter([await visit(network, f"http://shop.example:{port}/") for _ in range(30)])
    assert set(seen) == {"127.0.0.1", "127.0.0.3"}
    assert min(seen.values()) >= 10
    assert network.stats.failed == 0


async def test_a_name_is_asked_for_again_after_its_time(network: Network) -> None:
    async with listeners("127.0.0.1", "127.0.0.2") as port:
        now = 0.0
        knows(network, "127.0.0.1")
        network._resolver._clock = lambda: now
        url = f"http://shop.example:{port}/"

        async def moved(host: str, port: int) -> list[Address]:
            return [_address("127.0.0.2", port)]

        assert await visit(network, url) == "127.0.0.1"
        network._resolver._lookup = moved
        now = 59.9
        assert await visit(network, url) == "127.0.0.1"
        now = 60.0
        assert await visit(network, url) == "127.0.0.2"


@pytest.mark.parametrize("first", ["::1", "127.0.0.1"])
async def test_the_other_family_is_there_when_the_preferred_one_is_not(first: str, network: Network) -> None:
    other = {"::1": "127.0.0.1", "127.0.0.1": "::1"}[first]
    async with listeners(other) as port:
        knows(network, first, other)
        assert await visit(network, f"http://shop.example:{port}/") == other
    async with listeners("::1", "127.0.0.1") as port:
        knows(network, first, other)
        assert {await visit(network, f"http://shop.example:{port}/") for _ in range(4)} == {first}


async def test_a_name_with_an_address_of_ipv6_only(network: Network) -> None:
    async with listeners("::1") as port:
        knows(network, "::1")
        assert await visit(network, f"http://six.example:{port}/") == "::1"
        assert await visit(network, f"http://[::1]:{port}/") == "::1"


@pytest.fixture
def authority(tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.mark.parametrize(
    ("host", "own", "asked_for"),
    [
        ("shop.example", "", "shop.example"),
        ("SHOP.example", "", "shop.example"),
        ("bücher.example", "", "xn--bcher-kva.example"),
        ("shop.example", "inner.example", "inner.example"),
        ("127.0.0.1", "", None),
        ("[::1]", "", None),
    ],
)
async def test_the_server_is_told_which_name_is_meant(
    host: str, own: str, asked_for: str | None, authority: str
) -> None:
    """An address is no name, and is not sent (RFC 6066, section 3), but verified."""
    context, told = _told_names(asked_for or host.strip("[]"))
    async with watched_network(TlsOptions(ca_file=authority, server_name=own)) as network:
        listening = "::1" if ":" in host else "127.0.0.1"
        async with listeners(listening, context=context) as port:
            knows(network, "127.0.0.1")
            assert await visit(network, f"https://{host}:{port}/") == listening
    assert told == [asked_for]


def _told_names(*names: str) -> tuple[ssl.SSLContext, list[str | None]]:
    context, told = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), list[str | None]()
    AUTHORITY.issue_cert(*names).configure_cert(context)

    def remember(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        told.append(name)

    context.sni_callback = remember
    return context, told


async def test_every_address_is_held_to_the_name(authority: str) -> None:
    """TLS does not care which of its addresses a name was reached at, and sessions are the name's."""
    context, _ = _told_names("shop.example")
    async with (
        watched_network(TlsOptions(ca_file=authority)) as network,
        listeners("127.0.0.1", "127.0.0.2", context=context) as port,
    ):
        knows(network, "127.0.0.1", "127.0.0.2")
        seen = {await visit(network, f"https://shop.example:{port}/") for _ in range(4)}
        assert seen == {"127.0.0.1", "127.0.0.2"}
        assert network.stats.sessions_resumed == 3
        assert await visit(network, f"https://other.example:{port}/") == "tls"


async def test_an_own_authority_takes_the_place_of_the_systems(
    authority: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The system's is taken from where the system says, and only without an own one."""
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    context, _ = _told_names("127.0.0.1")
    async with listeners("127.0.0.1", context=context) as port:
        for systems, own, expected in (
            (authority, "", "127.0.0.1"),
            (stranger, "", "tls"),
            (authority, str(stranger), "tls"),
            (stranger, authority, "127.0.0.1"),
        ):
            monkeypatch.setenv("SSL_CERT_FILE", str(systems))
            async with watched_network(TlsOptions(ca_file=own)) as network:
                assert await visit(network, f"https://127.0.0.1:{port}/") == expected, (systems, own)
