"""What is read out of Jobs and pods; the statuses are those that a real kubelet and a real Job controller write."""

from typing import Any

import pytest

from squall.hub.assignment import pods as assigned
from squall_operator import pods as reading
from squall_operator.model import Pods
from squall_operator.pods import INDEX, RUNNER, latest
from squall_operator.times import unix_of

AT = "2026-11-21T10:00:00Z"
NOW = 1795255200.0  # AT
JOB: dict[str, Any] = {"metadata": {"name": "shop-1", "creationTimestamp": AT}}
TWO: dict[str, Any] = {**JOB, "spec": {"completions": 2}}


def pod(index: int = 0, *, made: str = AT, gone: bool = False, **status: Any) -> dict[str, Any]:
    metadata = {
        "name": f"shop-1-{index}-abcde",
        "annotations": {INDEX: str(index)},
        "creationTimestamp": made,
    }
    if gone:
        metadata["deletionTimestamp"] = AT
    return {"metadata": metadata, "status": {"phase": "Pending", "startTime": AT, **status}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {
        "containerStatuses": [{"name": RUNNER, "state": {"waiting": {"reason": reason, "message": message}}}]
    }


def ended(code: int, reason: str = "Error", phase: str = "Failed") -> dict[str, Any]:
    state = {"terminated": {"exitCode": code, "reason": reason}}
    return {"phase": phase, "containerStatuses": [{"name": RUNNER, "state": state}]}


def condition(kind: str, status: str, **more: str) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": status, "lastTransitionTime": AT, **more}]}


NO_SANDBOX = waiting("ContainerCreating") | condition("PodReadyToStartContainers", "False")
PULLS = waiting("ContainerCreating") | condition("PodReadyToStartContainers", "True")


def look(job: Any, pods: list[dict[str, Any]], notices: list[dict[str, Any]], **more: Any) -> Pods:
    return reading.look(job, latest(pods), notices, **more)


def needs_notices(job: Any, pods: list[dict[str, Any]], now: float) -> bool:
    return reading.needs_notices(job, latest(pods), now)


def test_without_a_job_there_is_nothing() -> None:
    assert look(None, [], []) == Pods()


def test_pods_that_run_are_no_trouble() -> None:
    seen = look(
        JOB,
        [pod(0, phase="Running"), pod(1, phase="Running"), pod(2, **ended(0, "Completed", "Succeeded"))],
        [],
    )
    assert seen == Pods(job=True, pods=2)


def test_a_run_is_scheduled_when_the_last_of_its_pods_has_a_node() -> None:
    first = pod(0, conditions=[{"type": "PodScheduled", "status": "True", "lastTransitionTime": AT}])
    later = "2026-11-21T10:00:07Z"
    second = pod(1, conditions=[{"type": "PodScheduled", "status": "True", "lastTransitionTime": later}])
    assert look(TWO, [first], []).scheduled == 0, "one is not made yet"
    assert look(TWO, [first, pod(1, **condition("PodScheduled", "False"))], []).scheduled == 0
    assert look(TWO, [first, second], []).scheduled == unix_of(later)


@pytest.mark.parametrize(
    ("status", "reason", "text", "grace"),
    [
        (waiting("ErrImagePull", "not found"), "ImagePullFailed", "not found", 60),
        (waiting("ImagePullBackOff"), "ImagePullFailed", "cannot be pulled", 60),
        (waiting("InvalidImageName"), "ImagePullFailed", "no valid name", 0),
        (waiting("CreateContainerConfigError", 'secret "x" not found'), "ConfigMissing", 'secret "x"', 30),
        (NO_SANDBOX, "VolumesMissing", "volumes", 60),
        (condition("PodScheduled", "False", message="0/1 nodes"), "Unschedulable", "0/1 nodes", 120),
        (ended(137, "OOMKilled"), "OOMKilled", "more memory than its limit", 0),
        (ended(1), "RunnerCrashed", "crashed", 0),
        (ended(143), "RunnerTerminated", "told to terminate", 0),
        (ended(104), "BadManifest", "could not use what it was given", 0),
        (
            {"phase": "Failed", "reason": "Evicted", "message": "node was low"},
            "PodDisrupted",
            "node was low",
            0,
        ),
        (
            {"phase": "Failed", **condition("DisruptionTarget", "True", reason="DeletionByTaintManager")},
            "PodDisrupted",
            "DeletionByTaintManager",
            0,
        ),
    ],
)
def test_each_trouble_has_a_name_and_a_grace(
    status: dict[str, Any], reason: str, text: str, grace: float
) -> None:
    (trouble,) = look(JOB, [pod(**status)], []).troubles
    assert (trouble.reason, trouble.grace_seconds) == (reason, grace)
    assert text in trouble.message
    assert "shop-1-0-abcde" in trouble.message


def test_how_long_a_pod_may_wait_for_a_node_is_the_installations_word() -> None:
    waits = pod(**condition("PodScheduled", "False", message="0/1 nodes"))
    (trouble,) = look(JOB, [waits], [], schedule_seconds=7).troubles
    assert trouble.grace_seconds == 7


def test_pulling_a_large_image_is_no_trouble() -> None:
    assert look(JOB, [pod(**PULLS)], []).troubles == ()
    assert not needs_notices(JOB, [pod(**PULLS)], NOW + 1000)


def test_what_keeps_a_volume_away_stands_in_the_pods_own_notices() -> None:
    about = [
        {"involvedObject": {"name": "shop-1-0-abcde"}, "message": 'configmap "x" not found'},
        {"involvedObject": {"name": "shop-1-1-other"}, "message": "another"},
    ]
    (trouble,) = look(JOB, [pod(**NO_SANDBOX)], about).troubles
    assert 'configmap "x" not found' in trouble.message


def test_notices_are_needed_once_something_takes_longer_than_it_should() -> None:
    assert not needs_notices(None, [], NOW + 60)
    assert not needs_notices(TWO, [pod(phase="Running")], NOW + 2)
    assert needs_notices(TWO, [pod(phase="Running")], NOW + 20), "one pod of two"
    assert not needs_notices(TWO, [pod(0, phase="Running"), pod(1, phase="Running")], NOW + 20)
    assert needs_notices(JOB, [pod(**NO_SANDBOX)], NOW + 20)
    over = {**TWO, "status": {"conditions": [{"type": "Failed", "status": "True"}]}}
    assert not needs_notices(over, [], NOW + 20)


def test_the_worst_trouble_comes_first() -> None:
    seen = look(JOB, [pod(0, **waiting("ErrImagePull")), pod(1, **ended(1))], [])
    assert [trouble.reason for trouble in seen.troubles] == ["RunnerCrashed", "ImagePullFailed"]


def test_a_container_of_another_name_does_not_make_a_runner_lost() -> None:
    state = {"terminated": {"exitCode": 3, "reason": "Error"}}
    assert not look(
        JOB, [pod(phase="Running", containerStatuses=[{"name": "sidecar", "state": state}])], []
    ).lost


def test_lost_pods_are_lost_runners_with_their_reason() -> None:
    pods = [pod(0, phase="Running"), pod(1, **ended(137, "OOMKilled")), pod(2, phase="Running", gone=True)]
    seen = look(JOB, pods, [], runners=(2, 2, 2))
    assert sorted(seen.lost) == [2, 3, 4, 5]
    assert seen.lost[2] == seen.lost[3]
    assert (seen.lost[2].reason, seen.lost[5].reason) == ("OOMKilled", "PodDeleted")
    assert "shop-1-1-abcde was killed" in seen.lost[2].message


@pytest.mark.parametrize(
    ("shards", "per_pod", "processes"), [(4, 3, 3), (7, 3, 3), (10, 4, 4), (5, 2, 2), (3, 1, 1)]
)
def test_the_runners_of_a_lost_pod_are_those_that_the_hub_knows_there(
    shards: int, per_pod: int, processes: int
) -> None:
    dealt = assigned(shards, per_pod, processes)
    first = 0
    for lost, own in enumerate(dealt):
        pods = [pod(i, **(ended(1) if i == lost else {"phase": "Running"})) for i in range(len(dealt))]
        seen = look(JOB, pods, [], runners=[len(each) for each in dealt])
        assert list(seen.lost) == list(range(first, first + len(own)))
        first += len(own)


def test_a_pod_that_is_gone_without_a_trace_is_lost_once_its_job_says_so() -> None:
    failed = {**TWO, "status": {"failedIndexes": "1,3-4"}}
    assert sorted(look(failed, [pod(0, phase="Running")], []).lost) == [1, 3, 4]
    assert not look(TWO, [pod(0, phase="Running")], []).lost, "the Job may be making another"


def test_a_pod_that_took_the_place_of_another_counts() -> None:
    pods = [pod(0, made="2026-11-21T10:00:09Z", phase="Running"), pod(0, **ended(1))]
    assert look(JOB, pods, []) == Pods(job=True, pods=1)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ('pods "x" is forbidden: exceeded quota: small, requested: pods=1', "QuotaExceeded"),
        ('error looking up service account default/x: serviceaccount "x" not found', "ServiceAccountMissing"),
        ('pods "x" is forbidden: violates PodSecurity "restricted:latest"', "PodSecurityViolated"),
        ("something else", "PodsRefused"),
    ],
)
def test_pods_that_are_not_let_in_show_in_events_only(message: str, reason: str) -> None:
    events = [{"reason": "FailedCreate", "message": message}, {"reason": "Other", "message": "x"}]
    (trouble,) = look(JOB, [], events).troubles
    assert trouble.reason == reason
    assert message in trouble.message
    assert not look(JOB, [pod(phase="Running")], events).troubles
    assert look(TWO, [pod(phase="Running")], events).troubles == (trouble,), "a quota may let some in"


def test_a_job_that_goes_is_seen() -> None:
    going = {"metadata": {**JOB["metadata"], "deletionTimestamp": AT}}
    assert look(going, [], []).deleting
