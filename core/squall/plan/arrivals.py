"""When each iteration of an open model is due, for the whole fleet and for one shard of it.

Uniform arrivals are numbered over the whole fleet and striped over the shards, so N shards together produce
the very arrivals of one. Their places are k6's: at a constant rate arrival `i` is due when the area under the
rate curve reaches `i` (the first at once, none at the very end), on ramps when it reaches `i + 1` (the first
when a whole arrival has accumulated, the last possibly at the very end).

Poisson arrivals cannot be striped without a common source of chance. Each shard draws its own from its own
seed at 1/N of the rate; the sum of independent Poisson processes is a Poisson process with the sum of the
rates. A rate that changes is followed by the time change of the unit-rate process: arrival k is due when the
area reaches the sum of k exponential draws (Cinlar's inversion).
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from itertools import islice
from math import log1p
from typing import TYPE_CHECKING, Literal

from squall.plan.share import WHOLE, Share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from squall.plan.rates import RateCurve

_DRAW_BITS = 40
"""Exponential draws are rounded to 2^-40, so that their sum is exact and the same on every machine."""


@dataclass(frozen=True, slots=True)
class ArrivalSchedule:
    """The arrivals of a scenario, in nanoseconds since the scenario's start.

    Args:
        curve: The rate over time of the whole fleet.
        kind: `uniform` spaces arrivals evenly, `poisson` as independent users would come.
        at_once: Whether the first arrival is due at time zero (constant rate) or after one unit of area.
        cap: At most this many arrivals over the whole fleet.
        seed: What Poisson draws derive from, besides the shard's place.
    """

    curve: RateCurve
    kind: Literal["uniform", "poisson"]
    at_once: bool
    cap: int | None = None
    seed: str = ""

    @property
    def end_ns(self) -> int:
        """The sum of the stages; an arrival may be due at this very moment."""
        return self.curve.end_ns

    @property
    def total(self) -> int:
        """All arrivals of the whole fleet: exact when uniform, the expectation rounded when Poisson."""
        return self.count(self.curve.end_ns + 1)

    def count(self, t_ns: int) -> int:
        """How many arrivals of the whole fleet are due before `t_ns`: the inverse of `time_of`.

        For Poisson arrivals this is the expectation, rounded to the nearest; the real number varies by its
        square root.
        """
        if self.kind == "poisson":
            due = (2 * self.curve.units_at(t_ns) + self.curve.unit) // (2 * self.curve.unit)
        elif t_ns <= 0:
            return 0
        elif self.at_once:
            last = min(t_ns, self.curve.end_ns) - 1
            due = self.curve.units_at(last) // self.curve.unit + 1
        else:
            due = self.curve.units_at(t_ns - 1) // self.curve.unit
        return due if self.cap is None else min(due, self.cap)

    def time_of(self, number: int) -> int:
        """When the uniform arrival `number` (from 0, over the whole fleet) is due.

        Raises:
            ValueError: The arrivals are Poisson (they have no common numbers), or there are fewer.
        """
        if self.kind == "poisson" or not 0 <= number < self.total:
            raise ValueError(f"the schedule has no arrival number {number}")
        return self.curve.time_at((number + (not self.at_once)) * self.curve.unit)

    def arrivals(self, share: Share = WHOLE, from_ns: int = 0) -> Iterator[int]:
        """The times at which this shard's iterations are due, in order.

        Args:
            share: The shard's place among those that carry the scenario.
            from_ns: Leave out what was due before; a shard that comes back joins at the current moment.
                Uniform arrivals then continue as if it had never been away. Poisson arrivals, which have no
                memory, continue with fresh draws; of a cap, what was expected by then counts as used.
        """
        if self.kind == "poisson":
            due = self._poisson(share, max(0, from_ns))
            return (
                due if self.cap is None else islice(due, share.of(self.cap) - share.of(self.count(from_ns)))
            )
        first = share.first_from(self.count(from_ns))
        unit = self.curve.unit
        due = self.curve.times((first + (not self.at_once)) * unit, share.count * unit)
        return islice(due, max(0, share.of(self.total) - share.of(first)))

    def _poisson(self, share: Share, from_ns: int) -> Iterator[int]:
        name = f"{self.seed}/{share.index}/{share.count}/{from_ns}"
        digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
        # Seeded chance is the point: a schedule that can be repeated. Nothing here guards a secret.
        draw = random.Random(int.from_bytes(digest, "big")).random  # noqa: S311
        scale = 1 << _DRAW_BITS
        factor = share.count * self.curve.unit
        start = self.curve.units_at(from_ns) + 1  # never before `from_ns`, even when a draw is zero
        total, time_at = self.curve.total_units, self.curve.time_at
        drawn = 0
        while True:
            drawn += int(-log1p(-draw()) * scale)
            units = start + (drawn * factor >> _DRAW_BITS)
            if units > total:
                return
            yield time_at(units)
