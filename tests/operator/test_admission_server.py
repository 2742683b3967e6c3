"""The webhook's endpoint: whatever comes, an answer in time, and never a verdict that is none."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from prometheus_client import generate_latest
from support.certificates import Authority

from squall.errors import UsageError
from squall.kube.api import KubeError
from squall_operator.admission import server
from squall_operator.admission.webhook import Webhook
from squall_operator.settings import RunnerDefaults, Settings, WebhookSettings
from squall_operator.telemetry import Telemetry

ALLOWED = {"response": {"uid": "u", "allowed": True}}
REFUSED = {"response": {"uid": "u", "allowed": False}}


class Answers:
    """A desk that answers, fails or waits as it is told."""

    def __init__(self) -> None:
        self.will: Any = ALLOWED
        self.may = asyncio.Event()
        self.may.set()
        self.asked = 0

    async def answer(self, asked: Any) -> Any:
        assert asked == {"request": {}}
        self.asked += 1
        await self.may.wait()
        if isinstance(self.will, Exception):
            raise self.will
        return self.will


class Called:
    """An endpoint and a client that trusts it."""

    def __init__(self, session: aiohttp.ClientSession, url: str, telemetry: Telemetry) -> None:
        self.session, self.url, self.telemetry = session, url, telemetry

    async def post(self, **given: Any) -> tuple[int, str]:
        given = given or {"json": {"request": {}}}
        async with self.session.post(self.url, **given) as response:
            return response.status, await response.text()

    def count(self, outcome: str) -> float:
        name = f'squall_operator_review_seconds_count{{outcome="{outcome}"}}'
        for line in generate_latest(self.telemetry.registry).decode().splitlines():
            if line.startswith(name):
                return float(line.rpartition(" ")[2])
        return 0.0


@asynccontextmanager
async def called(desk: Answers, folder: Path, port: int) -> AsyncIterator[Called]:
    authority = Authority(folder)
    pair = authority.issue("webhook", name="webhook", hosts=("127.0.0.1",))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    telemetry = Telemetry(structlog.get_logger())
    web = await server.serve_reviews(desk, telemetry, ("127.0.0.1", port), context)  # type: ignore[arg-type]
    trusting = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(authority.certificate)))
    try:
        async with aiohttp.ClientSession(connector=trusting) as session:
            yield Called(session, f"https://127.0.0.1:{port}{server.PATH}", telemetry)
    finally:
        await web.cleanup()


async def test_what_is_judged_is_answered(tmp_path: Path, unused_tcp_port: int) -> None:
    desk = Answers()
    async with called(desk, tmp_path, unused_tcp_port) as webhook:
        status, text = await webhook.post()
        assert (status, '"allowed":true' in text) == (200, True)
        desk.will = REFUSED
        assert (await webhook.post())[0] == 200
        assert (webhook.count("allowed"), webhook.count("refused"), webhook.count("error")) == (1, 1, 0)
        async with webhook.session.get(webhook.url) as response:
            assert response.status == 405


@pytest.mark.parametrize(
    ("will", "status", "says"),
    [
        (ValueError("this is no AdmissionReview"), 400, "no AdmissionReview"),
        (KubeError(0, "the Kubernetes API does not answer"), 503, "the Kubernetes API does not answer"),
        (RuntimeError("secret detail"), 500, "a defect: RuntimeError"),
        (RecursionError(), 500, "a defect"),
    ],
)
async def test_what_cannot_be_judged_is_an_error(
    tmp_path: Path, unused_tcp_port: int, will: Exception, status: int, says: str
) -> None:
    desk = Answers()
    desk.will = will
    async with called(desk, tmp_path, unused_tcp_port) as webhook:
        found = await webhook.post()
        assert found[0] == status
        assert says in found[1]
        assert "secret detail" not in found[1]
        assert webhook.count("error") == 1
        desk.will = ALLOWED
        assert (await webhook.post())[0] == 200


async def test_bytes_that_are_no_json_or_too_many(tmp_path: Path, unused_tcp_port: int) -> None:
    desk = Answers()
    async with called(desk, tmp_path, unused_tcp_port) as webhook:
        assert (await webhook.post(data=b"{"))[0] == 400
        assert (await webhook.post(data=b"\xff"))[0] == 400
        assert (await webhook.post(data=b"[" * 100_000))[0] == 400
        assert (await webhook.post(data=BytesIO(b" " * (server.MOST_BYTES + 1))))[0] == 413
        assert desk.asked == 0
        assert (await webhook.post(data=BytesIO(b" " * (server.MOST_BYTES - 100) + b'{"request":{}}')))[
            0
        ] == 200


async def test_an_answer_that_does_not_come_is_given_up(
    tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SECONDS", 0.05)
    desk = Answers()
    desk.may.clear()
    async with called(desk, tmp_path, unused_tcp_port) as webhook:
        assert await webhook.post() == (503, "not judged within 0.05 s")
        desk.may.set()
        assert (await webhook.post())[0] == 200


async def test_only_so_many_are_taken_at_once(tmp_path: Path, unused_tcp_port: int) -> None:
    desk = Answers()
    desk.may.clear()
    async with called(desk, tmp_path, unused_tcp_port) as webhook:
        waiting = [asyncio.create_task(webhook.post()) for _ in range(server.AT_ONCE)]
        async with asyncio.timeout(20):
            while desk.asked < server.AT_ONCE:
                await asyncio.sleep(0.01)
        assert await webhook.post() == (503, "too many reviews at once")
        assert webhook.count("error") == 1
        desk.may.set()
        assert {status for status, _ in await asyncio.gather(*waiting)} == {200}


# -- from the first certificate to the end of the process -----------------------------------------------------


def webhook(folder: Path, port: int) -> Webhook:
    files = (folder / "webhook.crt", folder / "webhook.key")
    given = WebhookSettings(
        address=("127.0.0.1", port), host="", configuration="squall", namespace="default", files=files
    )
    settings = Settings(hubs=(), hub_key=b"k", runner=RunnerDefaults(image="r"), webhook=given)
    return Webhook(None, settings, Telemetry(structlog.get_logger()))  # type: ignore[arg-type]


async def test_it_is_served_a_little_longer_than_the_work_lasts(
    tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("squall_operator.admission.webhook.GOING_SECONDS", 60.0)
    authority, told = Authority(tmp_path), asyncio.Event()
    authority.issue("webhook", name="webhook", hosts=("127.0.0.1",))
    served = webhook(tmp_path, unused_tcp_port)
    ended: list[bool] = []

    async def work() -> None:
        await told.wait()
        ended.append(True)

    during = asyncio.create_task(served.during(work()))
    trusting = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(authority.certificate)))
    try:
        async with asyncio.timeout(30), aiohttp.ClientSession(connector=trusting) as session:
            while not served.serves:
                await asyncio.sleep(0.01)
            told.set()
            while not ended:
                await asyncio.sleep(0.01)
            url = f"https://127.0.0.1:{unused_tcp_port}{server.PATH}"
            async with session.post(url, json={}) as response:
                assert (response.status, "no AdmissionReview" in await response.text()) == (400, True)
    finally:
        during.cancel()
        await asyncio.gather(during, return_exceptions=True)
    assert not served.serves


async def test_files_that_hold_no_certificate_end_the_work_with_a_reason(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    stopped: list[bool] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(True)

    with pytest.raises(UsageError, match=r"webhook\.crt"):
        await webhook(tmp_path, unused_tcp_port).during(work())
    assert stopped == [True]


async def test_without_a_webhook_there_is_only_the_work() -> None:
    settings = Settings(hubs=(), hub_key=b"k", runner=RunnerDefaults(image="r"))
    none = Webhook(None, settings, Telemetry(structlog.get_logger()))  # type: ignore[arg-type]
    assert none.serves

    async def work() -> None:
        raise RuntimeError("as it went")

    with pytest.raises(RuntimeError, match="as it went"):
        await none.during(work())
