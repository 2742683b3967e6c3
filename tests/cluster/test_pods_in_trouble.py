"""What can happen to the pods of a run on a real node: each ends with its own reason, an Event, and freed resources.

Deadlines are those of docs/operations.md, shorter where the installation can set them.
"""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from support.cluster.built import IMAGES, image_archive
from support.cluster.hosttarget import Target
from support.cluster.images import derived
from support.cluster.operated import ENDED, Installation, manifest, scenario, until
from support.cluster.podprocesses import runner_pids
from support.kubeclient import Json

pytestmark = [pytest.mark.node, pytest.mark.matrix, pytest.mark.timeout(300)]

LONG = [scenario("5m")]
STEPS_FILE = "steps.py"


TAKEN = ("PodDeleted", "RunnerTerminated", "RunnerLost")
"""Why a run ended whose pod was taken away: told by the pod, by the runner in it, or by nobody in time; the first counts."""


def ends(squall: Installation, name: str, *reasons: str, seconds: float = 120) -> Json:
    """Wait for the run's end as an Error with such a reason, told in an Event, and for its resources to be free."""
    status = squall.wait(name, *ENDED, seconds=seconds)
    reason = status.get("verdict", {}).get("reason")
    assert status["phase"] == "Error", status
    assert reason in reasons, status
    stalled = next(each for each in status["conditions"] if each["type"] == "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", reason)
    until(lambda: "RunError" in squall.events(name), 10, lambda: f"told: {squall.events(name)}")
    squall.wait_until_gone(status["run"]["id"])
    return status


def python_steps(code: str) -> Json:
    """A scenario whose VUs call `step` of a file with this code, and the file."""
    steps = [
        {"name": "own", "python": {"file": STEPS_FILE, "function": "step"}},
        {"think": {"duration": "100ms"}},
    ]
    return {
        "files": [{"name": STEPS_FILE, "inline": code}],
        "scenarios": [{**scenario("5m"), "steps": steps}],
    }


# -- before the load ------------------------------------------------------------------------------------------


def test_an_image_that_does_not_exist(squall: Installation) -> None:
    test = manifest("noimage", shards=1)
    test["spec"]["runner"]["image"] = "localhost/nobody/has:this"
    squall.apply(test)
    ends(squall, "noimage", "ImagePullFailed")


@pytest.mark.parametrize(
    ("name", "resources", "template", "words"),
    [
        ("cpus", {"requests": {"cpu": "999"}, "limits": {"cpu": "999"}}, {}, "Insufficient cpu"),
        ("elsewhere", None, {"nodeSelector": {"disk": "none-has-this"}}, "didn't match Pod's node affinity"),
    ],
)
def test_no_node_takes_the_pods(
    hasty: Installation, name: str, resources: Json | None, template: Json, words: str
) -> None:
    test = manifest(name, template=template)
    if resources:
        test["spec"]["runner"]["resources"] = resources
    hasty.apply(test)
    assert words in ends(hasty, name, "Unschedulable")["message"]


@pytest.mark.parametrize("allowed", [0, 1])
def test_a_quota_lets_in_too_few_pods(squall: Installation, allowed: int) -> None:
    path = f"{squall.core('resourcequotas')}/few"
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}}
    squall.kube.apply(path, {**quota, "spec": {"hard": {"pods": str(allowed)}}})
    try:
        squall.apply(manifest(f"quota-{allowed}"))
        assert "exceeded quota" in ends(squall, f"quota-{allowed}", "QuotaExceeded")["message"]
    finally:
        squall.kube.delete(path)


def test_a_service_account_that_is_missing(squall: Installation) -> None:
    squall.apply(manifest("noaccount", template={"serviceAccountName": "nobody"}))
    assert "nobody" in ends(squall, "noaccount", "ServiceAccountMissing")["message"]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("noconfig", {"files": [{"name": "a.csv", "configMap": {"name": "nothing", "key": "a"}}]}),
        ("nosecret", {"variables": [{"name": "p", "secret": {"name": "nothing", "key": "p"}}]}),
    ],
)
def test_what_the_pods_mount_is_missing(squall: Installation, name: str, parts: Json) -> None:
    squall.apply(manifest(name, shards=1, **parts))
    assert '"nothing" not found' in ends(squall, name, "VolumesMissing")["message"]


def test_what_the_pods_have_in_their_environment_is_missing(squall: Installation) -> None:
    missing = {"name": "USER_NAME", "valueFrom": {"configMapKeyRef": {"name": "nothing", "key": "user"}}}
    squall.apply(manifest("noenv", shards=1, template={"containers": [{"name": "runner", "env": [missing]}]}))
    assert '"nothing" not found' in ends(squall, "noenv", "ConfigMissing")["message"]


def test_a_pod_that_crashes_at_its_start(squall: Installation) -> None:
    test = manifest("crash", shards=1)
    test["spec"]["runner"]["image"] = IMAGES["operator"]
    squall.apply(test)
    ends(squall, "crash", "RunnerCrashed")


def test_a_pod_that_crashed_at_its_start_stays_for_its_log_as_long_as_that_is_wanted(
    squall: Installation,
) -> None:
    test = manifest("crash-kept", shards=1, ttlSecondsAfterFinished=3600)
    test["spec"]["runner"]["image"] = IMAGES["operator"]
    squall.apply(test)
    status = squall.wait("crash-kept", *ENDED)
    assert status["verdict"]["reason"] == "RunnerCrashed", status
    run = status["run"]["id"]
    (pod,) = squall.pods(run)
    assert [each["state"].keys() for each in pod["status"]["containerStatuses"]] == [{"terminated"}]
    squall.apply({**test, "spec": {**test["spec"], "ttlSecondsAfterFinished": 0}})
    squall.wait_until_gone(run)


def test_a_runner_that_never_becomes_ready(hasty: Installation) -> None:
    code = "import time\ntime.sleep(600)\nasync def step(vu):\n    return {}\n"
    hasty.apply(manifest("slow", shards=1, **python_steps(code)))
    ends(hasty, "slow", "StartDeadline")


def test_a_target_that_is_dead_before_the_start(squall: Installation) -> None:
    squall.apply(manifest("dead", template={"initContainers": []}))
    assert "is it running" in ends(squall, "dead", "TargetUnreachable")["message"]


# -- during the load ------------------------------------------------------------------------------------------


def test_a_runner_takes_more_memory_than_it_may(squall: Installation) -> None:
    code = "kept = []\nasync def step(vu):\n    kept.append(bytearray(8 << 20))\n    return {}\n"
    squall.apply(manifest("greedy", shards=1, **python_steps(code)))
    assert "memory" in ends(squall, "greedy", "OOMKilled")["message"]


def test_a_pod_that_is_deleted(squall: Installation) -> None:
    squall.apply(manifest("lost", scenarios=LONG))
    run = squall.wait("lost", "Running")["run"]["id"]
    squall.kube.delete(squall.core("pods", squall.pods(run)[0]["metadata"]["name"]))
    ends(squall, "lost", *TAKEN)


def test_a_pod_that_is_deleted_by_force(squall: Installation) -> None:
    squall.apply(manifest("forced", scenarios=LONG))
    run = squall.wait("forced", "Running")["run"]["id"]
    path = squall.core("pods", squall.pods(run)[0]["metadata"]["name"])
    squall.kube.request(
        "DELETE", path, {"gracePeriodSeconds": 0, "kind": "DeleteOptions", "apiVersion": "v1"}
    )
    ends(squall, "forced", *TAKEN)


def test_a_run_that_goes_on_without_a_pod_gets_another(squall: Installation) -> None:
    safety = {"saturation": {"tolerated": "100%"}, "onRunnerLoss": "continue"}
    squall.apply(manifest("spare", scenarios=[scenario("50s")], safety=safety))
    run = squall.wait("spare", "Running")["run"]["id"]
    lost = squall.pods(run)[0]["metadata"]
    squall.kube.delete(squall.core("pods", lost["name"]))
    status = squall.wait("spare", *ENDED, seconds=120)
    assert status["phase"] == "Passed", status
    events = [each["event"] for each in squall.summary(status)["events"]]
    assert "RunnerBack" in events, events


def test_a_runner_that_is_frozen_sends_nothing_when_it_wakes(on_node: Installation, target: Target) -> None:
    safety = {"saturation": {"tolerated": "100%"}, "lostControl": "5s"}
    on_node.apply(manifest("frozen", target=target, shards=1, scenarios=LONG, safety=safety))
    run = on_node.wait("frozen", "Running")["run"]["id"]
    (pod,) = on_node.pods(run)
    until(lambda: len(target.times) > 0, 20, lambda: "no load came")
    pids = runner_pids(pod)
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    frozen = target.times[-1]
    status = on_node.wait("frozen", *ENDED)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    assert (status["phase"], status["verdict"]["reason"]) == ("Error", "RunnerLost"), status
    on_node.wait_until_gone(run)
    assert target.asked_since(frozen + 1) == 0


# -- clocks ---------------------------------------------------------------------------------------------------

CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The clocks of pod 1: half a minute ahead of everybody's, and monotonic time from another start. */
int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, time);
    const char *index = getenv("JOB_COMPLETION_INDEX");
    if (!result && index && !strcmp(index, "1")) time->tv_sec += clock == CLOCK_REALTIME ? 30 : 12345;
    return result;
}
"""


CLOCK_IMAGE = "localhost/squall-runner:clock"


def with_other_clock(folder: Path) -> Path:
    """The archive of an image of runners whose second pod has another clock."""
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(CLOCK, encoding="ascii")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return derived(
        image_archive("runner"),
        folder / "clock.tar",
        CLOCK_IMAGE,
        {"clock.so": library},
        {"LD_PRELOAD": "/clock.so"},
    )


def test_a_runner_whose_clock_is_half_a_minute_off(
    on_node: Installation, target: Target, tmp_path: Path
) -> None:
    if on_node.access.load is None:
        pytest.skip("left out: nothing brings an image to the nodes")
    on_node.access.load(with_other_clock(tmp_path))
    test = manifest("clock", target=target, scenarios=[scenario("10s")])
    test["spec"]["runner"]["image"] = CLOCK_IMAGE
    on_node.apply(test)
    status = on_node.wait("clock", *ENDED)
    assert status["phase"] == "Passed", status
    assert status["timings"]["startSkewSeconds"] < 1
    summary = on_node.summary(status)
    assert 9 <= summary["timings"]["loadSeconds"] <= 13
    assert not summary["lostRunners"]
