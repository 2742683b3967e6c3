"""Judges thresholds, slot by slot.

A threshold with a window (`over`), or on a query, is about every moment: it has failed once it was violated for as long
as `for` says without a break, whatever comes later. One without a window is about the whole run: it is judged
at the end, and in between only to show how it stands, or to abort. These rules keep verdicts from being chance:

- A window is judged once it is full; a run shorter than the window is judged at its end by what there is.
- A slot without data, or with less than `minSamples`, is no violation and ends a violation's time.
- A count over a whole run only grows. So it is judged before the end only where growing can break it (`<`, `<=`).
- A counter of one stage is judged by windows that lie within the stage, as outside it there is nothing to count; any
  counter by windows that lie within the time for which load is planned (`span`).
- Nothing at all to judge is a result of its own, `noData`, and `noData: fail | pass` says what it means. A counter
  always has a value: what never happened has happened 0 times.

Times are in slots, seconds of the run's clock; durations are rounded up to whole slots.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, Protocol

from squall.metrics.names import Kind
from squall.metrics.series import Counter, Gauge, Rate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from squall.metrics.series import Aggregate, Selector
    from squall.verdict.grammar import Expression


Spans = tuple[tuple[float, float], ...]
"""Times from one moment to another, in seconds since the start of the load."""


class Figures(Protocol):
    """Where measurements come from; `squall.metrics.slots.SlotStore` is one."""

    def window(self, selector: Selector, first: int, last: int) -> Aggregate | None:
        """What happened in the slots from `first` to `last`, both included."""
        ...

    def total(self, selector: Selector, *, after: int = -1, last: int | None = None) -> Aggregate | None:
        """What happened after the slot `after`, until the end of the slot `last`."""
        ...


class State(StrEnum):
    """How a threshold stands."""

    PENDING = "pending"
    """Nothing to judge yet."""
    PASS = "pass"  # noqa: S105  # a state, no password
    VIOLATED = "violated"
    """It does not hold at the moment; that alone does not make it fail."""
    FAILED = "failed"
    """It has failed, for good."""
    NO_DATA = "noData"
    """There was nothing to judge, now or, at the end, at all."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A condition, compiled.

    Attributes:
        name: For people; unique within its list.
        expression: What has to hold.
        selector: The series it is about; None for a query.
        kind: Of the selector's metric; None for a query.
        query: PromQL; empty for a metric.
        relative_to: The limit is a multiple of the same aggregation over all that these series had so far.
        after: Slots at the beginning that are left out.
        over: Length of the sliding window in slots; None for the whole run. For a query: its values in so many
            slots are averaged.
        hold: For how many slots without a break it has to be violated to fail (`for`); 1 at least.
        min_samples: With fewer it is not judged.
        abort_on_fail: The run stops when it fails.
        severity: `fail` fails the run, `warn` only says so.
        no_data: What it means when there never was anything to judge.
        unit: Of its value, for people: s, bytes, 1, or empty for a query.
        span: First and last slot in which what it selects is planned to happen; None when nobody has said.
    """

    name: str
    expression: Expression
    selector: Selector | None = None
    kind: Kind | None = None
    query: str = ""
    relative_to: Selector | None = None
    after: int = 0
    over: int | None = None
    hold: int = 1
    min_samples: int = 0
    abort_on_fail: bool = False
    severity: Literal["fail", "warn"] = "fail"
    no_data: Literal["fail", "pass"] = "fail"
    unit: str = ""
    span: tuple[int, int] | None = None

    @property
    def source(self) -> str:
        """The metric with its selector, or the query."""
        return str(self.selector) if self.selector else self.query

    @property
    def described(self) -> str:
        """The expression with its times, so that two thresholds on one metric can be told apart."""
        times = {"over": self.over, "for": self.hold if self.hold > 1 else None, "after": self.after}
        return " ".join(
            [self.expression.text, *(f"{word} {slots}s" for word, slots in times.items() if slots)]
        )

    @property
    def momentary(self) -> bool:
        """Whether it is about every moment rather than the run as a whole."""
        return self.over is not None or self.selector is None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a threshold stood at the end of a slot.

    Attributes:
        slot: Which slot.
        state: How it stood.
        value: What was observed; None without data.
        limit: What it was compared with.
        since: For `violated` and `failed`: the first slot of the violation.
        failed_at: The slot in which it failed for good; None if it has not.
        worst: The furthest value beyond the limit so far; None if it was never beyond.
        message: Why there is nothing to judge; empty when there is.
        judged: There has been something to judge, in this slot or before.
    """

    slot: int
    state: State
    value: float | None = None
    limit: float | None = None
    since: int | None = None
    failed_at: int | None = None
    worst: float | None = None
    message: str = ""
    judged: bool = False


def anchors(thresholds: Iterable[Threshold]) -> tuple[int, ...]:
    """The anchors that `SlotStore` and `Retention` need for these thresholds."""
    return tuple(sorted({each.after - 1 for each in thresholds if each.after and not each.over}))


class Watch:
    """Follows one threshold through a run: `step` for each slot in turn, then `finish`."""

    def __init__(self, threshold: Threshold) -> None:
        self.threshold = threshold
        self.last = Evaluation(-1, State.PENDING, limit=self._constant_limit())
        """The latest evaluation."""
        self._since: int | None = None
        self._answers: deque[tuple[int, float]] = deque()

    def step(self, slot: int, figures: Figures, answer: float | None = None) -> Evaluation:
        """Evaluate a slot that is complete.

        Args:
            slot: Later than those before.
            figures: The measurements.
            answer: For a query: its value, None when there is none.
        """
        threshold = self.threshold
        if slot < threshold.after:
            return self._keep(slot, State.PENDING, message="left out by `after`")
        value, samples = self._observe(slot, figures, answer)
        if threshold.over and threshold.selector and slot - threshold.after + 1 < threshold.over:
            return self._keep(slot, State.PENDING, value, message="its window is not full yet")
        if not self._planned(slot):
            return self._keep(
                slot, State.PENDING, value, message="its window reaches beyond the planned load"
            )
        if (
            not threshold.momentary
            and threshold.expression.grows
            and threshold.expression.comparator[0] != "<"
        ):
            return self._keep(slot, State.PENDING, value, message="judged at the end")
        return self._judge(slot, value, samples, figures)

    def _planned(self, slot: int) -> bool:
        """Whether the window of a counter lies within the time for which load is planned."""
        threshold = self.threshold
        if threshold.span is None or threshold.over is None or threshold.kind is not Kind.COUNTER:
            return True
        first, last = threshold.span
        return first <= slot - threshold.over + 1 and slot <= last

    def resume(self, last: Evaluation) -> None:
        """Go on from an evaluation that another watch of the same threshold made."""
        self.last = last
        self._since = last.since

    def finish(self, slot: int, figures: Figures, loaded: Spans = ()) -> Evaluation:
        """Evaluate the run as a whole, after its last slot; the result is `pass`, `failed` or `noData`.

        `holds` tells what it means.

        Args:
            slot: The last one.
            figures: The measurements.
            loaded: When there was load of the kind that it selects: a rate per second is over that time, as waiting
                for what is still in flight makes no target slower. Without it, over all slots.
        """
        threshold = self.threshold
        if self.last.failed_at is not None:
            return self.last
        if not threshold.momentary or (threshold.selector and not self.last.judged):
            if slot < threshold.after:
                return self._keep(slot, State.NO_DATA, message="the run ended before `after`")
            value, samples = self._observe(slot, figures, None, loaded)
            found = self._judge(slot, value, samples, figures, last=True)
        else:
            found = self.last
        if not self.last.judged:
            return self._keep(
                slot, State.NO_DATA, found.value, message=found.message or "there never was a value"
            )
        if found.state in (State.FAILED, State.PASS):
            return found
        # Of every moment that could be judged none failed for long enough.
        self.last = replace(found, state=State.PASS, since=None, message="")
        return self.last

    @property
    def holds(self) -> bool:
        """After `finish`: whether the threshold holds, with `noData` read as it asks."""
        if self.last.state is State.NO_DATA:
            return self.threshold.no_data == "pass"
        return self.last.state is State.PASS

    @property
    def aborts(self) -> bool:
        """Whether it has failed and asks to stop the run."""
        return self.threshold.abort_on_fail and self.last.state is State.FAILED

    def _observe(
        self, slot: int, figures: Figures, answer: float | None, loaded: Spans = ()
    ) -> tuple[float | None, int]:
        """The value at the end of a slot, and how many samples it is made of."""
        threshold = self.threshold
        if threshold.selector is None:
            return self._answered(slot, answer)
        if threshold.over:
            first = max(threshold.after, slot - threshold.over + 1)
            found = figures.window(threshold.selector, first, slot)
        else:
            first = threshold.after
            found = figures.total(threshold.selector, after=first - 1, last=slot)
        if threshold.kind is Kind.COUNTER and self._within_stage(first, slot, figures):
            found = found or Counter()
        elif found is None or threshold.kind is Kind.COUNTER:
            return None, 0
        end = slot + 1.0
        seconds = sum(max(0.0, min(until, end) - max(since, first)) for since, until in loaded)
        return threshold.expression.value(found, seconds or end - first), _samples(found)

    def _within_stage(self, first: int, last: int, figures: Figures) -> bool:
        """Whether a counter's window lies within the stage that it selects, as far as what was counted tells."""
        selector = self.threshold.selector
        if not self.threshold.over or selector is None or "stage" not in dict(selector.tags):
            return True
        return all(figures.window(selector, edge, edge) is not None for edge in (first, last))

    def _answered(self, slot: int, answer: float | None) -> tuple[float | None, int]:
        if answer is not None and math.isfinite(answer):
            self._answers.append((slot, answer))
        while self._answers and self._answers[0][0] <= slot - (self.threshold.over or 1):
            self._answers.popleft()
        count = len(self._answers)
        return (sum(value for _, value in self._answers) / count if count else None), count

    def _judge(
        self, slot: int, value: float | None, samples: int, figures: Figures, *, last: bool = False
    ) -> Evaluation:
        threshold, limit = self.threshold, self._limit(slot, figures)
        missing = ""
        if value is None:
            missing = "no data"
        elif samples < threshold.min_samples:
            missing = f"{samples} samples, fewer than minSamples ({threshold.min_samples})"
        elif limit is None:
            missing = f"{threshold.relative_to} has no data to compare with"
        if value is None or limit is None or missing:
            self._since = None
            return self._keep(slot, State.NO_DATA, value, limit, message=missing)
        if threshold.expression.holds(value, limit):
            self._since = None
            return self._keep(slot, State.PASS, value, limit)
        self._since = slot if self._since is None else self._since
        long_enough = slot - self._since + 1 >= threshold.hold
        fails = last or (long_enough and (threshold.momentary or threshold.abort_on_fail))
        return self._keep(slot, State.FAILED if fails else State.VIOLATED, value, limit, violated=True)

    def _limit(self, slot: int, figures: Figures) -> float | None:
        threshold = self.threshold
        if threshold.relative_to is None:
            return threshold.expression.limit
        reference = figures.total(threshold.relative_to, last=slot)
        value = threshold.expression.value(reference, 1.0) if reference is not None else None
        return None if value is None else value * threshold.expression.limit

    def _constant_limit(self) -> float | None:
        return None if self.threshold.relative_to else self.threshold.expression.limit

    def _keep(
        self,
        slot: int,
        state: State,
        value: float | None = None,
        limit: float | None = None,
        *,
        violated: bool = False,
        message: str = "",
    ) -> Evaluation:
        """Remember the evaluation; what has failed stays failed."""
        known = self.last
        limit = self._constant_limit() if limit is None else limit
        if known.failed_at is not None:
            state = State.FAILED
        failed_at = known.failed_at if known.failed_at is not None else slot
        self.last = Evaluation(
            slot,
            state,
            value,
            limit,
            since=known.since if known.failed_at is not None else self._since,
            failed_at=failed_at if state is State.FAILED else None,
            worst=self._worst(value) if violated else known.worst,
            message=message,
            judged=known.judged or state in (State.PASS, State.VIOLATED, State.FAILED),
        )
        return self.last

    def _worst(self, value: float | None) -> float | None:
        known = self.last.worst
        if known is None or value is None:
            return value
        if self.threshold.expression.wants_more:
            return min(known, value)
        return max(known, value)


def _samples(aggregate: Aggregate) -> int:
    """How many samples an aggregate is made of; for a counter, what it counted."""
    if isinstance(aggregate, Counter):
        return int(aggregate.value)
    if isinstance(aggregate, Rate):
        return aggregate.total
    return 1 if isinstance(aggregate, Gauge) else aggregate.count
