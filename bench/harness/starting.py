"""What the start of a runner costs: CPU time from the beginning of its process until its hub knows that it is ready.

There is one such process for each pod of a run, or more, and all start at once: where pods share cores, it is this time that passes before
the load can begin. Part of it nobody can save, that of an interpreter with the libraries that a runner lives on; so what counts is the
ratio of the two, which a busy machine changes little.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import subprocess
import sys

import msgspec
from harness.costs import Costs
from harness.results import Number, at_most

from squall.hub.hub import Hub
from squall.hub.model import RunSpec
from squall.hub.protocol import Assignment

ROUNDS = 15
_LIBRARIES = "import asyncio, msgspec, numpy, uvloop"
_RUN = "start"


async def start_cost(target: str) -> list[Number]:
    """The numbers; `target` is a URL where something answers."""
    hub = Hub(b"bench")
    url = await hub.start("127.0.0.1", 0)
    starts, bare = [], []
    try:
        for number in range(ROUNDS):
            starts.append(await _start(hub, url, target, f"{_RUN}-{number}"))
            bare.append(_libraries())
    finally:
        await hub.close()
    runner, least = statistics.median(starts), statistics.median(bare)
    return [
        Number("a runner's start until it is ready, CPU", runner, "s"),
        at_most(
            "the same, in starts of an interpreter that loads numpy and uvloop alone",
            runner / least,
            "times",
            2,
        ),
    ]


async def _start(hub: Hub, url: str, target: str, run: str) -> float:
    steps = [{"http": {"url": target}}]
    load = {"name": "load", "executor": "constant-vus", "vus": 2, "duration": "1m", "steps": steps}
    made = {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": "bench"},
        "spec": {"scenarios": [load], "http": {"baseUrl": target}, "shards": 2},
    }
    # The second runner never comes, so there is no load.
    waiting = hub.add_run(RunSpec(run=run, manifest=made, runners=((0,), (1,))))
    assignment = Assignment(
        run=run, hub=url, token=hub.token(run), runner=0, shards=(0,), manifest=made,
        variables={}, secrets={}, files={}, exit_with_parent=True,
    )  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "squall_runner", stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    try:
        costs = Costs(process.pid)
        process.stdin.write(msgspec.json.encode(assignment) + b"\n")
        while not waiting.state.members[0].ready:
            if process.returncode is not None:
                raise SystemExit(f"a runner ended with {process.returncode} instead of becoming ready")
            await asyncio.sleep(0.005)
        return costs.cpu_seconds()
    finally:
        process.kill()
        await process.wait()


def _libraries() -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", _LIBRARIES], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
