"""Puts all that is known about an ended run into one result, and that into an exit code.

A run can end for several reasons at once: a saturated generator misses thresholds too, and somebody may have stopped it besides.
One result stands, the first that applies of

    Error      it could not be carried out: nothing can be said about the target
    Aborted    it was ended early: by threshold, user, deadline, safety, policy or scenario
    Invalid    the generator was saturated: its numbers cannot be trusted; or nobody knows any more how a part was judged
    Failed     a threshold failed, every iteration failed, no load at all held, or a figure got worse than the baseline allows
    Passed
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from squall.errors import ExitCode, code_of_refusal
from squall.metrics import format as fmt
from squall.verdict.thresholds import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from squall.verdict.baseline import Difference
    from squall.verdict.saturation import Saturation
    from squall.verdict.thresholds import Evaluation, Threshold

Cause = Literal["threshold", "user", "deadline", "safety", "policy", "scenario", "error"]


class Result(StrEnum):
    """The outcome of a run, the strongest first."""

    ERROR = "Error"
    ABORTED = "Aborted"
    INVALID = "Invalid"
    FAILED = "Failed"
    PASSED = "Passed"


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a run ended before its planned end.

    Attributes:
        cause: `error` when it could not go on; the others are kinds of `Aborted`.
        reason: One CamelCase word.
        message: For people.
        expression: The condition that was broken; empty when none was.
        observed: The value seen, in base units.
        at_seconds: When, since the start of the load; None before it.
    """

    cause: Cause
    reason: str
    message: str
    expression: str = ""
    observed: float | None = None
    at_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A run's result and why.

    Attributes:
        result: Which.
        cause: Of an aborted run; else empty.
        reason: One CamelCase word, stable, for machines.
        message: For people.
        expression: The condition that decided; empty when none did.
        observed: The value seen, in base units.
        at_seconds: When it was decided, since the start of the load; None when at the end.
        exit_code: What `squall run` ends with.
    """

    result: Result
    reason: str
    message: str
    exit_code: ExitCode
    cause: str = ""
    expression: str = ""
    observed: float | None = None
    at_seconds: float | None = None


_EXIT_CODES: Final[Mapping[str, ExitCode]] = MappingProxyType(
    {
        "threshold": ExitCode.THRESHOLDS,
        "user": ExitCode.USER,
        "deadline": ExitCode.DEADLINE,
        "safety": ExitCode.SAFETY,
        "policy": ExitCode.POLICY,
        "scenario": ExitCode.SCENARIO,
        "error": ExitCode.ERROR,
    }
)


def decide(
    *,
    endings: Iterable[Ending] = (),
    saturation: Saturation | None = None,
    thresholds: Iterable[tuple[Threshold, Evaluation, bool]] = (),
    hopeless: bool = False,
    incapable: str = "",
    unknown: int = 0,
    dropped: float = 0,
) -> Verdict:
    """The verdict of a run that has ended.

    Args:
        endings: What ended it early, in the order in which it happened. An error stands before all; of the others the first.
        saturation: What is known of the generator.
        thresholds: Each with how it ended and whether it held. Those of severity `warn` decide nothing.
        hopeless: Iterations have failed, and not one was carried through: whatever thresholds say, the scenario as it
            is written never happened.
        incapable: A search for capacity has found that not even the lowest load holds, and says so.
        unknown: Seconds at the beginning of which nobody knows how they were judged. What failed has failed; but what is about every moment
            cannot be said to have held.
        dropped: Iterations of the plan that were not started. They decide nothing unless a threshold says so, but whoever
            reads that a run has passed must know that it was asked for more.
    """
    known = list(endings)
    error = next((ending for ending in known if ending.cause == "error"), None)
    if error or known:
        return _ended(error or known[0])
    if saturation is not None and saturation.invalid:
        return Verdict(
            Result.INVALID,
            "GeneratorSaturated",
            saturation.message,
            ExitCode.INVALID,
            expression=saturation.expression,
            observed=saturation.observed,
        )
    judged = list(thresholds)
    broken = [(t, e) for t, e, held in judged if not held and t.severity == "fail"]
    if broken:
        return _failed(broken)
    if hopeless:
        message = "every iteration failed: the scenario was not carried through a single time"
        return Verdict(Result.FAILED, "NoIterationCompleted", message, ExitCode.THRESHOLDS)
    if incapable:
        return Verdict(Result.FAILED, "NoCapacity", incapable, ExitCode.THRESHOLDS)
    return _unbroken(judged, unknown, dropped)


def _unbroken(judged: list[tuple[Threshold, Evaluation, bool]], unknown: int, dropped: float) -> Verdict:
    """The verdict where nothing is known to have failed."""
    if unknown and any(threshold.momentary for threshold, _, _ in judged):
        message = f"nobody knows how thresholds with `over` stood in the first {unknown} s: the hub lost its records"
        return Verdict(Result.INVALID, "HistoryLost", message, ExitCode.INVALID)
    message = _passed(judged)
    if dropped:
        message += f", though {fmt.number(dropped)} iterations of the plan were not started"
    return Verdict(Result.PASSED, "ThresholdsHeld", message, ExitCode.PASSED)


def _passed(judged: list[tuple[Threshold, Evaluation, bool]]) -> str:
    """What held; and by name what did not, though it cannot fail the run: nobody reads "all held" next to a cross."""
    warnings = [threshold.name for threshold, _, held in judged if not held]
    if not warnings:
        return "every threshold held" if judged else "there are no thresholds to break"
    decisive = any(threshold.severity == "fail" for threshold, _, _ in judged)
    held = "every threshold that can fail the run held" if decisive else "no threshold can fail the run"
    count = "1 warning" if len(warnings) == 1 else f"{len(warnings)} warnings"
    return f"{held}; {count}: {', '.join(warnings)}"


def _ended(ending: Ending) -> Verdict:
    failed = ending.cause == "error"
    code = _EXIT_CODES[ending.cause]
    if failed and ending.at_seconds is None:
        code = code_of_refusal(ending.reason)  # nothing was started
    return Verdict(
        Result.ERROR if failed else Result.ABORTED,
        ending.reason,
        ending.message,
        code,
        cause="" if failed else ending.cause,
        expression=ending.expression,
        observed=ending.observed,
        at_seconds=ending.at_seconds,
    )


def _failed(broken: list[tuple[Threshold, Evaluation]]) -> Verdict:
    """The verdict of broken thresholds; the one that failed first stands for all of them."""
    threshold, evaluation = min(broken, key=lambda each: _failed_at(each[1]))
    more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
    # What is about every moment may be good again by now; what it was when at its worst is what counts.
    worst = evaluation.worst if threshold.momentary else None
    observed = evaluation.value if worst is None else worst
    no_data = evaluation.state is State.NO_DATA
    seen = f"{fmt.quantity(observed, threshold.unit)} was observed" if observed is not None else ""
    return Verdict(
        Result.FAILED,
        "NoData" if no_data else "ThresholdFailed",
        f"{threshold.name}: {evaluation.message if no_data else seen}{more}",
        ExitCode.THRESHOLDS,
        expression=threshold.expression.text,
        observed=observed,
        at_seconds=evaluation.failed_at + 1.0
        if threshold.momentary and evaluation.failed_at is not None
        else None,
    )


def _failed_at(evaluation: Evaluation) -> float:
    return float("inf") if evaluation.failed_at is None else evaluation.failed_at


def regressed(regressions: Sequence[Difference]) -> Verdict:
    """The verdict of a run that would have passed, but for figures that are worse than its baseline allows."""
    first = regressions[0]
    more = f" (and {len(regressions) - 1} more)" if len(regressions) > 1 else ""
    return Verdict(
        Result.FAILED,
        "Regression",
        f"{first.describe()}{more}",
        ExitCode.REGRESSION,
        expression=str(first.limit) if first.limit else "",
        observed=first.after,
    )
