"""TLS against real handshakes: what is trusted, what is presented, what is resumed, and what is refused."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
import time
from pathlib import Path

import pytest
import trustme
from support.hostile import OK, Peer, Script, hostile, well_behaved
from support.networks import watched_network

from squall.errors import InfrastructureError
from squall_runner.http import HttpClient, Network, NetworkOptions, Response, TlsOptions, build
from squall_runner.http.resolver import Address, Resolver
from squall_runner.http.tls import make_context

AUTHORITY = trustme.CA()
STRANGER = trustme.CA()


def server_context(
    *names: str, authority: trustme.CA = AUTHORITY, not_after: dt.datetime | None = None
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names or ("127.0.0.1",), not_after=not_after).configure_cert(context)
    return context


@pytest.fixture
def ca_file(tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return str(path)


async def ask_once(
    context: ssl.SSLContext | None,
    tls: TlsOptions,
    script: Script = well_behaved,
    timeout: float = 5.0,  # noqa: ASYNC109
) -> Response:
    async with watched_network(tls) as network:
        with hostile(script, context) as server:
            client = HttpClient(network)
            request = build("GET", f"https://127.0.0.1:{server.port}/")
            response = await client.send(request, timeout=timeout, keep_body=True)
            client.close()
    return response


async def test_trusted_server(ca_file: str) -> None:
    response = await ask_once(server_context(), TlsOptions(ca_file=ca_file))
    assert (response.error_message, response.status, response.body) == ("", 200, b"ok")
    assert response.tls > 0
    assert response.total >= response.connect + response.tls + response.duration


@pytest.mark.parametrize(
    ("context", "words"),
    [
        (server_context("other.example"), "not accepted"),
        (server_context(authority=STRANGER), "not accepted"),
        (server_context(not_after=dt.datetime(2020, 1, 1, tzinfo=dt.UTC)), "expired"),
    ],
    ids=["wrong host", "unknown authority", "expired"],
)
async def test_certificate_that_must_not_be_accepted(
    context: ssl.SSLContext, words: str, ca_file: str
) -> None:
    response = await ask_once(context, TlsOptions(ca_file=ca_file))
    assert response.error == "tls"
    assert words in response.error_message
    insecure = await ask_once(context, TlsOptions(insecure_skip_verify=True))
    assert insecure.status == 200


def greet(peer: Peer) -> None:
    peer.send(b"220 mail.example ESMTP ready\r\n")
    peer.hang()


@pytest.mark.parametrize(
    "script",
    [
        greet,
        lambda peer: peer.send(OK),
        lambda peer: peer.hang(),
        lambda peer: peer.reset(),
        lambda peer: None,
    ],
    ids=["garbage", "plain http", "silence", "reset", "close"],
)
async def test_peer_that_does_not_speak_tls(script: Script, ca_file: str) -> None:
    response = await ask_once(None, TlsOptions(ca_file=ca_file), script)
    # A reset may come before the handshake has begun.
    assert response.error in ("tls", "reset")
    assert "127.0.0.1" in response.error_message


async def test_dns_tcp_and_tls_share_the_connect_timeout(ca_file: str) -> None:
    spent = [0.0]

    def clock() -> float:
        return time.monotonic() + spent[0]

    async def lookup(host: str, port: int) -> list[Address]:
        spent[0] += 99.5
        return [(socket.AF_INET, ("127.0.0.1", port))]

    options = NetworkOptions(connect_timeout=100.0, tls=TlsOptions(ca_file=ca_file))
    network = Network(options, clock=clock, resolver=Resolver(clock, lookup=lookup))
    try:
        with hostile(lambda peer: peer.hang()) as server:
            client = HttpClient(network)
            request = build("GET", f"https://some.example:{server.port}/")
            sending = client.send(request, timeout=1000.0, keep_body=True)
            response = await asyncio.wait_for(sending, 20)
            client.close()
    finally:
        await network.close()
    assert response.error == "tls"
    assert "not finished in" in response.error_message
    assert response.dns >= 99.5


async def test_name_to_ask_for_can_be_given(ca_file: str) -> None:
    tls = TlsOptions(ca_file=ca_file, server_name="shop.example")
    assert (await ask_once(server_context("shop.example"), tls)).status == 200


async def test_client_certificate(ca_file: str, tmp_path: Path) -> None:
    context = server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    AUTHORITY.configure_trust(context)
    pem = tmp_path / "client.pem"
    AUTHORITY.issue_cert("client@example.org").private_key_and_cert_chain_pem.write_to_path(str(pem))
    assert (await ask_once(context, TlsOptions(ca_file=ca_file, cert_file=str(pem)))).status == 200
    without = await ask_once(context, TlsOptions(ca_file=ca_file))
    # TLS 1.3 tells a client without a certificate only after its handshake.
    assert without.error in ("tls", "reset", "closed")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_session_is_resumed_by_the_next_connection(version: ssl.TLSVersion, ca_file: str) -> None:
    context = server_context()
    context.minimum_version = context.maximum_version = version
    async with watched_network(TlsOptions(ca_file=ca_file)) as network:
        with hostile(well_behaved, context) as server:
            request = build("GET", f"https://127.0.0.1:{server.port}/")
            for _ in range(3):
                client = HttpClient(network)
                assert (await client.send(request, timeout=5.0)).status == 200
                assert (await client.send(request, timeout=5.0)).reused
                client.close()
    assert network.stats.opened == 3
    assert network.stats.sessions_resumed == 2


async def test_response_cut_short_within_tls(ca_file: str) -> None:
    def script(peer: Peer) -> None:
        peer.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok")

    response = await ask_once(server_context(), TlsOptions(ca_file=ca_file), script)
    assert response.error == "closed"


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("not a certificate")
    for options in (TlsOptions(ca_file=str(tmp_path / "missing.pem")), TlsOptions(ca_file=str(wrong))):
        with pytest.raises(InfrastructureError, match="TLS files cannot be used"):
            make_context(options)
