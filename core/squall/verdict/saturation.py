"""Asks whether the generator itself was too busy for its numbers to be trusted.

A generator that lags measures itself: its latencies contain its own queues, and the load it was to bring never came. So
every slot is looked at, and when too large a share of them was saturated the run is `Invalid`, whatever the target did.

A slot is saturated when the event loops answered too late, when arrivals started too late, or when too few of the
planned arrivals were handled at all. An arrival that found no free VU was handled: that is the target's slowness or the
plan's limit, and it was dropped. Where it waits for a VU instead (`whenSaturated: queue`), neither lateness nor
delivery tells whose fault it is, so of such scenarios only the event loops are looked at.

What to change depends on why: more shards do not help a container that is throttled, a machine whose cores are all busy, or
a step that blocks. So of each saturated slot it is noted what the runners saw of their CPU, and the advice follows from what
was there most often.
"""

from __future__ import annotations

import math
from collections import Counter as Tally
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from squall.metrics.histogram import Histogram
from squall.metrics.series import Counter, Gauge, Selector

if TYPE_CHECKING:
    from squall.metrics.series import Aggregate, Tags
    from squall.verdict.thresholds import Figures

_LAG: Final = Selector("loop_lag")

_CPU: Final = Selector("cpu_usage")
_CORES: Final = Selector("cores_busy")
_THROTTLED: Final = Selector("cpu_throttled")
_GC: Final = Selector("gc_pause")
_FILES: Final = Selector("files_used")
_PORTS: Final = Selector("ports_used")

_THROTTLED_SECONDS: Final = 0.05
"""A runner that was throttled for so much of a second was held up by that."""
_FULL: Final = 0.9
"""A core that is busy for this share of a second is full: what comes has to queue."""
_IDLE: Final = 0.6
"""An event loop that answers late although its core is busy for less than this waits for something else than the CPU."""

_USED_UP: Final = 0.995
"""Of the files or ports: what is read between two connections may see one less than there are."""

_DELIVERY_SLOTS: Final = 5
"""Delivery is looked at over so many slots, since an arrival may fall into the slot next to its own."""


@dataclass(frozen=True, slots=True)
class SaturationLimits:
    """When a slot is saturated, and how much of that is too much.

    Attributes:
        loop_lag: p99 of the event loops' lag above which it is, in seconds.
        lateness: p99 of how late arrivals started above which it is, in seconds.
        delivered: Share of the planned arrivals below which it is.
        tolerated: Share of the run's slots from which on the run is invalid; 1 for never.
        scenarios: Those whose arrivals are looked at: of the open model, dropping what finds no VU.
    """

    loop_lag: float = 0.05
    lateness: float = 0.1
    delivered: float = 0.9
    tolerated: float = 0.1
    scenarios: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Saturation:
    """The outcome.

    Attributes:
        share: Of the run's slots that were saturated.
        invalid: It is more than tolerated.
        message: What was seen, and what to change; empty when no slot was saturated.
        observed: The worst value of what was seen most often: seconds of lag or lateness, or the share delivered.
        expression: What was asked of that.
    """

    share: float = 0.0
    invalid: bool = False
    message: str = ""
    observed: float | None = None
    expression: str = ""


class _Why(Enum):
    """What held the generator up in a slot."""

    FILES = "files"
    PORTS = "ports"
    THROTTLED = "throttled"
    GARBAGE = "garbage"
    MACHINE = "machine"
    CORE = "core"
    BLOCKED = "blocked"


_USED_UP_ADVICE: Final = {
    _Why.FILES: "a runner had all the files open that it may have, so connections could not be opened: raise its limit "
    "(`ulimit -n`), use more runners, share connections (http.sharedConnections), or lower the load",
    _Why.PORTS: "all local ports for one destination were taken, so connections could not be opened: keep connections "
    "open or share them (http.sharedConnections), spread the load over more addresses (http.baseUrls), or lower the load",
}


@dataclass(slots=True)
class _Symptom:
    """One kind of saturation: in how many slots it was seen, and how bad it was at worst."""

    text: str
    expression: str
    slots: int = 0
    worst: float = 0.0
    last: int = -1

    def seen(self, slot: int, value: float) -> None:
        self.slots += slot != self.last
        self.last, self.worst = slot, max(self.worst, value)

    def exceeds(self, slot: int, trend: Aggregate | None, limit: float) -> bool:
        """Look at the p99 of a trend; returns whether it is above the limit."""
        value = trend.quantile(0.99) if isinstance(trend, Histogram) and trend.count else 0.0
        if value <= limit:
            return False
        self.seen(slot, value)
        return True


class SaturationWatch:
    """Follows a run: `step` for each slot, then `result`."""

    def __init__(self, limits: SaturationLimits) -> None:
        self._limits = limits
        self._slots = 0
        self._saturated = 0
        self._lag = _Symptom("the event loop lagged", f"p99 of loop_lag <= {limits.loop_lag:g} s")
        self._late = _Symptom("arrivals started late", f"p99 of schedule_lag <= {limits.lateness:g} s")
        self._short = _Symptom("arrivals were left out", f"arrivals delivered >= {limits.delivered:.0%}")
        self._causes: Tally[_Why] = Tally()
        self._pause = 0.0
        self._usage = 1.0

    def step(self, slot: int, figures: Figures) -> bool:
        """Look at a slot that is complete; returns whether it is saturated."""
        limits = self._limits
        lag = figures.window(_LAG, slot, slot)
        seen = self._lag.exceeds(slot, lag, limits.loop_lag)
        for scenario in limits.scenarios:
            tag = (("scenario", scenario),)
            late = figures.window(Selector("schedule_lag", tag), slot, slot)
            seen = self._late.exceeds(slot, late, limits.lateness) or seen
            missing = _missing(tag, slot, figures)
            if missing is not None and 1 - missing < limits.delivered:
                self._short.seen(slot, missing)
                seen = True
        self._slots += 1
        self._saturated += seen
        if seen:
            self._ask_why(slot, figures)
        return seen

    def _ask_why(self, slot: int, figures: Figures) -> None:
        """Note what held the generator up in a saturated slot, as far as the runners know."""
        throttled = figures.window(_THROTTLED, slot, slot)
        pauses = figures.window(_GC, slot, slot)
        pause = pauses.max if isinstance(pauses, Histogram) and pauses.count else 0.0
        usage, cores = (_highest(figures.window(selector, slot, slot)) for selector in (_CPU, _CORES))
        files, ports = (_highest(figures.window(selector, slot, slot)) for selector in (_FILES, _PORTS))
        if files is not None and files >= _USED_UP:
            self._causes[_Why.FILES] += 1
        elif ports is not None and ports >= _USED_UP:
            self._causes[_Why.PORTS] += 1
        elif isinstance(throttled, Counter) and throttled.value > _THROTTLED_SECONDS:
            self._causes[_Why.THROTTLED] += 1
        elif pause > self._limits.loop_lag:
            self._causes[_Why.GARBAGE] += 1
            self._pause = max(self._pause, pause)
        elif cores is not None and cores >= _FULL:
            self._causes[_Why.MACHINE] += 1
        elif usage is not None and usage < _IDLE:
            self._causes[_Why.BLOCKED] += 1
            self._usage = min(self._usage, usage)
        else:
            self._causes[_Why.CORE] += 1

    def result(self, shards: int) -> Saturation:
        """The outcome over all slots; `shards` is how many the run has, for the advice."""
        if not self._saturated:
            return Saturation()
        share = self._saturated / self._slots
        worst = max((self._lag, self._late, self._short), key=lambda symptom: symptom.slots)
        return Saturation(
            share=share,
            invalid=self._limits.tolerated < 1 and share >= self._limits.tolerated,
            message=f"in {share:.0%} of the run the generator was saturated: {self._shown(worst)}; {self._advice(shards)}",
            observed=1 - worst.worst if worst is self._short else worst.worst,
            expression=worst.expression,
        )

    def _shown(self, symptom: _Symptom) -> str:
        if symptom is self._short:
            return f"{symptom.text} ({symptom.worst:.0%} at worst)"
        return f"{symptom.text} (p99 {symptom.worst * 1000:.0f} ms at worst)"

    def _advice(self, shards: int) -> str:
        """What to change; of several causes, about what was used up, or else the one that was there most often.

        Where connections cannot be opened, what else the machine was busy with is no reason to change anything yet.
        """
        more = f"shards: {shards} -> {self._more(shards)}"
        used_up = [text for why, text in _USED_UP_ADVICE.items() if self._causes[why]]
        if used_up:
            return used_up[0]
        match max(self._causes, key=lambda why: self._causes[why]):
            case _Why.THROTTLED:
                return "its CPU limit throttled it: raise the limit to one whole core for each runner, or lower the load"
            case _Why.GARBAGE:
                return (
                    f"garbage collection held it up for {self._pause * 1000:.0f} ms at worst: look for python steps that "
                    f"make or keep many objects, keep fewer VUs in one process ({more}), or lower the load"
                )
            case _Why.MACHINE:
                return (
                    "all cores that it may use were busy, so more shards on the same machine would not help: use a "
                    f"larger machine, or more machines with a runner on each ({more}), run the target elsewhere, or lower the load"
                )
            case _Why.BLOCKED:
                return (
                    f"its core was busy for only {self._usage:.0%}, so something else held it up: a python step that "
                    "waits without `await`, a slow disk, or a machine that stood still"
                )
        return f"spread the load over more CPUs ({more}) or lower it"

    def _more(self, shards: int) -> int:
        """How many shards would carry the load: by the arrivals that were missing, and half as many more at least.

        A core that is full does not tell how much more was wanted of it, and lag does not either.
        """
        factor = max(1.5, 1 / max(1 - self._short.worst, 0.1))
        return max(shards + 1, math.ceil(shards * factor))


def _highest(gauge: Aggregate | None) -> float | None:
    return gauge.max if isinstance(gauge, Gauge) else None


def _missing(tag: Tags, slot: int, figures: Figures) -> float | None:
    """The share of a scenario's planned arrivals that was neither started nor dropped.

    None without any planned. One arrival may always be on its way; `schedule_lag` has a sample for each that was started.
    """
    first = max(0, slot - _DELIVERY_SLOTS + 1)
    planned, lag, dropped = (
        figures.window(Selector(metric, tag), first, slot)
        for metric in ("arrivals_planned", "schedule_lag", "dropped_iterations")
    )
    if not isinstance(planned, Counter) or planned.value <= 0:
        return None
    handled = lag.count if isinstance(lag, Histogram) else 0.0
    handled += dropped.value if isinstance(dropped, Counter) else 0.0
    return max(0.0, planned.value - handled - 1) / planned.value
