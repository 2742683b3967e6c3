"""From what the hub says of a run to what the status says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from squall.errors import ExitCode, code_of_refusal
from squall.kube.figures import Live, Shards
from squall_operator.remembered import RESULTS
from squall_operator.status import (
    Past,
    Phase,
    RunStatus,
    Status,
    Stop,
    ThresholdStatus,
    Timings,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squall.report.model import LiveState, Summary, ThresholdState

_SHOWN_THRESHOLDS = 20
"""More would make the status large; the report has all of them."""
_EXIT_CODES = {"user": ExitCode.USER, "policy": ExitCode.POLICY}
_CODES_OF_RESULTS = {
    "Passed": ExitCode.PASSED,
    "Failed": ExitCode.THRESHOLDS,
    "Invalid": ExitCode.INVALID,
}
"""Of the others nobody knows who or what has ended the run."""


def figures(status: Status, live: LiveState | None, shards: int) -> Status:
    """The status with the figures of a run that goes on; without any from the hub, those it has stay."""
    if live is None:
        return status
    counts = {"ready": 0, "running": 0, "lost": 0}
    for runner in live.runners:
        phase = "running" if runner.phase == "finished" else runner.phase
        if phase in counts:
            counts[phase] += len(runner.shards)
    return msgspec.structs.replace(
        status,
        shards=Shards(
            desired=shards,
            ready=counts["ready"] + counts["running"],
            running=counts["running"],
            lost=counts["lost"],
        ),
        live=Live(
            elapsed_seconds=int(max(0.0, live.elapsed_seconds)),
            requests_per_second=round(live.requests_per_second, 1),
            error_rate=round(live.error_rate, 4),
            p95_seconds=None if live.p95_seconds is None else round(live.p95_seconds, 4),
            vus=live.vus,
            requests=live.requests,
        ),
        thresholds=_thresholds(live.thresholds),
    )


def _thresholds(states: Sequence[ThresholdState]) -> tuple[ThresholdStatus, ...]:
    return tuple(
        ThresholdStatus(
            name=each.name,
            expression=each.expression,
            state=each.state,
            value=None if each.value is None else float(f"{each.value:.4g}"),
            limit=each.limit,
        )
        for each in states[:_SHOWN_THRESHOLDS]
    )


def verdict_of(summary: Summary) -> Status:
    """The status of a run that has ended with an outcome."""
    found, times = summary.verdict, summary.timings
    words = [found.result] + ([f"({found.reason})"] if found.reason else [])
    text = " ".join(words) + (f": {found.message}" if found.message else "")
    return Status(
        phase=found.result,
        message=text,
        shards=Shards(desired=summary.shards, lost=len(summary.lost_runners)),
        thresholds=_thresholds(summary.thresholds),
        verdict=Verdict(
            result=found.result,
            cause=found.cause,
            reason=found.reason,
            message=found.message,
            expression=found.expression,
            observed=found.observed,
            exit_code=found.exit_code,
        ),
        grades=dict(summary.grades),
        timings=Timings(
            ready_seconds=times.ready_seconds,
            start_skew_seconds=times.start_skew_seconds,
            stop_to_last_request_seconds=times.stop_to_last_request_seconds,
            load_seconds=times.load_seconds,
        ),
    )


def without_summary(stop: Stop) -> Status:
    """The status of a run that has ended without its hub's word: what is known is why the operator ended it."""
    result = "Error" if stop.cause == "error" else "Aborted"
    return Status(
        phase="Error" if result == "Error" else "Aborted",
        message=f"{result} ({stop.reason}): {stop.message}",
        shards=Shards(desired=0),
        verdict=Verdict(
            result=result,
            cause="" if stop.cause == "error" else stop.cause,
            reason=stop.reason,
            message=stop.message,
            exit_code=int(_EXIT_CODES.get(stop.cause) or code_of_refusal(stop.reason)),
        ),
    )


def phase_of(verdict: Verdict | None) -> Phase | None:
    """What `kubectl get` shows of a run that has ended so; None where nobody can have ended so."""
    if verdict is None or verdict.result not in RESULTS:
        return None
    phase: Phase = msgspec.convert(verdict.result, Phase)
    return phase


def past_of(run: RunStatus, status: Status, report: str) -> Past:
    """A finished run, for the history."""
    verdict = status.verdict
    return Past(
        id=run.id,
        key=run.key,
        result=verdict.result if verdict else "Error",
        reason=verdict.reason if verdict else "",
        started_at=run.started_at,
        ended_at=run.ended_at,
        report=report,
        exit_code=verdict.exit_code if verdict else int(ExitCode.ERROR),
    )


def recalled(run: RunStatus, result: str, past: Past | None) -> Status:
    """The status of a run that is over and of which no more is known than its result, and what the history says of it.

    That is so when somebody has emptied or changed the status, or has taken an edit back that never ran: the status was about that then.
    """
    code = int(_CODES_OF_RESULTS.get(result, ExitCode.ERROR))
    if past is None:
        text = "the details were removed from the status, or changed"
        verdict = Verdict(result=result, message=text, exit_code=code)
    else:
        text = "its details are in its report" if past.report else "it has left no report"
        verdict = Verdict(result=result, reason=past.reason, message=text, exit_code=past.exit_code or code)
        ended = past.ended_at or run.ended_at
        run = msgspec.structs.replace(run, started_at=past.started_at, ended_at=ended)
    word = f"{result} ({verdict.reason})" if verdict.reason else result
    return Status(
        phase=msgspec.convert(result, Phase), message=f"{word}: {verdict.message}", run=run, verdict=verdict
    )
