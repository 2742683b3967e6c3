"""What people and machines do to a LoadTest and its objects while it runs: nothing gets stuck, and no load goes on that nobody wants."""

import secrets
import time

import pytest
from support.cluster.hosttarget import Target
from support.cluster.operated import ENDED, Installation, manifest, scenario, until
from support.kubeclient import Json

pytestmark = [pytest.mark.node, pytest.mark.matrix, pytest.mark.timeout(300)]

LONG = [scenario("5m")]
STOPPED_WITHIN = 2.0
"""Seconds from a deletion to the last request."""


def deleted(squall: Installation, target: Target, name: str, run: str) -> None:
    """Delete a LoadTest: its load stops at once, and nothing is left."""
    squall.kube.delete(squall.path(name))
    moment = time.time()
    squall.wait_until_gone(run, 40)
    assert not squall.kube.exists(squall.path(name))
    assert target.asked_since(moment + STOPPED_WITHIN) == 0


# -- deletion -------------------------------------------------------------------------------------------------


def test_deleted_while_it_is_held(squall: Installation) -> None:
    squall.apply(manifest("d-held", suspend=True))
    squall.wait("d-held", "Suspended")
    squall.kube.delete(squall.path("d-held"))
    assert not squall.kube.exists(squall.path("d-held"))


def test_deleted_at_once(on_node: Installation, target: Target) -> None:
    """Before, while or after its objects are made: nobody knows."""
    name = "d-once"
    uid = on_node.apply(manifest(name, target=target, scenarios=LONG))["metadata"]["uid"]
    on_node.kube.delete(on_node.path(name))
    moment = time.time()

    def owned() -> list[str]:
        path = f"/apis/batch/v1/namespaces/{on_node.namespace}/jobs"
        jobs = on_node.kube.get(path)["items"]
        return [
            job["metadata"]["name"] for job in jobs if job["metadata"]["ownerReferences"][0]["uid"] == uid
        ]

    until(lambda: not owned(), 40, lambda: f"{owned()} is left")
    assert target.asked_since(moment + 10) == 0


@pytest.mark.parametrize("phase", ["Launching", "Starting", "Running"])
def test_deleted_at_a_phase(on_node: Installation, target: Target, phase: str) -> None:
    name = f"d-{phase.lower()}"
    on_node.apply(manifest(name, target=target, scenarios=LONG))
    # What launches is soon past it.
    phases = {"Launching": ("Launching", "Starting")}.get(phase, (phase,))
    run = on_node.wait(name, *phases)["run"]["id"]
    if phase == "Running":
        until(lambda: len(target.times) > 0, 20, lambda: "no load came")
    deleted(on_node, target, name, run)


def test_deleted_while_it_stops(on_node: Installation, target: Target) -> None:
    teardown = {"timeout": "60s", "steps": [{"think": {"duration": "50s"}}, {"http": {"url": "/201"}}]}
    test = manifest("d-stopping", target=target, scenarios=LONG, teardown=teardown)
    on_node.apply(test)
    on_node.wait("d-stopping", "Running")
    on_node.apply({**test, "spec": {**test["spec"], "suspend": True}})
    run = on_node.wait("d-stopping", "Stopping")["run"]["id"]
    deleted(on_node, target, "d-stopping", run)


def test_deleted_when_it_is_over(squall: Installation) -> None:
    squall.apply(manifest("d-over", shards=1))
    report = squall.wait("d-over", *ENDED)["history"][0]["report"]
    squall.kube.delete(squall.path("d-over"))
    until(lambda: not squall.kube.exists(squall.core("configmaps", report)), 30, lambda: "the report is left")


def test_deleted_and_made_again_it_runs_again(squall: Installation) -> None:
    test = manifest("phoenix", shards=1)
    squall.apply(test)
    first = squall.wait("phoenix", *ENDED)["run"]["id"]
    squall.kube.delete(squall.path("phoenix"))
    squall.apply(test)
    status = squall.wait("phoenix", *ENDED)
    assert status["phase"] == "Passed"
    assert status["run"]["id"] != first


def test_a_namespace_is_deleted_under_load(squall: Installation, target: Target) -> None:
    other = squall.beside().on_node
    other.apply(manifest("inside", target=target, scenarios=LONG))
    other.wait("inside", "Running")
    until(lambda: len(target.times) > 0, 20, lambda: "no load came")
    namespace_ends(other, target)


def test_a_namespace_is_deleted_when_no_operator_is_there(squall: Installation, target: Target) -> None:
    other = squall.beside().on_node
    other.apply(manifest("inside", target=target, scenarios=LONG))
    other.wait("inside", "Running")
    other.operators[-1].kill()
    namespace_ends(other, target)


def namespace_ends(squall: Installation, target: Target) -> None:
    """Delete the installation's namespace: nothing holds it up, and the load stops as soon as its pods are told."""
    path = f"/api/v1/namespaces/{squall.namespace}"
    squall.kube.delete(path)
    until(lambda: not squall.kube.exists(path), 90, lambda: str(squall.kube.get(path)["status"]))
    assert target.asked_since(time.time()) == 0


# -- editing --------------------------------------------------------------------------------------------------


def test_somebody_deletes_the_job(on_node: Installation, target: Target) -> None:
    on_node.apply(manifest("jobless", target=target, scenarios=LONG))
    run = on_node.wait("jobless", "Running")["run"]["id"]
    path = f"/apis/batch/v1/namespaces/{on_node.namespace}/jobs/{run}"
    on_node.kube.request(
        "DELETE", path, {"propagationPolicy": "Background", "kind": "DeleteOptions", "apiVersion": "v1"}
    )
    status = on_node.wait("jobless", *ENDED)
    assert status["phase"] == "Error"
    # Its pods go with it, and whoever is seen first gives the reason.
    assert status["verdict"]["reason"] in ("JobDeleted", "PodDeleted", "RunnerTerminated"), status
    on_node.wait_until_gone(run)
    assert target.asked_since(time.time()) == 0


@pytest.mark.parametrize(
    ("name", "forged"),
    [
        ("emptied", None),
        ("passed", {"phase": "Passed", "run": {"phase": "Finished"}, "verdict": {"result": "Passed"}}),
        ("renamed", {"run": {"id": "somebody-else"}}),
    ],
)
def test_somebody_edits_the_status_under_load(
    on_node: Installation, target: Target, name: str, forged: Json | None
) -> None:
    name = f"forged-{name}"
    on_node.apply(manifest(name, target=target, scenarios=[scenario("12s")]))
    run = on_node.wait(name, "Running")["run"]["id"]
    on_node.kube.merge_patch(f"{on_node.path(name)}/status", {"status": forged})
    until(
        lambda: on_node.status(name).get("phase") == "Running" and on_node.status(name)["run"]["id"] == run,
        15,
        lambda: f"{on_node.status(name)}",
    )
    status = on_node.wait(name, *ENDED)
    assert (status["phase"], status["run"]["id"]) == ("Passed", run)
    assert 11 <= on_node.summary(status)["timings"]["loadSeconds"] <= 15, (
        "it is one run, and nothing broke it off"
    )
    on_node.wait_until_gone(run)


def test_somebody_changes_the_verdict(squall: Installation) -> None:
    threshold = {"metric": "http_reqs", "expression": "count>100000"}
    squall.apply(manifest("corrected", shards=1, thresholds=[threshold]))
    run = squall.wait("corrected", *ENDED)["run"]["id"]
    squall.wait_until_gone(run)
    forged = {"phase": "Passed", "verdict": {"result": "Passed", "exitCode": 0}}
    squall.kube.merge_patch(f"{squall.path('corrected')}/status", {"status": forged})
    until(
        lambda: squall.status("corrected")["phase"] == "Failed", 15, lambda: f"{squall.status('corrected')}"
    )
    assert squall.status("corrected")["run"]["id"] == run


# -- names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [63, 200])
def test_a_long_name(squall: Installation, length: int) -> None:
    name = f"n{secrets.token_hex(2)}-{'long-name-' * 30}"[: length - 1] + "z"
    squall.apply(manifest(name))
    status = squall.wait(name, *ENDED)
    assert status["phase"] == "Passed", status
    squall.wait_until_gone(status["run"]["id"])


# -- policies -------------------------------------------------------------------------------------------------


def test_hosts_that_are_taken_away_end_what_may_reach_them(squall: Installation, target: Target) -> None:
    """Whatever hosts the manifest names: where its requests lead, only its runners know, and they keep the old rules."""
    beside = squall.beside().on_node
    with beside.policy(allowedHosts=["0.0.0.0/0", "shop.test.example"]) as policy:
        beside.apply(manifest("p-hosts", target=target, scenarios=LONG))
        beside.wait("p-hosts", "Running")
        more = ["shop.test.example", "0.0.0.0/0", "pay.test.example"]
        beside.kube.merge_patch(policy, {"spec": {"allowedHosts": more}})
        so_far = len(target.times)
        until(lambda: len(target.times) > so_far + 5, 20, lambda: "the load has ended")
        assert beside.status("p-hosts")["phase"] == "Running", "more hosts do no harm"
        beside.kube.merge_patch(policy, {"spec": {"allowedHosts": ["0.0.0.0/0"]}})
        status = beside.wait("p-hosts", "Aborted")
        moment = time.time()
        verdict = status["verdict"]
        assert (verdict["cause"], verdict["reason"]) == ("policy", "PolicyViolated")
        beside.wait_until_gone(status["run"]["id"])
        assert target.asked_since(moment) == 0
