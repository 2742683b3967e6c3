"""What Squall asks of the API server: for a run, whatever its number of shards, and for LoadTests to which nothing happens.

Who watches a hundred load tests must not poll them, and a run on fifty pods must not cost fifty times as much as one on a single pod. The
calls are counted by the API server itself, in its audit log. Status writes are counted for themselves, as they come with time: one
for each change of state and one every five seconds in between, so that a run that takes a moment longer may need one more. All other
calls have to be the same. Not counted is what comes by the clock, however many LoadTests there are: watches, which are opened again every
ten minutes, the lists by which they are checked every five, and the election of a leader.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from harness.results import Number, at_most
from harness.simulation import running_simulation
from support.cluster.operated import ENDED, until
from support.simulated import manifest

if TYPE_CHECKING:
    from harness.simulation import Simulation

SHARDS = (1, 10, 50)
IDLE = 50
_RUN_SECONDS = 15
_START_SECONDS = 8.0
"""Runners come one after the other, as their pods do, so that each change while they start can be seen."""
_MINUTE = 60.0
_WRITES = "patch loadtests/status"
_WAIT_SECONDS = 180.0


def measure() -> list[Number]:
    """The numbers of calls."""
    with running_simulation(within=_START_SECONDS) as simulation:
        _run(simulation, "warm", 1)  # the operator has listed and discovered everything then
        nobody = _idle(simulation)
        runs = {shards: _run(simulation, f"of-{shards}", shards) for shards in SHARDS}
        _make_idle(simulation)
        many = _idle(simulation)
    same = len({others for others, _ in runs.values()}) == 1
    most = runs[SHARDS[0]][1] + 1
    named = [(f"calls for a run of {shards} shards", *counts) for shards, counts in runs.items()]
    return [
        *(Number(name, others, "calls", "all the same", same) for name, others, _ in named),
        *(at_most(f"{name}: status writes besides", writes, "calls", most) for name, _, writes in named),
        Number("calls in a minute without LoadTests that have not ended", nobody, "calls"),
        at_most(f"calls in a minute for {IDLE} idle LoadTests", many - nobody, "calls", 0),
    ]


def _run(simulation: Simulation, name: str, shards: int) -> tuple[int, int]:
    """Run a LoadTest; returns how many calls it took besides status writes, and how many of these."""
    squall, began = simulation.squall, time.time()
    squall.apply(manifest(name, shards=shards, seconds=_RUN_SECONDS))
    status = squall.wait(name, *ENDED, seconds=_WAIT_SECONDS)
    assert status["phase"] == "Passed", status
    squall.wait_until_gone(status["run"]["id"], seconds=_WAIT_SECONDS)
    counts = simulation.audit.counts(since=began)
    print(f"{name}: {dict(counts)}")
    writes = counts.pop(_WRITES)
    return counts.total(), writes


def _make_idle(simulation: Simulation) -> None:
    """LoadTests that have run."""
    squall = simulation.squall
    for number in range(IDLE):
        squall.apply(manifest(f"idle-{number}", shards=1, seconds=3))
    for number in range(IDLE):
        status = squall.wait(f"idle-{number}", *ENDED, seconds=_WAIT_SECONDS)
        assert status["phase"] == "Passed", status
    runs = f"{squall.core('pods')}?labelSelector=squall.dev/run"
    until(lambda: not squall.kube.get(runs)["items"], _WAIT_SECONDS, lambda: "pods are left")
    time.sleep(5)


def _idle(simulation: Simulation) -> int:
    """How many calls come in a minute in which nothing happens."""
    began = time.time()
    time.sleep(_MINUTE)
    counts = simulation.audit.counts(since=began)
    if counts:
        print(f"while nothing happens: {dict(counts)}")
    return counts.total()
