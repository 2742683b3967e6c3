"""Judges each slot of a run with all that the manifest asks: thresholds, tiers, safety, the generator's own health.

`squall.verdict` knows how each of these is judged. Here they are brought together for one run, with what only the hub has: answers
of Prometheus, probes of the target, and what an earlier hub process had found out and the runners' replay does not show again.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from squall.hub.limits import SECOND
from squall.hub.model import Stopping
from squall.hub.searching import Searches
from squall.metrics import format as fmt
from squall.metrics.series import Counter, Gauge, Selector
from squall.report.model import ThresholdState, TierSummary
from squall.report.summary import loaded
from squall.spec.quantities import whole
from squall.verdict.build import safety_of, saturation_of, thresholds_of, tiers_of
from squall.verdict.safety import SafetyWatch
from squall.verdict.saturation import Saturation, SaturationWatch
from squall.verdict.thresholds import Evaluation, State, Threshold, Watch
from squall.verdict.tiers import Grading
from squall.verdict.verdict import Ending, Verdict, decide

if TYPE_CHECKING:
    from squall.metrics.series import Aggregate
    from squall.metrics.slots import SlotStore
    from squall.plan.model import ScenarioPlan, TestPlan
    from squall.spec.loadtest import LoadTestSpec
    from squall.verdict.thresholds import Spans

FRESH_SLOTS: Final = 3
"""An answer of Prometheus counts for so many slots; one that is older is no data."""


class Judge:
    """Judges one run.

    Args:
        spec: The manifest's spec.
        plan: Its plan.
        store: What is measured.

    Raises:
        ThresholdError: A threshold is wrong.
        ValueError: A number or duration is none.
    """

    def __init__(self, spec: LoadTestSpec, plan: TestPlan, store: SlotStore) -> None:
        self._plan = plan
        self._store = store
        self._watches = [Watch(_placed(threshold, plan)) for threshold in thresholds_of(spec)]
        self._grading = Grading(
            replace(tier, thresholds=tuple(_placed(each, plan) for each in tier.thresholds))
            for tier in tiers_of(spec)
        )
        # The deadline is the hub's own timer's, which needs no slot to pass it.
        self._safety = SafetyWatch(replace(safety_of(spec), max_duration=None))
        self._limits = saturation_of(spec)
        self._saturation = SaturationWatch(self._limits)
        self.searches = Searches(spec, plan, store)
        """Scenarios that search for capacity."""
        self._saturated: list[bool] = []
        """Of each slot counted: whether it was saturated."""
        self._earlier = (-1, 0)
        """The last slot that earlier hub processes have counted, and how many were saturated."""
        self._connectivity = spec.safety.connectivity
        self._probes_failed = 0
        self._answers: dict[str, tuple[int, float | None]] = {}
        self._remarks: list[tuple[str, str, str]] = []
        self._records: list[dict[str, Any]] = []
        self.peaks: dict[str, float] = {}
        """By scenario: the most VUs, or iterations started within a slot."""
        self.queries = frozenset(w.threshold.query for w in self._watches if w.threshold.query)
        """PromQL that has to be asked."""
        self.queries |= self._grading.queries

    # -- while it runs ----------------------------------------------------------------------------------------

    def slot(self, slot: int, *, full: bool = True) -> Stopping | None:
        """Judge a slot; returns why the run should stop, if it should.

        Args:
            slot: The one after the last.
            full: There was load until its end, as far as anybody wanted some. Else it only counts in the totals: what
                is few because nobody asked for more must break no limit.
        """
        saturated = self._saturation.step(slot, self._store) and full
        if slot > self._earlier[0]:
            self._saturated.append(saturated)
        if full:
            self.searches.saw(slot, saturated=saturated)
        failed, stop = self._judge(slot) if full else ([], None)
        self._records.append(
            {"slot": slot, "saturated": saturated, "peaks": self._peaks(slot), "failed": failed}
        )
        return stop

    def _judge(self, slot: int) -> tuple[list[dict[str, Any]], Stopping | None]:
        """Judge a slot by thresholds, tiers and safety; returns what has failed now, and why to stop."""
        answers = {q: value for q, (at, value) in self._answers.items() if at > slot - FRESH_SLOTS}
        failed = [
            found for found in (self._step(i, slot, answers) for i in range(len(self._watches))) if found
        ]
        self._grading.step(slot, self._store, answers)
        ending = (slot + 1) * SECOND > self._plan.duration_ns
        stop = None if ending else self._by_safety(slot)
        aborting = next((watch for watch in self._watches if watch.aborts), None)
        return failed, _by_threshold(aborting, slot) if aborting else stop

    def _step(self, index: int, slot: int, answers: dict[str, float | None]) -> dict[str, Any] | None:
        """Step one threshold; returns what must be kept if it has failed now."""
        watch = self._watches[index]
        before = watch.last.failed_at
        last = watch.step(slot, self._store, answers.get(watch.threshold.query))
        if last.failed_at is None or before is not None:
            return None
        if watch.threshold.severity == "warn":
            self._remarks.append(("warning", "ThresholdFailed", _shown(watch.threshold, last)))
        return {"index": index, "slot": last.failed_at, "value": last.value, "worst": last.worst}

    def _by_safety(self, slot: int) -> Stopping | None:
        stop = None
        for remark in self._safety.step(slot, self._store):
            if remark.level == "warn":
                self._remarks.append(("warning", remark.reason, remark.message))
                continue
            stop = Stopping(
                cause=remark.cause,
                reason=remark.reason,
                message=remark.message,
                expression=remark.expression,
                observed=remark.observed,
                slot=slot,
            )
        return stop

    def _peaks(self, slot: int) -> dict[str, float]:
        """Scenarios that have never had as much load as in this slot."""
        grown = {}
        for scenario in self._plan.scenarios:
            load = actual_load(self._store, scenario, slot)
            if load > self.peaks.get(scenario.name, 0.0):
                grown[scenario.name] = self.peaks[scenario.name] = load
        return grown

    def answer(self, query: str, slot: int, value: float | None) -> None:
        """Prometheus has answered, as of the end of a slot."""
        self._answers[query] = (slot, value)

    def probe(self, *, ok: bool, message: str) -> Stopping | None:
        """A connectivity check has ended; returns why the run should stop, if it should."""
        self._probes_failed = 0 if ok else self._probes_failed + 1
        limit = self._connectivity
        if ok or limit is None or self._probes_failed < whole(limit.failures):
            return None
        times = f"{self._probes_failed} times in a row" if self._probes_failed > 1 else ""
        text = f"the target did not answer the connectivity check {times}".rstrip() + f": {message}"
        return Stopping(
            cause="safety",
            reason="Connectivity",
            message=text,
            expression=f"connectivity.failures: {limit.failures}",
            observed=float(self._probes_failed),
        )

    def remarks(self) -> list[tuple[str, str, str]]:
        """What was noticed since the last call, as level, event and message."""
        found, self._remarks = self._remarks, []
        return found

    def records(self) -> list[dict[str, Any]]:
        """What a hub that takes over must know, since the last call."""
        found, self._records = self._records, []
        return found

    def restore(self, record: dict[str, Any]) -> None:
        """Take in what another hub process has recorded."""
        slot, count = int(record["slot"]), self._earlier[1] + bool(record["saturated"])
        if slot > self._earlier[0]:
            self._earlier = (slot, count)
        for name, peak in record["peaks"].items():
            self.peaks[name] = max(peak, self.peaks.get(name, 0.0))
        for failed in record["failed"]:
            watch = self._watches[failed["index"]]
            watch.resume(
                replace(
                    watch.last,
                    slot=failed["slot"],
                    state=State.FAILED,
                    value=failed["value"],
                    worst=failed["worst"],
                    failed_at=failed["slot"],
                    judged=True,
                )
            )

    # -- how it stands ----------------------------------------------------------------------------------------

    @property
    def saturated(self) -> bool:
        """Whether the generator was saturated in the last slot."""
        return bool(self._saturated) and self._saturated[-1]

    def thresholds(self) -> tuple[ThresholdState, ...]:
        """The thresholds as last evaluated."""
        return tuple(threshold_state(watch.threshold, watch.last) for watch in self._watches)

    # -- the end ----------------------------------------------------------------------------------------------

    def verdict(self, slot: int, ending: Ending | None, load_seconds: float, *, unknown: int = 0) -> Verdict:
        """The verdict of a run whose last slot this is, and whose load lasted so long; asked once.

        Of its first slots, as many as `unknown`, nobody knows how they were judged.
        """
        when = partial(self._loaded, load_seconds)
        ended = [
            (w.threshold, w.finish(slot, self._store, when(w.threshold)), w.holds) for w in self._watches
        ]
        good, bad = (self._store.total(Selector(name)) for name in ("iterations", "iterations_failed"))
        return decide(
            endings=[ending] if ending else [],
            saturation=self.saturation(),
            thresholds=ended,
            hopeless=_counted(bad) > 0 and not _counted(good),
            incapable=self.searches.incapable(),
            unknown=unknown,
            dropped=_counted(self._store.total(Selector("dropped_iterations"))),
        )

    def _loaded(self, load_seconds: float, threshold: Threshold) -> Spans:
        """When there was load of the kind that a threshold selects."""
        tags = dict(threshold.selector.tags) if threshold.selector else {}
        return loaded(self.searches.carried_out(), load_seconds, tags)

    def tiers(self, slot: int, load_seconds: float) -> tuple[TierSummary, ...]:
        """Which tiers hold over the run whose last slot this is, and whose load lasted so long; asked once."""
        return tuple(
            TierSummary(
                name=outcome.tier.name,
                group=outcome.tier.group,
                held=outcome.held,
                thresholds=tuple(threshold_state(t, e) for t, e, _ in outcome.outcomes),
            )
            for outcome in self._grading.finish(slot, self._store, partial(self._loaded, load_seconds))
        )

    def saturation(self) -> Saturation:
        """Whether the generator was saturated, over the slots that any hub process has counted.

        It was in any case if it has ended a search: the limit that is known then is the generator's.
        """
        found = self._own_saturation()
        ended = self.searches.ended_by_generator()
        if not ended:
            return found
        advice = (
            found.message or "spread the load over more CPUs (raise shards), or search below (search.max)"
        )
        return replace(found, invalid=True, message=f"{ended}; {advice}")

    def _own_saturation(self) -> Saturation:
        own = self._saturation.result(self._plan.shards)
        slots = self._earlier[0] + 1 + len(self._saturated)
        count = self._earlier[1] + sum(self._saturated)
        if self._earlier[0] < 0 or not count:
            return own
        share = count / slots
        text = own.message or f"in {share:.0%} of the run the generator was saturated"
        return replace(own, share=share, invalid=share >= self._limits.tolerated, message=text)


def _placed(threshold: Threshold, plan: TestPlan) -> Threshold:
    """The threshold with the slots for which the scenarios that it selects are planned."""
    wanted = dict(threshold.selector.tags).get("scenario") if threshold.selector else None
    scenarios = [each for each in plan.scenarios if wanted in (None, each.name)]
    if not scenarios:
        return threshold
    first = -(-min(each.start_ns for each in scenarios) // SECOND)
    last = max(each.end_ns for each in scenarios) // SECOND - 1
    return replace(threshold, span=(first, last))


def actual_load(store: SlotStore, scenario: ScenarioPlan, slot: int) -> float:
    """What a scenario did in one slot: iterations started (open model), or VUs at its end."""
    metric = "iterations_started" if scenario.is_open else "vus"
    found = store.window(Selector(metric, (("scenario", scenario.name),)), slot, slot)
    if isinstance(found, Counter):
        return found.value
    return found.last if isinstance(found, Gauge) else 0.0


def _counted(aggregate: Aggregate | None) -> float:
    return aggregate.value if isinstance(aggregate, Counter) else 0.0


def threshold_state(threshold: Threshold, last: Evaluation) -> ThresholdState:
    """A threshold as every view shows it."""
    return ThresholdState(
        name=threshold.name,
        source=threshold.source,
        expression=threshold.described,
        state=last.state.value,
        value=last.value,
        limit=last.limit,
        unit=threshold.unit,
        severity=threshold.severity,
        abort_on_fail=threshold.abort_on_fail,
        worst=last.worst,
        failed_at_seconds=None if last.failed_at is None else last.failed_at + 1.0,
        message=last.message,
        no_data=threshold.no_data,
    )


def _by_threshold(watch: Watch, slot: int) -> Stopping:
    threshold, last = watch.threshold, watch.last
    return Stopping(
        cause="threshold",
        reason="ThresholdFailed",
        message=_shown(threshold, last),
        expression=threshold.expression.text,
        observed=last.value,
        slot=slot,
    )


def _shown(threshold: Threshold, last: Evaluation) -> str:
    value = f": {fmt.quantity(last.value, threshold.unit)} was observed" if last.value is not None else ""
    return f"{threshold.name} is broken{value}"
