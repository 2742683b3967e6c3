"""Whatever a server sends, a request ends: as a response or in one of the classes, in bounded time, and never with an exception.

`make fuzz` runs a million inputs; here are enough of them to see that a change has broken something.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from itertools import pairwise
from random import Random

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fuzzrun import SLOW_SECONDS, fuzz
from support.oddresponses import odd_response, response
from support.responsefuzz import Input, Visitor, Wrong, make_input, outcome, pieces, try_input

from squall_runner.http import Response
from squall_runner.http.errors import RequestError
from squall_runner.http.proxy import Proxy
from squall_runner.http.tunnel import Answer

INPUTS = int(os.environ.get("SQUALL_FUZZ_INPUTS", "50000"))
SEED = int(os.environ.get("SQUALL_FUZZ_SEED", "1"))
BATCHES = 5


@pytest.mark.parametrize("batch", range(BATCHES))
async def test_every_odd_response_ends(batch: int) -> None:
    size = INPUTS // BATCHES
    seed = SEED + isinstance(asyncio.get_running_loop(), uvloop.Loop)  # other inputs on the other loop
    report = fuzz(seed, range(batch * size, (batch + 1) * size))
    assert report.wrong == []
    assert report.inputs == size
    assert report.slowest[0] < SLOW_SECONDS
    # The inputs are of use: many are understood, and the others fail in every way.
    assert report.ends["ok"] > size // 5
    assert set(report.ends) == {
        "ok",
        "protocol",
        "closed",
        "reset",
        "timeout",
        "too_many_redirects",
        "body_too_large",
    }


FOUND = {
    "a cookie's year of thousands of digits": Input(
        "GET", True, b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; expires=09 Feb " + b"9" * 5000 + b"\r\n\r\n", "eof"
    ),
    "a zone that is not ASCII": Input(
        "GET",
        True,
        b"HTTP/1.1 302 X\r\nContent-Length: 0\r\nLocation: http://[fe80::1%\xc3\xa4]/\r\n\r\n",
        "eof",
    ),
    "no status, up to the end": Input("GET", True, b"HTTP/1.1 000 Zero\r\n\r\nNaN", "eof"),
    "no status for HEAD": Input("HEAD", True, b"HTTP/1.1 000 Zero\r\n\r\n", "timeout"),
    "an interim response with a body for HEAD": Input(
        "HEAD", True, b"HTTP/1.1 103 Hint\r\nTransfer-Encoding: chunked\r\n\r\n", "timeout"
    ),
    "redirects to a long URL": Input(
        "GET",
        True,
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /" + b"x" * 5000 + b"\r\n\r\n",
        "eof",
    ),
}
"""What has once ended otherwise than it should."""


@pytest.mark.parametrize("what", FOUND)
async def test_what_was_found_stays_right(what: str) -> None:
    visitor, case = Visitor(), FOUND[what]
    whole = visitor.visit(case, lambda stream: [stream])
    single = visitor.visit(case, lambda stream: [stream[at : at + 1] for at in range(len(stream))])
    assert outcome(whole) == outcome(single)
    assert whole.ok == what.startswith("a cookie")


async def test_the_same_number_is_the_same_input() -> None:
    first, second = (make_input(7, 42)[0] for _ in range(2))
    assert first == second
    assert make_input(7, 43)[0] != first
    assert outcome(try_input(Visitor(), 7, 42)) == outcome(try_input(Visitor(), 7, 42))


async def test_a_request_that_does_not_end_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("squall_runner.http.http1.Connection.connection_lost", lambda *_: None)
    with pytest.raises(Wrong, match="does not end"):
        Visitor().visit(Input("GET", True, b"HTTP/1.1 200 OK\r\n", "eof"), lambda stream: [stream])


async def test_an_exception_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Response) -> bytes:
        raise IndexError

    monkeypatch.setattr("squall_runner.http.Response.body", property(broken))
    report = fuzz(1, range(20))
    assert len(report.wrong) == 20
    assert report.wrong[0][1].startswith("IndexError")


# What is sent as it should be is what is read, however it is framed and cut.
FRAMINGS = ("length", "chunked", "close")


@settings(max_examples=300)
@given(
    status=st.sampled_from([200, 201, 404, 500, 599]),
    fields=st.dictionaries(
        st.from_regex(r"[Xx]-[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}", fullmatch=True),
        st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30),
        max_size=5,
    ),
    body=st.binary(max_size=2000),
    framing=st.sampled_from(FRAMINGS),
    chunk=st.integers(1, 700),
    cuts=st.lists(st.integers(0, 4000), max_size=8),
)
async def test_what_is_sent_well_is_read_well(  # noqa: PLR0917 - passed by name
    status: int, fields: dict[str, str], body: bytes, framing: str, chunk: int, cuts: list[int]
) -> None:
    lines = [f"{name}: {value}" for name, value in fields.items()]
    sent = body
    if framing == "length":
        lines.append(f"Content-Length: {len(body)}")
    elif framing == "chunked":
        lines.append("Transfer-Encoding: chunked")
        parts = [body[at : at + chunk] for at in range(0, len(body), chunk)]
        sent = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    head = "\r\n".join([f"HTTP/1.1 {status} X", *lines, "", ""]).encode()
    stream = head + sent
    bounds = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    parts = [part for at, end in pairwise(bounds) if (part := stream[at:end])]
    found = Visitor().visit(Input("GET", True, stream, "eof"), lambda _: parts)
    assert (found.error_message, found.status, found.body) == ("", status, body)
    expected = sorted((name.lower(), value) for name, value in fields.items())
    assert sorted(line for line in found.headers.lines() if line[0].startswith("x-")) == expected
    assert (found.size, found.bytes_received) == (len(sent) if framing == "close" else len(body), len(stream))


@settings(max_examples=200)
@given(seed=st.integers(0, 2**32), cuts=st.lists(st.floats(0, 1), max_size=6), mutate=st.booleans())
async def test_how_the_bytes_come_does_not_matter(seed: int, cuts: list[float], mutate: bool) -> None:
    rng = Random(seed)
    stream = odd_response(rng) if mutate else response(rng)
    bounds = [0, *sorted(int(cut * len(stream)) for cut in cuts), len(stream)]
    parts = [part for at, end in pairwise(bounds) if (part := stream[at:end])]
    visitor, case = Visitor(), Input(rng.choice(("GET", "HEAD")), True, stream, "eof")
    whole = visitor.visit(case, lambda _: [stream] if stream else [])
    assert outcome(visitor.visit(case, lambda _: parts)) == outcome(whole)


async def test_every_odd_answer_of_a_proxy_ends() -> None:
    proxy = Proxy.of("http://proxy.example:3128")
    ends: Counter[str] = Counter()
    for number in range(5000):
        case, rng = make_input(SEED, number)
        outcomes = []
        for parts in ([case.stream], pieces(rng, case.stream)):
            answer = Answer(proxy, 65536)
            for part in parts:
                answer.data_received(part)
            answer.eof_received()
            answer.connection_lost(None)
            error = answer.status.exception()
            assert error is None or (isinstance(error, RequestError) and len(error.message) < 300)
            outcomes.append("" if error is None else error.error)
        ends[outcomes[0]] += 1
        # What stands behind an answer is seen only when it comes with it: the tunnel belongs to somebody else then.
        assert outcomes[0] == outcomes[1] or outcomes == ["protocol", ""]
    assert set(ends) == {"", "protocol", "closed"}


@settings(max_examples=300)
@given(
    status=st.sampled_from([301, 302, 303, 307, 308]),
    location=st.one_of(
        st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=60),
        st.builds("http://{}{}".format, st.text(max_size=12), st.text(max_size=12)),
        st.builds("//[{}]:{}/{}".format, st.text(max_size=12), st.text(max_size=6), st.text(max_size=6)),
    ),
)
async def test_every_location_is_followed_or_refused(status: int, location: str) -> None:
    field = location.encode("utf-8", "replace").replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")
    stream = b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n" % (status, field)
    found = Visitor().visit(Input("POST", True, stream, "eof"), lambda whole: [whole])
    assert found.error in {"", "protocol", "too_many_redirects"}
    for part in (found, *found.redirects):
        assert part.request.head.count(b"\r\n") == part.request.head.count(b"\n")
        assert part.request.head.isascii()
        assert part.request.head.split(b"\r\n")[0].count(b" ") == 2
