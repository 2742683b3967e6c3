"""The API server or the node is gone for a while: these take a cluster of their own, since they take it away from everybody."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.cluster.cluster import Cluster
from support.cluster.hosttarget import Target
from support.cluster.operated import ENDED, Installation, manifest, scenario, until
from support.cluster.podprocesses import runner_pids

pytestmark = [pytest.mark.node, pytest.mark.matrix, pytest.mark.alone, pytest.mark.timeout(600)]

BREACH = {"metric": "http_req_failed", "expression": "rate<1%", "over": "2s", "abortOnFail": True}


@contextmanager
def without_api_server(cluster: Cluster) -> Iterator[None]:
    """The API server is killed, and started again at the end of the block."""
    cluster.plane.apiserver.kill()
    try:
        yield
    finally:
        cluster.plane.restart_apiserver()


def loaded(squall: Installation, target: Target, name: str) -> str:
    """Wait until there is load; returns the run's id."""
    run = str(squall.wait(name, "Running")["run"]["id"])
    until(lambda: len(target.times) > 10, 20, lambda: "no load came")
    return run


def test_no_api_server_for_twenty_seconds(on_node: Installation, cluster: Cluster, target: Target) -> None:
    on_node.apply(manifest("api20", target=target, scenarios=[scenario("40s")]))
    loaded(on_node, target, "api20")
    with without_api_server(cluster):
        time.sleep(20)
        assert target.asked_since(time.time() - 2) > 0, "the load goes on"
    status = on_node.wait("api20", *ENDED)
    assert status["phase"] == "Passed", status
    assert 39 <= on_node.summary(status)["timings"]["loadSeconds"] <= 43
    on_node.wait_until_gone(status["run"]["id"])


def test_no_api_server_for_two_minutes_and_a_threshold_breaks_meanwhile(
    on_node: Installation, cluster: Cluster, target: Target
) -> None:
    after = {**BREACH, "after": "15s"}
    on_node.apply(manifest("api120", target=target, scenarios=[scenario("10m", "/500")], thresholds=[after]))
    run = loaded(on_node, target, "api120")
    with without_api_server(cluster):
        gone = time.time()
        until(lambda: target.asked_since(time.time() - 2) == 0, 60, lambda: "nothing stops the load")
        assert target.times[-1] - gone > 2, "it went on first"
        stopped = time.time()
        time.sleep(max(0.0, 120 - (time.time() - gone)))
    status = on_node.wait("api120", *ENDED)
    assert (status["phase"], status["verdict"]["cause"]) == ("Aborted", "threshold"), status
    assert target.asked_since(stopped) == 0
    # Kubernetes' own controllers have to find back first: it is they who take away the pods of a Job that is gone.
    on_node.wait_until_gone(run, 180)
    until(lambda: "RunAborted" in on_node.events("api120"), 20, lambda: f"told: {on_node.events('api120')}")


def test_the_kubelet_is_frozen_and_the_load_goes_on(
    on_node: Installation, cluster: Cluster, target: Target
) -> None:
    on_node.apply(manifest("kubelet", target=target, scenarios=[scenario("75s")]))
    run = loaded(on_node, target, "kubelet")
    os.kill(cluster.node.kubelet.pid, signal.SIGSTOP)
    try:
        until(lambda: not node_is_ready(cluster), 90, lambda: "nobody misses the node")
        status = on_node.wait("kubelet", *ENDED, seconds=120)
        assert status["phase"] == "Passed", status
        assert on_node.summary(status)["lostRunners"] == []
    finally:
        os.kill(cluster.node.kubelet.pid, signal.SIGCONT)
    on_node.wait_until_gone(run)
    until(lambda: node_is_ready(cluster), 60, lambda: "the node does not come back")


def test_the_node_is_lost_with_all_that_runs_on_it(
    on_node: Installation, cluster: Cluster, target: Target
) -> None:
    on_node.apply(manifest("node", target=target, scenarios=[scenario("10m")]))
    run = loaded(on_node, target, "node")
    pids = [pid for pod in on_node.pods(run) for pid in runner_pids(pod)]
    os.kill(cluster.node.kubelet.pid, signal.SIGSTOP)
    try:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        status = on_node.wait("node", *ENDED)
        assert (status["phase"], status["verdict"]["reason"]) == ("Error", "RunnerLost"), status
    finally:
        os.kill(cluster.node.kubelet.pid, signal.SIGCONT)
    on_node.wait_until_gone(run)


def node_is_ready(cluster: Cluster) -> bool:
    """Whether the control plane takes the node for a good one."""
    node = cluster.plane.client.get(f"/api/v1/nodes/{cluster.node.name}")
    return any(each["type"] == "Ready" and each["status"] == "True" for each in node["status"]["conditions"])
