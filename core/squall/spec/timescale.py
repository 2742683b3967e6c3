"""`--time-scale 0.05`: a plan of hours, tried in minutes.

What belongs to the schedule is multiplied: stages, `duration`, `startTime`, `maxDuration`, `gracefulStop` and
`gracefulRampDown` of scenarios, `hold`, `settle` and `cooldown` of a search and, also where it is not written, how long it may last, and `after`, `over` and `for` of thresholds, which refer to it. What belongs to the
users and the target (think times, timeouts) stays, and so does what only protects (`safety`). A window is at
least one second long, since a second is the smallest span that is measured.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from squall.spec.language import DEFAULT_MAX_DURATION
from squall.spec.problems import Problem
from squall.spec.quantities import format_duration, nanoseconds
from squall.spec.tree import Leaf, ListNode, MapNode, Origin, Path, find, map_leaves, text_at

if TYPE_CHECKING:
    from squall.spec.tree import Node

_SCENARIO = frozenset({"duration", "startTime", "maxDuration", "gracefulStop", "gracefulRampDown"})
_SEARCH = frozenset({"hold", "settle", "cooldown"})
_THRESHOLD = frozenset({"after", "over", "for"})
_SECOND = 10**9
LARGEST = 1000


def apply_time_scale(root: Node, factor: float) -> tuple[Node, list[Problem]]:
    """The tree of a LoadTest, variables resolved, with the durations of its schedule multiplied."""
    if factor == 1:
        return root, []
    name = f"--time-scale {factor:g}"
    if not 0 < factor <= LARGEST:
        return root, [
            Problem(name, 0, 0, "", "has to be more than 0", f"give a number up to {LARGEST}, such as 0.1")
        ]
    exact = Fraction(str(factor))

    def change(path: Path, leaf: Leaf) -> Leaf:
        if not _belongs_to_schedule(path) or not isinstance(leaf.value, str):
            return leaf
        try:
            length = nanoseconds(leaf.value)
        except ValueError:
            return leaf
        least = min(length, _SECOND) if path[-1] in {"over", "hold"} else 0
        return Leaf(format_duration(max(round(length * exact), least)), leaf.origin)

    return map_leaves(_with_lengths(root, Origin(name)), change), []


def _with_lengths(root: Node, origin: Origin) -> Node:
    """With the default written out of how long a search may last: its levels are scaled, so this has to be."""
    spec, scenarios = find(root, "spec"), find(root, "spec", "scenarios")
    if not (isinstance(root, MapNode) and isinstance(spec, MapNode) and isinstance(scenarios, ListNode)):
        return root
    items = tuple(
        each.with_item("maxDuration", Leaf(DEFAULT_MAX_DURATION, origin))
        if isinstance(each, MapNode)
        and text_at(each, "executor") == "capacity"
        and "maxDuration" not in each.items
        else each
        for each in scenarios.items
    )
    return root.with_item("spec", spec.with_item("scenarios", replace(scenarios, items=items)))


def _belongs_to_schedule(path: Path) -> bool:
    match path:
        case ("spec", "scenarios", int(), str(key)):
            return key in _SCENARIO
        case ("spec", "scenarios", int(), "search", str(key)):
            return key in _SEARCH
        case ("spec", "scenarios", int(), "stages", int(), "duration"):
            return True
        case ("spec", "thresholds", int(), str(key)) | (
            "spec",
            "tiers",
            int(),
            "thresholds",
            int(),
            str(key),
        ):
            return key in _THRESHOLD
        case _:
            return False
