"""Grades a run: tiers are named sets of thresholds, best first, and the first that holds is the grade.

Tiers with a group grade something of their own, such as one metric; those without grade the run as a whole. What
should get no worse from one stage to the next is a threshold with `relativeTo` (see `thresholds`): in
`p(95)<1.5x` the limit is 1.5 times the same percentile of the other selector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from squall.verdict.thresholds import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from squall.verdict.thresholds import Evaluation, Figures, Spans, Threshold


@dataclass(frozen=True, slots=True)
class Tier:
    """A named set of thresholds; `group` is empty for the run as a whole."""

    name: str
    thresholds: tuple[Threshold, ...]
    group: str = ""


@dataclass(frozen=True, slots=True)
class TierOutcome:
    """Whether a tier held, and each of its thresholds with how it ended and whether it held."""

    tier: Tier
    held: bool
    outcomes: tuple[tuple[Threshold, Evaluation, bool], ...]


class Grading:
    """Follows the tiers through a run: `step` for each slot in turn, then `finish`."""

    def __init__(self, tiers: Iterable[Tier]) -> None:
        self._watched = [(tier, [Watch(each) for each in tier.thresholds]) for tier in tiers]

    @property
    def queries(self) -> frozenset[str]:
        """The PromQL that thresholds ask."""
        return frozenset(
            w.threshold.query for _, watches in self._watched for w in watches if w.threshold.query
        )

    def step(self, slot: int, figures: Figures, answers: Mapping[str, float | None]) -> None:
        """Take in a complete slot; only what windows and queries show must be looked at while it is there.

        Args:
            slot: Later than those before.
            figures: The measurements.
            answers: The values of queries.
        """
        for _, watches in self._watched:
            for watch in watches:
                if watch.threshold.momentary:
                    watch.step(slot, figures, answers.get(watch.threshold.query))

    def finish(
        self, slot: int, figures: Figures, loaded: Callable[[Threshold], Spans] = lambda _: ()
    ) -> list[TierOutcome]:
        """Which tiers hold over the run that ended with this slot, in their order; see `Watch.finish`."""
        outcomes = []
        for tier, watches in self._watched:
            ended = tuple(
                (watch.threshold, watch.finish(slot, figures, loaded(watch.threshold)), watch.holds)
                for watch in watches
            )
            outcomes.append(TierOutcome(tier, all(held for *_, held in ended), ended))
        return outcomes


def grades(outcomes: Iterable[TierOutcome]) -> dict[str, str]:
    """By group, the name of the first tier that held; empty where none did.

    A threshold's severity is of no meaning in a tier: a tier holds when all that it asks holds.
    """
    found: dict[str, str] = {}
    for outcome in outcomes:
        name = outcome.tier.name if outcome.held else ""
        found[outcome.tier.group] = found.get(outcome.tier.group, "") or name
    return found
