"""Thresholds against what the run will measure.

A threshold on a metric, scenario or stage that does not exist would never have data; it must be refused before
the run, with the nearest name that does exist. So this module lists what a test can measure - built-in metrics,
those of `record`, the values of the tags that Squall sets - and holds every threshold against it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from squall.metrics.names import BUILT_IN, TAGS, Kind, Metric, Unit, custom
from squall.metrics.series import Selector
from squall.spec.language import STEP_KINDS
from squall.spec.modelcheck import problem_at
from squall.spec.problems import Problem, did_you_mean, one_of
from squall.spec.tree import Leaf, ListNode, MapNode, Node, Path, find, items_at, parse_path, text_at
from squall.verdict.build import threshold_problems
from squall.verdict.grammar import compile_expression
from squall.verdict.quantity import ThresholdError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from squall.spec.loadtest import LoadTestSpec
    from squall.verdict.grammar import Expression

_CAPACITY = "capacity"
_DEFAULT_STEP = re.compile(rf"({'|'.join(STEP_KINDS)})-\d[\w.]*")


@dataclass(frozen=True, slots=True)
class Measured:
    """What a test can measure.

    Attributes:
        metrics: By name.
        tags: Names of tags, the user's own included.
        scenarios: Scenario names, each with its stages and its named steps.
        searches: Scenarios whose stages are the levels of a search, whichever these will be.
        checks: Names of checks.
    """

    metrics: dict[str, Metric]
    tags: frozenset[str]
    scenarios: dict[str, tuple[frozenset[str], frozenset[str]]]
    checks: frozenset[str]
    searches: frozenset[str] = frozenset()


def measured(root: Node) -> tuple[Measured, list[Problem]]:
    """What the LoadTest of a resolved tree can measure, and what is wrong with the metrics it declares."""
    problems: list[Problem] = []
    metrics = dict(BUILT_IN)
    tags: set[str] = set(TAGS)
    checks: set[str] = set()
    searches: set[str] = set()
    scenarios: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
    for index, scenario in enumerate(items_at(root, "spec", "scenarios")):
        path: Path = ("spec", "scenarios", index)
        steps: set[str] = set()
        for here, node in _objects(scenario, path):
            _declare(root, here, node, metrics, problems)
            tags |= _keys(node, "tags")
            checks |= _keys(node, "checks") | _keys(node, "check")
            steps |= {name for name in (text_at(node, "name"),) if name and here != path}
        stages = {
            text_at(stage, "name") or str(place)
            for place, stage in enumerate(items_at(scenario, "stages"), 1)
        }
        name = text_at(scenario, "name")
        if name:
            scenarios[name] = (frozenset(stages), frozenset(steps))
            searches |= {name} if find(scenario, "search") else set()
    found = Measured(metrics, frozenset(tags), scenarios, frozenset(checks), frozenset(searches))
    return found, problems


def check_thresholds(root: Node, known: Measured) -> list[Problem]:
    """What is wrong with the thresholds and tiers of a resolved tree."""
    places: list[Path] = [
        ("spec", "thresholds", i) for i, _ in enumerate(items_at(root, "spec", "thresholds"))
    ]
    for tier, item in enumerate(items_at(root, "spec", "tiers")):
        places += [
            ("spec", "tiers", tier, "thresholds", i) for i, _ in enumerate(items_at(item, "thresholds"))
        ]
    for index, scenario in enumerate(items_at(root, "spec", "scenarios")):
        levels = items_at(scenario, "search", "thresholds")
        places += [("spec", "scenarios", index, "search", "thresholds", i) for i, _ in enumerate(levels)]
    return [problem for path in places for problem in _check(root, path, known)]


def compile_all(root: Node, spec: LoadTestSpec, told: set[str]) -> Iterator[Problem]:
    """What the compiler of thresholds still refuses of a valid model, so that no run ends where it should begin.

    Args:
        root: The tree, for places.
        spec: The model.
        told: Paths of which a problem is known already.
    """
    try:
        found = list(threshold_problems(spec))
    except ValueError:
        return  # a metric that cannot be declared, or a reference without a value: both have been reported
    for written, error in found:
        if written not in told:
            yield problem_at(root, parse_path(written), error.message, error.hint)


def _objects(node: Node, path: Path) -> Iterator[tuple[Path, MapNode]]:
    if isinstance(node, MapNode):
        yield path, node
        for key, item in node.items.items():
            if key != "json":
                yield from _objects(item, (*path, key))
    elif isinstance(node, ListNode):
        for index, item in enumerate(node.items):
            yield from _objects(item, (*path, index))


def _keys(node: MapNode, key: str) -> set[str]:
    below = find(node, key)
    return set(below.items) if isinstance(below, MapNode) else set()


def _declare(
    root: Node, path: Path, node: MapNode, metrics: dict[str, Metric], problems: list[Problem]
) -> None:
    for kind in Kind:
        name = text_at(node, "record", kind.value)
        if name is None:
            continue
        here = (*path, "record", kind.value)
        try:
            # What a `value` computes has no unit of its own, see `squall.metrics.declared`.
            metric = custom(name, kind, unit=Unit.ONE if text_at(node, "record", "value") else None)
        except ValueError as error:
            problems.append(problem_at(root, here, str(error), "choose another name"))
            continue
        other = metrics.setdefault(name, metric)
        if (other.kind, other.unit) != (metric.kind, metric.unit):
            before, now = (_described(each) for each in (other, metric))
            message = f'the metric "{name}" is {now} here, and {before} before'
            problems.append(problem_at(root, here, message, "give each a name of its own"))


def _unit(kind: Kind, step: MapNode) -> Unit:
    """A trend of the step's duration is in seconds; a value is whatever the user computes."""
    return Unit.SECONDS if kind is Kind.TREND and find(step, "record", "value") is None else Unit.ONE


def _described(metric: Metric) -> str:
    return f"a {metric.kind} of durations" if metric.unit is Unit.SECONDS else f"a {metric.kind} of numbers"


def _check(root: Node, path: Path, known: Measured) -> Iterator[Problem]:
    item = find(root, *path)
    selectors = {key: text_at(item, key) for key in ("metric", "relativeTo")}
    metric: Metric | None = None
    for key, text in selectors.items():
        if text is None:
            continue
        found, problems = _selector(root, (*path, key), text, known)
        yield from problems
        if found is not None and key == "metric":
            metric = found
        elif (
            found is not None
            and metric is not None
            and (found.kind, found.unit) != (metric.kind, metric.unit)
        ):
            message = f"{found.name} is a {found.kind} in {found.unit}, but {metric.name} is a {metric.kind} in {metric.unit}"
            yield problem_at(root, (*path, key), message, "compare like with like")
    expression = text_at(item, "expression")
    if expression and (metric is not None or text_at(item, "query")):
        try:
            compiled = compile_expression(expression, metric, relative=selectors["relativeTo"] is not None)
        except ThresholdError as error:
            yield problem_at(root, (*path, error.field), error.message, error.hint)
            return
        if metric is not None and metric.name == _CAPACITY:
            yield from _capacity(root, path, compiled)


def _capacity(root: Node, path: Path, expression: Expression) -> Iterator[Problem]:
    """What is wrong with a threshold on what a search finds."""
    tags = dict(Selector.parse(text_at(root, *path, "metric") or _CAPACITY).tags)
    if "search" in path:
        message = "this is what the search is to find, which no level can have found"
        yield problem_at(
            root, (*path, "metric"), message, "put it into spec.thresholds, which look at its end"
        )
    for tag in sorted(tags.keys() - {"scenario"}):
        message = f'{_CAPACITY} has no tag "{tag}": a search finds one, whatever its levels are'
        yield problem_at(root, (*path, "metric"), message, "its only tag is scenario")
    most = max(_most(root, tags.get("scenario")), default=None)
    if most is None or expression.relative or expression.comparator not in {">", ">=", "=="}:
        return
    if expression.limit > most or (expression.comparator == ">" and expression.limit == most):
        message = f"no search goes that high: search.max is {most}"
        yield problem_at(root, (*path, "expression"), message, "raise search.max, or ask for less")


def _most(root: Node, scenario: str | None) -> Iterator[int]:
    """How high the searches of a scenario go, or of all; a command line that bounds one changes no threshold."""
    for item in items_at(root, "spec", "scenarios"):
        leaf = find(item, "search", "max")
        if (
            scenario not in {None, text_at(item, "name")}
            or not isinstance(leaf, Leaf)
            or not leaf.origin.line
        ):
            continue
        if isinstance(leaf.value, int):  # what is none has been reported
            yield leaf.value


def _selector(root: Node, path: Path, text: str, known: Measured) -> tuple[Metric | None, list[Problem]]:
    try:
        selector = Selector.parse(text)
    except ValueError as error:
        return None, [problem_at(root, path, str(error), "for example http_req_duration{scenario:signup}")]
    metric = known.metrics.get(selector.metric)
    problems: list[Problem] = []
    if metric is None:
        own = [name for name, metric in known.metrics.items() if metric.custom]
        message = f'there is no metric "{selector.metric}"{did_you_mean(selector.metric, known.metrics)}'
        hint = one_of(own, "metrics of this manifest, beside the built-in ones") or one_of(
            known.metrics, "metrics"
        )
        problems.append(problem_at(root, path, message, hint))
    problems += [problem_at(root, path, *words) for words in _wrong_tags(dict(selector.tags), known)]
    return metric, problems


def _wrong_tags(tags: dict[str, str], known: Measured) -> Iterator[tuple[str, str]]:
    for tag in tags:
        if tag not in known.tags:
            yield f'there is no tag "{tag}"{did_you_mean(tag, known.tags)}', one_of(known.tags, "tags")
    scenario = tags.get("scenario")
    if scenario is not None and scenario not in known.scenarios:
        yield _no_value("scenario", scenario, known.scenarios)
    of = [known.scenarios[scenario]] if scenario in known.scenarios else list(known.scenarios.values())
    stages = frozenset[str]().union(*(stages for stages, _ in of))
    steps = frozenset[str]().union(*(steps for _, steps in of))
    stage, step, check = tags.get("stage"), tags.get("step"), tags.get("check")
    searched = bool(known.searches) if scenario is None else scenario in known.searches
    if stage is not None and stage not in stages and not (searched and stage.isdecimal()):
        yield _no_value("stage", stage, stages)
    if step is not None and step not in steps and not _DEFAULT_STEP.fullmatch(step):
        yield _no_value("step", step, steps)
    if check is not None and check not in known.checks:
        yield _no_value("check", check, known.checks)


def _no_value(noun: str, value: str, valid: object) -> tuple[str, str]:
    names = [str(name) for name in valid] if isinstance(valid, dict | frozenset) else []
    return f'there is no {noun} "{value}"{did_you_mean(value, names)}', one_of(names, f"{noun}s")
