"""Runs of a hub that nobody knows are ended, and only those."""

from __future__ import annotations

import asyncio
from typing import Any

from support.fakerunner import manifest

from squall.hub.hub import Hub
from squall.hub.model import RunSpec
from squall.kube.api import KubeError
from squall_operator import cache
from squall_operator.cache import Cache
from squall_operator.hubs import Hubs
from squall_operator.orphans import PATIENCE, Orphans

KEY = b"installation-key"


class Listed:
    """The API server, as far as it is asked here: for all LoadTests."""

    def __init__(self, *runs: str) -> None:
        self.runs = runs
        self.asked = 0
        self.away = False

    async def get(self, path: str) -> dict[str, Any]:
        assert path.endswith("/loadtests")
        self.asked += 1
        if self.away:
            raise KubeError(0, "away")
        return {"items": [named(run) for run in self.runs]}


def named(run: str) -> dict[str, Any]:
    return {"metadata": {"namespace": "n", "name": run, "uid": run}, "status": {"run": {"id": run}}}


async def test_what_nobody_knows_is_stopped_then_forgotten() -> None:
    hub, seen, kube, now = Hub(KEY), Cache(), Listed("known", "unseen"), 0.0
    url = await hub.start("127.0.0.1", 0)
    hubs = Hubs((url,), KEY, "")
    hubs.start(lambda _: None)
    orphans = Orphans(kube, seen, hubs, lambda: now, lambda: now)  # type: ignore[arg-type]

    async def until_listed(*runs: str) -> None:
        async with asyncio.timeout(20):
            while set(hubs.runs.get(url, ())) != set(runs):
                await asyncio.sleep(0.02)

    try:
        for run in ("known", "unseen", "orphan"):
            await hubs.add(url, RunSpec(run=run, manifest=manifest(shards=1), runners=((0,),)))
        seen.put(cache.LOAD_TESTS, named("known"))
        await until_listed("known", "unseen", "orphan")
        assert await orphans.look() == ()
        now = PATIENCE - 1
        assert await orphans.look() == ()
        assert kube.asked == 0, "while nothing is due, nobody is asked"
        now = PATIENCE
        kube.away = True
        assert await orphans.look() == (), "whoever cannot be sure leaves it"
        kube.away = False
        assert await orphans.look() == ("orphan",)
        await asyncio.wait_for(hub.runs["orphan"].finished(), 20)
        async with asyncio.timeout(20):
            while hubs.view(url, "orphan").summary is None:
                await asyncio.sleep(0.02)
        assert await orphans.look() == ("orphan",)
        assert set(hub.runs) == {"known", "unseen"}
    finally:
        await hubs.close()
        await hub.close()
