"""Finds the highest load that holds, by trying levels one after the other: no clock, no measurement, only decisions.

    grow     raise the level by a share, until one fails
    bisect   between the highest level that held and the lowest that failed, until the two are close
    confirm  a level that failed is tried again before it counts, and so is, at the end, the highest that held
    reopen   when the knee is confirmed, the lowest level that failed is tried once more; if it holds, go on upwards

When the first level fails already, 0 stands for "held" and bisecting leads downwards. Measurements near the knee are
noisy: a level may fail and then hold, which is forgotten, or hold and then fail. Every such contradiction lowers the ceiling, and there may be `RETREATS` of them, so
the search ends whatever it is told. For a target that holds up to `r` exactly, it ends with a knee `k` such that
`k <= r < k + max(1, precision * k)`.

The tries of a level follow each other at once, so all of them may fall into one outage of the target, which says nothing of
its capacity. By the time the knee is confirmed it is over: a level that holds then is what the search goes on from, up to
`REOPENINGS` times. Who asks for no confirmations gets no such repetition either.

What a level's failure says of the target is not decided here. But a failure for which the generator itself may be to
blame (`limited`) says nothing: the level is tried again, and when that does not help the search ends below it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final

RETREATS: Final = 5
"""Levels that held and then failed their confirmation, until the search gives up to be exact."""
REOPENINGS: Final = 2
"""How often a search goes on because the level that ended it holds after all."""
BLAMES: Final = 2
"""How often a level is tried again for whose failure the generator may be to blame."""
UNKNOWNS: Final = 5
"""Repetitions in a row without an outcome, until the search gives up."""


class Outcome(StrEnum):
    """What came of a level."""

    HELD = "held"
    FAILED = "failed"
    LIMITED = "limited"
    """It failed, but the generator was too busy, or did not bring the load, for reasons of its own."""
    UNKNOWN = "unknown"
    """Nobody could see what happened."""


class Purpose(StrEnum):
    """Why a level is tried."""

    GROW = "grow"
    BISECT = "bisect"
    CONFIRM = "confirm"


class End(StrEnum):
    """Why a search is over."""

    FOUND = "found"
    MAXIMUM = "max"
    """The highest level that was allowed holds."""
    NOTHING = "nothing"
    """Not even a load of 1 holds."""
    GENERATOR = "generator"
    """A level failed for which the generator may be to blame."""
    NOISE = "noise"
    """Levels held and failed by turns, or nobody could see what happened."""
    TIME = "time"
    STOPPED = "stopped"
    """The run ended before the search."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where and how closely to search; loads are whole numbers from 1.

    Attributes:
        start: The first level.
        maximum: The highest one.
        growth: Share by which the level is raised while it holds, above 0.
        precision: Share of the knee that may lie between it and the lowest level that failed.
        confirmations: How often failures, and the knee, are confirmed on a repetition.
    """

    start: int
    maximum: int
    growth: Fraction
    precision: Fraction
    confirmations: int


class Search:
    """A search: try `level`, then `take` its outcome, until `end` says why it is over.

    Attributes:
        low: The highest level that held and did not fail later; 0 for none.
        high: The lowest level that failed; None while there is none.
        level: What is to be tried now.
        purpose: Why.
        end: Why the search is over; None while it goes on.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self.low = 0
        self.high: int | None = None
        self.level = bounds.start
        self.purpose = Purpose.GROW
        self.end: End | None = None
        self._holds: Counter[int] = Counter()
        self._tries: Counter[Outcome] = Counter()
        """What came of this level since it was chosen."""
        self._retreats = 0
        self._reopened = 0
        self._failures: set[int] = set()
        """Levels that failed and have not held since."""
        self._settled: int | None = None
        """The level that failed and, tried again after the knee was confirmed, did not hold."""

    @property
    def confirmed(self) -> bool:
        """Whether the knee has held as often as it has to."""
        return self._holds[self.low] > self._bounds.confirmations

    @property
    def _tolerance(self) -> Fraction:
        """How far the lowest level that failed may lie above the knee at the end."""
        return max(Fraction(1), self._bounds.precision * self.low)

    @property
    def _reopening(self) -> bool:
        """Whether the lowest level that failed is tried once more; all other tries are below it."""
        return self.level == self.high

    def take(self, outcome: Outcome) -> None:
        """Take in what came of the level, and choose the next."""
        self._tries[outcome] += 1
        match outcome:
            case Outcome.HELD:
                if self._reopening:
                    self._reopen()
                self._holds[self.level] += 1
                self.low = self.level
                self._choose()
            case Outcome.FAILED | Outcome.LIMITED:
                self._fail()
            case Outcome.UNKNOWN if self._tries[Outcome.UNKNOWN] >= UNKNOWNS:
                self.end = End.NOISE

    def give_up(self, why: End) -> None:
        """End the search with what is known; without effect when it has ended.

        When only the end of the bracket was to be tried once more, everything that was asked for has been found.
        """
        self.end = self.end or (End.FOUND if self._reopening else why)

    def _fail(self) -> None:
        confirmations = 0 if self._holds[self.level] else self._bounds.confirmations
        if self._reopening:
            if self._tries[Outcome.FAILED] or self._tries[Outcome.LIMITED] > BLAMES:
                self._settled = self.high
                self._choose()
        elif self._tries[Outcome.LIMITED] > BLAMES:
            self.end = End.GENERATOR
        elif self._tries[Outcome.FAILED] > confirmations:
            self._lower()
            self._choose()
        else:
            self.purpose = Purpose.CONFIRM

    def _lower(self) -> None:
        """The level counts as failed, whatever it did before."""
        self._retreats += self._holds.pop(self.level, 0) > 0
        self._failures.add(self.level)
        self.high = self.level
        self.low = max((level for level in self._holds if level < self.level), default=0)

    def _reopen(self) -> None:
        """The level that failed holds: what ended the search was not the target's capacity."""
        self._reopened += 1
        self._failures.discard(self.level)
        self.high = min((level for level in self._failures if level > self.level), default=None)

    def _doubtful(self) -> bool:
        """Whether the lowest level that failed has to be tried once more before it ends the search."""
        repeat = self._bounds.confirmations > 0 and self._reopened < REOPENINGS
        return repeat and self.high is not None and self.high != self._settled

    def _choose(self) -> None:
        self._tries.clear()
        if self._retreats > RETREATS:
            self.end = End.NOISE
        elif self.high is None and self.low < self._bounds.maximum:
            self.purpose = Purpose.GROW
            self.level = min(self._bounds.maximum, self.low + max(1, int(self.low * self._bounds.growth)))
        elif self.high is not None and self.high - self.low > self._tolerance:
            self.purpose = Purpose.BISECT
            self.level = (self.low + self.high) // 2
        elif self.low == 0:
            self.end = End.NOTHING
        elif not self.confirmed:
            self.purpose = Purpose.CONFIRM
            self.level = self.low
        elif self.high is not None and self._doubtful():
            self.purpose = Purpose.CONFIRM
            self.level = self.high
        else:
            self.end = End.MAXIMUM if self.high is None else End.FOUND
