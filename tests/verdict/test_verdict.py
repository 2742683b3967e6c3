from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from support.measured import Runner

from squall.errors import ExitCode
from squall.metrics.names import BUILT_IN
from squall.metrics.series import Selector
from squall.metrics.slots import SlotStore
from squall.spec.loadtest import Threshold as ThresholdModel
from squall.verdict.baseline import Difference, FigureKey, RegressionLimit
from squall.verdict.build import threshold_of
from squall.verdict.grammar import compile_expression
from squall.verdict.saturation import Saturation
from squall.verdict.thresholds import Evaluation, State, Threshold, Watch
from squall.verdict.verdict import Ending, Result, decide, regressed

SATURATED = Saturation(
    0.5, invalid=True, message="too busy", observed=0.2, expression="p99 of loop_lag <= 0.05 s"
)
BARELY = Saturation(0.05, invalid=False, message="a little busy")
REGRESSION = Difference(FigureKey("http_req_duration", "p95"), 0.1, 0.2, 1.0, RegressionLimit("p95", 0.1))


def outcome(state=State.FAILED, *, held=False, name="slow", **options):
    expression = compile_expression("p(95)<500ms", BUILT_IN["http_req_duration"])
    at = options.pop("failed_at", 9)
    selector = Selector("http_req_duration")
    threshold = Threshold(name=name, expression=expression, selector=selector, **options)
    message = "no data" if state is State.NO_DATA else ""
    return threshold, Evaluation(9, state, 0.7, 0.5, failed_at=at, message=message), held


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        ("threshold", ExitCode.THRESHOLDS),
        ("user", ExitCode.USER),
        ("deadline", ExitCode.DEADLINE),
        ("safety", ExitCode.SAFETY),
        ("policy", ExitCode.POLICY),
        ("scenario", ExitCode.SCENARIO),
    ],
)
def test_what_ended_a_run_early_has_its_own_exit_code(cause, code):
    verdict = decide(endings=[Ending(cause, "Why", "because", "x<1", 2.0, 7.5)])
    assert (verdict.result, verdict.cause, verdict.exit_code) == (Result.ABORTED, cause, code)
    assert (verdict.reason, verdict.message, verdict.expression) == ("Why", "because", "x<1")
    assert (verdict.observed, verdict.at_seconds) == (2.0, 7.5)


@pytest.mark.parametrize(
    ("reason", "at", "code"),
    [
        ("KeyInvalid", None, ExitCode.MANIFEST),
        ("ChainMismatch", None, ExitCode.MANIFEST),
        ("KeyInvalid", 7.5, ExitCode.ERROR),
        ("FunderShort", None, ExitCode.ERROR),
    ],
)
def test_what_a_runner_finds_wrong_with_a_manifest_before_the_load_is_its_fault(reason, at, code):
    verdict = decide(endings=[Ending("error", reason, "because", at_seconds=at)])
    assert (verdict.result, verdict.exit_code) == (Result.ERROR, code)


PARTS = {
    Result.ERROR: {"endings": [Ending("user", "Stopped", "by hand"), Ending("error", "RunnerLost", "gone")]},
    Result.ABORTED: {
        "endings": [Ending("user", "Stopped", "by hand"), Ending("safety", "ErrorRate", "later")]
    },
    Result.INVALID: {"saturation": SATURATED},
    Result.FAILED: {"thresholds": [outcome()]},
    Result.PASSED: {},
}


@pytest.mark.parametrize(
    "present", [c for n in range(1, 6) for c in itertools.combinations(PARTS, n)], ids="+".join
)
def test_the_first_result_that_applies_stands(present):
    parts = {}
    for result in reversed(present):
        parts |= PARTS[result]
    verdict = decide(**parts)
    assert verdict.result is present[0]
    if verdict.result is Result.ERROR:
        assert (verdict.reason, verdict.cause, verdict.exit_code) == ("RunnerLost", "", ExitCode.ERROR)
    if verdict.result is Result.ABORTED:
        assert verdict.reason == "Stopped"
    if verdict.result is Result.INVALID:
        assert (verdict.exit_code, verdict.observed) == (ExitCode.INVALID, 0.2)


@pytest.mark.parametrize(
    ("thresholds", "reason", "message"),
    [
        ([outcome()], "ThresholdFailed", "slow: 0.7 was observed"),
        (
            [outcome(name="b"), outcome(name="a", failed_at=3)],
            "ThresholdFailed",
            "a: 0.7 was observed (and 1 more)",
        ),
        ([outcome(State.NO_DATA, failed_at=None)], "NoData", "slow: no data"),
    ],
)
def test_failed_thresholds_say_which_and_why(thresholds, reason, message):
    verdict = decide(thresholds=thresholds)
    assert (verdict.result, verdict.exit_code) == (Result.FAILED, ExitCode.THRESHOLDS)
    assert (verdict.reason, verdict.message) == (reason, message)
    assert verdict.expression == "p(95)<500ms"


def test_a_window_that_is_good_again_is_told_by_its_worst_moment():
    threshold, evaluation, held = outcome(over=5)
    later = replace(evaluation, value=0.1, worst=0.9)
    assert decide(thresholds=[(threshold, later, held)]).message == "slow: 0.9 was observed"
    whole = outcome()[0]
    assert decide(thresholds=[(whole, replace(later, value=0.6), held)]).observed == 0.6


def test_when_it_failed_is_told_of_windows_only():
    assert decide(thresholds=[outcome(over=5)]).at_seconds == 10.0
    assert decide(thresholds=[outcome()]).at_seconds is None


@pytest.mark.parametrize(
    "harmless",
    [
        {"thresholds": [outcome(State.PASS, held=True)]},
        {"thresholds": [outcome(severity="warn")]},
        {"thresholds": [outcome(State.NO_DATA, held=True, no_data="pass")]},
        {"saturation": BARELY},
        {"saturation": Saturation()},
    ],
)
def test_what_decides_nothing(harmless):
    verdict = decide(**harmless)
    assert (verdict.result, verdict.exit_code) == (Result.PASSED, ExitCode.PASSED)


def test_a_run_that_passes_names_the_warnings():
    holds, warned = outcome(State.PASS, held=True), outcome(severity="warn")
    assert decide(thresholds=[holds, warned]).message == (
        "every threshold that can fail the run held; 1 warning: slow"
    )
    assert (
        decide(thresholds=[warned, warned]).message == "no threshold can fail the run; 2 warnings: slow, slow"
    )
    assert decide(thresholds=[holds, warned], dropped=3).message.endswith(
        "1 warning: slow, though 3 iterations of the plan were not started"
    )
    assert decide(thresholds=[holds, outcome(State.PASS, held=True, severity="warn")]).message == (
        "every threshold held"
    )


def test_a_run_that_passes_says_what_of_its_plan_was_not_carried_out():
    verdict = decide(thresholds=[outcome(State.PASS, held=True)], dropped=1200)
    assert verdict.result == Result.PASSED
    assert verdict.message == "every threshold held, though 1,200 iterations of the plan were not started"
    assert "not started" in decide(dropped=1).message
    assert "not started" not in decide().message


def test_a_threshold_on_dropped_iterations_decides():
    runner, store = Runner(), SlotStore()
    model = ThresholdModel.model_validate({"metric": "dropped_iterations", "expression": "count<1"})
    watch = Watch(threshold_of(model, BUILT_IN))
    for slot, dropped in enumerate((0, 0, 3)):
        runner.add("dropped_iterations", dropped, scenario="a")
        store.add(runner.snapshot(slot))
        watch.step(slot, store)
    ended = watch.finish(2, store, ((0.0, 3.0),))
    verdict = decide(thresholds=[(watch.threshold, ended, watch.holds)], dropped=3)
    assert (verdict.result, verdict.reason, verdict.observed) == (Result.FAILED, "ThresholdFailed", 3.0)


def test_a_regression_fails_a_run_whose_thresholds_hold():
    verdict = regressed([REGRESSION])
    assert (verdict.result, verdict.reason, verdict.exit_code) == (
        Result.FAILED,
        "Regression",
        ExitCode.REGRESSION,
    )
    assert "0.1 -> 0.2, 100.0% worse" in verdict.message


def test_a_run_whose_every_iteration_failed_has_not_passed():
    verdict = decide(hopeless=True)
    assert (verdict.result, verdict.reason) == (Result.FAILED, "NoIterationCompleted")
    assert verdict.exit_code is ExitCode.THRESHOLDS
    assert decide(hopeless=True, thresholds=[outcome()]).reason == "ThresholdFailed", "a threshold says more"
