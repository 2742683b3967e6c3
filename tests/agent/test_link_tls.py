"""Somebody between a runner and its hub: gets to see neither the run's token nor anything else, and stops the load at worst."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer
from support.agents import KEY

from squall.hub import protocol
from squall_operator.hubs import HubError, Hubs
from squall_runner.link import Link

TOKEN = "token-of-the-run"
HOST = "127.0.0.1"
PAST = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)

Issue = Callable[[trustme.CA], trustme.LeafCert]


def link_to(url: str, trusted: Path | None, heard: list[protocol.FromHub] | None = None) -> Link:
    hello = protocol.Hello(version=protocol.VERSION, runner=0, attempt="a", shards=(0,), now_ns=1)
    return Link(
        url,
        TOKEN,
        hello=lambda: hello,
        heard=(heard if heard is not None else []).append,
        certificates=str(trusted) if trusted else "",
        jitter=lambda: 0.0,
    )


class Stranger:
    """Serves whatever comes, and keeps what it was told."""

    def __init__(self, answer: Callable[[web.Request], web.StreamResponse] | None = None) -> None:
        self.seen: list[web.Request] = []
        self._answer = answer

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        return self._answer(request) if self._answer else web.Response(text="ok")

    @contextlib.asynccontextmanager
    async def at(self, certificate: trustme.LeafCert | None) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.serve)
        context = None
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
        server = TestServer(app, host=HOST, scheme="https" if context else "http")
        await server.start_server(ssl=context)
        try:
            yield str(server.make_url("/"))
        finally:
            await server.close()


@pytest.fixture
def authority(tmp_path: Path) -> tuple[trustme.CA, Path]:
    made, path = trustme.CA(), tmp_path / "ca.pem"
    made.cert_pem.write_to_path(path)
    return made, path


async def refused(link: Link, why: str) -> None:
    """It tries again and again, and never gets through."""
    task = asyncio.create_task(link.run())
    try:
        async with asyncio.timeout(20):
            while why not in link.problem:
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert not link.connected


@pytest.mark.parametrize(
    ("issue", "why"),
    [
        (lambda _: trustme.CA().issue_cert(HOST), "certificate verify failed"),
        (lambda ca: ca.issue_cert("another.test"), "IP address mismatch"),
        (lambda ca: ca.issue_cert(HOST, not_before=PAST, not_after=PAST + dt.timedelta(1)), "expired"),
    ],
    ids=["another authority", "another name", "expired"],
)
async def test_a_certificate_that_does_not_prove_it_ends_the_talk(authority, issue: Issue, why: str) -> None:
    ca, path = authority
    stranger = Stranger()
    async with stranger.at(issue(ca)) as url:
        await refused(link_to(url, path), why)
        hubs = Hubs((url.rstrip("/"),), KEY, path.read_text())
        hubs.start(lambda _: None)
        try:
            with pytest.raises(HubError, match=why):
                await hubs.forget(url.rstrip("/"), "r1")
        finally:
            await hubs.close()
    assert stranger.seen == []


async def test_the_authority_of_the_hub_is_the_only_one(authority, monkeypatch) -> None:
    """One that the machine trusts does not vouch for a hub that has an authority of its own."""
    _, path = authority
    other = trustme.CA()
    with other.cert_pem.tempfile() as bundle:
        monkeypatch.setenv("SSL_CERT_FILE", bundle)
        stranger = Stranger()
        async with stranger.at(other.issue_cert(HOST)) as url:
            await refused(link_to(url, path), "certificate verify failed")
    assert stranger.seen == []


async def test_who_speaks_no_tls_is_no_hub(authority) -> None:
    _, path = authority
    seen: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(4096))
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(note, HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
        await refused(link_to(f"https://{HOST}:{port}/", path), "SSL")
    assert seen
    assert all(TOKEN.encode() not in each for each in seen)


async def test_a_redirect_leads_nowhere(authority) -> None:
    """Not even a hub that proves itself has runners or operator go elsewhere, or back to plain HTTP."""
    ca, path = authority
    elsewhere = Stranger()
    async with elsewhere.at(None) as plain:

        def away(request: web.Request) -> web.StreamResponse:
            return web.Response(status=302, headers={"Location": plain + request.path.lstrip("/")})

        hub = Stranger(away)
        async with hub.at(ca.issue_cert(HOST)) as url:
            await refused(link_to(url, path), "302")
            hubs = Hubs((url.rstrip("/"),), KEY, path.read_text())
            hubs.start(lambda _: None)
            try:
                with pytest.raises(HubError, match="302"):
                    await hubs.forget(url.rstrip("/"), "r1")
            finally:
                await hubs.close()
    assert hub.seen
    assert elsewhere.seen == []
