"""The parts of the client that need no socket: what is sent, what is taken apart, what is remembered."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall_runner.http import (
    BodyError,
    CookieJar,
    Field,
    FilePart,
    Headers,
    Limits,
    Multipart,
    Origin,
    Resolver,
    Response,
    build,
    encode_target,
    header_line,
    parse_url,
    render_headers,
)
from squall_runner.http.cookies import default_path, domain_match, parse_set_cookie, path_match
from squall_runner.http.deadlines import GRANULARITY, NEVER, Deadlines
from squall_runner.http.decoding import decode
from squall_runner.http.headers import head_end
from squall_runner.http.http1 import Connection


@pytest.mark.parametrize(
    ("url", "key", "authority", "target"),
    [
        ("http://h", "http://h:80", "h", b"/"),
        ("https://H.example:443/a/b?c=d#e", "https://h.example:443", "h.example", b"/a/b?c=d"),
        ("http://127.0.0.1:8080?x", "http://127.0.0.1:8080", "127.0.0.1:8080", b"/?x"),
        ("http://[::1]:81/a b", "http://[::1]:81", "[::1]:81", b"/a%20b"),
        ("http://bücher.example/ä", "http://xn--bcher-kva.example:80", "xn--bcher-kva.example", b"/%C3%A4"),
    ],
)
def test_url_is_split(url: str, key: str, authority: str, target: bytes) -> None:
    origin, found = parse_url(url)
    assert (origin.key, origin.authority, found) == (key, authority, target)
    assert origin == parse_url(url)[0]


@pytest.mark.parametrize(
    "url",
    ["", "/path", "h:80/x", "ftp://h/", "http://", "http://h:0/", "http://h:65536/", "http://h:x/", "http://u:p@h/",
     "http://[::1/", "http://[zz]/", "http://a b/", "http://" + "ä" * 80 + "/"],
)  # fmt: skip
def test_url_that_cannot_be_requested(url: str) -> None:
    with pytest.raises(ValueError):
        parse_url(url)


@given(st.text())
def test_target_never_breaks_the_request_line(target: str) -> None:
    encoded = encode_target(target)
    assert encoded.startswith(b"/")
    assert all(0x21 <= byte <= 0x7E for byte in encoded)
    assert encode_target(encoded.decode()) == encoded


@given(st.text(), st.text())
def test_header_line_is_one_line_or_refused(name: str, value: str) -> None:
    try:
        line = header_line(name, value)
    except ValueError:
        return
    assert line.endswith(b"\r\n")
    assert line.count(b"\r") == line.count(b"\n") == 1


@pytest.mark.parametrize(
    ("name", "value"), [("", "x"), ("a b", "x"), ("Content-Length", "1"), ("A", "x\r\nB: y")]
)
def test_header_that_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError):
        header_line(name, value)


def test_request_is_rendered_in_one_piece() -> None:
    request = build("POST", "http://h/x", [("A", "1"), ("User-Agent", "u"), ("a", "2")], b"body")
    assert request.wire == (
        b"POST /x HTTP/1.1\r\nHost: h\r\nA: 1\r\nUser-Agent: u\r\na: 2\r\nContent-Length: 4\r\n\r\nbody"
    )
    assert build("POST", "http://h/").head.endswith(b"Content-Length: 0\r\n")
    assert b"Content-Length" not in build("GET", "http://h/").head
    assert b"User-Agent: squall/" in build("GET", "http://h/").head
    assert (request.url, request.path, request.idempotent) == ("http://h/x", "/x", False)
    with pytest.raises(ValueError, match="method"):
        build("GET /", "http://h/")


def test_host_header_can_be_given() -> None:
    assert render_headers(Origin("http", "h"), [("Host", "shop")]).startswith(b"Host: shop\r\n")


@given(st.lists(st.tuples(st.text(), st.binary())))
def test_length_of_a_form_is_what_it_yields(fields: list[tuple[str, bytes]]) -> None:
    form = Multipart([Field(name, value) for name, value in fields])
    assert form.length == sum(map(len, form.chunks()))


def test_file_part_takes_its_type_from_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"{}")
    form = b"".join(Multipart([FilePart("f", tmp_path / "a.json", 'x"\r\n.json')], boundary="b").chunks())
    assert form == (
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="x%22%0D%0A.json"\r\n'
        b"Content-Type: application/json\r\n\r\n{}\r\n--b--\r\n"
    )


def test_headers_are_found_whatever_their_case() -> None:
    head = b"HTTP/1.1 100 C\r\nX: no\r\n\r\nHTTP/1.1 200 OK\r\nX-A: 1\r\nx-a:  2 \r\nSet-Cookie: a=b\r\nEmpty:\r\n\r\nbody"
    headers = Headers(head, 1)
    assert headers["x-A"] == "1, 2"
    assert headers.all("X-a") == ["1", "2"]
    assert dict(headers) == {"x-a": "1, 2", "set-cookie": "a=b", "empty": ""}
    assert "x" not in headers
    assert (head_end(head, 1), head_end(head, 2), head_end(b"\r\nHTTP")) == (len(head) - 4, -1, -1)


@given(st.binary(max_size=2000))
def test_codings_are_undone(data: bytes) -> None:
    raw = zlib.compressobj(wbits=-15)
    assert decode(gzip.compress(data), "GZIP", 2000) == data
    assert decode(gzip.compress(data) + gzip.compress(b""), "x-gzip", 2000) == data
    assert decode(gzip.compress(data) + b"\0\0", "gzip", 2000) == data
    assert decode(zlib.compress(data), "deflate", 2000) == data
    assert decode(raw.compress(data) + raw.flush(), "deflate", 2000) == data
    assert decode(gzip.compress(zlib.compress(data)), "deflate, gzip", 4000) == data
    assert decode(data, "identity", 2000) == data


@given(st.binary(), st.sampled_from(["gzip", "deflate", "br", "gzip, gzip"]))
def test_damaged_coding_is_an_error_of_its_class(data: bytes, coding: str) -> None:
    with suppress(BodyError):  # any other exception is a defect
        assert len(decode(data, coding, 100)) <= 100


def test_truncated_and_oversized_bodies() -> None:
    packed = gzip.compress(b"x" * 1001)
    for data, limit, error in ((packed[:-9], 5000, "decode"), (packed, 1000, "body_too_large")):
        with pytest.raises(BodyError) as caught:
            decode(data, "gzip", limit)
        assert caught.value.error == error
    assert len(decode(packed, "gzip", 1001)) == 1001


def response(head: bytes, body: bytes) -> Response:
    return Response(
        build("GET", "http://h/"), 200, 0, 0, 0, 0, 0, 0, 0, len(body), head, 0, body, 1000, False
    )


@pytest.mark.parametrize(
    ("content_type", "text"),
    [("", "�x"), ("text/plain; charset=latin-1", "äx"), ("text/plain; charset=nonsense", "�x"),
     ('text/plain; Charset="ISO-8859-1"; x=y', "äx"), ("text/plain; charset=hex", "�x"), ("a; charset=", "�x")],
)  # fmt: skip
def test_text_by_charset(content_type: str, text: str) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n\r\n".encode()
    assert response(head, b"\xe4x").text == text


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"NaN", b"[" * 100_000])
def test_body_that_is_no_json(body: bytes) -> None:
    with pytest.raises(BodyError) as caught:
        response(b"HTTP/1.1 200 OK\r\n\r\n", body).json()
    assert caught.value.error == "decode"


def test_json_is_parsed_once() -> None:
    found = response(b"HTTP/1.1 200 OK\r\n\r\n", b'{"a": [1, null]}')
    assert found.json() == {"a": [1, None]}
    assert found.json() is found.json()


SHOP, SECURE = Origin("http", "shop.example.org"), Origin("https", "shop.example.org")


def jar_of(*lines: str, path: str = "/a/b") -> CookieJar:
    jar = CookieJar()
    for line in lines:
        jar.store(line, SHOP, path, 1000.0)
    return jar


@pytest.mark.parametrize(
    ("line", "origin", "path", "sent"),
    [
        ("a=b", SHOP, "/a/x", True), ("a=b", SHOP, "/", False), ("a=b; Path=/", SHOP, "/", True),
        ("a=b; Path=/", Origin("http", "example.org"), "/", False),
        ("a=b; Path=/", Origin("http", "x.shop.example.org"), "/", False),
        ("a=b; Path=/; Domain=.Example.org", Origin("http", "other.example.org"), "/", True),
        ("a=b; Path=/; Domain=example.org", Origin("http", "notexample.org"), "/", False),
        ("a=b; Path=/; Domain=other.org", SHOP, "/", False), ("a=b; Path=/; Domain=org", SHOP, "/", False),
        ("a=b; Path=/; Secure", SHOP, "/", False), ("a=b; Path=/; Secure", SECURE, "/", True),
        ("a=b; Path=/; Max-Age=0", SHOP, "/", False), ("a=b; Path=/; Max-Age=-5", SHOP, "/", False),
        ("a=b; Path=/; Max-Age=x", SHOP, "/", True), ("a=b; Path=/; Max-Age=99999999999999999", SHOP, "/", True),
        ("a=b; Path=/; Expires=Wed, 21 Oct 2015 07:28:00 GMT", SHOP, "/", True),
        ("a=b; Path=/; Expires=Thu, 01 Jan 1970 00:00:10 GMT", SHOP, "/", False),
        ("a=b; Path=/; Expires=nonsense", SHOP, "/", True), ("=b", SHOP, "/a/b", False), ("ab", SHOP, "/a/b", False),
        ("a=" + "b" * 5000, SHOP, "/a/b", False), ("a=b; Path=/shop", SHOP, "/shopping", False),
        ("a=b; Path=/shop", SHOP, "/shop/x", True), ("a=b\x01; Path=/", SHOP, "/", False),
    ],
)  # fmt: skip
def test_cookie_goes_where_it_belongs(line: str, origin: Origin, path: str, sent: bool) -> None:
    name, _, value = line.partition(";")[0].partition("=")
    assert jar_of(line).header(origin, path, 1001.0) == (
        f"Cookie: {name}={value}\r\n".encode() if sent else b""
    )


def test_cookies_are_replaced_removed_and_expire() -> None:
    jar = jar_of("a=1; Path=/", "b=2; Path=/; Max-Age=10", "a=3; Path=/", 'c="x y"; Path=/')
    assert jar.header(SHOP, "/", 1005.0) == b'Cookie: a=3; b=2; c="x y"\r\n'
    assert jar.header(SHOP, "/", 1010.0) == b'Cookie: a=3; c="x y"\r\n'
    jar.store("a=; Path=/; Max-Age=0", SHOP, "/", 1011.0)
    assert jar.header(SHOP, "/", 1012.0) == b'Cookie: c="x y"\r\n'
    jar.store("c=deep; Path=/a", SHOP, "/", 1011.0)
    assert jar.header(SHOP, "/a", 1012.0) == b'Cookie: c=deep; c="x y"\r\n'


def test_jar_is_bounded() -> None:
    jar = jar_of(*(f"n{number}=x" for number in range(1000)))
    assert len(jar) == 300


@given(st.text())
def test_any_text_as_a_cookie_is_harmless(line: str) -> None:
    parse_set_cookie(line, 0.0)
    header = jar_of(line).header(SHOP, "/a/b", 1001.0)
    assert header.count(b"\n") == bool(header)


def test_matching_of_domains_and_paths() -> None:
    assert domain_match("1.2.3.4", "1.2.3.4")
    assert not domain_match("1.2.3.4", "3.4")
    assert [default_path(path) for path in ("/", "/a", "/a/", "/a/b", "")] == ["/", "/", "/a", "/a", "/"]
    assert path_match("/a/b", "/a/")
    assert not path_match("/", "/a")


class Sink:
    """What a connection needs of a transport when nothing is really sent."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def abort(self) -> None:
        pass

    def close(self) -> None:
        pass


def exchange(pieces: list[bytes], method: str = "GET", *, eof: bool = True) -> Response:
    """Feeds what a server might send to a connection; returns the response at the latest when the peer hangs up."""

    async def run() -> Response:
        clock: Callable[[], float] = asyncio.get_running_loop().time
        limits = Limits(max_head_bytes=1000, max_body_bytes=1000)
        connection = Connection(Origin("http", "h"), clock, Deadlines(clock), limits, lambda: None)
        connection.connection_made(Sink())  # type: ignore[arg-type]
        request = build(method, "http://h/")
        now = clock()
        future = connection.start(request, request.wire or b"", True, now, now, NEVER)
        for piece in pieces:
            connection.data_received(piece)
        if eof:
            connection.connection_lost(None)
        return await future

    return asyncio.run(run())


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]


RESPONSES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hint\r\nLink: x\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
    b"\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nT: u\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nhello to the end",
    b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000,
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
]


@given(
    st.sampled_from(RESPONSES), st.lists(st.integers(0, 6000), max_size=12), st.sampled_from(["GET", "HEAD"])
)
def test_pieces_do_not_matter(data: bytes, cuts: list[int], method: str) -> None:
    whole, pieces = exchange([data], method), exchange(split(data, cuts), method)
    for one, other in ((whole.status, pieces.status), (whole.error, pieces.error), (whole.body, pieces.body)):
        assert one == other
    assert list(whole.headers.items()) == list(pieces.headers.items())


FRAGMENTS = st.sampled_from(
    [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 C\r\n", b"HTTP/1.1 304 N\r\n", b"HTTP/1.0 200\r\n", b"Content-Length: ", b"5",
     b"\r\n", b"\n", b"\r\n\r\n", b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"hello", b": ", b"\0"]
)  # fmt: skip


@given(
    st.lists(st.one_of(FRAGMENTS, st.binary(max_size=20)), max_size=15),
    st.sampled_from(["GET", "HEAD", "POST"]),
)
def test_no_bytes_escape_or_hang(pieces: list[bytes], method: str) -> None:
    """Whatever comes, exactly one response of a known kind is made."""
    found = exchange([piece for piece in pieces if piece], method)
    assert bool(found.error) != bool(found.status)
    assert found.error in ("", "protocol", "closed", "body_too_large")


class Exchange:
    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.ended = 0.0

    def expire(self, now: float) -> None:
        self.ended, self.deadline = now, NEVER


@pytest.mark.looptime
@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_deadlines_are_kept_within_the_granularity() -> None:
    clock = asyncio.get_running_loop().time
    deadlines = Deadlines(clock)
    due = [5.0, 30.0, 5.02, 5.3, 100.0, 2.0]
    members = []
    for seconds in due:
        member = Exchange(clock() + seconds)
        members.append((member, member.deadline))
        deadlines.members.add(member)
        deadlines.expect(member.deadline)
    await asyncio.sleep(200)
    for member, deadline in members:
        assert deadline <= member.ended <= deadline + GRANULARITY + 0.005
    assert deadlines.due == NEVER


async def test_names_are_asked_for_once_and_again_when_the_answer_is_old() -> None:
    now, asked = [0.0], 0
    gate = asyncio.Event()

    async def lookup(host: str, port: int) -> list[tuple[int, tuple[object, ...]]]:
        nonlocal asked
        asked += 1
        await gate.wait()
        return [(2, ("10.0.0.1", port)), (2, ("10.0.0.2", port)), (10, ("::1", port, 0, 0))]

    resolver = Resolver(lambda: now[0], ttl=60.0, lookup=lookup)
    first = [asyncio.create_task(resolver.resolve("h", 80)) for _ in range(5)]
    await asyncio.sleep(0)
    first[0].cancel()
    gate.set()
    answers = [
        addresses
        for addresses in await asyncio.gather(*first, return_exceptions=True)
        if isinstance(addresses, list)
    ]
    assert asked == 1
    assert {addresses[0][1][0] for addresses in answers} == {"10.0.0.1", "10.0.0.2"}
    assert all(addresses[-1][0] == 10 for addresses in answers)
    resolver.failed("h", 80, (2, ("10.0.0.1", 80)))
    for _ in range(3):
        assert [address[1][0] for address in await resolver.resolve("h", 80)] == [
            "10.0.0.2",
            "::1",
            "10.0.0.1",
        ]
    now[0] = 60.0
    await resolver.resolve("h", 80)
    assert asked == 2
    assert (await resolver.resolve("127.0.0.1", 1))[0][1] == ("127.0.0.1", 1)
    assert (await resolver.resolve("::1", 1))[0][1][:2] == ("::1", 1)
    assert asked == 2
