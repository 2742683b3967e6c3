"""LoadTests on a real cluster: from `kubectl apply` to a verdict, and every way in which somebody changes their mind."""

import gzip
import json
from base64 import b64decode

import pytest
from support.cluster.operated import ENDED, Installation, load_test, manifest, until
from support.kubeclient import Json

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]
matrix = pytest.mark.matrix
"""Of all that is tried here, `make test` runs the first; the rest takes minutes and is `make test-cluster`."""

LONG = [
    {
        "name": "look",
        "executor": "constant-vus",
        "vus": 2,
        "duration": "5m",
        "steps": [{"name": "home", "http": {"url": "/"}}, {"think": {"duration": "200ms"}}],
    }
]


def conditions(status: Json) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}


def gone(squall: Installation, run: str) -> None:
    until(lambda: not squall.left(run), 60, lambda: f"left: {squall.left(run)}")


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
    (past,) = status["history"]
    report = squall.kube.get(f"/api/v1/namespaces/default/configmaps/{past['report']}")
    summary = json.loads(gzip.decompress(b64decode(report["binaryData"]["summary.json.gz"])))
    assert summary["verdict"]["result"] == "Passed"
    assert summary["shards"] == 2
    gone(squall, status["run"]["id"])
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
def test_a_broken_threshold_stops_every_pod(squall: Installation) -> None:
    threshold = {"metric": "http_req_failed", "expression": "rate<1%", "over": "2s", "abortOnFail": True}
    scenario = [{**LONG[0], "steps": [{"http": {"url": "/500"}}, {"think": {"duration": "200ms"}}]}]
    squall.apply(manifest("breach", scenarios=scenario, thresholds=[threshold]))
    status = squall.wait("breach", *ENDED)
    assert (status["phase"], status["verdict"]["cause"]) == ("Aborted", "threshold")
    assert status["timings"]["stopToLastRequestSeconds"] < 2
    gone(squall, status["run"]["id"])


@matrix
def test_suspending_stops_what_runs_and_starts_it_no_more(squall: Installation) -> None:
    test = manifest("pause", shards=1, scenarios=LONG)
    squall.apply(test)
    squall.wait("pause", "Running")
    squall.apply({**test, "spec": {**test["spec"], "suspend": True}})
    status = squall.wait("pause", *ENDED)
    assert (status["phase"], status["verdict"]["reason"]) == ("Aborted", "Suspended")
    gone(squall, status["run"]["id"])


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
    gone(squall, first)
    status = squall.wait("edited", *ENDED)
    assert [past["reason"] for past in status["history"]] == ["ThresholdsHeld", "Replaced"]


@matrix
def test_deletion_stops_the_load_and_leaves_nothing(squall: Installation) -> None:
    squall.apply(manifest("deleted", scenarios=LONG))
    run = squall.wait("deleted", "Running")["run"]["id"]
    squall.kube.delete(load_test("deleted"))
    gone(squall, run)
    assert not squall.kube.exists(load_test("deleted"))


@matrix
def test_a_manifest_that_the_models_refuse_makes_no_pods(squall: Installation) -> None:
    steps = [{"http": {"url": "/${nothing}"}}]
    squall.apply(manifest("wrong", scenarios=[{**LONG[0], "steps": steps}]))
    status = squall.wait("wrong", *ENDED)
    assert (status["phase"], conditions(status)["Stalled"]) == ("Rejected", ("True", "ManifestInvalid"))
    assert "nothing" in status["message"]
    assert "run" not in status


@matrix
def test_an_image_that_does_not_exist(squall: Installation) -> None:
    test = manifest("noimage", shards=1)
    test["spec"]["runner"]["image"] = "localhost/nobody/has:this"
    squall.apply(test)
    status = squall.wait("noimage", *ENDED)
    assert (status["phase"], status["verdict"]["reason"]) == ("Error", "ImagePullFailed")
    gone(squall, status["run"]["id"])


@matrix
def test_a_pod_that_is_killed_ends_the_run_with_its_reason(squall: Installation) -> None:
    squall.apply(manifest("lost", scenarios=LONG))
    run = squall.wait("lost", "Running")["run"]["id"]
    name = squall.pods(run)[0]["metadata"]["name"]
    squall.kube.request(
        "DELETE",
        f"/api/v1/namespaces/default/pods/{name}",
        {"gracePeriodSeconds": 0, "kind": "DeleteOptions", "apiVersion": "v1"},
    )
    status = squall.wait("lost", *ENDED)
    assert (status["phase"], status["verdict"]["reason"]) == ("Error", "RunnerLost"), status
    gone(squall, run)


@matrix
def test_the_operator_is_killed_and_the_run_goes_on(squall: Installation) -> None:
    scenario = [{**LONG[0], "duration": "15s"}]
    squall.apply(manifest("orphan", shards=1, scenarios=scenario))
    squall.wait("orphan", "Running")
    squall.operators[-1].kill()
    squall.start_operator()
    status = squall.wait("orphan", *ENDED)
    assert status["phase"] == "Passed"
    gone(squall, status["run"]["id"])


@matrix
def test_the_hub_is_killed_and_the_run_goes_on(squall: Installation) -> None:
    scenario = [{**LONG[0], "duration": "15s"}]
    squall.apply(manifest("hubless", shards=1, scenarios=scenario))
    squall.wait("hubless", "Running")
    assert squall.hub is not None
    squall.hub.kill()
    squall.start_hub()
    status = squall.wait("hubless", *ENDED)
    assert status["phase"] == "Passed", status
    report = squall.kube.get(f"/api/v1/namespaces/default/configmaps/{status['history'][0]['report']}")
    summary = json.loads(gzip.decompress(b64decode(report["binaryData"]["summary.json.gz"])))
    assert 14 <= summary["timings"]["loadSeconds"] <= 17


@matrix
def test_reports_follow_the_history(squall: Installation) -> None:
    test = manifest("past", shards=1, historyLimit=1)
    squall.apply(test)
    first = squall.wait("past", *ENDED)["history"][0]["report"]
    squall.apply({**test, "metadata": {**test["metadata"], "annotations": {"squall.dev/run": "2"}}})
    until(lambda: squall.status("past")["history"][0]["report"] != first, 90, lambda: "no second report")
    until(
        lambda: not squall.kube.exists(f"/api/v1/namespaces/default/configmaps/{first}"), 30, lambda: "kept"
    )
