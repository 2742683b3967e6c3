"""What happens to the processes of a run - killed, frozen, orphaned - and what its verdict and its load make of it."""

from __future__ import annotations

import os
import signal
import time

import pytest
from support.countingtarget import CountingTarget
from support.squallrun import Squall, SquallRun, manifest, step, stopped

LONG = "40s"
MARKED = [step("get", url="/", headers={"X-Shard": "${shard}"}), {"think": {"duration": "20ms"}}]
"""Every request tells which shard, and so which of two processes, has sent it."""


def left_alone(target: CountingTarget) -> None:
    target.wait_until(lambda: target.connections == 0, "the end of all connections")


def of_shard(target: CountingTarget, shard: int) -> int:
    """How many requests a shard has sent."""
    return sum(b"X-Shard: %d" % shard in each.head for each in list(target.seen))


def begun(run: SquallRun, target: CountingTarget) -> list[int]:
    """The runners' process ids, once both of them send."""
    pids = run.runners(2)
    run.wait_until(lambda: min(of_shard(target, 0), of_shard(target, 1)) > 20, "load of both runners")
    return pids


def test_a_killed_runner_ends_the_run_at_once(squall: Squall, target: CountingTarget) -> None:
    run = squall(manifest(target.url, steps=MARKED, duration=LONG), processes=2)
    os.kill(begun(run, target)[0], signal.SIGKILL)
    killed = time.time()
    ended = run.ended()
    assert ended.outcome() == (109, "Error", "", "RunnerLost")
    (lost,) = ended.summary.lost_runners
    assert f"runner {lost} was killed by signal 9" in ended.said
    left_alone(target)
    assert target.seen[-1].at - killed < 5
    # What the survivor has sent is in the report, whole; of the dead one at most what it had not yet delivered is missing.
    assert of_shard(target, 1 - lost) <= ended.count() <= target.count()


def test_a_run_may_go_on_without_a_killed_runner(squall: Squall, target: CountingTarget) -> None:
    arrivals = {
        "name": "visit",
        "executor": "constant-arrival-rate",
        "rate": 40,
        "duration": "4s",
        "preAllocatedVUs": 8,
        "steps": MARKED[:1],
    }
    test = manifest(target.url, scenarios=[arrivals], safety={"onRunnerLoss": "continue"})
    run = squall(test, processes=2)
    pids = run.runners(2)
    run.wait_until(lambda: min(of_shard(target, 0), of_shard(target, 1)) > 25, "load of both runners")
    os.kill(pids[0], signal.SIGKILL)
    ended = run.ended()
    code, result, *_ = ended.outcome()
    assert (code, result) in [(0, "Passed"), (103, "Invalid")]
    (lost,) = ended.summary.lost_runners
    assert f"runner {lost} was killed by signal 9" in ended.said
    left_alone(target)
    assert of_shard(target, 1 - lost) == 80, "the other runner has done all that was its own"
    assert of_shard(target, 1 - lost) <= ended.count() <= target.count() < 160
    (load,) = ended.summary.load
    assert load.planned == 160
    assert load.iterations == ended.count()


def test_a_run_without_any_runner_left_ends(squall: Squall, target: CountingTarget) -> None:
    test = manifest(target.url, steps=MARKED, duration=LONG, safety={"onRunnerLoss": "continue"})
    run = squall(test, processes=2)
    for pid in begun(run, target):
        os.kill(pid, signal.SIGKILL)
    ended = run.ended()
    assert ended.outcome() == (109, "Error", "", "RunnersLost")
    assert ended.summary.lost_runners in [(0, 1), (1, 0)]
    left_alone(target)


def test_a_runner_killed_before_the_barrier_ends_the_run_before_any_load(
    squall: Squall, target: CountingTarget
) -> None:
    run = squall(manifest(target.url, duration=LONG), processes=2)
    os.kill(run.runners(1)[0], signal.SIGKILL)
    ended = run.ended()
    assert ended.outcome() == (109, "Error", "", "RunnerExited")
    assert "was killed by signal 9" in ended.said
    assert target.count() == 0


def freeze(pid: int, run: SquallRun) -> None:
    os.kill(pid, signal.SIGSTOP)
    run.wait_until(lambda: stopped(pid), "the freeze")


def test_a_short_freeze_loses_and_doubles_nothing(squall: Squall, target: CountingTarget) -> None:
    run = squall(manifest(target.url, steps=MARKED, duration="6s"), processes=2)
    frozen = begun(run, target)[0]
    freeze(frozen, run)
    time.sleep(3)  # the length of the freeze is what is tested
    before = of_shard(target, 0), of_shard(target, 1)
    os.kill(frozen, signal.SIGCONT)
    ended = run.ended()
    code, result, *_ = ended.outcome()
    # A generator that stood still for half of its run has measured itself: its numbers may not be trusted.
    assert (code, result) in [(0, "Passed"), (103, "Invalid")]
    assert ended.summary.lost_runners == ()
    left_alone(target)
    assert min(of_shard(target, shard) - before[shard] for shard in (0, 1)) > 20, "both have gone on"
    assert ended.count() == target.count()


def test_a_runner_frozen_for_too_long_is_lost_and_sends_nothing_when_it_thaws(
    squall: Squall, target: CountingTarget
) -> None:
    safety = {"lostControl": "2s", "onRunnerLoss": "continue"}
    run = squall(manifest(target.url, steps=MARKED, duration="8s", safety=safety), processes=2)
    frozen = begun(run, target)[0]
    freeze(frozen, run)
    run.wait_for_output("has been silent for too long")
    before = of_shard(target, 0), of_shard(target, 1)
    os.kill(frozen, signal.SIGCONT)
    run.wait_until(lambda: frozen not in run.members(), "the end of the runner that nobody controlled")
    ended = run.ended()
    assert ended.outcome()[0] in (0, 103)
    (lost,) = ended.summary.lost_runners
    left_alone(target)
    assert of_shard(target, lost) == before[lost]
    assert of_shard(target, 1 - lost) > before[1 - lost]
    assert ended.count() <= target.count()


def test_a_runner_that_stays_frozen_does_not_keep_the_run_from_ending(
    squall: Squall, target: CountingTarget
) -> None:
    run = squall(manifest(target.url, steps=MARKED, duration=LONG, safety={"lostControl": "2s"}), processes=2)
    freeze(begun(run, target)[1], run)
    ended = run.ended()
    assert ended.outcome() == (109, "Error", "", "RunnerLost")
    assert "has been silent for too long" in ended.said
    left_alone(target)


def test_a_frozen_hub_goes_on_where_it_was(squall: Squall, target: CountingTarget) -> None:
    run = squall(manifest(target.url, steps=MARKED, duration="4s"), processes=2)
    begun(run, target)
    freeze(run.pid, run)
    sent = target.count()
    run.wait_for_requests(target, sent + 100)  # the load does not wait for it
    run.signal(signal.SIGCONT)
    ended = run.ended()
    assert ended.outcome()[0] in (0, 103)
    assert ended.count() == target.count()


def test_runners_stop_by_themselves_when_the_hub_is_frozen_for_too_long(
    squall: Squall, target: CountingTarget
) -> None:
    test = manifest(target.url, steps=MARKED, duration=LONG, safety={"lostControl": "2s"})
    run = squall(test, processes=2)
    begun(run, target)
    freeze(run.pid, run)
    frozen = time.time()
    run.wait_until(lambda: not run.members(), "the end of both runners")
    left_alone(target)
    assert target.seen[-1].at - frozen < 6
    run.signal(signal.SIGCONT)
    ended = run.ended()
    assert ended.outcome() == (109, "Error", "", "RunnerLost")
    assert "nobody was in control of it" in ended.said or "has been silent for too long" in ended.said


@pytest.mark.parametrize("moment", ["connecting", "running"])
def test_nothing_outlives_a_run_that_is_killed(squall: Squall, target: CountingTarget, moment: str) -> None:
    run = squall(manifest(target.url, steps=MARKED, duration=LONG), processes=2)
    if moment == "running":
        begun(run, target)
    else:
        run.runners(2)
    run.signal(signal.SIGKILL)
    assert run.process.wait(10) == -signal.SIGKILL
    killed = time.time()
    run.nothing_left(seconds=10)
    left_alone(target)
    assert not target.seen or target.seen[-1].at - killed < 3
