"""Every way in which a server can misbehave ends as the right class, at once, and leaves the client usable."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from support.hostile import OK, Peer, answers, hostile
from support.hostilecases import BAD, HEAD, then_hang

from squall_runner.http import BodyError, FileBody, HttpClient, Network, Response, build

LONG = 20.0
"""Never reached where something else ends the request, however little of a core this process gets."""
SHORT = 0.25


async def ask(client: HttpClient, url: str, method: str = "GET", **options: object) -> Response:
    return await client.send(build(method, url), **{"timeout": LONG, "keep_body": True, **options})  # type: ignore[arg-type]


def connected(response: Response) -> bool:
    return response.error != "connect_timeout"


async def timed_out(
    send: Callable[[float], Awaitable[Response]], enough: Callable[[Response], object] = connected
) -> Response:
    """The end of a request whose timeout is short; on a busy machine that can be too short to get as far as it has to."""
    seconds = SHORT
    while not enough(response := await send(seconds)) and seconds < LONG:
        seconds *= 2
    return response


@pytest.mark.parametrize("case", BAD)
async def test_bad_response_ends_in_its_class(case: str, client: HttpClient) -> None:
    script, expected = BAD[case]
    with hostile(script) as server:
        if expected == "timeout":
            response = await timed_out(lambda seconds: ask(client, server.url, timeout=seconds))
        else:
            response = await ask(client, server.url)
    assert response.error in expected if isinstance(expected, tuple) else response.error == expected
    assert response.error_message
    assert response.status == 0
    assert not response.ok
    assert response.body == b""
    assert response.end >= response.start
    assert min(response.sending, response.waiting, response.receiving) >= 0


async def test_a_byte_at_a_time_is_bounded_by_the_timeout(client: HttpClient) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.trickle(HEAD + b"X: y\r\n" * 1000, server.stopping, 0.01)

    with hostile(script) as server:
        response = await timed_out(
            lambda seconds: ask(client, server.url, timeout=seconds),
            lambda response: "of its header came" in response.error_message,
        )
    assert response.error == "timeout"
    assert "of its header came" in response.error_message


async def test_a_byte_at_a_time_that_ends_is_a_response(client: HttpClient) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.trickle(b"HTTP/1.1 103 Hm\r\n\r\n" + OK, server.stopping, 0.0001)

    with hostile(script) as server:
        response = await ask(client, server.url)
    assert (response.status, response.body) == (200, b"ok")
    assert dict(response.headers) == {"content-length": "2"}


GOOD = {
    "interim responses": (
        answers(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hint\r\nX: no\r\n\r\n" + OK),
        200,
        b"ok",
    ),
    "no content": (answers(b"HTTP/1.1 204 No Content\r\n\r\n"), 204, b""),
    "not modified": (answers(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n"), 304, b""),
    "no length, to the end": (answers(HEAD + b"\r\nhello"), 200, b"hello"),
    "HTTP/1.0": (answers(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"), 200, b"ok"),
    "chunked with trailers": (
        answers(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n2\r\nay\r\n0\r\nSum: 1\r\n\r\n"),
        200,
        b"okay",
    ),
    "empty lines before the status": (answers(b"\r\n\r\n" + OK), 200, b"ok"),
    "empty body": (answers(HEAD + b"Content-Length: 0\r\n\r\n"), 200, b""),
    "unregistered status": (answers(b"HTTP/1.1 799 Odd\r\nContent-Length: 0\r\n\r\n"), 799, b""),
    "close behind the body": (
        answers(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
        200,
        b"ok",
    ),
    "more than announced": (answers(OK + b"surplus"), 200, b"ok"),
    "a second response": (answers(OK + OK), 200, b"ok"),
    "half a second response": (answers(OK + b"HTTP/1.1 2"), 200, b"ok"),
    "gzip": (
        answers(HEAD + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n" + gzip.compress(b"ok")),
        200,
        b"ok",
    ),
}


@pytest.mark.parametrize("case", GOOD)
@pytest.mark.parametrize("keep", [True, False])
async def test_odd_but_valid_response(case: str, keep: bool, client: HttpClient) -> None:
    script, status, body = GOOD[case]
    with hostile(script) as server:
        response = await ask(client, server.url, keep_body=keep)
        assert (response.error_message, response.status) == ("", status)
        if keep:
            assert response.body == body
        # The next request is served by a new connection or the old one, but never by what was left over.
        again = await ask(client, server.url)
        assert (again.status, again.body) == (status, body)


@pytest.mark.parametrize("left_over", [b"surplus", OK, b"HTTP/1.1 2"])
async def test_connection_with_left_over_bytes_is_not_used_again(
    left_over: bytes, client: HttpClient
) -> None:
    with hostile(answers(OK + left_over, OK)) as server:
        assert (await ask(client, server.url)).status == 200
        assert (await ask(client, server.url, method="POST")).status == 200
        assert server.connections == 2


@pytest.mark.parametrize("announced", [b"Content-Length: 10\r\n", b"Transfer-Encoding: chunked\r\n", b""])
async def test_head_has_no_body_whatever_it_announces(announced: bytes, client: HttpClient) -> None:
    answer = b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + announced + b"X-Y: z\r\n\r\n"
    with hostile(answers(answer, answer)) as server:
        for _ in range(2):
            response = await ask(client, server.url, method="HEAD")
            assert (response.error, response.status, response.body) == ("", 200, b"")
            assert response.header("x-y") == "z"
        assert server.connections == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [(b"nonsense\r\n\r\n", "protocol"), (HEAD + b"X", "closed"), (HEAD + b"X: " + b"y" * 70_000, "protocol")],
)
async def test_head_with_a_bad_response(answer: bytes, error: str, client: HttpClient) -> None:
    with hostile(answers(answer)) as server:
        assert (await ask(client, server.url, method="HEAD")).error == error


async def test_body_behind_a_head_response_closes_the_connection(client: HttpClient) -> None:
    with hostile(answers(HEAD + b"Content-Length: 2\r\n\r\nok", OK)) as server:
        assert (await ask(client, server.url, method="HEAD")).status == 200
        assert (await ask(client, server.url)).body == b"ok"
        assert server.connections == 2


async def test_switching_protocols_unasked_ends_the_connection(client: HttpClient) -> None:
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nxyz"
    with hostile(answers(answer, OK)) as server:
        assert (await ask(client, server.url)).status == 101
        assert (await ask(client, server.url)).status == 101
        assert server.connections == 2


def closing_between(peer: Peer) -> None:
    """Takes a second request on the first connection and hangs up without an answer, as an idle timeout would."""
    peer.answer(OK)
    if peer.index == 0:
        peer.request()
        peer.reset()
    else:
        peer.answer(OK)


async def test_stale_connection_is_repeated_once_when_safe(client: HttpClient, network: Network) -> None:
    with hostile(closing_between) as server:
        assert (await ask(client, server.url)).retries == 0
        response = await ask(client, server.url)
    assert (response.status, response.retries) == (200, 1)
    assert network.stats.stale_retries == 1


async def test_stale_connection_is_no_reason_to_post_twice(client: HttpClient, network: Network) -> None:
    with hostile(closing_between) as server:
        await ask(client, server.url)
        response = await ask(client, server.url, method="POST")
        assert [request[:4] for request in server.requests] == [b"GET ", b"POST"]
    assert (response.error, response.retries) == ("reset", 0)
    assert network.stats.stale_retries == 0


async def test_fresh_connection_is_never_repeated(client: HttpClient) -> None:
    with hostile(answers(b"")) as server:
        assert (await ask(client, server.url)).error == "closed"
        assert len(server.requests) == 1


async def test_farewell_on_an_idle_connection(client: HttpClient, network: Network) -> None:
    def script(peer: Peer) -> None:
        peer.answer(OK)
        peer.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with hostile(script) as server:
        for _ in range(3):
            assert (await ask(client, server.url)).status == 200
            while network.stats.open_sockets:
                await asyncio.sleep(0.001)


async def test_redirect_loop_ends(client: HttpClient) -> None:
    again = b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"
    with hostile(answers(*[again] * 20)) as server:
        response = await ask(client, server.url)
        assert len(server.requests) == 11
    assert (response.error, response.status, len(response.redirects)) == ("too_many_redirects", 302, 10)


async def test_upload_that_nobody_reads_is_bounded(client: HttpClient, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(50_000_000)

    def script(peer: Peer) -> None:
        server.stopping.wait(5)

    with hostile(script) as server:
        for body in (FileBody(path), b"x" * 20_000_000):
            request = build("POST", server.url, body=body)
            response = await timed_out(
                lambda seconds, request=request: client.send(request, timeout=seconds),
                lambda response: response.bytes_sent,
            )
            assert response.error == "timeout"
            assert response.bytes_sent > 0
        before = server.connections
        task = asyncio.create_task(client.send(build("POST", server.url, body=FileBody(path))))
        while server.connections == before:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_redirects_share_one_timeout(client: HttpClient) -> None:
    def script(peer: Peer) -> None:
        while peer.request() and not server.stopping.wait(0.02):
            peer.send(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")

    with hostile(script) as server:
        response = await timed_out(
            lambda seconds: ask(client, server.url, timeout=seconds, max_redirects=1000),
            lambda response: response.redirects,
        )
    assert response.error == "timeout"
    assert response.redirects


async def test_gzip_bomb_is_bounded_when_somebody_reads_it(client: HttpClient) -> None:
    bomb = gzip.compress(b"\0" * 30_000_000)
    head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    with hostile(answers(head + bomb)) as server:
        response = await ask(client, server.url)
    assert response.status == 200
    with pytest.raises(BodyError) as caught:
        _ = response.body
    assert caught.value.error == "body_too_large"


async def test_large_body_is_counted_and_discarded(client: HttpClient) -> None:
    with hostile(answers(HEAD + b"Content-Length: 5000000\r\n\r\n" + b"x" * 5_000_000)) as server:
        response = await ask(client, server.url, keep_body=False)
    assert (response.status, response.size) == (200, 5_000_000)
    with pytest.raises(RuntimeError, match="discarded"):
        _ = response.body


async def test_nobody_listens(client: HttpClient, network: Network) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        response = await ask(client, f"http://127.0.0.1:{sock.getsockname()[1]}")
    assert response.error == "connect_refused"
    assert "refused" in response.error_message
    assert network.stats.failed == 1


async def test_nobody_accepts(client: HttpClient) -> None:
    # A listener whose queue is full does not answer SYNs.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        fill = [socket.socket() for _ in range(4)]
        for sock in fill:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        response = await ask(client, f"http://127.0.0.1:{port}", timeout=SHORT)
        for sock in fill:
            sock.close()
    assert response.error == "connect_timeout"


async def test_no_file_descriptor_left(
    client: HttpClient, good: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        response = await ask(client, good.url)  # type: ignore[attr-defined]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert response.error == "connect_failed"
    assert "file descriptor" in response.error_message


async def test_name_without_address(client: HttpClient) -> None:
    response = await ask(client, "http://no-such-host.invalid/")
    assert response.error == "dns"
    assert "no-such-host.invalid" in response.error_message


@pytest.mark.parametrize("when", ["connecting", "waiting", "receiving"])
async def test_cancelled_send_leaves_nothing_behind(when: str, client: HttpClient, network: Network) -> None:
    arrived = asyncio.Event()
    loop = asyncio.get_running_loop()

    def script(peer: Peer) -> None:
        peer.request()
        if when == "receiving":
            peer.send(HEAD + b"Content-Length: 10\r\n\r\n123")
        loop.call_soon_threadsafe(arrived.set)
        peer.hang()

    with hostile(script) as server:
        task = asyncio.create_task(ask(client, server.url, timeout=30.0))
        if when == "connecting":
            await asyncio.sleep(0)
        else:
            await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for _ in range(5):
            await asyncio.sleep(0)
        assert network.stats.open_sockets == 0


async def test_timeouts_of_many_requests_are_independent(network: Network) -> None:
    with hostile(then_hang(b"")) as server:
        clients = [HttpClient(network) for _ in range(5)]
        seconds, responses = [0.3, 0.05, 0.2, 0.1, 0.15], []
        while not responses or not all(map(connected, responses)):
            sends = [ask(client, server.url, timeout=t) for client, t in zip(clients, seconds, strict=True)]
            responses = await asyncio.gather(*sends)
            tried, seconds = seconds, [2 * each for each in seconds]
    assert [response.error for response in responses] == ["timeout"] * 5
    assert [response.total >= t for response, t in zip(responses, tried, strict=True)] == [True] * 5
