"""What a server can make the generator compute or keep is bounded: nobody else runs while one response is taken apart.

Each case here is small on the wire. Work is counted in CPU time against a limit that is far above what the case takes now
and far below what it took, or would take, without the bound.
"""

from __future__ import annotations

import encodings
import gc
import gzip
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.hostile import OK, Peer, answers, hostile
from support.processes import free_ports

from squall_runner.http import (
    BodyError,
    CookieJar,
    HttpClient,
    Limits,
    Network,
    NetworkOptions,
    Origin,
    build,
)
from squall_runner.http.decoding import decode, to_text

HEAD = b"HTTP/1.1 200 OK\r\n"
LIMIT = 64 * 1024 * 1024


@contextmanager
def cpu_seconds(most: float) -> Iterator[None]:
    """Fails when what is within takes more CPU time of this process."""
    before = time.process_time()
    yield
    assert time.process_time() - before < most


def test_compressed_members_without_number() -> None:
    nothing = gzip.compress(b"")
    with cpu_seconds(1), pytest.raises(BodyError, match="members") as caught:
        decode(nothing * 300_000, "gzip", LIMIT)
    assert caught.value.error == "decode"
    assert decode(gzip.compress(b"ab") * 1000, "gzip", LIMIT) == b"ab" * 1000


def test_members_of_many_blocks_are_put_together() -> None:
    noise = bytes(range(256)) * 4096
    packed = gzip.compress(noise, 0)
    assert decode(packed + packed, "gzip", LIMIT) == noise + noise
    assert decode(zlib.compress(noise, 0), "deflate", LIMIT) == noise
    with pytest.raises(BodyError, match="ends too early"):
        decode(packed[:-9], "gzip", LIMIT)


def test_codings_upon_codings() -> None:
    body = b"x"
    for _ in range(5):
        body = gzip.compress(body)
    assert decode(body, ", ".join(["gzip"] * 5), LIMIT) == b"x"
    with pytest.raises(BodyError, match="content codings") as caught:
        decode(body, ",".join(["gzip"] * 6), LIMIT)
    assert caught.value.error == "decode"


@pytest.mark.parametrize("charset", ["punycode", "unicode_escape", "idna", "x-none", "a\0b", "../utf-8", ""])
def test_charset_that_no_server_means_is_read_as_utf_8(charset: str) -> None:
    body = "aä1".encode() * 100_000
    with cpu_seconds(1):
        assert to_text(body, f"text/html; charset={charset}") == body.decode()


@pytest.mark.parametrize(
    ("charset", "body", "text"),
    [
        ("ISO-8859-1", b"\xe4", "ä"),
        ("'latin-1'", b"\xe4", "ä"),
        ('"windows-1252"; x=y', b"\x80", "€"),
        ("Shift_JIS", b"\x82\xa0", "あ"),
        ("utf-16", "ä".encode("utf-16"), "ä"),
        ("utf-8", b"\xff", "�"),
        ("us-ascii", b"a\xff", "a�"),
        ("base64", b"YQ==", "YQ=="),
    ],
)
def test_charset_that_servers_name(charset: str, body: bytes, text: str) -> None:
    assert to_text(body, f"text/plain; charset={charset}") == text


def test_names_of_charsets_are_not_remembered() -> None:
    known: dict[str, object] = encodings._cache
    before = len(known)
    for number in range(1000):
        to_text(b"x", f"text/plain; charset=made-up-{number}")
    assert len(known) == before


@pytest.mark.parametrize(
    "date",
    [
        "09 Feb " + "9" * 5000,
        "Wed, 09 Feb 99999 22:23:32 GMT",
        "31 Dec 9999 23:59:59 -9999",
        "1-1-1" * 9000,
        "\xb2",
    ],
)
def test_date_of_a_cookie_that_is_none(date: str) -> None:
    jar, origin = CookieJar(), Origin("http", "h")
    with cpu_seconds(1):
        jar.store(f"a=b; expires={date}", origin, "/", 0.0)
    assert jar.header(origin, "/", 0.0) == b"Cookie: a=b\r\n"


def test_cookies_by_the_thousand_in_one_response() -> None:
    jar, origin = CookieJar(), Origin("http", "h")
    with cpu_seconds(2):
        for round_ in range(10):
            for number in range(4000):
                jar.store(f"{round_}-{number}=v", origin, "/", 0.0)
    assert len(jar) == 300
    assert jar.header(origin, "/", 0.0).endswith(b"9-3999=v\r\n")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_interim_responses_are_limited(method: str, client: HttpClient) -> None:
    hint = b"HTTP/1.1 103\r\n\r\n"
    with hostile(answers(hint * 100 + HEAD + b"Content-Length: 0\r\n\r\n", hint * 10_000 + OK)) as server:
        assert (await client.send(build(method, server.url), timeout=5.0)).status == 200
        with cpu_seconds(1):
            response = await client.send(build(method, server.url), timeout=5.0)
    assert response.error == "protocol"
    assert "100 interim responses" in response.error_message


async def test_chunks_of_two_bytes_take_no_multiple_of_their_size() -> None:
    chunks = b"2\r\nab\r\n" * 9000

    def script(peer: Peer) -> None:
        peer.answer(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(60):
            peer.send(chunks)
        peer.hang()

    network = Network(NetworkOptions(limits=Limits(max_body_bytes=1_000_000)))
    client = HttpClient(network)
    tracemalloc.start()
    try:
        with hostile(script) as server:
            response = await client.send(build("GET", server.url), timeout=20.0, keep_body=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        await network.close()
    assert response.error == "body_too_large"
    assert peak < 12_000_000


async def test_redirect_to_an_address_with_an_odd_zone(client: HttpClient) -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://[fe80::1%\xc3\xa4]/\r\nContent-Length: 0\r\n\r\n"
    with hostile(answers(moved)) as server:
        response = await client.send(build("GET", server.url), timeout=5.0)
    assert (response.error, response.status) == ("protocol", 302)


async def test_failed_connects_leave_nothing_for_the_garbage_collector(client: HttpClient) -> None:
    """A target that is down fails thousands of times a second: collecting what that leaves would hold up everything."""
    (nowhere,) = free_ports(1)
    too_long = "x" * 70  # no name has such a label: nobody needs to be asked
    for url in (f"http://127.0.0.1:{nowhere}/", f"http://{too_long}.example/"):
        requests = [build("GET", url) for _ in range(21)]
        assert (await client.send(requests.pop(), timeout=5.0)).error in {"connect_refused", "dns"}
        gc.collect()
        gc.disable()
        try:
            while requests:
                await client.send(requests.pop(), timeout=5.0)
            assert gc.collect() < 20
        finally:
            gc.enable()
