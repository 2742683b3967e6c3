"""Compares the figures of two runs, and says which got worse by more than is allowed.

A limit is written `p95=10%` (every figure with that aggregation) or `http_req_duration:p95=10%` (of one metric, tags included
if it has any). It is relative, but for shares (error rates, checks), where a percentage of a percentage means
nothing to anybody: there it is in percentage points, so that `http_req_failed:rate=1%` allows 1.5 % after 0.5 %.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from squall.metrics import format as fmt

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True, order=True)
class FigureKey:
    """What a figure is of: a metric, with its tags as in a selector, and an aggregation such as p95, avg, rate."""

    metric: str
    aggregation: str

    def __str__(self) -> str:
        return f"{self.metric}:{self.aggregation}"


@dataclass(frozen=True, slots=True)
class Figure:
    """A value in base units, which direction is better, whether it is a share from 0 to 1, and its unit for people."""

    value: float
    better: Literal["lower", "higher"] = "lower"
    share: bool = False
    unit: str = "1"


@dataclass(frozen=True, slots=True)
class RegressionLimit:
    """How much worse figures may get; `metric` is empty for all of them."""

    aggregation: str
    allowed: float
    metric: str = ""

    @classmethod
    def parse(cls, text: str) -> RegressionLimit:
        """Read `p95=10%` or `http_req_duration:p95=10%`.

        Raises:
            ValueError: It is not of that form.
        """
        found = _LIMIT.fullmatch(text)
        if not found:
            raise ValueError(f"{text!r} is no limit; write for example p95=10% or http_req_failed:rate=1%")
        return cls(found["aggregation"], float(found["percent"]) / 100, found["metric"] or "")

    def covers(self, key: FigureKey) -> bool:
        """Whether it is about this figure."""
        return self.aggregation == key.aggregation and self.metric in ("", key.metric)

    def __str__(self) -> str:
        return f"{self.metric}{':' if self.metric else ''}{self.aggregation}={self.allowed * 100:g}%"


_LIMIT: Final = re.compile(
    r"\s*(?:(?P<metric>[A-Za-z_]\w*(?:\{[^}]*\})?):)?(?P<aggregation>[a-z]\w*)\s*=\s*(?P<percent>\d+(?:\.\d+)?)\s*%\s*"
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure in two runs.

    Attributes:
        key: Of what.
        before: In the earlier run; None when it had none.
        after: In the later run; None when it has none.
        worse: By how much it got worse, as the limits count: relative, or for shares in points; negative when it got
            better, infinite after 0, None when one of the two is missing.
        limit: The limit that is about it; None without one.
        unit: Of the two values, for people.
    """

    key: FigureKey
    before: float | None
    after: float | None
    worse: float | None
    limit: RegressionLimit | None = None
    unit: str = "1"

    @property
    def regression(self) -> bool:
        """Whether it got worse by more than its limit allows."""
        if self.limit is None or self.worse is None:
            return False
        return self.worse > self.limit.allowed + 1e-12

    def describe(self) -> str:
        """One line for people."""
        before, after = (fmt.quantity(value, self.unit) for value in (self.before, self.after))
        if self.worse is None:
            return f"{self.key}: {before} -> {after}"
        size = "from 0" if math.isinf(self.worse) else f"{abs(self.worse):.1%}"
        direction = "worse" if self.worse > 0 else "better"
        return (
            f"{self.key}: {before} -> {after}, {size} {direction}"
            if self.worse
            else f"{self.key}: {after}, the same"
        )


def compare(
    before: Mapping[FigureKey, Figure],
    after: Mapping[FigureKey, Figure],
    limits: Iterable[RegressionLimit] = (),
) -> list[Difference]:
    """Every figure of either run, in order of its key; a limit naming the metric goes before a general one."""
    given = sorted(limits, key=lambda limit: not limit.metric)
    return [
        _difference(
            key,
            before.get(key),
            after.get(key),
            next((limit for limit in given if limit.covers(key)), None),
        )
        for key in sorted({*before, *after})
    ]


def _difference(
    key: FigureKey, before: Figure | None, after: Figure | None, limit: RegressionLimit | None
) -> Difference:
    values = (before.value if before else None, after.value if after else None)
    known = before or after
    unit = known.unit if known else "1"
    return Difference(key, *values, _worse(before, after) if before and after else None, limit, unit)


def _worse(before: Figure, after: Figure) -> float | None:
    change = after.value - before.value
    if math.isnan(change):
        return None
    if after.better == "higher":
        change = -change
    if after.share or not change:
        return change
    return change / abs(before.value) if before.value else math.copysign(math.inf, change)
