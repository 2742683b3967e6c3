"""The planned load as something to draw: targets over time, for one scenario or for several together.

A picture has fewer columns than a plan has moments. A column that shows the value at its own left edge loses
a spike that is shorter than a column, and a plan is looked at for its spikes; so a column shows the highest
value that occurs within it.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from squall.plan.model import ScenarioPlan


def boundaries(scenarios: Sequence[ScenarioPlan]) -> list[int]:
    """The moments (ns of the run) at which a stage of any of the scenarios begins or ends, sorted."""
    edges = {t for s in scenarios for span in s.stages for t in (span.start_ns, span.end_ns)}
    return sorted(edges)


def target(scenarios: Sequence[ScenarioPlan], t_ns: int) -> float:
    """The sum of the scenarios' targets at a moment; only of one kind (all closed or all open) is it a sum."""
    return sum(scenario.target(t_ns) for scenario in scenarios)


def column_peaks(scenarios: Sequence[ScenarioPlan], columns: int, end_ns: int) -> list[float]:
    """The highest common target within each of `columns` equal parts of `[0, end_ns)`.

    Between two boundaries every target goes one way, so the highest value in a part stands at its edges or at
    either side of a boundary within it.
    """
    edges = boundaries(scenarios)
    peaks: list[float] = []
    for begin, end in pairwise(end_ns * i // columns for i in range(columns + 1)):
        within = edges[bisect_left(edges, begin) : bisect_left(edges, end)]
        moments = {begin, max(begin, end - 1), *within, *(t - 1 for t in within if t > begin)}
        peaks.append(max(target(scenarios, t) for t in moments))
    return peaks


def peak(weights: Mapping[ScenarioPlan, int]) -> float:
    """The highest sum of the scenarios' targets, each times its weight, at any moment."""
    edges = boundaries(list(weights))
    levels = [
        sum(level(t) * weight for level, weight in side)
        for t in edges
        for side in (
            [(scenario.target, weight) for scenario, weight in weights.items()],
            [(scenario.target_before, weight) for scenario, weight in weights.items()],
        )
    ]
    return max(levels, default=0)


def vertices(scenario: ScenarioPlan) -> list[tuple[int, float]]:
    """The corners of a scenario's target, in ns of the run: joined by straight lines they are its curve.

    Two corners at the same time are a jump.
    """
    spans = [span for span in scenario.stages if span.end_ns > span.start_ns]
    corners: list[tuple[int, float]] = []
    for span in spans:
        for corner in (
            (span.start_ns, scenario.target(span.start_ns)),
            (span.end_ns, scenario.target_before(span.end_ns)),
        ):
            if not corners or corners[-1] != corner:
                corners.append(corner)
    return corners
