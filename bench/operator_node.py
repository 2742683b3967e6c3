"""Four real pods on a real node: how soon after `kubectl apply` they start together, and how soon all is quiet after a breach.

    apply          the LoadTest is sent to the API server
    Job            the operator's request to make it has come there (audit log)
    running        the last of the runners' containers runs (the pods' status, which counts whole seconds: up to one second is lost)
    ready          the hub has heard of all runners that they may start (its journal)
    start          the moment that the hub has chosen for all (its journal)
    breach         the end of the second that broke the threshold (its journal)
    quiet          the last request of the last shard has come (the target's own clock and log)
    gone           no pod of the run is left (the API server)

The overhead is what Squall adds to what pods take anyway: from apply to Job, and from running to start; the first is the operator's,
the second that of the runner's own start and of the barrier. Load goes to a target on the node's loopback address; the pods share
its network.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.results import Number, at_most
from harness.runjournal import RunJournal
from support.cluster.access import Access
from support.cluster.audit import Audit
from support.cluster.built import INSTALLED, image_archive
from support.cluster.cluster import Cluster, prepare_cluster
from support.cluster.controllers import running_controllers
from support.cluster.dns import running_dns
from support.cluster.fakenodes import OPERATOR
from support.cluster.hosttarget import Target, running_target
from support.cluster.machine import own_address
from support.cluster.node import running_node
from support.cluster.operated import ENDED, Installation, installation, manifest, until
from support.controlplane import running_control_plane, write_kubeconfig

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARDS = 4
ROUNDS = 3
_LOAD_SECONDS = 6.0
_WAIT_SECONDS = 120.0
_BREACH = [{"metric": "http_req_failed", "expression": "rate<10%", "over": "2s", "abortOnFail": True}]


class Bench:
    """The cluster, what runs on it, and where its clocks are read."""

    def __init__(self, squall: Installation, audit: Audit, folder: Path, target: Target) -> None:
        self.squall = squall
        self.audit = audit
        self.folder = folder
        self.target = target

    def round(self, name: str) -> dict[str, float]:
        """Let a run start, break its threshold, and end; returns how long everything took."""
        applied = time.time()
        self.squall.apply(self._manifest(name))
        run = self.squall.wait(name, "Running", seconds=_WAIT_SECONDS)["run"]["id"]
        journal = RunJournal(self.folder / "hub" / run / "journal.jsonl").look()
        running = max(_started(pod) for pod in self.squall.pods(run))
        job = next(call.at for call in self.audit.calls(since=applied) if call.what == "create jobs")
        time.sleep(_LOAD_SECONDS)
        self.target.fails = True
        until(lambda: journal.look().breach > 0, _WAIT_SECONDS, lambda: f"{name} goes on")
        gone = self._until_gone(run)
        status = self.squall.wait(name, *ENDED, seconds=_WAIT_SECONDS)
        assert (status["phase"], status["verdict"]["cause"]) == ("Aborted", "threshold"), status
        assert len(self.target.times_of) == SHARDS, "every shard has sent something"
        last = max(times[-1] for times in self.target.times_of.values())
        return {
            "apply to Job": job - applied,
            "Job to running": running - job,
            "running to ready": journal.ready - running,
            "ready to start": journal.start - journal.ready,
            "overhead": job - applied + journal.start - running,
            "skew": status["timings"]["startSkewSeconds"],
            "breach to quiet": last - journal.breach,
            "breach to quiet, as reported": status["timings"]["stopToLastRequestSeconds"],
            "breach to gone": gone - journal.breach,
        }

    def _manifest(self, name: str) -> dict[str, Any]:
        self.target.fails = False
        self.target.times_of.clear()
        load = {
            "name": "look",
            "executor": "constant-vus",
            "vus": SHARDS,
            "duration": "2m",
            "steps": [
                {"name": "page", "http": {"url": "/shard-${shard}"}, "onError": "continue"},
                {"think": {"duration": "50ms"}},
            ],
        }
        made = manifest(name, shards=SHARDS, scenarios=[load], thresholds=_BREACH)
        made["spec"]["http"]["baseUrl"] = self.target.url
        made["spec"]["runner"]["template"] = {"spec": {"hostNetwork": True}}
        return made

    def _until_gone(self, run: str) -> float:
        deadline = time.monotonic() + _WAIT_SECONDS
        while self.squall.pods(run):
            if time.monotonic() > deadline:
                raise SystemExit(f"pods of {run} are left")
            time.sleep(0.05)
        return time.time()


def measure() -> list[Number]:
    """The numbers of a real node."""
    found: dict[str, list[float]] = defaultdict(list)
    with _bench() as bench:
        bench.round("warm")  # the first pods of an image unpack it
        for number in range(ROUNDS):
            for name, value in bench.round(f"round-{number}").items():
                found[name].append(value)
    worst = {name: max(values) for name, values in found.items()}
    plain = ("apply to Job", "Job to running", "running to ready", "ready to start")
    return [
        at_most("4 pods: overhead from apply to start, beyond the pods' own", worst["overhead"], "s", 2),
        *(Number(f"4 pods: {name}", worst[name], "s") for name in plain),
        at_most("4 pods: start skew", worst["skew"] * 1000, "ms", 50),
        at_most("4 pods: breach to the last request, as the target saw it", worst["breach to quiet"], "s", 2),
        at_most(
            "4 pods: breach to the last request, as reported", worst["breach to quiet, as reported"], "s", 2
        ),
        at_most("4 pods: breach until all pods are gone", worst["breach to gone"], "s", 10),
    ]


@contextmanager
def _bench() -> Iterator[Bench]:
    """A cluster with a node, and Squall on it, until the end of the block."""
    prepare_cluster()
    with tempfile.TemporaryDirectory(prefix="squall-bench-") as name:
        folder = Path(name)
        audit = Audit(folder, OPERATOR)
        with (
            _cluster(audit) as cluster,
            installation(_access(cluster), folder) as squall,
            running_target() as target,
        ):
            yield Bench(squall.on_node, audit, folder, target)


@contextmanager
def _cluster(audit: Audit) -> Iterator[Cluster]:
    with (
        running_control_plane(own_address(), audit.options) as plane,
        running_controllers(plane),
        running_dns(plane),
        running_node(plane) as node,
    ):
        for target in INSTALLED:
            node.runtime.load(image_archive(target))
        yield Cluster(plane, node)


def _access(cluster: Cluster) -> Access:
    """The way in, for the operator as a user of its own, whose calls are noted."""
    plane = cluster.plane
    user = plane.authority.issue("operator", name=OPERATOR, organization="system:masters")
    config = write_kubeconfig(plane.folder / "operator.kubeconfig", plane.url, plane.authority, user)
    return Access(plane.client, config, plane.address, load=None, node_here=True)


def _started(pod: dict[str, Any]) -> float:
    """When the runner's container of a pod was started, Unix time."""
    for container in pod["status"]["containerStatuses"]:
        if container["name"] == "runner":
            return datetime.fromisoformat(container["state"]["running"]["startedAt"]).timestamp()
    raise SystemExit(f"{pod['metadata']['name']} has no runner")
