"""When each VU of the whole fleet is active: the closed model's schedule, in closed form.

A central loop that starts and stops VUs as a target changes has to be somewhere, and then a fleet needs a
coordinator. Instead VU `j` (from 0) is active exactly while `target(t) > j`. Those intervals follow from the
stages alone, so each VU drives itself and any split of the VUs over shards adds up to the target at every
instant.

Rounding is k6's (`lib/executor/ramping_vus.go`): on the way up a VU starts at the moment the line reaches its
number, on the way down it leaves when the line has come down to it: the target is the line rounded down
while rising and rounded up while falling. A stage of no duration is a jump.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from itertools import accumulate

Interval = tuple[int, int]
"""A stretch of time [start, end) in nanoseconds."""


@dataclass(frozen=True, slots=True)
class Ramp:
    """A straight line to `target` that takes `duration_ns`; a jump when that is zero."""

    duration_ns: int
    target: int


@dataclass(frozen=True, slots=True)
class VuCurve:
    """The number of VUs over time, counted in nanoseconds since the scenario's start.

    Args:
        start: VUs at time zero.
        ramps: The stages, in order.
    """

    start: int
    ramps: tuple[Ramp, ...]
    _starts: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _froms: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        durations = (ramp.duration_ns for ramp in self.ramps)
        object.__setattr__(self, "_starts", tuple(accumulate(durations, initial=0)))
        object.__setattr__(self, "_froms", (self.start, *(ramp.target for ramp in self.ramps)))

    @classmethod
    def constant(cls, vus: int, duration_ns: int) -> VuCurve:
        """The same number of VUs for the whole duration."""
        return cls(vus, (Ramp(duration_ns, vus),))

    @property
    def end_ns(self) -> int:
        """The sum of the stages: from here on no VU is active."""
        return self._starts[-1]

    @property
    def max_vus(self) -> int:
        """How many VUs the scenario needs at most; VUs are numbered `0..max_vus-1`."""
        return max(self._froms)

    def target(self, t_ns: int) -> int:
        """How many VUs are active at this moment; 0 outside `[0, end_ns)`."""
        if not 0 <= t_ns < self.end_ns:
            return 0
        # The last stage that has begun: stages of no duration that begin now have already jumped.
        return self._target_in(bisect_right(self._starts, t_ns) - 1, t_ns)

    def target_before(self, t_ns: int) -> int:
        """The number that the line just before this moment comes to; 0 outside `(0, end_ns]`."""
        if not 0 < t_ns <= self.end_ns:
            return 0
        return self._target_in(bisect_left(self._starts, t_ns) - 1, t_ns)

    def _target_in(self, k: int, t_ns: int) -> int:
        ramp, before = self.ramps[k], self._froms[k]
        elapsed = t_ns - self._starts[k]
        if ramp.target >= before:
            return before + (ramp.target - before) * elapsed // ramp.duration_ns
        return before - (before - ramp.target) * elapsed // ramp.duration_ns

    def intervals(self, vu: int) -> tuple[Interval, ...]:
        """When VU number `vu` is active: disjoint intervals in order, each in nanoseconds, end excluded."""
        found: list[Interval] = []
        begun: int | None = 0 if self.start > vu else None
        for k, ramp in enumerate(self.ramps):
            before, at = self._froms[k], self._starts[k]
            if before <= vu < ramp.target:
                begun = at - (before - vu - 1) * ramp.duration_ns // (ramp.target - before)
                begun = _joined(found, begun)
            elif ramp.target <= vu < before and begun is not None:
                left = at - (vu - before) * ramp.duration_ns // (before - ramp.target)
                found.append((begun, left))
                begun = None
        if begun is not None:
            found.append((begun, self.end_ns))
        return tuple((a, b) for a, b in found if a < b)


def _joined(found: list[Interval], begun: int) -> int:
    """Where an activity that begins now really began: two that touch are one, without a restart between."""
    if found and found[-1][1] == begun:
        return found.pop()[0]
    return begun
