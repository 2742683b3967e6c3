"""Runs that a hub still has and nobody knows: ended and forgotten, so that a hub never fills up with what was left behind.

It takes an operator that died between two calls, or a LoadTest that was deleted while nobody looked. Its Job went with it, but the hub
would keep the run. Whoever cleans up must be sure: that no LoadTest names a run has to hold for a while, and is then asked of the API
server itself.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from squall.kube.api import KubeError
from squall.kube.paths import collection
from squall_operator import cache
from squall_operator.hubs import HubError
from squall_operator.status import Stop
from squall_operator.times import stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from squall.kube.api import Kube
    from squall_operator.cache import Cache
    from squall_operator.hubs import Hubs

EVERY: Final = 10.0
PATIENCE: Final = 60.0
"""Seconds for which nobody must have known a run."""


class Orphans:
    """Looks for them; only the leader of an operator for the whole cluster may, since a hub may serve several operators.

    Args:
        kube: The API server.
        seen: What the watches show.
        hubs: The hubs.
        clock: Seconds, monotonic.
        wall: Unix time.
    """

    def __init__(
        self, kube: Kube, seen: Cache, hubs: Hubs, clock: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self._kube = kube
        self._seen = seen
        self._hubs = hubs
        self._clock = clock
        self._wall = wall
        self._since: dict[tuple[str, str], float] = {}

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY)

    async def look(self) -> tuple[str, ...]:
        """Look once; returns the runs that were ended or forgotten."""
        known, now = _named(self._seen.all(cache.LOAD_TESTS)), self._clock()
        unknown = {(hub, run) for hub, runs in self._hubs.runs.items() for run in runs if run not in known}
        self._since = {each: self._since.get(each, now) for each in unknown}
        due = sorted(each for each, since in self._since.items() if now - since >= PATIENCE)
        if not due:
            return ()
        try:
            known = _named((await self._kube.get(collection("loadtests"))).get("items", ()))
        except KubeError:
            return ()
        return tuple([run for hub, run in due if run not in known and await self._end(hub, run)])

    async def _end(self, hub: str, run: str) -> bool:
        live = self._hubs.view(hub, run).live
        why = Stop(cause="user", reason="Deleted", message="no LoadTest has this run", at=stamp(self._wall()))
        try:
            if live is not None and live.phase != "finished":
                await self._hubs.stop(hub, run, why, now=True)
            else:
                await self._hubs.forget(hub, run)
        except HubError:
            return False  # next time
        return True


def _named(load_tests: Iterable[Any]) -> set[str]:
    """The runs that LoadTests name as theirs."""
    runs = (((each.get("status") or {}).get("run") or {}).get("id") for each in load_tests)
    return {str(run) for run in runs if run}
