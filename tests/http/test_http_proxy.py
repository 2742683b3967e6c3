"""Proxies: what goes through them and how, what must never reach the target, and every way in which a proxy fails."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from support.hostile import OK, Hostile, Peer, answers, hostile, well_behaved
from support.networks import watched_network
from support.processes import free_ports
from support.proxies import (
    Fault,
    ProxyServer,
    closes,
    hangs,
    never_ends_its_header,
    proxy_server,
    resets,
    says,
)

from squall_runner.http import HttpClient, Network, Proxy, Response, TlsOptions, build, parse_url
from squall_runner.http.errors import RequestError

AUTHORITY = trustme.CA()
TARGET = "shop.example"
"""Only the proxy knows where this is."""
LOGIN = ("load", "tést:1")
USER = ":".join(LOGIN)


def server_context(*names: str, authority: trustme.CA = AUTHORITY) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@pytest.fixture
def tls(tmp_path: Path) -> TlsOptions:
    path = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return TlsOptions(ca_file=str(path))


@pytest.fixture(params=["http", "https"])
def proxy(request: pytest.FixtureRequest) -> Iterator[ProxyServer]:
    context = server_context("127.0.0.1") if request.param == "https" else None
    with proxy_server(context, user=USER, names={TARGET}) as running:
        yield running


@pytest.fixture
def target() -> Iterator[Hostile]:
    with hostile(well_behaved) as running:
        yield running


@pytest.fixture
def secure_target() -> Iterator[Hostile]:
    with hostile(well_behaved, server_context(TARGET, "127.0.0.1")) as running:
        yield running


@asynccontextmanager
async def visitor(tls: TlsOptions, proxy: Proxy) -> AsyncIterator[tuple[HttpClient, Network]]:
    async with watched_network(tls, proxy) as network:
        client = HttpClient(network)
        yield client, network
        client.close()


async def ask(client: HttpClient, url: str, method: str = "GET") -> Response:
    return await client.send(build(method, url), timeout=5.0, keep_body=True)


async def test_an_http_target_is_asked_for_by_absolute_url(
    proxy: ProxyServer, target: Hostile, tls: TlsOptions
) -> None:
    async with visitor(tls, Proxy.of(proxy.url, LOGIN)) as (client, network):
        request = build(
            "POST", f"http://{TARGET}:{target.port}/a?b=c", [("Authorization", "Bearer x")], b"body"
        )
        for _ in range(2):
            response = await client.send(request, timeout=5.0, keep_body=True)
            assert (response.error_message, response.status, response.body) == ("", 200, b"ok")
        assert response.reused
        assert network.stats.opened == 1
        assert response.bytes_sent == len(proxy.heads[1].encode("latin-1")) + len(b"body")
        assert response.request.url == f"http://{TARGET}:{target.port}/a?b=c"
    line, host, credentials, *rest = proxy.heads[0].split("\r\n")
    assert line == f"POST http://{TARGET}:{target.port}/a?b=c HTTP/1.1"
    assert host == f"Host: {TARGET}:{target.port}"
    assert credentials.startswith("Proxy-Authorization: Basic ")
    assert "Authorization: Bearer x" in rest
    assert target.requests[0].startswith(b"POST /a?b=c HTTP/1.1\r\n")
    assert target.requests[0].endswith(b"body")
    assert proxy.tunnels == 0


async def test_an_https_target_is_reached_by_a_tunnel(
    proxy: ProxyServer, secure_target: Hostile, tls: TlsOptions
) -> None:
    async with visitor(tls, Proxy.of(proxy.url, LOGIN)) as (client, network):
        url = f"https://{TARGET}:{secure_target.port}/a"
        first, second = await ask(client, url), await ask(client, url)
        assert [(r.error_message, r.status, r.body) for r in (first, second)] == [("", 200, b"ok")] * 2
        assert (first.connect > 0, first.tls > 0, second.reused) == (True, True, True)
        assert first.total >= first.blocked + first.dns + first.connect + first.tls + first.duration
        assert network.stats.opened == network.stats.open_sockets == 1
    where = f"{TARGET}:{secure_target.port}"
    assert len(proxy.heads) == proxy.tunnels == 1
    assert proxy.heads[0].startswith(f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\nProxy-Authorization: ")
    assert secure_target.requests[0].startswith(b"GET /a HTTP/1.1\r\n")


async def test_credentials_of_the_proxy_never_reach_a_target(
    proxy: ProxyServer, target: Hostile, secure_target: Hostile, tls: TlsOptions
) -> None:
    """Also where a redirect leads from a host behind the proxy to one that is reached directly."""
    answer = f"HTTP/1.1 302 Found\r\nLocation: {target.url}/end\r\nContent-Length: 0\r\n\r\n".encode()
    with hostile(answers(answer)) as redirecting:
        options = Proxy.of(proxy.url, LOGIN, ["127.0.0.1"])
        async with visitor(tls, options) as (client, _):
            response = await ask(client, f"http://{TARGET}:{redirecting.port}/")
            assert (response.error_message, response.request.path) == ("", "/end")
            assert (await ask(client, f"https://{TARGET}:{secure_target.port}/")).status == 200
    seen = [*redirecting.requests, *target.requests, *secure_target.requests]
    assert len(seen) == 3
    assert not [request for request in seen if b"proxy-" in request.lower()]
    assert target.requests[0].startswith(b"GET /end HTTP/1.1\r\n")  # nor was it asked for by absolute URL
    assert len(proxy.heads) == 2


async def test_loopback_takes_the_proxy_unless_it_is_left_out(
    proxy: ProxyServer, target: Hostile, tls: TlsOptions
) -> None:
    for left_out, through in (((), 1), (("127.0.0.0/8",), 1), (("127.0.0.1",), 1)):
        async with visitor(tls, Proxy.of(proxy.url, LOGIN, left_out)) as (client, _):
            assert (await ask(client, target.url)).status == 200
        assert len(proxy.heads) == through, left_out


async def test_environment_variables_change_nothing(
    target: Hostile, tls: TlsOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with watched_network(tls) as network:
        client = HttpClient(network)
        assert (await ask(client, target.url)).status == 200
        client.close()


@pytest.mark.parametrize("credentials", [None, ("load", "wrong")])
async def test_refused_credentials(
    credentials: tuple[str, str] | None,
    proxy: ProxyServer,
    target: Hostile,
    secure_target: Hostile,
    tls: TlsOptions,
) -> None:
    why = "does not accept the credentials" if credentials else "it wants credentials: set http.proxy.auth"
    async with visitor(tls, Proxy.of(proxy.url, credentials)) as (client, network):
        forwarded = await ask(client, target.url)
        assert (forwarded.error, forwarded.status) == ("proxy", 407)
        tunnelled = await ask(client, secure_target.url)
        assert (tunnelled.error, tunnelled.status) == ("proxy", 0)
        for response in (forwarded, tunnelled):
            assert f"the proxy 127.0.0.1:{proxy.port}" in response.error_message
            assert "407 Proxy Authentication Required" in response.error_message
            assert why in response.error_message
        with pytest.raises(RequestError, match="407"):
            await network.reach(parse_url(secure_target.url)[0], 5.0)
    assert target.requests == secure_target.requests == []


async def test_a_target_that_the_proxy_cannot_reach(proxy: ProxyServer, tls: TlsOptions) -> None:
    (nowhere,) = free_ports(1)
    async with visitor(tls, Proxy.of(proxy.url, LOGIN)) as (client, _):
        tunnelled = await ask(client, f"https://{TARGET}:{nowhere}/")
        forwarded = await ask(client, f"http://{TARGET}:{nowhere}/")
    assert tunnelled.error == "proxy"
    assert (
        tunnelled.error_message
        == f"the proxy 127.0.0.1:{proxy.port} opened no tunnel to {TARGET}:{nowhere}: 502 Bad Gateway"
    )
    assert (forwarded.error, forwarded.status) == ("", 502)  # an answer like any other


async def test_a_tunnel_does_not_make_a_wrong_certificate_right(proxy: ProxyServer, tls: TlsOptions) -> None:
    with hostile(well_behaved, server_context("other.example")) as wrong:
        async with visitor(tls, Proxy.of(proxy.url, LOGIN)) as (client, _):
            response = await ask(client, f"https://{TARGET}:{wrong.port}/")
    assert response.error == "tls"
    assert f"{TARGET}:{wrong.port} through the proxy 127.0.0.1:{proxy.port}" in response.error_message


async def test_a_proxy_whose_certificate_is_not_trusted_gets_no_credentials(tls: TlsOptions) -> None:
    with proxy_server(server_context("127.0.0.1", authority=trustme.CA())) as stranger:
        async with visitor(tls, Proxy.of(stranger.url, LOGIN)) as (client, _):
            for url in (f"http://{TARGET}/", f"https://{TARGET}/"):
                response = await ask(client, url)
                assert response.error == "tls"
                assert f"the proxy 127.0.0.1:{stranger.port} failed: certificate" in response.error_message
        assert stranger.heads == []


async def test_name_and_certificate_of_the_client_are_for_the_target(tls: TlsOptions, tmp_path: Path) -> None:
    pem = tmp_path / "client.pem"
    AUTHORITY.issue_cert("client@example.org").private_key_and_cert_chain_pem.write_to_path(str(pem))
    context = server_context("inner.example")
    context.verify_mode = ssl.CERT_REQUIRED
    AUTHORITY.configure_trust(context)
    own = TlsOptions(ca_file=tls.ca_file, cert_file=str(pem), server_name="inner.example")
    with hostile(well_behaved, context) as target, proxy_server(server_context("127.0.0.1")) as running:
        async with visitor(own, Proxy.of(running.url)) as (client, _):
            response = await ask(client, target.url)
    assert (response.error_message, response.status) == ("", 200)


async def test_sessions_are_resumed_with_target_and_proxy(
    secure_target: Hostile, target: Hostile, tls: TlsOptions
) -> None:
    with proxy_server(server_context("127.0.0.1"), names={TARGET}) as running:
        async with watched_network(tls, Proxy.of(running.url)) as network:
            for _ in range(2):
                client = HttpClient(network)
                assert (await ask(client, f"https://{TARGET}:{secure_target.port}/")).status == 200
                client.close()
            assert (network.stats.opened, network.stats.sessions_resumed, running.resumed) == (2, 2, 1)
            for _ in range(2):
                client = HttpClient(network)
                assert (await ask(client, f"http://{TARGET}:{target.port}/")).status == 200
                client.close()
            assert (network.stats.opened, network.stats.sessions_resumed, running.resumed) == (4, 4, 3)


# -- proxies that fail ----------------------------------------------------------------------------------------

MALFORMED = "what the proxy 127.0.0.1:{port} answered is not HTTP"


@pytest.mark.parametrize("secured", [False, True], ids=["http", "https"])
@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (hangs, "connect_timeout", "the proxy 127.0.0.1:{port} opened no tunnel to shop.example:443 within"),
        (closes, "closed", "the proxy 127.0.0.1:{port} closed the connection"),
        (says(b"220 mail.example ESMTP\r\n"), "protocol", MALFORMED),
        (says(b"HTTP/1.1 two\r\n\r\n"), "protocol", MALFORMED),
        (says(b"HTTP/1.1 200 OK\r\n\r\nmore"), "protocol", "sent more than an answer"),
        (says(b"HTTP/1.1 200 OK\r\nX: y\r\n"), "connect_timeout", "opened no tunnel"),
        (never_ends_its_header, "protocol", "the header of the proxy 127.0.0.1:{port} is larger than 65536 bytes"),
        (says(b"HTTP/1.1 100 Go on\r\n\r\n" * 5000), "protocol", "is larger than 65536 bytes"),
        (
            says(b"HTTP/1.1 403 \x1b[2JNo\r\nContent-Length: 3\r\n\r\nno!"),
            "proxy",
            "the proxy 127.0.0.1:{port} opened no tunnel to shop.example:443: 403 ?[2JNo",
        ),
        (says(b"HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n"), "proxy", "302 Found"),
        (says(b"HTTP/1.0 500\r\n\r\n"), "proxy", "500"),
    ],
    ids=[
        "hangs", "closes", "no http", "no status", "speaks first", "half a header", "endless header", "endless 1xx",
        "forbidden", "redirect", "no reason",
    ],
)  # fmt: skip
async def test_no_tunnel(fault: Fault, error: str, words: str, secured: bool, tls: TlsOptions) -> None:
    context = server_context("127.0.0.1") if secured else None
    with proxy_server(context, fault=fault) as wrong:
        async with visitor(tls, Proxy.of(wrong.url)) as (client, network):
            response = await asyncio.wait_for(ask(client, f"https://{TARGET}/"), 3.0)
            assert network.stats.failed == 1
    assert response.error == error
    assert words.format(port=wrong.port) in response.error_message
    assert 0 < response.connect <= response.total
    assert response.tls == 0


async def test_interim_answers_come_before_the_tunnel(secure_target: Hostile, tls: TlsOptions) -> None:
    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 103 Wait\r\nX: y\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        await running._tunnel(running.heads[-1], reader, writer)

    with proxy_server(names={TARGET}, fault=pass_on) as running:
        async with visitor(tls, Proxy.of(running.url)) as (client, _):
            assert (await ask(client, f"https://{TARGET}:{secure_target.port}/")).status == 200


async def test_a_proxy_that_resets(tls: TlsOptions) -> None:
    with proxy_server(fault=resets) as wrong:
        async with visitor(tls, Proxy.of(wrong.url)) as (client, _):
            tunnelled = await ask(client, f"https://{TARGET}/")
            forwarded = await ask(client, f"http://{TARGET}/")
    for response in (tunnelled, forwarded):
        assert response.error == "reset"
        assert f"the proxy 127.0.0.1:{wrong.port}" in response.error_message


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_is_not_there(scheme: str, tls: TlsOptions) -> None:
    (nowhere,) = free_ports(1)
    async with visitor(tls, Proxy.of(f"http://127.0.0.1:{nowhere}")) as (client, _):
        refused = await ask(client, f"{scheme}://{TARGET}/")
    assert refused.error == "connect_refused"
    assert f"the proxy 127.0.0.1:{nowhere} (127.0.0.1) refused" in refused.error_message
    async with visitor(tls, Proxy.of("http://no.such.proxy.invalid:1")) as (client, _):
        unknown = await ask(client, f"{scheme}://{TARGET}/")
    assert unknown.error == "dns"
    assert "the proxy no.such.proxy.invalid" in unknown.error_message


async def test_a_proxy_that_never_takes_the_connection(tls: TlsOptions) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(1)]
        async with visitor(tls, Proxy.of(f"http://127.0.0.1:{port}")) as (client, _):
            response = await ask(client, f"http://{TARGET}/")
        for sock in waiting:
            sock.close()
    assert response.error == "connect_timeout"
    assert f"the proxy 127.0.0.1:{port}" in response.error_message


async def test_a_proxy_that_does_not_speak_tls_or_stops_speaking(tls: TlsOptions) -> None:
    with hostile(Peer.hang) as silent:
        async with visitor(tls, Proxy.of(f"https://127.0.0.1:{silent.port}")) as (client, _):
            response = await ask(client, f"http://{TARGET}/")
    assert response.error == "tls"
    assert f"the proxy 127.0.0.1:{silent.port} not finished" in response.error_message


@pytest.mark.parametrize(
    ("fault", "error"),
    [(hangs, "timeout"), (closes, "closed"), (resets, "reset"), (says(b"what?"), "protocol")],
    ids=["hangs", "closes", "resets", "garbage"],
)
async def test_an_exchange_that_the_proxy_fails(fault: Fault, error: str, tls: TlsOptions) -> None:
    with proxy_server(fault=fault) as wrong:
        async with visitor(tls, Proxy.of(wrong.url)) as (client, _):
            response = await client.send(build("POST", f"http://{TARGET}/", body=b"x"), timeout=0.3)
    assert (response.error, response.status) == (error, 0)
    assert response.error_message.endswith(f"(through the proxy 127.0.0.1:{wrong.port})")


async def test_a_forwarded_connection_that_was_closed_in_the_meantime_is_replaced(tls: TlsOptions) -> None:
    gone = threading.Event()

    def script(peer: Peer) -> None:
        peer.answer(OK)
        if peer.index == 0:
            peer.request()
            peer.close()
            gone.set()
        else:
            well_behaved(peer)

    with hostile(script) as as_proxy:
        async with visitor(tls, Proxy.of(as_proxy.url)) as (client, network):
            first = await ask(client, f"http://{TARGET}/")
            second = await ask(client, f"http://{TARGET}/")
            assert (first.retries, second.retries, second.status) == (0, 1, 200)
            assert network.stats.stale_retries == 1
    assert all(request.startswith(b"GET http://shop.example/ HTTP/1.1\r\n") for request in as_proxy.requests)


async def test_giving_up_while_the_tunnel_is_opened_leaks_nothing(tls: TlsOptions) -> None:
    with proxy_server(server_context("127.0.0.1"), fault=hangs) as wrong:
        async with visitor(tls, Proxy.of(wrong.url)) as (client, _):
            sending = asyncio.create_task(ask(client, f"https://{TARGET}/"))
            while not wrong.heads:
                await asyncio.sleep(0.001)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending


async def test_reach_goes_as_far_as_the_target(
    proxy: ProxyServer, target: Hostile, secure_target: Hostile, tls: TlsOptions
) -> None:
    (nowhere,) = free_ports(1)
    async with visitor(tls, Proxy.of(proxy.url, LOGIN)) as (_, network):
        for url in (target.url, secure_target.url):
            await network.reach(parse_url(url)[0], 5.0)
        with pytest.raises(RequestError, match="opened no tunnel"):
            await network.reach(parse_url(f"https://{TARGET}:{nowhere}")[0], 5.0)
        assert network.stats.opened == network.stats.open_sockets == 0
    async with watched_network(tls) as network:
        await network.reach(parse_url(target.url)[0], 5.0)
        with pytest.raises(RequestError, match="refused"):
            await network.reach(parse_url(f"http://127.0.0.1:{nowhere}")[0], 5.0)
