"""One replica of the operator: its parts, made and put together, and what they do as long as it lives.

Every replica watches, answers about its health, serves the webhook, and wants to lead; only the one that leads acts.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

from squall import __version__
from squall.logs import events as logged
from squall_operator import cache
from squall_operator.acting import Actor
from squall_operator.admission.webhook import Webhook
from squall_operator.cache import Cache
from squall_operator.events import Events
from squall_operator.handlers import watch
from squall_operator.hubs import Hubs
from squall_operator.kinds import wait_for_kinds
from squall_operator.lasting import standing
from squall_operator.leader import LEASE, Leadership
from squall_operator.listing import Listing
from squall_operator.orphans import Orphans
from squall_operator.reconcile import Reconciler
from squall_operator.rights import Rights, needed
from squall_operator.telemetry import serve
from squall_operator.timetable import Timetable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from squall.kube.api import Kube
    from squall_operator.settings import Settings
    from squall_operator.telemetry import Telemetry

_HUB_SECONDS: Final = 6.0
"""Within this time from the start every hub that is there has answered; before, a run would seem to have lost its hub."""
_AGAIN_SECONDS: Final = 1.0
"""Until work that was broken off is begun again."""


class Replica:
    """One replica; needs a running event loop.

    Args:
        settings: What it was told.
        kube: The API server; it is closed by whoever has opened it.
        telemetry: Where it says what it does.
        lease_namespace: Where the Lease for leader election is.
    """

    def __init__(self, settings: Settings, kube: Kube, telemetry: Telemetry, lease_namespace: str) -> None:
        self._settings = settings
        self._kube = kube
        self._telemetry = telemetry
        self._seen = Cache()
        self._hubs = Hubs(settings.hubs, settings.hub_key, settings.hub_ca)
        events = Events(kube, time.time)
        self._reconciler = Reconciler(
            settings,
            kube=kube,
            seen=self._seen,
            hubs=self._hubs,
            actor=Actor(kube, self._hubs, events, settings),
            telemetry=self._telemetry,
            clock=time.monotonic,
            wall=time.time,
        )
        self._timetable = Timetable(
            kube=kube,
            seen=self._seen,
            events=events,
            telemetry=self._telemetry,
            clock=time.monotonic,
            wall=time.time,
        )
        self._listing = Listing(kube, settings.namespaces, self._seen, self._saw, self._telemetry.waiting)
        # One that sees some namespaces only cannot tell what nobody knows from what is another's.
        self._orphans = (
            None if settings.namespaces else Orphans(kube, self._seen, self._hubs, time.monotonic, time.time)
        )
        self._identity = f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"
        self._leadership = Leadership(kube, lease_namespace, LEASE, self._identity, time.monotonic)
        self._webhook = Webhook(kube, settings, telemetry)
        self._rights = Rights(
            kube,
            needed(settings, lease_namespace),
            telemetry.refused,
            waiting=telemetry.waiting,
            lacking=telemetry.lacking,
        )
        self._watches = False
        self._answered = False
        self._patience = 0.0
        """Until when hubs are waited for that have not answered yet."""

    async def run(self, address: tuple[str, int], told: asyncio.Event) -> None:
        """Work until told to end.

        Args:
            address: Where health, readiness and metrics are served: host and port.
            told: Set when it is to end.
        """
        web = await serve(self._telemetry, address, read=self._read, ready=self._is_ready)
        self._hubs.start(self._reconciler.heard)
        self._patience = time.monotonic() + _HUB_SECONDS
        self._telemetry.note(
            logged.OPERATOR_STARTED, version=__version__, identity=self._identity, pid=os.getpid()
        )
        try:
            await self._webhook.during(_until_one_ends(self._work(), told.wait()))
        finally:
            await self._hubs.close()
            await web.cleanup()

    def _saw(self, plural: str, body: Mapping[str, Any], gone: bool) -> None:  # noqa: FBT001 - the watch's form
        self._reconciler.saw(plural, body, gone=gone)
        self._timetable.saw(plural, body)

    def _is_ready(self) -> bool:
        # Once is enough: a hub that is away for a while must not take the webhook away, which needs none.
        self._answered = self._answered or bool(self._hubs.runs)
        return self._watches and self._answered and self._webhook.serves

    def _read(self) -> None:
        """Bring the figures up to date that are not counted as they come."""
        self._telemetry.gauge(
            waiting=self._reconciler.queue.waiting + self._timetable.queue.waiting,
            standing=standing(
                self._seen.all(cache.LOAD_TESTS),
                self._reconciler.plan_of,
                self._settings.deadlines,
                time.time(),
            ),
            hubs=self._hubs.up(),
        )

    async def _work(self) -> None:
        await wait_for_kinds(self._kube, self._settings.namespaces, self._telemetry.waiting)
        await self._rights.wait()
        self._watches = True
        await _until_one_ends(
            *(watch(self._settings, self._saw), self._leadership.run(), self._lead(), self._rights.watch())
        )

    async def _lead(self) -> None:
        """Act whenever this process leads, and only then."""
        while True:
            await self._leadership.leads.wait()
            work = asyncio.create_task(self._act())
            try:
                while self._leadership.is_leader and not work.done():  # noqa: ASYNC110 - leadership also ends by time
                    await asyncio.sleep(0.2)
            finally:
                work.cancel()
                (ended,) = await asyncio.gather(work, return_exceptions=True)
                if isinstance(ended, Exception):
                    self._telemetry.note(logged.WORK_FAILED, error=repr(ended))  # it is begun again
                self._telemetry.leading(leads=False)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _act(self) -> None:
        """Learn all that there is, and only then begin to act on it."""
        await self._listing.until_done()
        while not all(self._hubs.up().values()) and time.monotonic() < self._patience:  # noqa: ASYNC110 - also ends by time
            await asyncio.sleep(0.1)
        self._telemetry.leading(leads=True)
        for part in (self._reconciler, self._timetable):
            part.look_at_all()
        async with asyncio.TaskGroup() as group:
            for each in (self._reconciler.queue.run, self._timetable.queue.run, self._listing.run):
                group.create_task(each())
            if self._orphans is not None:
                group.create_task(self._orphans.run())


async def _until_one_ends(*works: Awaitable[object]) -> None:
    """Do all of these until one has ended, then no more; raises what that one raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
