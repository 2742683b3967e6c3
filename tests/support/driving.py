"""An engine against a real server: what was sent, and what was measured of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from squall.hub.protocol import Assignment
from squall.metrics.histogram import Histogram
from squall.metrics.names import BUILT_IN
from squall.metrics.snapshot import Snapshot, unpack
from squall_runner.engine import Engine
from squall_runner.load import Hooks

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Seen:
    """A request as the server saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float


@dataclass
class Target:
    """A server on loopback that remembers what it was asked."""

    url: str = ""
    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    answers_all: Any = field(default_factory=dict)

    def answer(
        self,
        path: str,
        *,
        status: int = 200,
        json: Any = None,
        delay: float = 0,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Answer requests to `path` like this."""

        async def handle(_: web.Request) -> web.StreamResponse:
            await asyncio.sleep(delay)
            return web.json_response({} if json is None else json, status=status, headers=headers)

        self.answers[path] = handle

    def paths(self) -> list[str]:
        return [seen.path for seen in self.seen]


@asynccontextmanager
async def target() -> AsyncIterator[Target]:
    """A running `Target`; paths without an answer of their own get `answers_all` as JSON."""
    server = Target()

    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        server.seen.append(
            Seen(request.method, request.path_qs, dict(request.headers), body, time.monotonic())
        )
        known = server.answers.get(request.path)
        return await known(request) if known else web.json_response(server.answers_all)

    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    server.url = f"http://127.0.0.1:{server.port}"
    try:
        yield server
    finally:
        await runner.cleanup()


@dataclass
class Told:
    """What an engine said through its hooks."""

    notes: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    aborts: list[tuple[str, str]] = field(default_factory=list)
    probes: list[tuple[bool, str]] = field(default_factory=list)

    def hooks(self) -> Hooks:
        return Hooks(
            note=lambda level, event, **fields: self.notes.append((level, event, fields)),
            abort=lambda reason, message: self.aborts.append((reason, message)),
            probe=lambda ok, message: self.probes.append((ok, message)),
        )

    def messages(self) -> str:
        return "\n".join(str(fields) for _, _, fields in self.notes)


class Measured:
    """A snapshot by names; selectors are a metric and tags that must be there."""

    def __init__(self) -> None:
        self.defs: dict[int, tuple[str, dict[str, str]]] = {}
        self.counters: dict[int, float] = {}
        self.rates: dict[int, tuple[int, int]] = {}
        self.trends: dict[int, Histogram] = {}
        self.gauges: dict[int, tuple[float, float, float]] = {}

    def take(self, snapshot: Snapshot) -> Measured:
        self.defs.update({d.id: (d.metric, dict(d.tags)) for d in snapshot.defs})
        self.counters.update(dict(snapshot.counters))
        self.rates.update({number: (hits, total) for number, hits, total in snapshot.rates})
        self.trends.update({number: unpack(wire) for number, wire in snapshot.trends})
        self.gauges.update({number: (last, low, high) for number, last, low, high in snapshot.gauges})
        return self

    def _ids(self, metric: str, tags: dict[str, str]) -> list[int]:
        return [
            number
            for number, (name, own) in self.defs.items()
            if name == metric and tags.items() <= own.items()
        ]

    def count(self, metric: str, **tags: str) -> float:
        return sum(self.counters[number] for number in self._ids(metric, tags) if number in self.counters)

    def rate(self, metric: str, **tags: str) -> tuple[int, int]:
        found = [self.rates[number] for number in self._ids(metric, tags) if number in self.rates]
        return sum(hits for hits, _ in found), sum(total for _, total in found)

    def trend(self, metric: str, **tags: str) -> Histogram:
        merged = Histogram()
        for number in self._ids(metric, tags):
            if number in self.trends:
                merged.merge(self.trends[number])
        return merged

    def gauge(self, metric: str, **tags: str) -> tuple[float, float, float]:
        (number,) = self._ids(metric, tags)
        return self.gauges[number]

    def unknown(self, own: set[str]) -> set[str]:
        """Metrics that the catalogue does not know."""
        return {metric for metric, _ in self.defs.values()} - set(BUILT_IN) - own


def manifest(
    url: str, steps: list[dict[str, Any]], *, spec: dict[str, Any] | None = None, **scenario: Any
) -> dict[str, Any]:
    """A LoadTest with one scenario; by default one VU that iterates once."""
    fields = {"name": "main", "executor": "per-vu-iterations", "iterations": 1, "steps": steps, **scenario}
    if fields["executor"] != "per-vu-iterations":
        fields.pop("iterations") if "iterations" not in scenario else None
    whole = {"http": {"baseUrl": url}, "scenarios": [fields], **(spec or {})}
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": "test"},
        "spec": whole,
    }


def assignment(
    test: dict[str, Any],
    *,
    shards: tuple[int, ...] = (0,),
    variables: dict[str, Any] | None = None,
    secrets: dict[str, str] | None = None,
    files: dict[str, Path] | None = None,
    allowed_hosts: tuple[tuple[str, ...], ...] = (),
) -> Assignment:
    return Assignment(
        run="run-1",
        hub="",
        token="",
        runner=0,
        shards=shards,
        manifest=test,
        variables=variables or {},
        secrets=secrets or {},
        files={name: str(path) for name, path in (files or {}).items()},
        allowed_hosts=allowed_hosts,
    )


@asynccontextmanager
async def prepared(test: dict[str, Any], told: Told, **given: Any) -> AsyncIterator[Engine]:
    """An engine that has been prepared and set up; it is closed afterwards."""
    engine = Engine(assignment(test, **given), attempt="a1", hooks=told.hooks())
    try:
        await engine.prepare()
        engine.use_setup(await engine.setup())
        yield engine
    finally:
        await engine.close()


async def drive(test: dict[str, Any], told: Told | None = None, **given: Any) -> Measured:
    """Drive a test to its end and return what was measured."""
    async with prepared(test, told or Told(), **given) as engine:
        await engine.drive(time.monotonic_ns())
        return Measured().take(engine.measure(0))


async def stopped_while_waiting(engine: Engine, everybody_waits: Callable[[], bool]) -> Measured:
    """Drive a load that waits for its pauses and turns, and stop it; whoever only waits uses up nothing of the grace of 30 s."""
    run = asyncio.create_task(engine.drive(time.monotonic_ns()))
    while not everybody_waits():
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    engine.stop(30)
    await asyncio.wait_for(run, 10)
    return Measured().take(engine.measure(0))


async def drive_steps(
    server: Target,
    steps: list[dict[str, Any]],
    told: Told | None = None,
    *,
    given: dict[str, Any] | None = None,
    **more: Any,
) -> Measured:
    """Drive one scenario with these steps."""
    return await drive(manifest(server.url, steps, **more), told, **(given or {}))
