"""When a token is renewed, in virtual time: what the server is asked, and when."""

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall_runner.auth import Grant, TokenError, TokenSource
from squall_runner.auth.source import FIRST_PAUSE, LONGEST_PAUSE, pause_after
from squall_runner.http import Request, Response, parse_url

pytestmark = pytest.mark.looptime
SECRET = "hunter2"


@dataclass
class Server:
    """Answers at once, or after `delay`; remembers when it was asked."""

    lifetime: float | None = 100.0
    status: int = 200
    delay: float = 0.0
    same: bool = False
    asked: list[float] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    async def send(self, request: Request) -> Response:
        self.asked.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.delay)
        number = 0 if self.same else len(self.asked)
        body: dict[str, Any] = {"access_token": f"t{number}", "token_type": "Bearer"}
        if self.lifetime is not None:
            body["expires_in"] = self.lifetime
        if self.status != 200:
            body = {"error": "temporarily_unavailable", "error_description": f"not for {SECRET}"}
        seen = SimpleNamespace(
            error="",
            error_message="",
            status=self.status,
            reason="Said",
            request=request,
            json=lambda: body,
        )
        return cast("Response", seen)

    def source(self, refresh_before: float = 30.0) -> TokenSource:
        origin, target = parse_url("http://login.example/token")
        return TokenSource(
            Grant(origin, target, "a", SECRET, refresh_before=refresh_before),
            send=self.send,
            clock=asyncio.get_running_loop().time,
            on_answer=self.answers.append,
            on_trouble=self.troubles.append,
            mask=lambda text: text.replace(SECRET, "***"),
        )


def refused(source: TokenSource, line: bytes | None = None) -> Response:
    """A 401 for a request that showed a token, by default the current one."""
    headers = b"Host: h\r\n" + (source.line if line is None else line)
    return cast("Response", SimpleNamespace(status=401, request=SimpleNamespace(headers=headers)))


async def run(source: TokenSource, seconds: float) -> None:
    """Keep a token for a while."""
    keeper = asyncio.create_task(source.keep())
    await asyncio.sleep(seconds)
    keeper.cancel()
    await asyncio.wait([keeper])


async def test_a_token_is_renewed_before_it_expires():
    server = Server()
    source = server.source()
    await source.fetch()
    first = source.line
    await run(source, 215)
    assert server.asked == pytest.approx([0, 70, 140, 210])
    assert (first, source.line) == (b"Authorization: Bearer t1\r\n", b"Authorization: Bearer t4\r\n")
    assert server.answers == [""] * 4


async def test_a_short_token_is_renewed_at_half_of_its_life():
    server = Server(lifetime=10)
    source = server.source()
    await source.fetch()
    await run(source, 16)
    assert server.asked == pytest.approx([0, 5, 10, 15])


async def test_the_life_of_a_token_begins_when_it_was_asked_for():
    server = Server(delay=20)
    source = server.source()
    await source.fetch()
    await run(source, 60)
    assert server.asked == pytest.approx([0, 70])


async def test_a_token_without_an_end_is_renewed_only_when_it_is_refused():
    server = Server(lifetime=None)
    source = server.source()
    await source.fetch()
    await run(source, 100_000)
    assert server.asked == [0]
    keeping = asyncio.create_task(run(source, 50))
    await asyncio.sleep(10)
    assert len(server.asked) == 1
    source.answered(refused(source))
    await keeping
    assert server.asked == pytest.approx([0, 100_010])


async def test_many_refusals_ask_once():
    server = Server(lifetime=None, delay=3)
    source = server.source()
    await source.fetch()
    keeping = asyncio.create_task(run(source, 60))
    old = source.line
    for _ in range(50):
        source.answered(refused(source, old))
        await asyncio.sleep(0.1)
    await keeping
    assert len(server.asked) == 2
    assert source.line != old


async def test_a_refusal_of_another_token_means_nothing():
    server = Server(lifetime=None)
    source = server.source()
    source.answered(refused(source))
    await source.fetch()
    keeping = asyncio.create_task(run(source, 30))
    source.answered(refused(source, b"Authorization: Bearer t0\r\n"))
    source.answered(refused(source, b""))
    await keeping
    assert len(server.asked) == 1


@pytest.mark.parametrize("same", [True, False])
async def test_a_target_that_refuses_every_token_makes_it_ask_ever_less_often(same):
    server = Server(lifetime=None, same=same)
    source = server.source()
    await source.fetch()
    keeping = asyncio.create_task(run(source, 130))
    while not keeping.done():
        source.answered(refused(source))
        await asyncio.sleep(0.01)
    gaps = [after - before for before, after in zip(server.asked[1:], server.asked[2:], strict=False)]
    assert gaps == pytest.approx([1, 2, 4, 8, 16, 32, 60], abs=0.03)


async def test_a_renewal_that_fails_is_tried_again_and_told_once():
    server = Server()
    source = server.source()
    await source.fetch()
    server.status = 503
    keeping = asyncio.create_task(run(source, 150))
    await asyncio.sleep(90)
    assert source.value == "t1"
    server.status = 200
    await keeping
    assert server.asked[:6] == pytest.approx([0, 70, 71, 73, 77, 85])
    assert server.answers[:7] == ["", "http_5xx", "http_5xx", "http_5xx", "http_5xx", "http_5xx", ""]
    assert source.value != "t1"
    (told,) = server.troubles
    assert "503 Said: temporarily_unavailable (not for ***)" in told


async def test_a_token_that_cannot_be_got_names_no_secret():
    server = Server(status=400)
    source = server.source()
    with pytest.raises(TokenError, match="temporarily_unavailable") as caught:
        await source.fetch()
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert source.line == b""


@given(st.lists(st.sampled_from(["ok", "fail", "refused"]), max_size=40))
def test_pauses_are_bounded(outcomes: list[str]) -> None:
    in_vain = 0
    for outcome in outcomes:
        before = pause_after(in_vain)
        in_vain = 0 if outcome == "ok" else in_vain + 1
        pause = pause_after(in_vain)
        assert FIRST_PAUSE <= pause <= LONGEST_PAUSE
        assert pause >= before or outcome == "ok"
    assert pause_after(10**9) == LONGEST_PAUSE
