"""What an exporter takes in a process that does nothing but push: `python -m harness.exporting URL` prints it as JSON.

Beside a hub, which also judges, draws its view and answers, its few milliseconds a second would drown in the noise.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from squall.hub.limits import SECOND
from squall.metrics.histogram import Histogram
from squall.metrics.names import BUILT_IN, Kind
from squall.metrics.slots import SlotStore
from squall.metrics.snapshot import SeriesDef, Snapshot, pack

WARM = 20
PUSHES = 100


async def alone(url: str) -> dict[str, float]:
    """Push, a hundred times, all metrics that there are, from the store that a hub has: what is counted is all but the merging."""
    import aiohttp

    del aiohttp  # which a hub has whether it pushes or not
    tags = (("method", "GET"), ("scenario", "load"), ("status", "200"), ("step", "get"))
    random = np.random.default_rng(1)
    store, spread = SlotStore(keep=5), Histogram()
    for slot in range(WARM):  # what a hub has anyway is no memory of the exporter's
        spread.record_many(random.lognormal(-6, 1, 20_000))
        store.add(_snapshot(slot, tags, spread))
        list(store.standing(slot))
    before = resident()

    from squall.export.exporter import Exporter
    from squall.export.model import Receiver, RemoteWrite

    settings = RemoteWrite(receiver=Receiver(url=url))
    exporter = Exporter(settings, BUILT_IN, (("run", "alone"),), clock=time.time_ns, say=lambda *_: None)
    exporter.start()
    start, size, took = time.time_ns() - 2 * (WARM + PUSHES) * SECOND, 0, 0.0
    for slot in range(WARM, WARM + PUSHES):
        spread.record_many(random.lognormal(-6, 1, 20_000))
        store.add(_snapshot(slot, tags, spread))
        exporter._free_at = 0.0  # noqa: SLF001 - as quickly as it can, to have more to measure
        began = time.process_time()
        exporter.push(start + (slot + 1) * SECOND, start, list(store.standing(slot)))
        await exporter._idle.wait()  # noqa: SLF001 - there is no other way to see one request
        size = max(size, exporter._buffer.size)  # noqa: SLF001 - likewise
        await exporter._sender.drained()  # noqa: SLF001 - likewise
        took += time.process_time() - began
    memory = resident() - before
    series = exporter._exposition.series  # noqa: SLF001 - likewise
    await exporter.close()
    return {"cpu": took / PUSHES, "memory": memory, "series": series, "bytes": size}


def _snapshot(slot: int, tags: tuple[tuple[str, str], ...], spread: Histogram) -> Snapshot:
    """What a runner sends of every metric there is."""
    found: dict[Kind, list[int]] = {kind: [] for kind in Kind}
    for number, metric in enumerate(BUILT_IN.values()):
        found[metric.kind].append(number)
    many = (slot + 1) * 1000
    return Snapshot(
        runner=0,
        attempt="a",
        slot=slot,
        defs=[SeriesDef(number, each.name, each.kind, tags) for number, each in enumerate(BUILT_IN.values())]
        if slot == 0
        else [],
        counters=[(number, float(many)) for number in found[Kind.COUNTER]],
        rates=[(number, slot, many) for number in found[Kind.RATE]],
        gauges=[(number, 1.0, 1.0, 1.0) for number in found[Kind.GAUGE]],
        trends=[(number, pack(spread)) for number in found[Kind.TREND]],
    )


def resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    print(json.dumps(asyncio.run(alone(sys.argv[1]))))
