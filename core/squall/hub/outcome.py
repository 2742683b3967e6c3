"""What remains of a run when it has ended: its verdict and all figures, as one value that can be kept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

import squall
from squall.errors import ExitCode
from squall.hub.limits import SECOND
from squall.report.model import Summary, Timings, VerdictSummary
from squall.report.summary import Facts, build_summary, iso, manifest_hash
from squall.verdict.verdict import Ending

if TYPE_CHECKING:
    from squall.hub.model import RunSpec
    from squall.hub.run import RunState
    from squall.metrics.names import Catalogue
    from squall.plan.model import TestPlan

HUB_DEFECT: Final = "HubDefect"
"""Why a run has ended in which the hub's own code has failed."""


class Outcome(msgspec.Struct, frozen=True):
    """The end of a run.

    Attributes:
        summary: Everything that is reported.
        late: Snapshots that came after their slot had been judged; they count in the totals.
    """

    summary: Summary
    late: int = 0


def conclude(spec: RunSpec, state: RunState, plan: TestPlan, catalogue: Catalogue, name: str) -> Outcome:
    """The outcome of a run that has finished; asked once."""
    last = state.judged
    times = timings(state, plan)
    verdict = state.judge.verdict(last, _ending(state), times.load_seconds, unknown=state.unknown + 1)
    assert state.ended_ns is not None, "the run has finished"
    facts = Facts(
        run=spec.run,
        name=name,
        started_at=_moment(state.launched_ns if state.start_ns is None else state.start_ns),
        ended_at=_moment(state.ended_ns),
        manifest=spec.manifest,
        options=spec.options,
        plan=state.judge.searches.carried_out(),
        runners=len(state.members),
        catalogue=catalogue,
        totals=dict(state.store.every_total()),
        peaks=state.judge.peaks,
        verdict=VerdictSummary(
            result=verdict.result.value,
            cause=verdict.cause,
            reason=verdict.reason,
            message=verdict.message,
            expression=verdict.expression,
            observed=verdict.observed,
            at_seconds=verdict.at_seconds,
            exit_code=int(verdict.exit_code),
        ),
        thresholds=state.judge.thresholds(),
        tiers=state.judge.tiers(last, times.load_seconds),
        events=tuple(state.timeline.events),
        warnings=state.timeline.warnings,
        examples=state.timeline.examples,
        timings=times,
        capacity=state.judge.searches.summaries(),
        saturated_share=state.judge.saturation().share,
        saturation=state.judge.saturation().message,
        lost_runners=tuple(state.lost),
    )
    return Outcome(build_summary(facts), state.late)


def defect(spec: RunSpec, state: RunState, plan: TestPlan, name: str, text: str) -> Outcome:
    """The outcome of a run that was ended by a defect of the hub: no figures, as whatever would be asked for them may be what is broken."""
    assert state.ended_ns is not None, "the run has finished"
    verdict = VerdictSummary(result="Error", reason=HUB_DEFECT, message=text, exit_code=int(ExitCode.ERROR))
    summary = Summary(
        squall_version=squall.__version__,
        run=spec.run,
        name=name,
        started_at=iso(_moment(state.launched_ns if state.start_ns is None else state.start_ns)),
        ended_at=iso(_moment(state.ended_ns)),
        planned_seconds=plan.duration_ns / SECOND,
        shards=plan.shards,
        runners=len(spec.runners),
        manifest_hash=manifest_hash(spec.manifest),
        options=spec.options,
        verdict=verdict,
        events=tuple(state.timeline.events),
        warnings=state.timeline.warnings,
    )
    return Outcome(summary)


def _ending(state: RunState) -> Ending | None:
    why = state.stopping
    if why is None:
        return None
    at: float | None = None
    if state.start_ns is not None:
        at = why.slot + 1.0 if why.slot >= 0 else state.seconds(why.at_unix)
    return Ending(
        cause=why.cause,
        reason=why.reason,
        message=why.message,
        expression=why.expression,
        observed=why.observed,
        at_seconds=at,
    )


def timings(state: RunState, plan: TestPlan) -> Timings:
    """How the run itself went."""
    last_request = state.members.last_request_ns()
    skew = state.members.skew_ns()
    to_last: float | None = None
    if state.stopping is not None and state.stopping.slot >= 0 and last_request is not None:
        to_last = state.seconds(last_request) - (state.stopping.slot + 1)
    return Timings(
        ready_seconds=None if state.ready_ns is None else (state.ready_ns - state.launched_ns) / SECOND,
        start_skew_seconds=None if skew is None else skew / SECOND,
        stop_to_last_request_seconds=to_last,
        load_seconds=_load_seconds(state, plan, last_request),
    )


def _load_seconds(state: RunState, plan: TestPlan, last_request: int | None) -> float:
    """From the start until the last request, and until the planned end or the decision to stop."""
    if state.start_ns is None:
        return 0.0
    measured = float(state.judged + 1)
    sent = measured if last_request is None else state.seconds(last_request)
    if state.stopping is None:
        sent = max(sent, min(measured, plan.duration_ns / SECOND))
    else:
        sent = max(sent, state.seconds(state.stopping.at_unix))
    return max(0.0, min(sent, measured))


def _moment(at_ns: int) -> datetime:
    return datetime.fromtimestamp(at_ns / SECOND, tz=UTC)
