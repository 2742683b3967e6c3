"""Runners of every run that a hub has, simulated by one process: `python -m support.fakefleet --hub URL --key-file FILE`.

The pods of fake nodes run nothing, so somebody has to speak in their place. These runners keep the whole protocol - hello, pings, barrier,
a snapshot a second, stop, teardown - and make no load; what they say they have measured is `support.simulated`. A LoadTest whose name
ends in `-breaks-N` has requests that all fail from second N on.

What each runner has heard goes to a file, a line of JSON when it is let go: run, runner, how many requests it claims, and when it heard
of a stop (Unix time). With `--within SECONDS` the runners of a run come one after the other, as those in pods do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import aiohttp
import msgspec
from support.simulated import NEVER, REQUESTS, snapshot

from squall.hub import protocol
from squall.hub.server import RunList
from squall.hub.tokens import run_token
from squall.metrics.snapshot import encode

if TYPE_CHECKING:
    from squall.report.model import LiveState

SECOND = 1_000_000_000
LOOK_SECONDS = 0.25
AT_ONCE = 50
"""Runners that connect at the same time."""
_BREAKS = re.compile(r"-breaks-(\d+)$")


class Runner:
    """One simulated runner."""

    def __init__(self, run: LiveState, index: int, log: TextIO) -> None:
        self.run = run
        self.index = index
        self._log = log
        found = _BREAKS.search(run.name)
        self._fails_from = int(found[1]) if found else NEVER
        self._slots = round(run.planned_seconds)
        self._said = 0
        """Slots that it has told of."""
        self._stop_heard: float | None = None
        self._last_request_ns = 0
        self._load: asyncio.Task[None] | None = None

    async def live(
        self, session: aiohttp.ClientSession, url: str, token: str, turn: asyncio.Semaphore, delay: float
    ) -> None:
        """Come after some seconds, and take part in the run until the hub lets it go, or is gone."""
        await asyncio.sleep(delay)
        headers = {"Authorization": f"Bearer {token}"}
        place = url + protocol.PATH.format(run=self.run.run)
        try:
            async with turn:
                socket = await session.ws_connect(place, headers=headers, max_msg_size=0)
                shards = self.run.runners[self.index].shards
                hello = protocol.Hello(protocol.VERSION, self.index, "a", shards, time.monotonic_ns())
                await socket.send_bytes(protocol.encode(hello))
                await socket.send_bytes(protocol.encode(protocol.Ready()))
            async with socket:
                async for message in socket:
                    await self._hear(socket, protocol.from_hub(message.data))
        except (aiohttp.ClientError, OSError):
            return
        finally:
            if self._load is not None:
                self._load.cancel()
            self._tell()

    async def _hear(self, socket: aiohttp.ClientWebSocketResponse, message: Any) -> None:
        match message:
            case protocol.Ping(sent_ns):
                await socket.send_bytes(protocol.encode(protocol.Pong(sent_ns, time.monotonic_ns())))
            case protocol.Start(at_ns):
                self._load = asyncio.create_task(self._pretend(socket, at_ns))
            case protocol.Stop():
                self._stop_heard = self._stop_heard or time.time()
                if self._load is not None:
                    self._load.cancel()
                await self._finish(socket)
            case protocol.Setup():
                await socket.send_bytes(protocol.encode(protocol.SetupDone({})))
            case protocol.Teardown():
                await socket.send_bytes(protocol.encode(protocol.TeardownDone()))
            case protocol.Goodbye():
                await socket.close()

    async def _pretend(self, socket: aiohttp.ClientWebSocketResponse, start_ns: int) -> None:
        await _until(start_ns)
        await socket.send_bytes(protocol.encode(protocol.Started(start_ns)))
        for slot in range(self._slots):
            await _until(start_ns + (slot + 1) * SECOND)
            frame = protocol.measured(encode(snapshot(self.index, slot, self._fails_from)))
            self._said, self._last_request_ns = slot + 1, time.monotonic_ns()
            await socket.send_bytes(frame)
        await self._finish(socket)

    async def _finish(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        with suppress(ConnectionError):
            await socket.send_bytes(protocol.encode(protocol.Finished(self._last_request_ns)))

    def _tell(self) -> None:
        said = {"run": self.run.run, "name": self.run.name, "runner": self.index}
        said |= {"requests": self._said * REQUESTS, "stopHeard": self._stop_heard}
        self._log.write(json.dumps(said) + "\n")
        self._log.flush()


async def _until(moment_ns: int) -> None:
    await asyncio.sleep(max(0, moment_ns - time.monotonic_ns()) / SECOND)


class Fleet:
    """The runners of all runs of a hub.

    Args:
        url: The hub's.
        key: The installation's.
        log: See the module.
        within: All runners of a run have come after so many seconds.
    """

    def __init__(self, url: str, key: bytes, log: TextIO, within: float) -> None:
        self._url = url
        self._key = key
        self._log = log
        self._within = within
        self._known: set[str] = set()
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Look for runs, and take part in each as all of its runners, until cancelled."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
            while True:
                for run in await self._runs(session):
                    if run.run not in self._known and run.phase == "connecting":
                        self._known.add(run.run)
                        self._join(run, session, group)
                await asyncio.sleep(LOOK_SECONDS)

    def _join(self, run: LiveState, session: aiohttp.ClientSession, group: asyncio.TaskGroup) -> None:
        token, count = run_token(self._key, run.run), len(run.runners)
        for each in run.runners:
            runner, delay = Runner(run, each.index, self._log), self._within * (each.index + 1) / count
            group.create_task(runner.live(session, self._url, token, self._turn, delay))

    async def _runs(self, session: aiohttp.ClientSession) -> tuple[LiveState, ...]:
        headers = {"Authorization": f"Bearer {self._key.decode()}"}
        try:
            async with session.get(f"{self._url}/v1/runs", headers=headers) as response:
                return msgspec.json.decode(await response.read(), type=RunList).runs
        except (aiohttp.ClientError, OSError, msgspec.DecodeError):
            return ()  # it is not there yet, or not any more


async def serve(url: str, key: bytes, log: TextIO, within: float) -> None:
    """Simulate until told to terminate."""
    work = asyncio.create_task(Fleet(url, key, log, within).run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    with suppress(asyncio.CancelledError):
        await work


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--hub", required=True)
    parser.add_argument("--key-file", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--within", type=float, default=0.0)
    options = parser.parse_args()
    url, key = options.hub.rstrip("/"), options.key_file.read_bytes().strip()
    with options.log.open("a", encoding="utf-8") as log:
        asyncio.run(serve(url, key, log, options.within))


if __name__ == "__main__":
    main()
