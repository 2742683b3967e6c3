"""`--vus`, `--duration`, `--stage` and `--scenario`: the same test in another size.

As in k6, a new size replaces the shape; but each scenario keeps its kind of load (closed or open) and everything
else it has. For each scenario that is kept:

| given                 | VU executors                            | iteration executors  | arrival-rate executors        |
| --------------------- | --------------------------------------- | -------------------- | ----------------------------- |
| `--stage` (repeated)  | ramping-vus with these stages           | likewise             | ramping-arrival-rate with them |
| `--vus --duration`    | constant-vus                            | vus, maxDuration     | maxVUs; duration as below      |
| `--vus` alone         | constant-vus: vus; ramping-vus: the same ramp with this peak | vus | maxVUs                |
| `--duration` alone    | constant-vus: duration; a ramp is stretched or compressed | maxDuration | duration; a ramp likewise |

A `capacity` scenario becomes a ramp with `--stage`, of what it searches for; `--vus` bounds its search for VUs (`search.max`)
or gives one for a rate its `maxVUs`, and `--duration` is its `maxDuration`.

`--stage 2m:1000` is duration and target: VUs, or iterations per `timeUnit`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from squall.spec.problems import Problem, did_you_mean, one_of
from squall.spec.quantities import format_duration, nanoseconds
from squall.spec.scalars import parse_plain
from squall.spec.tree import Leaf, ListNode, MapNode, Node, Origin, find, items_at, text_at
from squall.spec.wording import DURATION_HINT

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.spec.options import Options

_OPEN = ("constant-arrival-rate", "ramping-arrival-rate")
_SEARCH = "capacity"
_ITERATIONS = ("per-vu-iterations", "shared-iterations")
_CLOSED_SHAPE = ("vus", "duration", "stages", "startVUs", "iterations", "maxDuration", "search")
_OPEN_SHAPE = ("rate", "duration", "stages", "startRate", "maxDuration", "search")


@dataclass(frozen=True, slots=True)
class _Size:
    """The wanted size, checked."""

    vus: Leaf | None
    duration: Leaf | None
    stages: ListNode | None


def apply_overrides(root: Node, options: Options) -> tuple[Node, list[Problem]]:
    """The tree of a LoadTest with the size changed and only the wanted scenarios left."""
    problems: list[Problem] = []
    size = _size(options, problems)
    kept = _kept_scenarios(root, options.scenarios, problems)
    if size.vus or size.duration or size.stages:
        kept = tuple(_resized(item, size) if isinstance(item, MapNode) else item for item in kept)
    spec, scenarios = find(root, "spec"), find(root, "spec", "scenarios")
    if isinstance(root, MapNode) and isinstance(spec, MapNode) and isinstance(scenarios, ListNode):
        root = root.with_item("spec", spec.with_item("scenarios", replace(scenarios, items=kept)))
    return root, problems


def _size(options: Options, problems: list[Problem]) -> _Size:
    vus = duration = stages = None
    if options.vus is not None:
        vus = Leaf(options.vus, Origin(f"--vus {options.vus}"))
        if options.vus < 1:
            problems.append(
                Problem(vus.origin.file, 0, 0, "", "at least one VU is needed", "give a number from 1")
            )
            vus = None
    if options.duration is not None:
        name = f"--duration {options.duration}"
        if _is_duration(options.duration, name, problems):
            duration = Leaf(options.duration, Origin(name))
    if options.stages:
        if options.vus is not None or options.duration is not None:
            message = "the stages already say how many and how long"
            problems.append(
                Problem("--stage", 0, 0, "", message, "leave out --vus and --duration, or --stage")
            )
        items = [item for text in options.stages if (item := _stage(text, problems))]
        stages = ListNode(tuple(items), Origin("--stage")) if items else None
    return _Size(vus, duration, stages)


def _is_duration(text: str, name: str, problems: list[Problem]) -> bool:
    try:
        nanoseconds(text)
    except ValueError:
        problems.append(Problem(name, 0, 0, "", f'"{text}" is not a duration', DURATION_HINT))
        return False
    return True


def _stage(text: str, problems: list[Problem]) -> MapNode | None:
    name = f"--stage {text}"
    duration, colon, target = text.partition(":")
    if not colon or not (target.isdecimal() and target.isascii()):
        problems.append(
            Problem(name, 0, 0, "", "needs a duration and a target", "write it like --stage 2m:1000")
        )
        return None
    if not _is_duration(duration, name, problems):
        return None
    origin = Origin(name)
    items: dict[str, Node] = {"duration": Leaf(duration, origin), "target": Leaf(int(target), origin)}
    return MapNode(items, origin, dict.fromkeys(items, origin))


def _kept_scenarios(root: Node, wanted: tuple[str, ...], problems: list[Problem]) -> tuple[Node, ...]:
    items = items_at(root, "spec", "scenarios")
    known = [name for item in items if (name := text_at(item, "name"))]
    for name in wanted:
        if name not in known:
            message = f'there is no scenario "{name}"{did_you_mean(name, known)}'
            problems.append(Problem(f"--scenario {name}", 0, 0, "", message, one_of(known, "scenarios")))
    found = set(wanted) & set(known)
    return tuple(item for item in items if text_at(item, "name") in found) if found else items


def _resized(scenario: MapNode, size: _Size) -> MapNode:
    executor = text_at(scenario, "executor") or ""
    if size.stages:
        return _with_stages(scenario, executor, size.stages)
    if executor in _OPEN:
        return _resize_open(scenario, executor, size)
    if executor == _SEARCH:
        return _resize_search(scenario, size)
    if executor in _ITERATIONS:
        return _with(scenario, vus=size.vus, maxDuration=size.duration)
    if executor == "ramping-vus" and not (size.vus and size.duration):
        return _resize_ramp(scenario, size)
    resized = scenario
    if executor == "ramping-vus" and size.vus:
        resized = _with(
            scenario.without(*_CLOSED_SHAPE, "gracefulRampDown"),
            executor=Leaf("constant-vus", size.vus.origin),
        )
    return _with(resized, vus=size.vus, duration=size.duration)


def _with(scenario: MapNode, **values: Node | None) -> MapNode:
    for key, value in values.items():
        if value is not None:
            scenario = scenario.with_item(key, value, value.origin)
    return scenario


def _with_stages(scenario: MapNode, executor: str, stages: ListNode) -> MapNode:
    origin = stages.items[0].origin
    if executor in _OPEN or _searches_rate(scenario):
        kept = scenario.without(*_OPEN_SHAPE)
        return _with(kept, executor=Leaf("ramping-arrival-rate", origin), stages=stages)
    kept = scenario.without(*_CLOSED_SHAPE)
    return _with(kept, executor=Leaf("ramping-vus", origin), stages=stages)


def _searches_rate(scenario: MapNode) -> bool:
    return text_at(scenario, "search", "by") == "rate"


def _resize_search(scenario: MapNode, size: _Size) -> MapNode:
    """The same search, up to another limit or for another time."""
    scenario = _with(scenario, maxDuration=size.duration)
    search = find(scenario, "search")
    if size.vus is None or not isinstance(search, MapNode):
        return scenario
    if _searches_rate(scenario):
        return _with_max_vus(scenario, size.vus)
    search = _with(search, max=size.vus)
    if _is_more(find(search, "start"), size.vus):
        search = _with(search, start=size.vus)
    return scenario.with_item("search", search)


def _is_more(given: Node | None, vus: Leaf) -> bool:
    return isinstance(given, Leaf) and isinstance(given.value, int) and given.value > int(str(vus.value))


def _with_max_vus(scenario: MapNode, vus: Leaf) -> MapNode:
    allocated = find(scenario, "preAllocatedVUs")
    scenario = _with(scenario, maxVUs=vus)
    return _with(scenario, preAllocatedVUs=vus) if _is_more(allocated, vus) else scenario


def _resize_open(scenario: MapNode, executor: str, size: _Size) -> MapNode:
    if size.vus:
        scenario = _with_max_vus(scenario, size.vus)
    if size.duration is None:
        return scenario
    if executor == "constant-arrival-rate":
        return _with(scenario, duration=size.duration)
    return _stretched(scenario, size.duration)


def _resize_ramp(scenario: MapNode, size: _Size) -> MapNode:
    if size.vus:
        scenario = _with_peak(scenario, size.vus)
    return _stretched(scenario, size.duration) if size.duration else scenario


def _stretched(scenario: MapNode, duration: Leaf) -> MapNode:
    """The same ramp over another time."""
    lengths = [_length(stage) for stage in items_at(scenario, "stages")]
    total = sum(length for length in lengths if length is not None)
    if not total or None in lengths:
        return scenario
    factor = Fraction(nanoseconds(str(duration.value)), total)

    def change(stage: MapNode) -> MapNode:
        length = round((_length(stage) or 0) * factor)
        return stage.with_item("duration", Leaf(format_duration(length), duration.origin))

    return _each_stage(scenario, change)


def _with_peak(scenario: MapNode, vus: Leaf) -> MapNode:
    """The same ramp with another highest target."""
    start = _target(find(scenario, "startVUs"))
    peak = max([start, *(_target(find(stage, "target")) for stage in items_at(scenario, "stages"))])
    if not peak:
        return scenario
    factor = Fraction(int(str(vus.value)), peak)

    def scaled(value: int) -> Leaf:
        # Somebody who was to be there stays: only nothing becomes nothing.
        return Leaf(max(round(value * factor), 1) if value else 0, vus.origin)

    def change(stage: MapNode) -> MapNode:
        return stage.with_item("target", scaled(_target(find(stage, "target"))))

    scenario = _each_stage(scenario, change)
    return _with(scenario, startVUs=scaled(start)) if start else scenario


def _each_stage(scenario: MapNode, change: Callable[[MapNode], MapNode]) -> MapNode:
    stages = find(scenario, "stages")
    if not isinstance(stages, ListNode):
        return scenario
    items = tuple(change(stage) if isinstance(stage, MapNode) else stage for stage in stages.items)
    return scenario.with_item("stages", replace(stages, items=items))


def _target(node: Node | None) -> int:
    value = node.value if isinstance(node, Leaf) else 0
    if isinstance(value, str) and isinstance(node, Leaf) and node.external:
        value = parse_plain(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _length(stage: Node) -> int | None:
    text = text_at(stage, "duration")
    try:
        return nanoseconds(text) if text else None
    except ValueError:
        return None
