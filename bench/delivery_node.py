"""The chart on a real node, images present: how soon it is ready, what it takes when nothing runs, how soon a runner is ready.

    install     from `helm install --wait` until it comes back, which is when hub and operators are ready
    idle        CPU of each process while nothing runs, and the most memory that it has had since its start, as the kernel counts them
    ready       from the start of a runner's container, by the pod's status, until the hub has heard that all runners may start

The pod's status counts whole seconds, so up to one second of `ready` was before the start. Everything is measured once before, as the first
pods of an image unpack it.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.costs import Costs
from harness.results import Number, at_most
from harness.runjournal import RunJournal
from support.cluster.access import access_to
from support.cluster.built import INSTALLED, image_archive, prepare_images
from support.cluster.charted import Charted
from support.cluster.cluster import prepare_cluster, running_cluster
from support.cluster.installed import HUB
from support.cluster.operated import ENDED, RUN, scenario, until
from support.cluster.podprocesses import pod_pids

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMESPACE: Final = "squall-system"
TEAM: Final = "squall-team"
ROUNDS: Final = 3
_IDLE_SECONDS: Final = 60.0
_PROGRAMS: Final = {"squall-operator": "squall-operator", "squall-hub": "squall.hub"}
"""By how a pod's name begins: a word of the command line of its process."""


def measure() -> list[Number]:
    """The numbers of a real node."""
    prepare_cluster()
    prepare_images()
    with tempfile.TemporaryDirectory(prefix="squall-bench-") as name, _release(Path(name)) as release:
        folder = Path(name)
        _install(release)
        release.make_namespace(TEAM)
        _ready(release, folder, "warm")
        release.remove()
        for pod in _pods(release):
            release.gone(f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}")
        seconds = _install(release)
        idle = list(_idle(release))
        ready = max(_ready(release, folder, f"round-{number}") for number in range(ROUNDS))
    return [
        at_most("helm install until operator and hub are ready", seconds, "s", 20),
        *idle,
        at_most("runner: start of the container until ready at the hub", ready, "s", 2),
    ]


@contextmanager
def _release(folder: Path) -> Iterator[Charted]:
    """A cluster that knows the images, and a release that is still to be installed."""
    with running_cluster() as cluster:
        for target in INSTALLED:
            cluster.node.runtime.load(image_archive(target))
        yield Charted(access_to(cluster), folder, NAMESPACE, hub={"persistence": {"enabled": False}})


def _install(release: Charted) -> float:
    began = time.monotonic()
    release.apply("--create-namespace", "--wait", "--timeout=150s")
    return time.monotonic() - began


def _pods(release: Charted) -> dict[str, Any]:
    items = release.kube.get(f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]
    return {each["metadata"]["name"]: each for each in items}


def _idle(release: Charted) -> Iterator[Number]:
    """What each process takes while nothing runs; the largest of those that are alike."""
    costs: dict[str, list[Costs]] = {program: [] for program in _PROGRAMS}
    for name, pod in _pods(release).items():
        program = next(each for each in _PROGRAMS if name.startswith(each))
        # A container's first process, which is the only one.
        costs[program] += [Costs(pid) for pid in pod_pids(pod, _PROGRAMS[program])]
    assert all(costs.values()), costs
    time.sleep(_IDLE_SECONDS)
    operators, hubs = costs["squall-operator"], costs["squall-hub"]
    yield at_most("operator, idle: memory", max(each.peak_megabytes() for each in operators), "MB", 120)
    yield at_most("operator, idle: CPU", max(each.cores() for each in operators), "cores", 0.01)
    yield at_most("hub, idle: memory", max(each.peak_megabytes() for each in hubs), "MB", 80)
    yield Number("hub, idle: CPU", max(each.cores() for each in hubs), "cores")


def _ready(release: Charted, folder: Path, name: str) -> float:
    """Run something short; returns how long its runner took from the start of its container."""
    release.start(name, TEAM, shards=1, scenarios=[scenario("10s")])
    run = release.wait_for(name, TEAM, "Running")["run"]["id"]
    journal = folder / f"{name}.jsonl"
    path = f"/var/lib/squall/runs/{run}/journal.jsonl"
    journal.write_text(release.kubectl("exec", HUB, "-n", NAMESPACE, "--", "cat", path), encoding="utf-8")
    query = f"labelSelector={RUN}%3D{run}"

    def began() -> list[str]:
        """When the container began, as soon as the pod's status says so, which may be after the runner has."""
        (pod,) = release.kube.get(f"/api/v1/namespaces/{TEAM}/pods?{query}")["items"]
        states = (each["state"] for each in pod["status"]["containerStatuses"] if each["name"] == "runner")
        return [state["running"]["startedAt"] for state in states if "running" in state]

    until(lambda: bool(began()), 8, release.told)
    (started,) = began()
    release.wait_for(name, TEAM, *ENDED)
    return RunJournal(journal).look().ready - datetime.fromisoformat(started).timestamp()
