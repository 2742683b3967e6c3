"""A thousand shards on one hub: does a second's measurements fit into a second of one core, and does a stop reach everybody in time?

Each of a thousand simulated runners sends twenty series a second, eight of them trends, over a connection of its own. The hub has one core,
all of them together have the other. When a slot was judged is read from the hub's journal, which gets a record of it; the lag is
counted from the end of the slot, so it holds the way through the sockets, decoding, merging, and judging.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.costs import Costs
from harness.hubside import running_hub
from harness.results import Number, at_most
from harness.runjournal import RunJournal
from support.simulated import manifest

if TYPE_CHECKING:
    from harness.hubside import HubSide

HUB_CORE, FLEET_CORE = 0, 1
RUN = "bench"
SHARDS = 1000
SECONDS = 30
_WARM_SLOTS = 3
_PLANNED = 600
_WAIT_SECONDS = 120.0


def measure() -> list[Number]:
    """The numbers of the hub."""
    with (
        tempfile.TemporaryDirectory() as name,
        running_hub(Path(name), core=HUB_CORE, fleet_core=FLEET_CORE) as side,
    ):
        journal = RunJournal(side.folder / "hub" / RUN / "journal.jsonl")
        began = time.monotonic()
        runners = [[shard] for shard in range(SHARDS)]
        spec = {"run": RUN, "manifest": manifest(RUN, shards=SHARDS, seconds=_PLANNED), "runners": runners}
        side.ask("PUT", f"/v1/runs/{RUN}", spec)
        journal.follow(slots=_WARM_SLOTS, seconds=_WAIT_SECONDS)
        started = time.monotonic() - began - _WARM_SLOTS
        costs = Costs(side.hub.pid)
        journal.follow(slots=_WARM_SLOTS + SECONDS, seconds=SECONDS + _WAIT_SECONDS)
        cores, waited = costs.cores(), costs.waited()
        lags = sorted(lag for slot, lag in journal.lags.items() if slot >= _WARM_SLOTS)
        return [
            at_most("hub, 1,000 shards x 20 series: cores", cores, "cores", 1),
            Number("hub: of the time waited for its core, which others had", waited * 100, "%"),
            at_most("hub, 1,000 shards: merge lag, worst slot", lags[-1], "s", 1),
            Number("hub, 1,000 shards: merge lag, median", lags[len(lags) // 2], "s"),
            at_most("hub, 1,000 shards: memory", costs.peak_megabytes(), "MB", 400),
            Number("hub, 1,000 shards: all connected and started", started, "s"),
            *_stop(side),
        ]


def _stop(side: HubSide) -> list[Number]:
    """Stop the run, and see when each runner has heard of it and whether what all have said was counted."""
    asked = time.time()
    side.ask("POST", f"/v1/runs/{RUN}/stop", {})
    deadline = time.monotonic() + _WAIT_SECONDS
    while len(side.heard()) < SHARDS:
        if time.monotonic() > deadline:
            raise SystemExit(f"{len(side.heard())} of {SHARDS} runners were let go")
        time.sleep(0.1)
    heard = side.heard()
    latest = max(each["stopHeard"] or float("inf") for each in heard)
    summary = side.ask("GET", f"/v1/runs/{RUN}/summary")
    counted = sum(each["values"]["count"] for each in summary["metrics"] if _is_total(each))
    missing = float(abs(counted - sum(each["requests"] for each in heard)))
    return [
        at_most("hub, 1,000 shards: a stop has reached all", latest - asked, "s", 1),
        Number(
            "hub, 1,000 shards: requests lost or counted twice", missing, "requests", "== 0", missing == 0
        ),
    ]


def _is_total(metric: dict[str, Any]) -> bool:
    return bool(metric["metric"] == "http_reqs" and not metric["tags"])
