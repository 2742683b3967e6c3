"""Stops a run for the sake of the target: too many errors, too slow, too little, nothing but failures, too long.

Unlike thresholds these say nothing about whether the target is good enough; they say that going on is of no use or does
harm. Each has a level to warn at and one to stop at, over one sliding window. Errors and response times are judged as soon as
the window has `minSamples` requests; throughput only over a full window, for its beginning is always low.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from squall.metrics import format as fmt
from squall.metrics.histogram import Histogram
from squall.metrics.series import Counter, Gauge, Rate, Selector

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.verdict.thresholds import Figures

_FAILED: Final = Selector("http_req_failed")
_DURATION: Final = Selector("http_req_duration")
_REQUESTS: Final = Selector("http_reqs")
_ITERATIONS: Final = Selector("iterations")
_ITERATIONS_FAILED: Final = Selector("iterations_failed")
_STREAK: Final = Selector("failure_streak")


@dataclass(frozen=True, slots=True)
class Limit:
    """A level to warn at and one to stop at, in base units; None for neither."""

    warn: float | None = None
    stop: float | None = None


@dataclass(frozen=True, slots=True)
class SafetyLimits:
    """What ends a run.

    Attributes:
        window: Length of the sliding window, in slots.
        after: Slots at the beginning that are not judged.
        min_samples: With fewer requests in the window neither errors nor response times are judged.
        error_rate: Above which share of failed requests.
        response_time: Above which mean of `http_req_duration`, in seconds.
        throughput: Below which number of requests per second.
        consecutive_failures: After how many failed iterations in a row.
        max_duration: After how many seconds of load.
    """

    window: int = 10
    after: int = 0
    min_samples: int = 10
    error_rate: Limit | None = None
    response_time: Limit | None = None
    throughput: Limit | None = None
    consecutive_failures: int | None = None
    max_duration: float | None = None


@dataclass(frozen=True, slots=True)
class Remark:
    """A limit that was passed.

    Attributes:
        level: Only a warning, or a decision to stop.
        cause: `deadline` for the run's time, else `safety`.
        reason: One CamelCase word.
        message: For people.
        expression: What was asked, such as `errorRate.stop: 0.1`.
        observed: What was seen, in base units.
        limit: The level that was passed.
        slot: At the end of which slot.
    """

    level: Literal["warn", "stop"]
    cause: Literal["safety", "deadline"]
    reason: str
    message: str
    expression: str
    observed: float
    limit: float
    slot: int


@dataclass(frozen=True, slots=True)
class _Rule:
    """One limit: how it is called and shown, and on which side of it the danger lies."""

    key: str
    reason: str
    text: Callable[[float], str]
    upper: bool = True
    unit: str = "1"

    def passed(self, value: float, level: float | None) -> bool:
        return level is not None and (value > level if self.upper else value < level)


_ERROR_RATE: Final = _Rule(
    "errorRate", "ErrorRate", lambda v: f"{v:.1%} of the requests failed", unit="share"
)
_RESPONSE_TIME: Final = _Rule(
    "responseTime", "ResponseTime", lambda v: f"requests took {fmt.time(v)} on average", unit="s"
)
_THROUGHPUT: Final = _Rule(
    "throughput", "Throughput", lambda v: f"only {v:.3g} requests per second", upper=False
)
_FAILURES: Final = _Rule(
    "consecutiveFailures", "ConsecutiveFailures", lambda v: f"{v:.0f} iterations failed one after the other"
)
_DEADLINE: Final = _Rule("maxDuration", "Deadline", lambda v: f"the run has lasted {fmt.clock(v)}", unit="s")


class SafetyWatch:
    """Follows a run: `step` for each slot in turn; what it returns is new at that slot."""

    def __init__(self, limits: SafetyLimits) -> None:
        self._limits = limits
        self._warned: set[str] = set()
        self._streak = 0
        self.stop: Remark | None = None
        """The decision to stop; the first that was made."""

    def step(self, slot: int, figures: Figures) -> list[Remark]:
        """Judge a slot that is complete.

        Returns:
            Warnings, each once until its value has been good again, and the decision to stop, once.
        """
        limits = self._limits
        observed: list[tuple[_Rule, float | None, Limit | None]] = []
        if slot >= limits.after:
            observed += [
                (_ERROR_RATE, self._error_rate(slot, figures), limits.error_rate),
                (_RESPONSE_TIME, self._response_time(slot, figures), limits.response_time),
                (_THROUGHPUT, self._throughput(slot, figures), limits.throughput),
            ]
        if limits.consecutive_failures is not None:
            # Reaching the number is enough, so the level lies half a failure below.
            level = Limit(stop=limits.consecutive_failures - 0.5)
            observed.append((_FAILURES, self._failures(slot, figures), level))
        if limits.max_duration is not None and slot + 1 >= limits.max_duration:
            observed.append((_DEADLINE, slot + 1.0, Limit(stop=0.0)))
        remarks = [self._remark(rule, value, limit, slot) for rule, value, limit in observed]
        return [remark for remark in remarks if remark is not None]

    def _remark(self, rule: _Rule, value: float | None, limit: Limit | None, slot: int) -> Remark | None:
        if value is None or limit is None:
            return None
        if rule.passed(value, limit.stop) and self.stop is None:
            self.stop = _remark("stop", rule, value, self._shown(rule, limit.stop), slot)
            return self.stop
        if not rule.passed(value, limit.warn):
            self._warned.discard(rule.key)
        elif rule.key not in self._warned:
            self._warned.add(rule.key)
            return _remark("warn", rule, value, limit.warn, slot)
        return None

    def _shown(self, rule: _Rule, level: float | None) -> float | None:
        """The level as the manifest has it."""
        if rule is _FAILURES:
            return self._limits.consecutive_failures
        return self._limits.max_duration if rule is _DEADLINE else level

    def _first(self, slot: int) -> int:
        return max(self._limits.after, slot - self._limits.window + 1)

    def _error_rate(self, slot: int, figures: Figures) -> float | None:
        found = figures.window(_FAILED, self._first(slot), slot)
        enough = isinstance(found, Rate) and found.total >= max(1, self._limits.min_samples)
        return found.value if enough and isinstance(found, Rate) else None

    def _response_time(self, slot: int, figures: Figures) -> float | None:
        found = figures.window(_DURATION, self._first(slot), slot)
        if isinstance(found, Histogram) and found.count >= max(1, self._limits.min_samples):
            return found.mean
        return None

    def _throughput(self, slot: int, figures: Figures) -> float | None:
        if slot - self._limits.after + 1 < self._limits.window:
            return None
        found = figures.window(_REQUESTS, self._first(slot), slot)
        return (found.value if isinstance(found, Counter) else 0.0) / self._limits.window

    def _failures(self, slot: int, figures: Figures) -> float | None:
        """The longest run of failed iterations: exact where a runner reports its own, else by whole slots.

        Over the fleet nobody knows the order within a slot, so failures count only of slots without a success.
        """
        good, bad = (figures.window(each, slot, slot) for each in (_ITERATIONS, _ITERATIONS_FAILED))
        if isinstance(good, Counter) and good.value > 0:
            self._streak = 0
        elif isinstance(bad, Counter):
            self._streak += int(bad.value)
        own = figures.window(_STREAK, slot, slot)
        return max(self._streak, own.max) if isinstance(own, Gauge) else float(self._streak)


def _remark(
    level: Literal["warn", "stop"], rule: _Rule, value: float, limit: float | None, slot: int
) -> Remark:
    assert limit is not None, "a level that was passed exists"
    key = rule.key if rule in (_FAILURES, _DEADLINE) else f"{rule.key}.{level}"
    return Remark(
        level=level,
        cause="deadline" if rule is _DEADLINE else "safety",
        reason=rule.reason,
        message=f"{rule.text(value)} (safety.{key}: {fmt.quantity(limit, rule.unit)})",
        expression=f"{key}: {fmt.quantity(limit, rule.unit)}",
        observed=value,
        limit=limit,
        slot=slot,
    )
