"""A runner that speaks the protocol and makes no load: tests decide what it says and when."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from squall.hub import protocol
from squall.metrics.histogram import Histogram
from squall.metrics.names import Kind
from squall.metrics.snapshot import SeriesDef, Snapshot, encode, pack

SECOND = 1_000_000_000


def manifest(**spec: Any) -> dict[str, Any]:
    """A LoadTest of one VU for a minute, with parts of its spec replaced."""
    made: dict[str, Any] = {
        "scenarios": [
            {
                "name": "s",
                "executor": "constant-vus",
                "vus": 2,
                "duration": "60s",
                "steps": [{"name": "get", "http": {"url": "http://127.0.0.1:1/"}}],
            }
        ]
    }
    made |= spec
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": "test"},
        "spec": made,
    }


@dataclass
class Numbers:
    """What a simulated runner has measured so far."""

    runner: int
    attempt: str
    requests: int = 0
    failed: int = 0
    duration: Histogram = field(default_factory=Histogram)
    defined: bool = False

    def slot(
        self, slot: int, requests: int = 10, *, seconds: float = 0.1, failed: int = 0, full: bool = False
    ) -> Snapshot:
        """The snapshot of a slot in which so many requests took so long each."""
        self.requests += requests
        self.failed += failed
        for _ in range(requests):
            self.duration.record(seconds)
        tags = (("scenario", "s"),)
        defs = [
            SeriesDef(0, "http_reqs", Kind.COUNTER, tags),
            SeriesDef(1, "http_req_failed", Kind.RATE, tags),
            SeriesDef(2, "http_req_duration", Kind.TREND, tags),
            SeriesDef(3, "vus", Kind.GAUGE, tags),
        ]
        made = Snapshot(
            runner=self.runner,
            attempt=self.attempt,
            slot=slot,
            defs=[] if self.defined and not full else defs,
            counters=[(0, float(self.requests))],
            rates=[(1, self.failed, self.requests)],
            gauges=[(3, 1.0, 1.0, 1.0)],
            trends=[(2, pack(self.duration))] if self.requests else [],
        )
        self.defined = True
        return made


class FakeRunner:
    """One connection of a simulated runner."""

    def __init__(
        self,
        url: str,
        run: str,
        token: str,
        index: int = 0,
        *,
        shards: tuple[int, ...] = (0,),
        attempt: str = "a",
        clock_offset_ns: int = 0,
        trust: str = "",
    ) -> None:
        self._trust = ssl.create_default_context(cafile=trust) if trust else True
        self.url = url.rstrip("/") + protocol.PATH.format(run=run)
        self.token = token
        self.index = index
        self.shards = shards
        self.attempt = attempt
        self.offset_ns = clock_offset_ns
        self.numbers = Numbers(index, attempt)
        self.heard: list[Any] = []
        self.start_ns: int | None = None
        self.close_code: int | None = None
        self._news = asyncio.Condition()
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reader: asyncio.Task[None] | None = None

    def clock(self) -> int:
        return time.monotonic_ns() + self.offset_ns

    async def connect(self, **hello: Any) -> None:
        self._session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {self.token}"})
        self._socket = await self._session.ws_connect(self.url, ssl=self._trust)
        first = {
            "version": protocol.VERSION,
            "runner": self.index,
            "attempt": self.attempt,
            "shards": self.shards,
            "now_ns": self.clock(),
            "started_ns": self.start_ns,
        }
        await self.send(protocol.Hello(**(first | hello)))
        self._reader = asyncio.create_task(self._read(self._socket))

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.BINARY:
                break
            heard = protocol.from_hub(message.data)
            if isinstance(heard, protocol.Ping):
                await self.send(protocol.Pong(heard.sent_ns, self.clock()))
            if isinstance(heard, protocol.Start):
                self.start_ns = heard.at_ns
            await self._add(heard)
        self.close_code = socket.close_code
        await self._add(None)

    def listen_no_more(self) -> None:
        """Take nothing from the connection, and keep it open."""
        assert self._reader is not None
        self._reader.cancel()

    async def _add(self, heard: Any) -> None:
        async with self._news:
            self.heard.append(heard)
            self._news.notify_all()

    async def send(self, message: protocol.Message) -> None:
        await self.send_raw(protocol.encode(message))

    async def send_raw(self, frame: bytes) -> None:
        assert self._socket is not None
        await self._socket.send_bytes(frame)

    async def send_slot(self, snapshot: Snapshot) -> None:
        await self.send_raw(protocol.measured(encode(snapshot)))

    async def wait_for(self, kind: type, timeout: float = 10.0) -> Any:  # noqa: ASYNC109
        """The first message of a kind that was heard; None for the end of the connection."""

        def found() -> bool:
            return any(isinstance(each, kind) for each in self.heard)

        async with asyncio.timeout(timeout), self._news:
            await self._news.wait_for(found)
        return next(each for each in self.heard if isinstance(each, kind))

    async def wait_closed(self, timeout: float = 10.0) -> int | None:  # noqa: ASYNC109
        await self.wait_for(type(None), timeout)
        return self.close_code

    async def until_slot_end(self, slot: int) -> None:
        assert self.start_ns is not None
        left = self.start_ns + (slot + 1) * SECOND - self.clock()
        await asyncio.sleep(max(0, left) / SECOND)

    async def live(self, slots: int) -> None:
        """Be ready, then deliver so many slots, fewer when told to stop, and finish."""
        await self.connect()
        await self.send(protocol.Ready())
        await self.wait_for(protocol.Start)
        for slot in range(slots):
            await self.until_slot_end(slot)
            await self.send_slot(self.numbers.slot(slot))
            if any(isinstance(heard, protocol.Stop) for heard in self.heard):
                break
        await self.send(protocol.Finished(0))

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()
        if self._reader is not None:
            await asyncio.gather(self._reader, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
