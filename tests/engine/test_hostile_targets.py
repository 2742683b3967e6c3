"""A step against every bad target, through the whole engine: counted as what it is, told once, and the VU goes on."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from support.driving import Measured, Told, drive, manifest, target
from support.hostile import OK, Peer, Script, answers, hostile, well_behaved
from support.hostilecases import BAD, HEAD
from support.networks import _sockets
from support.processes import free_ports

ITERATIONS = 2
HTTP = {"timeout": "250ms", "maxBodySize": "100KiB", "maxRedirects": 3}


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """No socket and no task is there that was not there before."""
    tasks, sockets = asyncio.all_tasks(), _sockets()
    yield
    for _ in range(2000):  # event loops close sockets a few rounds later
        if _sockets() <= sockets and asyncio.all_tasks() <= tasks:
            break
        await asyncio.sleep(0.001)
    assert asyncio.all_tasks() <= tasks
    assert _sockets() <= sockets


async def visit(
    url: str,
    step: dict[str, Any],
    *,
    iterations: int = ITERATIONS,
    spec: dict[str, Any] | None = None,
    files: dict[str, Path] | None = None,
) -> tuple[Measured, Told, list[str]]:
    """Iterates over a step named `hit` that asks `url`, and one behind it; what was measured, told, and reached."""
    told = Told()
    first = {"name": "hit", **step, "http": {"url": url, **step.get("http", {})}}
    async with nothing_left(), target() as good:
        given = spec or {}
        whole = {**given, "http": {"baseUrl": good.url, **HTTP, **given.get("http", {})}}
        steps = [first, {"name": "behind", "http": {"url": "/behind"}}]
        test = manifest(good.url, steps, spec=whole, iterations=iterations)
        measured = await drive(test, told, files=files)
    assert "Traceback" not in told.messages()
    assert all(fields.get("error") != "internal" for _, _, fields in told.notes)
    return measured, told, good.paths()


def classes(measured: Measured, metric: str) -> dict[str, float]:
    """A counter of the step `hit` by class."""
    found = {}
    for name, tags in measured.defs.values():
        if name == metric and tags.get("step") == "hit" and "error" in tags:
            found[tags["error"]] = measured.count(metric, step="hit", error=tags["error"])
    return {error: count for error, count in found.items() if count}


def failed_as(measured: Measured, told: Told, expected: set[str]) -> None:
    """Every request of `hit` failed in one of these classes, each of which has been told once."""
    errors = classes(measured, "http_req_errors")
    assert set(errors) <= expected
    assert sum(errors.values()) == ITERATIONS
    assert classes(measured, "step_failures") == errors
    assert measured.rate("http_req_failed", step="hit") == (ITERATIONS, ITERATIONS)
    assert measured.count("iterations_started") == measured.count("iterations_failed") == ITERATIONS
    told_of = [fields for _, event, fields in told.notes if event == "step_failed"]
    assert sorted(fields["error"] for fields in told_of) == sorted(errors)
    assert all(fields["step"] == "hit" and len(fields["message"]) > 10 for fields in told_of)


CHECKED = {"checks": {"says something": "len(text) > 0"}, "extract": {"x": {"regex": "(.)"}}}


@pytest.mark.parametrize("case", BAD)
async def test_every_bad_response_is_counted_as_what_it_is(case: str) -> None:
    script, expected = BAD[case]
    # Only what ends by its timeout may be short of time: a server in a thread of a busy machine is slow now and then.
    step = CHECKED if "timeout" in expected else CHECKED | {"http": {"timeout": "5s"}}
    with hostile(script) as server:
        begun = time.monotonic()
        measured, told, reached = await visit(server.url, step)
        assert server.connections == ITERATIONS
    assert time.monotonic() - begun < 20, "bounded by the timeout of the requests"
    failed_as(measured, told, {expected} if isinstance(expected, str) else set(expected))
    assert reached == []
    assert measured.rate("checks") == (0, ITERATIONS)


def moved(location: str) -> Script:
    def script(peer: Peer) -> None:
        while peer.request():
            peer.send(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %s\r\n\r\n" % location.encode())

    return script


@pytest.mark.parametrize(
    ("location", "error"),
    [
        ("/again", "too_many_redirects"),
        ("ftp://127.0.0.1/", "protocol"),
        ("http://no-such-host.invalid/", "dns"),
        ("http://[fe80::1%\xc3\xa4]/", "protocol"),
    ],
)
async def test_redirects_that_lead_nowhere(location: str, error: str) -> None:
    with hostile(moved(location)) as server:
        measured, told, _ = await visit(server.url, {})
    errors = classes(measured, "http_req_errors")
    assert errors == {error: ITERATIONS}
    assert len(told.notes) == 1
    # The hops were answered, and are counted as requests that did not fail.
    assert measured.rate("http_req_failed", step="hit")[0] == ITERATIONS


async def test_a_target_that_is_not_there() -> None:
    (port,) = free_ports(1)
    measured, told, _ = await visit(f"http://127.0.0.1:{port}", CHECKED)
    failed_as(measured, told, {"connect_refused"})
    measured, told, _ = await visit("http://no-such-host.invalid", CHECKED)
    failed_as(measured, told, {"dns"})


AUTHORITY = trustme.CA()
LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


def served(
    name: str = "127.0.0.1", authority: trustme.CA = AUTHORITY, not_after: dt.datetime | None = None
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, not_after=not_after).configure_cert(context)
    return context


HANDSHAKES: dict[str, tuple[ssl.SSLContext | None, Script, str]] = {
    "expired": (served(not_after=LONG_AGO), well_behaved, "expired"),
    "wrong host": (served("other.example"), well_behaved, "not valid for '127.0.0.1'"),
    "unknown authority": (served(authority=trustme.CA()), well_behaved, "certificate not accepted"),
    "garbage": (None, lambda peer: peer.send(b"220 mail.example ESMTP\r\n"), "handshake"),
    "plain http": (None, answers(OK), "handshake"),
    "silence": (None, lambda peer: peer.hang(), "not finished in"),
    "close": (None, lambda peer: None, ""),
    "reset": (None, lambda peer: peer.reset(), ""),
}


@pytest.mark.parametrize("case", HANDSHAKES)
async def test_a_handshake_that_fails(case: str, tmp_path: Path) -> None:
    context, script, words = HANDSHAKES[case]
    pem = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(pem))
    tls = {"http": {"tls": {"caFile": "ca"}}, "files": [{"name": "ca", "path": "ca.pem"}]}
    with hostile(script, context) as server:
        url = server.url.replace("http://", "https://")
        measured, told, _ = await visit(url, CHECKED, spec=tls, files={"ca": pem})
    # A reset may come before the handshake has begun.
    failed_as(measured, told, {"tls", "reset"} if case in ("close", "reset") else {"tls"})
    assert words in told.messages()


BOMB = gzip.compress(b"[" + b"0," * 5_000_000 + b"0]")
PACKED = HEAD + b"Content-Encoding: %s\r\nContent-Length: %d\r\n\r\n"
UNREADABLE = {
    "no JSON": (HEAD + b"Content-Length: 6\r\n\r\n{nope}", "decode", "not JSON"),
    "no body": (HEAD + b"Content-Length: 0\r\n\r\n", "decode", "not JSON"),
    "JSON nested without end": (
        HEAD + b"Content-Length: 90000\r\n\r\n" + b"[" * 90_000,
        "decode",
        "nested too deeply",
    ),
    "wrong charset": (
        HEAD
        + b'Content-Type: application/json; charset=utf-8\r\nContent-Length: 9\r\n\r\n{"a":"\xe4"}'[:-1]
        + b"}",
        "decode",
        "not JSON",
    ),
    "damaged gzip": (PACKED % (b"gzip", 30) + gzip.compress(b"{}")[:10] + b"x" * 20, "decode", "damaged"),
    "half of a gzip": (PACKED % (b"gzip", 15) + gzip.compress(b"{}")[:15], "decode", "too early"),
    "another coding": (PACKED % (b"br", 2) + b"{}", "decode", "not supported"),
    "gzip bomb": (PACKED % (b"gzip", len(BOMB)) + BOMB, "body_too_large", "larger than 102400 bytes"),
}


@pytest.mark.parametrize("case", UNREADABLE)
async def test_a_body_that_cannot_be_read_fails_the_step_that_reads_it(case: str) -> None:
    answer, error, words = UNREADABLE[case]
    with hostile(answers(*[answer] * ITERATIONS)) as server:
        step = {"checks": {"has a": "body.a == 1"}, "extract": {"x": {"jsonPath": "$.a"}}}
        measured, told, reached = await visit(server.url, step)
    # The response itself came: what failed is the step.
    assert measured.rate("http_req_failed", step="hit") == (0, ITERATIONS)
    assert classes(measured, "http_req_errors") == {}
    assert classes(measured, "step_failures") == {error: ITERATIONS}
    assert measured.count("iterations_failed") == ITERATIONS
    assert measured.rate("checks") == (0, ITERATIONS)
    assert reached == []
    by_class = {fields["error"]: fields["message"] for _, _, fields in told.notes}
    assert set(by_class) == {error, "check has a"}
    assert words in by_class[error]
    assert words in by_class["check has a"]


@pytest.mark.parametrize("case", UNREADABLE)
async def test_a_body_that_nobody_reads_does_no_harm(case: str) -> None:
    answer, _, _ = UNREADABLE[case]
    with hostile(answers(*[answer] * ITERATIONS)) as server:
        measured, told, reached = await visit(server.url, {"checks": {"came": "status == 200"}})
    assert measured.rate("http_req_failed", step="hit") == (0, ITERATIONS)
    assert measured.rate("checks") == (ITERATIONS, ITERATIONS)
    assert reached == ["/behind"] * ITERATIONS
    assert told.notes == []


async def test_text_in_a_wrong_charset_is_read_as_far_as_it_goes() -> None:
    answer = HEAD + b"Content-Type: text/plain; charset=no-such\r\nContent-Length: 7\r\n\r\nid=42 \xe4"
    with hostile(answers(*[answer] * ITERATIONS)) as server:
        step = {"checks": {"odd": "text == 'id=42 \ufffd'"}, "extract": {"x": {"regex": "id=([0-9]+)"}}}
        measured, _, reached = await visit(server.url, step)
    assert measured.rate("checks") == (ITERATIONS, ITERATIONS)
    assert reached == ["/behind"] * ITERATIONS


def _later(seconds: float) -> str:
    return format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds), usegmt=True)


def slow_down(value: bytes) -> bytes:
    return b"HTTP/1.1 429 Slow Down\r\nRetry-After: %b\r\nContent-Length: 0\r\n\r\n" % value


@pytest.mark.parametrize(
    "value", ["1", "0", "soon", "99999999999999999999", "-5", "Fri, 31 Dec 2100 23:59:59 GMT"]
)
async def test_a_429_fails_the_request_of_an_http_step_at_once(value: str) -> None:
    with hostile(answers(*[slow_down(value.encode())] * ITERATIONS)) as server:
        measured, told, _ = await visit(server.url, {})
        assert len(server.requests) == ITERATIONS
    failed_as(measured, told, {"http_4xx"})


@pytest.mark.parametrize(("as_date", "least"), [(False, 1.0), (True, 1.0)], ids=["seconds", "date"])
async def test_a_poll_waits_as_long_as_a_429_asks(as_date: bool, least: float) -> None:
    at: list[float] = []

    def script(peer: Peer) -> None:
        while peer.request():
            at.append(time.monotonic())
            # A date has whole seconds: two from now is at least one.
            peer.send(slow_down((_later(2) if as_date else "1").encode()) if len(at) == 1 else OK)

    told = Told()
    async with nothing_left(), target() as good:
        with hostile(script) as server:
            poll = {
                "http": {"url": server.url},
                "until": "status == 200",
                "interval": "10ms",
                "deadline": "10s",
            }
            spec = {"http": {"baseUrl": good.url, **HTTP}}
            measured = await drive(manifest(good.url, [{"poll": poll}], spec=spec), told)
    first, second = at
    assert second - first >= least
    assert measured.rate("job_failed") == (0, 1)
    assert told.notes == []


@pytest.mark.parametrize("value", ["60", "Fri, 31 Dec 2100 23:59:59 GMT"])
async def test_a_poll_does_not_wait_beyond_its_deadline(value: str) -> None:
    told = Told()
    async with nothing_left(), target() as good:
        with hostile(answers(slow_down(value.encode()))) as server:
            poll = {
                "http": {"url": server.url},
                "until": "status == 200",
                "interval": "10ms",
                "deadline": "300ms",
            }
            spec = {"http": {"baseUrl": good.url, **HTTP}}
            measured = await drive(manifest(good.url, [{"poll": poll}], spec=spec), told)
            assert len(server.requests) == 1
    assert measured.rate("job_failed") == (1, 1)
    assert [fields["error"] for _, _, fields in told.notes] == ["job"]


async def test_keep_alive_that_the_server_does_not_mean_is_no_failure() -> None:
    def script(peer: Peer) -> None:
        peer.answer(OK)
        if peer.index % 2 == 0:
            peer.request()  # takes the next one, and hangs up without an answer

    with hostile(script) as server:
        measured, told, reached = await visit(server.url, {"checks": {"ok": "status == 200"}}, iterations=6)
    assert measured.rate("http_req_failed", step="hit") == (0, 6)
    assert measured.rate("checks") == (6, 6)
    assert len(reached) == 6
    assert measured.count("http_retries") > 0
    assert told.notes == []


async def test_cookies_that_are_doubled_huge_and_odd_do_no_harm() -> None:
    lines = [b"Set-Cookie: a=%d; Path=/" % number for number in range(400)]
    lines += [b"Set-Cookie: c%d=%s" % (number, b"x" * 5) for number in range(400)]
    lines += [b"Set-Cookie: huge=" + b"x" * 9000, b"Set-Cookie: a=b; expires=09 Feb " + b"9" * 5000]
    answer = b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"Content-Length: 2", b"", b"ok"])
    with hostile(answers(*[answer] * ITERATIONS)) as server:
        measured, told, reached = await visit(server.url, {"extract": {"x": {"cookie": "c399"}}})
        assert server.requests[1].count(b"Cookie: ") == 1
    assert measured.rate("http_req_failed", step="hit") == (0, ITERATIONS)
    assert len(reached) == ITERATIONS
    assert told.notes == []
