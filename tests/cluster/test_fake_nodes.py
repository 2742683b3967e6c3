"""Scale without machines: fake nodes run nothing, simulated runners speak for their pods, and the rest is real."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cluster.fakenodes import NAME, running_fake_cluster
from support.cluster.operated import ENDED, Installation, installation, until
from support.kubebin import KubeBinariesError
from support.leftout import missing, skip_if_left_out
from support.processes import Process
from support.simulated import REQUESTS, manifest

pytestmark = [pytest.mark.matrix, pytest.mark.control_plane, pytest.mark.timeout(600)]

MANY = 100


@pytest.fixture(scope="module")
def squall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An operator and a hub on a cluster of fake nodes, with simulated runners for whatever the hub has."""
    skip_if_left_out("control-plane")
    folder = tmp_path_factory.mktemp("squall")
    try:
        with running_fake_cluster() as (_, access), installation(access, folder) as squall:
            command = [sys.executable, "-m", "support.fakefleet", "--hub", squall.hub_url]
            command += ["--key-file", str(folder / "key"), "--log", str(folder / "fleet.jsonl")]
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
            fleet = Process(command, log=folder / "fleet.err", environment=environment)
            try:
                yield squall
            finally:
                fleet.stop()
    except KubeBinariesError as error:
        missing("control-plane", str(error))


def test_pods_run_on_a_fake_node_and_go(squall: Installation) -> None:
    container = {"name": "nothing", "image": "localhost/nobody/has:this"}
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "one"},
        "spec": {"containers": [container]},
    }
    squall.kube.create(squall.core("pods", namespace="default"), body)
    path = squall.core("pods", "one", "default")
    until(
        lambda: squall.kube.get(path)["status"]["phase"] == "Running", 60, lambda: f"{squall.kube.get(path)}"
    )
    assert squall.kube.get(path)["spec"]["nodeName"] == NAME
    squall.kube.delete(path)
    until(lambda: not squall.kube.exists(path), 60, lambda: "it is still there")


def test_a_hundred_pods_of_one_run(squall: Installation) -> None:
    squall.apply(manifest("hundred", shards=MANY, seconds=45))
    run = squall.wait("hundred", "Running", seconds=120)["run"]["id"]

    def counted() -> bool:
        shards = squall.status("hundred")["shards"]
        return bool(shards == {"desired": MANY, "ready": MANY, "running": MANY})  # and none is lost

    until(counted, 30, lambda: f"{squall.status('hundred')}")
    until(lambda: len(_running(squall, run)) == MANY, 60, lambda: f"{len(_running(squall, run))} pods run")
    status = squall.wait("hundred", *ENDED, seconds=120)
    assert (status["phase"], status["verdict"]["reason"]) == ("Passed", "ThresholdsHeld")
    summary = squall.summary(status)
    requests = [each for each in summary["metrics"] if each["metric"] == "http_reqs" and not each["tags"]]
    assert [each["values"]["count"] for each in requests] == [MANY * 45 * REQUESTS]
    squall.wait_until_gone(run, 120)


def _running(squall: Installation, run: str) -> set[str]:
    """The indices of the pods of a run that run."""
    pods = [pod["metadata"] for pod in squall.pods(run) if pod["status"]["phase"] == "Running"]
    return {metadata["labels"]["batch.kubernetes.io/job-completion-index"] for metadata in pods}


def test_a_breach_on_a_hundred_pods(squall: Installation) -> None:
    squall.apply(manifest("broken-breaks-5", shards=MANY, seconds=300))
    status = squall.wait("broken-breaks-5", *ENDED, seconds=180)
    assert (status["phase"], status["verdict"]["cause"]) == ("Aborted", "threshold")
    squall.wait_until_gone(status["run"]["id"], 120)
