"""Thresholds that a changed test can no longer meet or miss, since what they watch is not in it.

`--scenario signup` must not fail because a threshold watches another scenario, nor `--stage` because one
watches a stage that was replaced. Such thresholds are left out, and named in a warning. A threshold on something
that the manifest never had is left in: that is a mistake, and is reported as one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from squall.spec.tree import ListNode, MapNode, Node, find, items_at, text_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_METRIC = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\{(.*)\})?\s*", re.DOTALL)
_PAIR = re.compile(r"\s*(scenario|stage|step)\s*[:=]\s*\"?([^\",}]*?)\"?\s*(?:,|$)")
_KINDS = ("trend", "counter", "rate", "gauge")


@dataclass(frozen=True, slots=True)
class _Names:
    tags: dict[str, frozenset[str]]
    metrics: frozenset[str]
    searches: bool
    """Whether a scenario searches for capacity, so that every number may be a stage."""


def prune_thresholds(before: Node, after: Node) -> tuple[Node, list[str]]:
    """The changed tree of a LoadTest without such thresholds, and a warning for each."""
    then, now = _names(before), _names(after)
    warnings: list[str] = []

    def keep(item: Node) -> bool:
        gone = _gone(text_at(item, "metric") or "", then, now)
        if gone:
            name = text_at(item, "name") or f"{text_at(item, 'metric')} {text_at(item, 'expression')}"
            warnings.append(f"threshold {name} is left out: {gone} is not in this run")
        return not gone

    spec = find(after, "spec")
    if not isinstance(after, MapNode) or not isinstance(spec, MapNode):
        return after, []
    spec = _filtered(spec, keep)
    tiers = find(spec, "tiers")
    if isinstance(tiers, ListNode):
        left = [(tier, _filtered(tier, keep) if isinstance(tier, MapNode) else tier) for tier in tiers.items]
        # A tier that asks for nothing any more would hold whatever happens, and be a grade that means nothing.
        items = tuple(kept for tier, kept in left if kept == tier or items_at(kept, "thresholds"))
        spec = spec.with_item("tiers", replace(tiers, items=items))
    return (after.with_item("spec", spec) if warnings else after), warnings


def _filtered(holder: MapNode, keep: Callable[[Node], bool]) -> MapNode:
    thresholds = find(holder, "thresholds")
    if not isinstance(thresholds, ListNode):
        return holder
    return holder.with_item(
        "thresholds", replace(thresholds, items=tuple(item for item in thresholds.items if keep(item)))
    )


def _gone(metric: str, then: _Names, now: _Names) -> str:
    match = _METRIC.fullmatch(metric)
    if not match:
        return ""
    if match[1] in then.metrics - now.metrics:
        return f"metric {match[1]}"
    for tag, value in _PAIR.findall(match[2] or ""):
        if (
            tag == "stage"
            and value.isdecimal()
            and then.searches
            and not now.searches | (value in now.tags[tag])
        ):
            return f"level {value}"
        if value in then.tags[tag] - now.tags[tag]:
            return f"{tag} {value}"
    return ""


def _names(root: Node) -> _Names:
    scenarios = items_at(root, "spec", "scenarios")
    stages = {
        text_at(stage, "name") or str(place)
        for scenario in scenarios
        for place, stage in enumerate(items_at(scenario, "stages"), 1)
    }
    objects = [node for scenario in scenarios for node in _objects(scenario)]
    steps = {name for node in objects if (name := text_at(node, "name"))}
    metrics = {name for node in objects for kind in _KINDS if (name := text_at(node, "record", kind))}
    searches = any(find(scenario, "search") for scenario in scenarios)
    metrics |= {"capacity"} if searches else set()
    names = {name for item in scenarios if (name := text_at(item, "name"))}
    tags = {"scenario": frozenset(names), "stage": frozenset(stages), "step": frozenset(steps)}
    return _Names(tags, frozenset(metrics), searches)


def _objects(node: Node) -> Iterator[MapNode]:
    if isinstance(node, MapNode):
        yield node
        for item in node.items.values():
            yield from _objects(item)
    elif isinstance(node, ListNode):
        for item in node.items:
            yield from _objects(item)
