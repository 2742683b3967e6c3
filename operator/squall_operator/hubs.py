"""The hubs, as the operator sees them: given runs, asked once a second how all of them are, told to stop.

One question per hub and second answers for all its runs, however many there are.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import TYPE_CHECKING, Final

import aiohttp
import msgspec

from squall.errors import SquallError
from squall.hub.server import LostRunner, RunList, StopOrder
from squall.report.model import Summary
from squall_operator.model import HubView

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.hub.model import RunSpec
    from squall.report.model import LiveState
    from squall_operator.model import Lost
    from squall_operator.status import Stop

SECONDS: Final = 5.0
"""How long a hub may take to answer."""
EVERY: Final = 1.0
KEPT: Final = 60.0
"""Seconds for which an outcome is kept that its hub no longer has."""


class HubError(SquallError):
    """A hub refused, or is not there."""


class Hubs:
    """The hubs of an installation.

    Args:
        urls: Where they are.
        key: The installation's.
        ca: Certificates in PEM that vouch for them; empty for those that are trusted anyway.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        urls: tuple[str, ...],
        key: bytes,
        ca: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._urls = urls
        self._headers = {"Authorization": f"Bearer {key.decode()}"}
        self._context = ssl.create_default_context(cadata=ca) if ca else ssl.create_default_context()
        self._changed: Callable[[str], None] = lambda _run: None
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._known: dict[str, dict[str, LiveState]] = {}
        """By hub that has answered last time: its runs."""
        self._summaries: dict[tuple[str, str], tuple[Summary, float]] = {}
        """By hub and run, with when the hub last spoke of that run."""
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, changed: Callable[[str], None]) -> None:
        """Begin to ask; needs a running loop.

        Args:
            changed: Called with a run's id when something new is known of it.
        """
        self._changed = changed
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout)
        self._tasks = [asyncio.create_task(self._follow(url)) for url in self._urls]

    async def close(self) -> None:
        """Ask no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def view(self, hub: str, run: str) -> HubView:
        """What a hub said last of a run."""
        runs = self._known.get(hub)
        summary, _ = self._summaries.get((hub, run), (None, 0.0))
        if runs is None:
            return HubView(summary=summary)  # an outcome that is known stays true when the hub is gone
        return HubView(reachable=True, live=runs.get(run), summary=summary)

    def up(self) -> dict[str, bool]:
        """Of each hub, whether it answers."""
        return {hub: hub in self._known for hub in self._urls}

    @property
    def runs(self) -> dict[str, tuple[str, ...]]:
        """By hub that answers: the runs that it has."""
        return {hub: tuple(runs) for hub, runs in self._known.items()}

    async def add(self, hub: str, spec: RunSpec) -> None:
        """Give a hub a run; one that it has already changes nothing.

        Raises:
            HubError: It does not take it.
        """
        await self._ask("PUT", hub, f"/v1/runs/{spec.run}", msgspec.json.encode(spec))

    async def stop(self, hub: str, run: str, why: Stop, *, now: bool) -> None:
        """Have a run stopped; one that is not there needs no stop.

        Raises:
            HubError: The hub does not answer.
        """
        order = StopOrder(cause=why.cause, reason=why.reason, message=why.message, now=now)
        await self._ask("POST", hub, f"/v1/runs/{run}/stop", msgspec.json.encode(order), missing_ok=True)

    async def lost(self, hub: str, run: str, runner: int, lost: Lost) -> None:
        """Tell what became of a runner.

        Raises:
            HubError: The hub does not answer.
        """
        body = msgspec.json.encode(LostRunner(lost.message, lost.reason))
        await self._ask("POST", hub, f"/v1/runs/{run}/runners/{runner}/lost", body, missing_ok=True)

    async def forget(self, hub: str, run: str) -> None:
        """Have a run that is over forgotten, or one that is ending as soon as it is over.

        Raises:
            HubError: The hub does not answer, or the run is neither.
        """
        await self._ask("DELETE", hub, f"/v1/runs/{run}", missing_ok=True)
        self._summaries.pop((hub, run), None)

    async def _follow(self, hub: str) -> None:
        while True:
            try:
                await self._look(hub)
            except (HubError, msgspec.DecodeError):
                for run in self._known.pop(hub, {}):
                    self._changed(run)
            await asyncio.sleep(EVERY)

    async def _look(self, hub: str) -> None:
        listed = msgspec.json.decode(await self._ask("GET", hub, "/v1/runs"), type=RunList)
        before, now = self._known.get(hub, {}), {live.run: live for live in listed.runs}
        for run, live in now.items():
            if live.phase == "finished":
                await self._fetch(hub, run)
        self._forget_old(hub)
        self._known[hub] = now
        for run in before.keys() | now.keys():
            if before.get(run) != now.get(run):
                self._changed(run)

    async def _fetch(self, hub: str, run: str) -> None:
        """Get the outcome of a run, once; one that cannot be read must not hide how all others are."""
        known = self._summaries.get((hub, run))
        if known is not None:
            self._summaries[hub, run] = (known[0], self._clock())
            return
        answer = await self._ask("GET", hub, f"/v1/runs/{run}/summary", missing_ok=True)
        try:
            self._summaries[hub, run] = (msgspec.json.decode(answer, type=Summary), self._clock())
        except msgspec.DecodeError:
            return  # it was forgotten just now, or is of another version; the operator's deadline ends the run

    def _forget_old(self, hub: str) -> None:
        """Let go of outcomes of runs that the hub no longer has: whoever leads has had the time to write them down."""
        limit = self._clock() - KEPT
        for key in [key for key, (_, seen) in self._summaries.items() if key[0] == hub and seen < limit]:
            del self._summaries[key]

    async def _ask(
        self, method: str, hub: str, path: str, body: bytes | None = None, *, missing_ok: bool = False
    ) -> bytes:
        assert self._session is not None, "`start` comes first"
        if hub not in self._urls:
            # A status names the hub, and others may write that: the installation's key goes to its own hubs alone.
            raise HubError(f"{hub or 'no URL'} is no hub of this installation")
        try:
            async with self._session.request(
                method, hub + path, data=body, ssl=self._context, allow_redirects=False
            ) as response:
                content = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise HubError(f"the hub {hub} does not answer: {str(error) or type(error).__name__}") from error
        if response.status >= 300 and not (missing_ok and response.status == 404):
            raise HubError(
                f"the hub {hub} refused {method} {path}: {response.status} {content.decode(errors='replace')[:300]}"
            )
        return content
