"""Operators and hubs that are killed at every moment: the run goes on and its verdict covers all of it, or the load stops by itself."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from support.cluster.hosttarget import Target
from support.cluster.operated import ENDED, Installation, manifest, scenario, until
from support.kubeclient import Json

pytestmark = [pytest.mark.node, pytest.mark.matrix, pytest.mark.timeout(300)]

BREACH = {"metric": "http_req_failed", "expression": "rate<1%", "over": "2s", "abortOnFail": True}


@pytest.fixture
def parts(squall: Installation) -> Iterator[Installation]:
    """The installation, whole again afterwards."""
    yield squall
    assert squall.hub is not None
    if not squall.hub.running():
        squall.start_hub()
    if not any(operator.running() for operator in squall.operators):
        squall.start_operator()


@pytest.fixture
def on_node(parts: Installation, target: Target) -> Installation:
    """The same, for LoadTests with a target on the node."""
    del target
    return parts.on_node


def kill_operator(squall: Installation) -> None:
    squall.kill_operators()
    squall.start_operator()


def kill_hub(squall: Installation) -> None:
    assert squall.hub is not None
    squall.hub.kill()
    squall.start_hub()


def kill_both(squall: Installation) -> None:
    kill_operator(squall)
    kill_hub(squall)


KILLED = pytest.mark.parametrize(
    ("who", "kill"), [("operator", kill_operator), ("hub", kill_hub), ("both", kill_both)]
)


def passes(squall: Installation, name: str, seconds: tuple[float, float]) -> Json:
    """Wait until a run has passed, with load that was on for so long, and until it is gone."""
    status = squall.wait(name, *ENDED)
    assert status["phase"] == "Passed", status
    summary = squall.summary(status)
    assert seconds[0] <= summary["timings"]["loadSeconds"] <= seconds[1], summary["timings"]
    squall.wait_until_gone(status["run"]["id"])
    return summary


@KILLED
def test_killed_before_the_barrier(
    parts: Installation, who: str, kill: Callable[[Installation], None]
) -> None:
    name = f"before-{who}"
    test = manifest(name)
    target = test["spec"]["runner"]["template"]["spec"]["initContainers"][0]
    wait = {"name": "wait", "image": target["image"], "imagePullPolicy": "Never", "command": ["sleep", "6"]}
    test["spec"]["runner"]["template"]["spec"]["initContainers"].insert(0, wait)
    parts.apply(test)
    parts.wait(name, "Starting")
    kill(parts)
    passes(parts, name, (4, 8))


@KILLED
def test_killed_under_load(
    on_node: Installation, target: Target, who: str, kill: Callable[[Installation], None]
) -> None:
    name = f"under-{who}"
    on_node.apply(manifest(name, target=target, scenarios=[scenario("15s")]))
    on_node.wait(name, "Running")
    until(lambda: len(target.times) > 20, 20, lambda: "no load came")
    kill(on_node)
    summary = passes(on_node, name, (14, 18))
    (requests,) = (each for each in summary["metrics"] if each["metric"] == "http_reqs" and not each["tags"])
    assert requests["values"]["count"] == len(target.times), "what was delivered is in the verdict, all of it"


@KILLED
def test_killed_while_stopping(
    on_node: Installation, target: Target, who: str, kill: Callable[[Installation], None]
) -> None:
    name = f"stopping-{who}"
    teardown = {"timeout": "30s", "steps": [{"think": {"duration": "5s"}}, {"http": {"url": "/201"}}]}
    test = manifest(name, target=target, scenarios=[scenario("5m")], teardown=teardown)
    on_node.apply(test)
    on_node.wait(name, "Running")
    until(lambda: len(target.times) > 0, 20, lambda: "no load came")
    on_node.apply({**test, "spec": {**test["spec"], "suspend": True}})
    on_node.wait(name, "Stopping")
    kill(on_node)
    status = on_node.wait(name, *ENDED)
    assert (status["phase"], status["verdict"]["reason"]) == ("Aborted", "Suspended"), status
    on_node.wait_until_gone(status["run"]["id"])


def test_thresholds_stop_the_load_while_there_is_no_operator(on_node: Installation, target: Target) -> None:
    after = {**BREACH, "after": "6s"}
    on_node.apply(manifest("alone", target=target, scenarios=[scenario("5m", "/500")], thresholds=[after]))
    on_node.wait("alone", "Running")
    on_node.kill_operators()
    until(lambda: len(target.times) > 0, 20, lambda: "no load came")
    until(lambda: target.asked_since(time.time() - 2) == 0, 30, lambda: "the load goes on")
    on_node.start_operator()
    status = on_node.wait("alone", *ENDED)
    assert (status["phase"], status["verdict"]["cause"]) == ("Aborted", "threshold"), status
    on_node.wait_until_gone(status["run"]["id"])


def test_with_nobody_left_the_load_stops_by_itself(on_node: Installation, target: Target) -> None:
    safety = {"saturation": {"tolerated": "100%"}, "lostControl": "6s"}
    on_node.apply(manifest("nobody", target=target, scenarios=[scenario("5m")], safety=safety))
    run = on_node.wait("nobody", "Running")["run"]["id"]
    until(lambda: len(target.times) > 0, 20, lambda: "no load came")
    on_node.kill_operators()
    assert on_node.hub is not None
    on_node.hub.kill()
    gone = time.time()
    until(
        lambda: all(pod["status"]["phase"] in ("Succeeded", "Failed") for pod in on_node.pods(run)),
        60,
        lambda: f"{[pod['status']['phase'] for pod in on_node.pods(run)]}",
    )
    assert max(target.times) - gone < 6 + 1.5, "safety.lostControl, and what was in flight"
    codes = {
        each["state"]["terminated"]["exitCode"]
        for pod in on_node.pods(run)
        for each in pod["status"]["containerStatuses"]
    }
    assert codes == {70}
    on_node.start_operator()
    on_node.start_hub()
    status = on_node.wait("nobody", *ENDED)
    assert status["phase"] == "Error", status
    # The hub waits for its runners, the operator for the Lease of the one before: whoever is first gives the reason.
    assert status["verdict"]["reason"] in ("LostControl", "RunnerLost"), status
    on_node.wait_until_gone(run)


def test_of_two_operators_the_leader_is_killed(parts: Installation) -> None:
    parts.start_operator()  # it waits for the Lease
    parts.apply(manifest("heirs", scenarios=[scenario("20s")]))
    parts.wait("heirs", "Running")
    path = f"/apis/coordination.k8s.io/v1/namespaces/{parts.namespace}/leases/squall-operator"
    before = parts.kube.get(path)["spec"]
    leader = next(each for each in parts.operators if each.running())
    leader.kill()
    passes(parts, "heirs", (19, 23))
    after = parts.kube.get(path)["spec"]
    assert after["holderIdentity"] != before["holderIdentity"]
    assert after["leaseTransitions"] == before["leaseTransitions"] + 1


def test_a_leader_that_is_told_to_end_gives_its_place_at_once(parts: Installation) -> None:
    parts.start_operator()
    path = f"/apis/coordination.k8s.io/v1/namespaces/{parts.namespace}/leases/squall-operator"
    until(lambda: parts.kube.exists(path), 30, lambda: "no Lease")
    before = parts.kube.get(path)["spec"]["holderIdentity"]
    next(each for each in parts.operators if each.running()).stop()
    began = time.monotonic()
    until(
        lambda: parts.kube.get(path)["spec"]["holderIdentity"] not in ("", before),
        12,
        lambda: "nobody took it",
    )
    assert time.monotonic() - began < 12, "sooner than a Lease of 15 s runs out"


@contextmanager
def packets_dropped(port: int) -> Iterator[None]:
    """Nothing that goes to a port of this machine arrives."""
    rule = ["INPUT", "-p", "tcp", "--dport", str(port), "-j", "DROP"]
    subprocess.run(["iptables", "--wait", "-I", *rule], check=True)
    try:
        yield
    finally:
        subprocess.run(["iptables", "--wait", "-D", *rule], check=True)


def test_the_hub_cannot_be_reached_for_five_seconds(on_node: Installation, target: Target) -> None:
    on_node.apply(manifest("cut", target=target, scenarios=[scenario("20s")]))
    on_node.wait("cut", "Running")
    until(lambda: len(target.times) > 0, 20, lambda: "no load came")
    with packets_dropped(on_node.hub_port):
        time.sleep(5)
    summary = passes(on_node, "cut", (19, 23))
    assert not summary["lostRunners"]
