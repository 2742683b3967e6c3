"""A receiver that is away, slow, wants patience or refuses: what is tried again, what is counted, and that nobody waits."""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority
from support.receiver import serving, until

from squall.errors import UsageError
from squall.export.exporter import Exporter
from squall.export.model import Form, Receiver, RemoteWrite
from squall.export.sending import patience_of, tls_context
from squall.export.wire import HEADERS
from squall.metrics.names import BUILT_IN
from squall.metrics.series import Counter, SeriesKey

SECOND = 1_000_000_000
KEY = SeriesKey.of("http_reqs", scenario="a")


@asynccontextmanager
async def exporting(
    url: str, *, buffer_bytes: int = 1 << 20, **receiver: Any
) -> AsyncIterator[tuple[Exporter, list[tuple[str, str, str]]]]:
    said: list[tuple[str, str, str]] = []
    settings = RemoteWrite(receiver=Receiver(url=url, **receiver), form=Form(), buffer_bytes=buffer_bytes)
    exporter = Exporter(
        settings, BUILT_IN, (("run", "r1"),), clock=time.time_ns, say=lambda *words: said.append(words)
    )
    exporter.start()
    try:
        yield exporter, said
    finally:
        await exporter.close()


async def push(exporter: Exporter, second: int, value: float) -> None:
    await until(lambda: exporter.takes(second * SECOND))
    assert exporter.push(second * SECOND, 0, [(KEY, Counter(value))])


async def test_headers_are_those_of_the_protocol() -> None:
    async with (
        serving() as played,
        exporting(played.url, authorization=lambda: "Bearer t", tenant="shop") as made,
    ):
        exporter, said = made
        await push(exporter, 1, 1)
        await until(lambda: played.taken)
    headers = played.requests[0].headers
    assert {name: headers[name] for name in HEADERS} == HEADERS
    assert headers["Authorization"] == "Bearer t"
    assert headers["X-Scope-OrgID"] == "shop"
    assert headers["User-Agent"].startswith("squall/")
    assert not said


async def test_a_receiver_that_is_away_gets_everything_in_order_once_it_is_back(unused_tcp_port: int) -> None:
    async with exporting(f"http://127.0.0.1:{unused_tcp_port}/write") as (exporter, said):
        for second in range(1, 6):
            await push(exporter, second, second)
        await until(lambda: exporter.counts.retries > 1)
        async with serving(unused_tcp_port) as played:
            assert await exporter.finish(6 * SECOND, 0, [(KEY, Counter(6))]) == ()
            values = played.values()[:7]
    assert values == [(0, 0), *((second * 1000, second) for second in range(1, 7))]
    assert [event for _, event, _ in said] == ["RemoteWriteFails", "RemoteWriteWorks"]


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_what_may_get_better_is_sent_again_unchanged(status: int) -> None:
    async with serving() as played, exporting(played.url) as (exporter, _):
        played.answers = [(status, {}), (status, {})]
        await push(exporter, 1, 1)
        await until(lambda: played.taken)
    first, second, third, *_ = [await each.read() for each in played.requests]
    assert first == second == third == played.taken[0]
    assert (exporter.counts.retries, exporter.counts.refused) == (2, 0)


async def test_patience_that_is_asked_for_is_given() -> None:
    async with serving() as played, exporting(played.url) as (exporter, _):
        played.answers = [(429, {"Retry-After": "1"})]
        began = time.monotonic()
        await push(exporter, 1, 1)
        await until(lambda: played.taken)
        assert time.monotonic() - began >= 1.0


async def test_the_last_chance_is_not_slept_through() -> None:
    async with serving() as played, exporting(played.url) as (exporter, _):
        played.answers = [(503, {"Retry-After": "60"})]
        await push(exporter, 1, 1)
        await until(lambda: exporter.counts.retries)
        began = time.monotonic()
        assert await exporter.finish(2 * SECOND, 0, [(KEY, Counter(2))]) == ()
        assert time.monotonic() - began < 3
    assert (2000, 2) in played.values()


@pytest.mark.parametrize("status", [400, 401, 404, 302])
async def test_what_is_refused_is_counted_said_once_and_not_sent_again(status: int) -> None:
    async with serving() as played, exporting(played.url) as (exporter, said):
        played.answers = [(status, {"Location": "/write"}), (status, {})]
        await push(exporter, 1, 1)
        await push(exporter, 2, 2)
        await push(exporter, 3, 3)
        losses = await exporter.finish(4 * SECOND, 0, [(KEY, Counter(4))])
    assert exporter.counts.retries == 0
    assert exporter.counts.refused > 0
    assert losses == (f"the receiver of metrics refused {exporter.counts.refused:,} samples",)
    assert [event for _, event, _ in said] == ["RemoteWriteRefused"]
    assert f"status {status}: no, thanks" in said[0][2]
    assert (3000, 3) in played.values()


async def test_a_receiver_that_never_answers_holds_nobody_up() -> None:
    async with serving() as played, exporting(played.url) as (exporter, _):
        played.delay = 60
        for second in range(1, 5):
            began = time.monotonic()
            await push(exporter, second, second)
            assert time.monotonic() - began < 0.5
        began = time.monotonic()
        (loss,) = await exporter.finish(5 * SECOND, 0, [(KEY, Counter(5))], seconds=0.3)
        assert time.monotonic() - began < 2
    assert loss.split()[0] == str(exporter.counts.dropped)
    assert "did not reach the receiver" in loss
    assert loss.endswith(": no answer")


@pytest.mark.parametrize("status", [204, 400])
async def test_an_answer_that_comes_too_late_changes_nothing(status: int) -> None:
    async with serving() as played, exporting(played.url) as (exporter, said):
        played.delay, played.answers = 1.0, [(status, {})]
        await push(exporter, 1, 1)
        await until(lambda: played.requests)
        (loss,) = await exporter.finish(2 * SECOND, 0, [(KEY, Counter(2))], seconds=0.2)
        told = exporter.counts.dropped
        await until(lambda: played.answered)
        played.delay = 0
        async with exporting(played.url) as (other, _):
            assert await other.finish(SECOND, 0, [(KEY, Counter(1))]) == ()
        assert loss.split()[0] == str(told)
        assert (exporter.counts.sent, exporter.counts.refused, exporter.counts.dropped) == (0, 0, told)
        assert not exporter.fails
    assert said == []


async def test_a_receiver_that_takes_some_and_refuses_others_is_spoken_of_once() -> None:
    async with serving() as played, exporting(played.url) as (exporter, said):
        played.answers = [(400 if each % 2 else 204, {}) for each in range(20)]
        for second in range(1, 20):
            await push(exporter, second, second)
        await exporter.finish(20 * SECOND, 0, [(KEY, Counter(20))])
    assert exporter.counts.refused > 50
    assert [event for _, event, _ in said] == ["RemoteWriteRefused"]


async def test_a_receiver_that_wants_patience_now_and_then_is_spoken_of_seldom() -> None:
    async with serving() as played, exporting(played.url) as (exporter, said):
        played.answers = [(429 if each % 2 else 204, {}) for each in range(12)]
        for second in range(1, 6):
            await push(exporter, second, second)
        assert await exporter.finish(6 * SECOND, 0, [(KEY, Counter(6))]) == ()
    assert exporter.counts.retries == 6
    assert [event for _, event, _ in said] == ["RemoteWriteFails", "RemoteWriteWorks"]


async def test_a_buffer_that_is_full_drops_the_oldest_and_says_so(unused_tcp_port: int) -> None:
    async with exporting(f"http://127.0.0.1:{unused_tcp_port}/write", buffer_bytes=3000) as (exporter, said):
        for second in range(1, 40):
            await push(exporter, second, second)
        async with serving(unused_tcp_port) as played:
            (loss,) = await exporter.finish(40 * SECOND, 0, [(KEY, Counter(40))])
            values = played.values()
    assert "did not reach" in loss
    assert [event for _, event, _ in said if event == "RemoteWriteDrops"] == ["RemoteWriteDrops"]
    # The totals are right in spite of it: what came last holds all that was dropped.
    assert values[-2] == (40_000, 40)
    assert len(values) < 40


async def test_health_is_told() -> None:
    async with serving() as played, exporting(played.url) as (exporter, _):
        await push(exporter, 1, 1)
        await until(lambda: exporter.counts.sent)
        await push(exporter, 2, 1)
        await until(lambda: len(played.taken) > 2)
    assert played.values("squall_remote_write_samples_sent_total")[1][1] == 11
    assert played.values("squall_remote_write_series")[1][1] == 1


@pytest.mark.parametrize(
    ("policies", "allowed"),
    [
        ((), True),
        ((("127.0.0.0/8",),), True),
        ((("*",),), True),
        ((("127.0.0.0/8",), ("10.0.0.0/8",)), False),
        ((("shop.example",),), False),
    ],
)
async def test_policies_say_where_pushing_may_go(
    policies: tuple[tuple[str, ...], ...], *, allowed: bool
) -> None:
    async with serving() as played:
        for url in (played.url, played.url.replace("127.0.0.1", "localhost")):
            async with exporting(url, policies=policies) as (exporter, _):
                played.taken.clear()
                losses = await exporter.finish(SECOND, 0, [(KEY, Counter(1))], seconds=5 if allowed else 0.5)
                assert bool(played.taken) is allowed
                assert bool(losses) is not allowed
                assert allowed or "policy" in losses[0]


async def test_a_lookup_that_takes_for_ever_keeps_no_process() -> None:
    script = """
import asyncio, socket, threading, time
from squall.export.exporter import Exporter
from squall.export.model import Receiver, RemoteWrite
from squall.metrics.names import BUILT_IN

asked = []
def never(*question, **options):
    asked.append(question)
    threading.Event().wait()

async def main():
    loop = asyncio.get_running_loop()
    settings = RemoteWrite(receiver=Receiver(url="http://receiver.example/write"))
    exporter = Exporter(settings, BUILT_IN, (), clock=time.time_ns, say=lambda *words: None)
    exporter.start()
    print(*await exporter.finish(time.time_ns(), 0, [], seconds=0.5), len(asked))

socket.getaddrinfo = never
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(30):
            told, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert b"did not reach" in told
    assert told.split()[-1] == b"1"
    assert process.returncode == 0


async def test_tls_is_verified(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("server", name="bench", hosts=("127.0.0.1",))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    async with serving(context=context) as played:
        async with exporting(played.url) as (exporter, said):
            assert await exporter.finish(SECOND, 0, [(KEY, Counter(1))], seconds=0.5)
            assert "certificate" in said[0][2].lower()
        async with exporting(played.url, ca_file=str(authority.certificate)) as (exporter, _):
            assert not await exporter.finish(SECOND, 0, [(KEY, Counter(1))])
        async with exporting(played.url, insecure_skip_verify=True) as (exporter, _):
            assert not await exporter.finish(SECOND, 0, [(KEY, Counter(1))])


async def test_a_certificate_is_presented_to_a_receiver_that_wants_one(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, client = (authority.issue(name, name=name, hosts=("127.0.0.1",)) for name in ("server", "client"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.certificate))
    context.load_cert_chain(server.certificate, server.key)
    context.verify_mode = ssl.CERT_REQUIRED
    trusted = {"ca_file": str(authority.certificate)}
    shown = {"cert_file": str(client.certificate), "key_file": str(client.key)}
    async with serving(context=context) as played:
        async with exporting(played.url, **trusted) as (exporter, _):
            assert await exporter.finish(SECOND, 0, [(KEY, Counter(1))], seconds=0.5)
        assert not played.requests
        async with exporting(played.url, **trusted, **shown) as (exporter, _):
            assert not await exporter.finish(SECOND, 0, [(KEY, Counter(1))])
        assert played.taken


def test_files_that_hold_nothing_are_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(UsageError, match=r"ca\.pem"):
        tls_context(Receiver(url="https://h/", ca_file=str(tmp_path / "ca.pem")))


def test_retry_after_is_read_in_both_forms() -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    assert patience_of("7", now) == 7
    assert patience_of(format_datetime(now + timedelta(seconds=9), usegmt=True), now) == 9
    assert patience_of("9999", now) == 60
    assert patience_of("", now) == patience_of("soon", now) == patience_of("-3", now) == 0


async def test_a_second_that_was_cut_short_or_was_pushed_before_is_left_out() -> None:
    async with serving() as played, exporting(played.url) as (exporter, _):
        now = time.time_ns()
        assert not exporter.push(now + SECOND, 0, [(KEY, Counter(1))]), "it is not over yet"
        assert exporter.push(now + SECOND // 20, 0, [(KEY, Counter(1))]), (
            "clocks are not known better than that"
        )
        await until(lambda: exporter.takes(now + SECOND // 20 + 1_000_000))
        assert not exporter.push(now, 0, [(KEY, Counter(2))])


async def test_a_defect_is_said_once_and_ends_the_pushing_alone() -> None:
    async with serving() as played, exporting(played.url) as (exporter, said):
        for _ in range(2):
            with exporter.harmless():
                raise KeyError("series")
        assert [(level, event) for level, event, _ in said] == [("warning", "RemoteWriteDefect")]
        assert "KeyError: 'series'" in said[0][2]
        assert not exporter.push(SECOND, 0, [(KEY, Counter(1))])
        async with asyncio.timeout(2):
            assert await exporter.finish(2 * SECOND, 0, [(KEY, Counter(1))], seconds=60) == ()
