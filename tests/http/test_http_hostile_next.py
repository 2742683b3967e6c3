"""What a hostile response makes of the requests behind it: redirects, cookies, and connections that do not last."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme
from support.hostile import OK, Peer, Script, answers, hostile, well_behaved
from support.networks import watched_network

from squall_runner.http import (
    BodyError,
    FileBody,
    HttpClient,
    Network,
    Response,
    TlsOptions,
    build,
    parse_url,
)
from squall_runner.http.cookies import CookieJar

SECRETS = [
    ("Authorization", "Bearer secret"),
    ("Cookie", "token=secret"),
    ("Proxy-Authorization", "Basic secret"),
]


async def ask(client: HttpClient, url: str, method: str = "GET", **options: object) -> Response:
    return await client.send(build(method, url), **{"timeout": 5.0, "keep_body": True, **options})  # type: ignore[arg-type]


def moved(location: str, *fields: bytes, status: int = 302) -> bytes:
    lines = [
        b"HTTP/1.1 %d Moved" % status,
        b"Location: " + location.encode(),
        b"Content-Length: 0",
        *fields,
        b"",
        b"",
    ]
    return b"\r\n".join(lines)


def always(response: bytes) -> Script:
    def script(peer: Peer) -> None:
        while peer.request():
            peer.send(response)

    return script


@pytest.mark.parametrize(("hops", "error"), [(1000, ""), (1001, "too_many_redirects")])
async def test_a_thousand_redirects(hops: int, error: str, client: HttpClient) -> None:
    with hostile(answers(*[moved("/next")] * hops, OK)) as server:
        response = await ask(client, server.url, max_redirects=1000, timeout=30.0)
        assert len(server.requests) == min(hops, 1000) + 1
        assert server.connections == 1
    assert (response.error, len(response.redirects)) == (error, 1000)
    assert response.status == (302 if error else 200)


async def test_two_servers_that_redirect_to_each_other(client: HttpClient) -> None:
    def to_the_other(peer: Peer) -> None:
        always(moved(other.url))(peer)

    with hostile(to_the_other) as one, hostile(always(moved(one.url))) as other:
        response = await ask(client, one.url)
        assert (len(one.requests), len(other.requests)) == (6, 5)
    assert response.error == "too_many_redirects"
    assert one.url in response.error_message or other.url in response.error_message


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_credentials_do_not_follow_to_another_host(status: int, client: HttpClient) -> None:
    with hostile(well_behaved) as elsewhere, hostile(always(moved(elsewhere.url, status=status))) as server:
        client.jar = CookieJar()
        client.jar.set("session", "secret", parse_url(server.url.replace("127.0.0.1", "localhost"))[0])
        request = build("POST", server.url, [*SECRETS, ("X-Kept", "yes")], b"body")
        response = await client.send(request, timeout=5.0)
        assert response.status == 200
        assert server.requests[0].count(b"secret") == 3
        (followed,) = elsewhere.requests
    assert b"secret" not in followed
    assert b"X-Kept: yes" in followed
    assert followed.endswith(b"body") == (status in (307, 308))


async def test_a_loop_over_another_host_does_not_bring_credentials_back(client: HttpClient) -> None:
    def script(peer: Peer) -> None:
        while request := peer.request():
            peer.send(OK if b"/back" in request else moved(elsewhere.url))

    with hostile(script) as server, hostile(always(moved(server.url + "/back"))) as elsewhere:
        response = await client.send(build("GET", server.url, SECRETS), timeout=5.0)
        assert response.status == 200
        assert [b"secret" in request for request in server.requests] == [True, False]


@pytest.mark.parametrize("upwards", [True, False], ids=["http to https", "https to http"])
async def test_redirect_to_another_scheme_is_followed_without_credentials(
    upwards: bool, tmp_path: Path
) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    pem = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(pem))
    set_secure = b"Set-Cookie: session=secret; Secure"
    async with watched_network(TlsOptions(ca_file=str(pem))) as network:
        with (
            hostile(well_behaved, context if upwards else None) as elsewhere,
            hostile(always(moved(elsewhere.url, set_secure)), None if upwards else context) as server,
        ):
            client = HttpClient(network)
            response = await client.send(build("GET", server.url, SECRETS[:1]), timeout=5.0)
            client.close()
    assert (response.status, [hop.status for hop in response.redirects]) == (200, [302])
    assert response.request.origin.tls == upwards
    # Cookies know hosts, not ports: one that is for https alone goes up, and never down.
    assert elsewhere.requests[0].count(b"secret") == upwards
    assert b"Authorization" not in elsewhere.requests[0]


async def test_redirect_to_a_host_that_is_not_there(client: HttpClient) -> None:
    with hostile(always(moved("http://no-such-host.invalid/"))) as server:
        response = await ask(client, server.url)
    assert (response.error, response.status) == ("dns", 0)
    assert [hop.status for hop in response.redirects] == [302]


async def test_cookies_that_are_doubled_huge_and_many(client: HttpClient) -> None:
    lines = [b"Set-Cookie: a=%d" % number for number in range(50)]
    lines += [
        b"Set-Cookie: huge=" + b"x" * 5000,
        b"Set-Cookie: " + b"n" * 5000 + b"=x",
        b"Set-Cookie: =",
        b"Set-Cookie:",
    ]
    lines += [b"Set-Cookie: c%d=%s" % (number, b"y" * 50) for number in range(400)]
    head = b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"Content-Length: 2", b"", b"ok"])
    with hostile(answers(head, OK)) as server:
        first = await ask(client, server.url)
        assert first.cookies["a"] == "49"
        assert "huge" not in first.cookies
        assert (await ask(client, server.url)).status == 200
        (line,) = [line for line in server.requests[1].split(b"\r\n") if line.startswith(b"Cookie: ")]
    sent = line.removeprefix(b"Cookie: ").split(b"; ")
    assert len(sent) == 300
    assert sent[-1].startswith(b"c399=")


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        (b"utf-8", "caf\ufffd"),
        (b"latin-1", "caf\u00e9"),
        (b"no-such", "caf\ufffd"),
        (b"utf-16", "\u6163\ue966"),
    ],
)
async def test_charset_that_is_wrong_never_fails_a_response(
    charset: bytes, text: str, client: HttpClient
) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=%s\r\nContent-Length: 4\r\n\r\ncaf\xe9"
        % charset
    )
    with hostile(answers(head)) as server:
        response = await ask(client, server.url)
    assert (response.error, response.text) == ("", text)
    with pytest.raises(BodyError) as caught:
        response.json()
    assert caught.value.error == "decode"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_server_closes_an_idle_connection(method: str, client: HttpClient, network: Network) -> None:
    with hostile(answers(OK)) as server:
        for number in range(3):
            response = await ask(client, server.url, method=method)
            assert (response.status, response.retries) == (200, 0)
            while network.stats.open_sockets:  # the farewell has come
                await asyncio.sleep(0.001)
            assert server.connections == number + 1


@pytest.mark.parametrize(("method", "retries"), [("GET", 1), ("POST", 0)])
async def test_server_closes_while_the_next_request_is_on_its_way(
    method: str, retries: int, client: HttpClient, network: Network
) -> None:
    def script(peer: Peer) -> None:
        peer.answer(OK)
        peer.request()
        if peer.index:
            peer.send(OK)

    with hostile(script) as server:
        await ask(client, server.url)
        response = await ask(client, server.url, method=method)
        assert len(server.requests) == 2 + retries
    assert (response.error, response.retries) == ("" if retries else "closed", retries)
    assert network.stats.stale_retries == retries


@pytest.mark.parametrize("how", [Peer.close, Peer.reset])
async def test_server_ends_the_connection_right_behind_its_response(how: Script, client: HttpClient) -> None:
    def script(peer: Peer) -> None:
        peer.answer(OK)
        how(peer)

    with hostile(script) as server:
        for _ in range(20):
            response = await ask(client, server.url)
            # A reset may overtake the response on its way.
            assert response.status == 200 or (how is Peer.reset and response.error == "reset")


@pytest.mark.parametrize(("how", "errors"), [(Peer.close, {"closed", "reset"}), (Peer.reset, {"reset"})])
async def test_connection_ends_within_an_upload(
    how: Script, errors: set[str], client: HttpClient, tmp_path: Path
) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(50_000_000)

    def script(peer: Peer) -> None:
        peer.some()
        how(peer)

    with hostile(script) as server:
        for body in (FileBody(path), b"x" * 5_000_000):
            response = await client.send(build("POST", server.url, body=body), timeout=5.0)
            assert response.error in errors


@pytest.mark.parametrize(
    ("value", "readable"),
    [("7", "7"), ("Fri, 31 Dec 2100 23:59:59 GMT", "Fri, 31 Dec 2100 23:59:59 GMT"), ("soon", "soon")],
)
async def test_too_many_requests_is_a_response_like_any_other(
    value: str, readable: str, client: HttpClient
) -> None:
    answer = b"HTTP/1.1 429 Slow down\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n" % value.encode()
    with hostile(answers(answer)) as server:
        response = await ask(client, server.url)
        assert len(server.requests) == 1
    assert (response.error, response.status, response.header("Retry-After")) == ("", 429, readable)


async def test_cancelled_at_any_moment_of_opening(client: HttpClient, network: Network) -> None:
    with hostile(lambda peer: peer.hang()) as server:
        for rounds in range(40):
            task = asyncio.create_task(ask(client, server.url))
            for _ in range(rounds):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        while network.stats.open_sockets:
            await asyncio.sleep(0.001)
        assert server.connections > 0
