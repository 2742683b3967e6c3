"""LoadTests on a real cluster: from `kubectl apply` to a verdict, and every way in which somebody changes their mind."""

import time

import pytest
from support.cluster.hosttarget import Target
from support.cluster.operated import ENDED, Installation, manifest, scenario, until
from support.kubeclient import Json

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]
matrix = pytest.mark.matrix
"""Of all that is tried here, `make test` runs the first; the rest takes minutes and is `make test-cluster`."""

LONG = [scenario("5m")]


def conditions(status: Json) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}


def test_a_run_from_apply_to_verdict(squall: Installation) -> None:
    squall.apply(manifest("whole", thresholds=[{"metric": "http_req_failed", "expression": "rate<1%"}]))
    status = squall.wait("whole", *ENDED)
    assert status["phase"] == "Passed", status
    assert conditions(status) == {
        "Ready": ("True", "ThresholdsHeld"),
        "Reconciling": ("False", "ThresholdsHeld"),
        "Stalled": ("False", "ThresholdsHeld"),
    }
    assert status["thresholds"][0]["state"] == "pass"
    assert status["shards"]["desired"] == 2
    assert status["timings"]["startSkewSeconds"] < 1
    assert len(status["history"]) == 1
    summary = squall.summary(status)
    assert summary["verdict"]["result"] == "Passed"
    assert summary["shards"] == 2
    squall.wait_until_gone(status["run"]["id"])
    assert {"RunAccepted", "LoadStarted", "RunPassed"} <= set(squall.events("whole"))


@matrix
def test_applying_it_again_runs_nothing_and_an_annotation_does(squall: Installation) -> None:
    test = manifest("again", shards=1)
    squall.apply(test)
    first = squall.wait("again", *ENDED)
    squall.apply({**test, "metadata": {**test["metadata"], "labels": {"team": "a"}}})
    squall.apply({**test, "spec": {**test["spec"], "historyLimit": 5}})
    until(
        lambda: squall.status("again").get("observedGeneration", 0) >= 2, 30, lambda: "the edit was not seen"
    )
    assert squall.status("again")["run"]["id"] == first["run"]["id"]
    again = {**test, "metadata": {**test["metadata"], "annotations": {"squall.dev/run": "2"}}}
    squall.apply(again)
    until(lambda: squall.status("again")["run"]["id"] != first["run"]["id"], 30, lambda: "no other run")
    status = squall.wait("again", *ENDED)
    assert len(status["history"]) == 2


@matrix
def test_a_broken_threshold_stops_every_pod(on_node: Installation, target: Target) -> None:
    threshold = {"metric": "http_req_failed", "expression": "rate<1%", "over": "2s", "abortOnFail": True}
    on_node.apply(
        manifest("breach", target=target, scenarios=[scenario("5m", "/500")], thresholds=[threshold])
    )
    status = on_node.wait("breach", *ENDED)
    ended = time.time()
    assert (status["phase"], status["verdict"]["cause"]) == ("Aborted", "threshold")
    assert status["timings"]["stopToLastRequestSeconds"] < 2
    on_node.wait_until_gone(status["run"]["id"])
    assert target.times
    assert target.asked_since(ended) == 0, "the target agrees that there is no load any more"


@matrix
def test_suspending_stops_what_runs_and_starts_it_no_more(squall: Installation) -> None:
    test = manifest("pause", shards=1, scenarios=LONG)
    squall.apply(test)
    squall.wait("pause", "Running")
    squall.apply({**test, "spec": {**test["spec"], "suspend": True}})
    status = squall.wait("pause", *ENDED)
    assert (status["phase"], status["verdict"]["reason"]) == ("Aborted", "Suspended")
    squall.wait_until_gone(status["run"]["id"])


@matrix
def test_what_is_held_starts_when_it_is_let_go(squall: Installation) -> None:
    test = manifest("held", shards=1)
    squall.apply({**test, "spec": {**test["spec"], "suspend": True}})
    squall.wait("held", "Suspended")
    squall.apply({**test, "spec": {**test["spec"], "suspend": False}})
    assert squall.wait("held", *ENDED)["phase"] == "Passed"


@matrix
def test_an_edit_replaces_the_run(squall: Installation) -> None:
    test = manifest("edited", shards=1, scenarios=LONG)
    squall.apply(test)
    first = squall.wait("edited", "Running")["run"]["id"]
    squall.apply(manifest("edited", shards=1))
    until(lambda: squall.status("edited")["run"]["id"] != first, 60, lambda: "no other run began")
    squall.wait_until_gone(first)
    status = squall.wait("edited", *ENDED)
    assert [past["reason"] for past in status["history"]] == ["ThresholdsHeld", "Replaced"]


@matrix
def test_deletion_stops_the_load_and_leaves_nothing(squall: Installation) -> None:
    squall.apply(manifest("deleted", scenarios=LONG))
    run = squall.wait("deleted", "Running")["run"]["id"]
    squall.kube.delete(squall.path("deleted"))
    squall.wait_until_gone(run)
    assert not squall.kube.exists(squall.path("deleted"))


@matrix
def test_a_manifest_that_the_models_refuse_makes_no_pods(squall: Installation) -> None:
    steps = [{"http": {"url": "/${nothing}"}}]
    squall.apply(manifest("wrong", scenarios=[{**scenario(), "steps": steps}]))
    status = squall.wait("wrong", *ENDED)
    assert (status["phase"], conditions(status)["Stalled"]) == ("Rejected", ("True", "ManifestInvalid"))
    assert "nothing" in status["message"]
    assert "run" not in status


@matrix
def test_reports_follow_the_history(squall: Installation) -> None:
    test = manifest("past", shards=1, historyLimit=1)
    squall.apply(test)
    first = squall.wait("past", *ENDED)["history"][0]["report"]
    squall.apply({**test, "metadata": {**test["metadata"], "annotations": {"squall.dev/run": "2"}}})
    until(lambda: squall.status("past")["history"][0]["report"] != first, 90, lambda: "no second report")
    until(lambda: not squall.kube.exists(squall.core("configmaps", first)), 30, lambda: "kept")
