"""Makes thresholds, tiers and limits of a manifest's, checked against the metrics that its run will have."""

from __future__ import annotations

import difflib
import math
from typing import TYPE_CHECKING, Final

from squall.metrics.declared import catalogue_of, tag_values
from squall.metrics.names import Catalogue, Kind, Metric, Unit
from squall.metrics.series import Selector
from squall.spec import loadtest
from squall.spec.quantities import fraction, seconds, whole
from squall.verdict.grammar import compile_expression
from squall.verdict.quantity import ThresholdError
from squall.verdict.safety import Limit, SafetyLimits
from squall.verdict.saturation import SaturationLimits
from squall.verdict.thresholds import Threshold
from squall.verdict.tiers import Tier

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from squall.spec.scenarios import Scenario

_NO_TAGS: Final[Mapping[str, Collection[str]]] = {}


def slots(duration: str | None) -> int:
    """Whole slots that a duration reaches into; 0 without one.

    Raises:
        ValueError: It is no duration.
    """
    return math.ceil(seconds(duration) - 1e-9) if duration else 0


def selector_of(
    text: str,
    catalogue: Catalogue,
    tags: Mapping[str, Collection[str]] = _NO_TAGS,
    *,
    field: str = "metric",
) -> Selector:
    """Read a selector and check that it can select something.

    Args:
        text: `metric` or `metric{tag:value}`.
        catalogue: The metrics that exist.
        tags: For some tags, the values that they can have.
        field: The manifest's key, for the error.

    Raises:
        ThresholdError: It is malformed, or no series of the run can match.
    """
    try:
        selector = Selector.parse(text)
    except ValueError as error:
        raise ThresholdError(str(error), field=field) from error
    if selector.metric not in catalogue:
        hint = _suggest(selector.metric, catalogue)
        raise ThresholdError(f"there is no metric {selector.metric!r}", hint, field=field)
    for name, value in selector.tags:
        if name in tags and value not in tags[name]:
            place = max(text.find(value), 0)
            raise ThresholdError(f"there is no {name} {value!r}", _suggest(value, tags[name]), place, field)
    return selector


def _suggest(wrong: str, names: Collection[str]) -> str:
    close = difflib.get_close_matches(wrong, names, 1)
    if close:
        return f"did you mean {close[0]}?"
    return f"there are {', '.join(sorted(names)[:12])}" if 0 < len(names) <= 12 else ""


def threshold_of(
    model: loadtest.Threshold, catalogue: Catalogue, tags: Mapping[str, Collection[str]] = _NO_TAGS
) -> Threshold:
    """Compile a threshold of a manifest whose variables have been resolved.

    Raises:
        ThresholdError: It is wrong; `field` says which of its keys.
        ValueError: A duration or a number is none (an unresolved `${var.x}`).
    """
    selector = selector_of(model.metric, catalogue, tags) if model.metric else None
    reference = None
    if model.relative_to and selector is not None:  # the model refuses a query that is relative to something
        reference = selector_of(model.relative_to, catalogue, tags, field="relativeTo")
        _comparable(selector, reference, catalogue)
    metric = catalogue[selector.metric] if selector else None
    expression = compile_expression(model.expression, metric, relative=reference is not None)
    return Threshold(
        name=model.name or f"{model.metric or model.query} {expression.text}",
        expression=expression,
        selector=selector,
        kind=metric.kind if metric else None,
        query=model.query or "",
        relative_to=reference,
        after=slots(model.after),
        over=slots(model.over) or None,
        hold=max(1, slots(model.for_time)),
        min_samples=whole(model.min_samples or 0),
        abort_on_fail=model.abort_on_fail,
        severity=model.severity,
        no_data=model.no_data,
        unit=_unit(metric, expression.aggregation),
    )


def _comparable(selector: Selector, reference: Selector, catalogue: Catalogue) -> None:
    mine, other = catalogue[selector.metric], catalogue[reference.metric]
    if (mine.kind, mine.unit) != (other.kind, other.unit):
        message = (
            f"{mine.name} ({mine.kind} in {mine.unit}) and {other.name} ({other.kind} in {other.unit}) differ"
        )
        raise ThresholdError(message, "compare like with like", field="relativeTo")


def _unit(metric: Metric | None, aggregation: str) -> str:
    if metric is None:
        return ""
    if metric.kind is Kind.RATE or aggregation == "below":
        return "share"
    if metric.kind is Kind.TREND and aggregation == "count":
        return Unit.ONE
    return metric.unit


def thresholds_of(spec: loadtest.LoadTestSpec) -> list[Threshold]:
    """The thresholds of the run, tiers excepted. Raises like `threshold_of`."""
    catalogue, tags = catalogue_of(spec), tag_values(spec)
    return [threshold_of(each, catalogue, tags) for each in spec.thresholds]


def level_thresholds_of(
    scenario: Scenario, catalogue: Catalogue, tags: Mapping[str, Collection[str]] = _NO_TAGS
) -> tuple[Threshold, ...]:
    """What each level of a scenario's search has to meet. Raises like `threshold_of`."""
    found = scenario.search.thresholds if scenario.search else []
    return tuple(
        threshold_of(loadtest.Threshold(metric=each.metric, expression=each.expression), catalogue, tags)
        for each in found
    )


def tiers_of(spec: loadtest.LoadTestSpec) -> list[Tier]:
    """The tiers, in the manifest's order. Raises like `threshold_of`."""
    catalogue, tags = catalogue_of(spec), tag_values(spec)
    return [
        Tier(
            tier.name,
            tuple(threshold_of(each, catalogue, tags) for each in tier.thresholds),
            tier.group or "",
        )
        for tier in spec.tiers
    ]


def threshold_problems(spec: loadtest.LoadTestSpec) -> Iterator[tuple[str, ThresholdError]]:
    """Everything that is wrong with the thresholds and tiers, each with its path (`spec.thresholds[0].metric`).

    Raises:
        ValueError: A custom metric is declared wrongly, or variables have not been resolved.
    """
    catalogue, tags = catalogue_of(spec), tag_values(spec)
    placed = [(f"spec.thresholds[{i}]", each) for i, each in enumerate(spec.thresholds)]
    placed += [
        (f"spec.tiers[{t}].thresholds[{i}]", each)
        for t, tier in enumerate(spec.tiers)
        for i, each in enumerate(tier.thresholds)
    ]
    placed += [
        (f"spec.scenarios[{s}].search.thresholds[{i}]", loadtest.Threshold(**each.model_dump()))
        for s, scenario in enumerate(spec.scenarios)
        for i, each in enumerate(scenario.search.thresholds if scenario.search else ())
    ]
    for path, each in placed:
        try:
            threshold_of(each, catalogue, tags)
        except ThresholdError as error:
            yield f"{path}.{error.field}", error


def safety_of(spec: loadtest.LoadTestSpec) -> SafetyLimits:
    """The limits of the run's safety stops.

    Raises:
        ValueError: A number is none.
    """
    safety = spec.safety
    errors, times, rates = safety.error_rate, safety.response_time, safety.throughput
    return SafetyLimits(
        window=max(1, slots(safety.window)),
        after=slots(safety.after),
        min_samples=whole(safety.min_samples),
        error_rate=Limit(_share(errors.warn), _share(errors.stop)) if errors else None,
        response_time=Limit(_time(times.warn), _time(times.stop)) if times else None,
        throughput=Limit(_number(rates.warn), _number(rates.stop)) if rates else None,
        consecutive_failures=None
        if safety.consecutive_failures is None
        else whole(safety.consecutive_failures),
        max_duration=seconds(safety.max_duration),
    )


def saturation_of(spec: loadtest.LoadTestSpec) -> SaturationLimits:
    """When the run's generator counts as saturated.

    Raises:
        ValueError: A number is none.
    """
    model = spec.safety.saturation
    return SaturationLimits(
        loop_lag=seconds(model.loop_lag),
        lateness=seconds(model.lateness),
        delivered=fraction(model.delivered),
        tolerated=fraction(model.tolerated),
        scenarios=tuple(
            scenario.name
            for scenario in spec.scenarios
            if _by_the_clock(scenario) and scenario.when_saturated != "queue"
        ),
    )


def _by_the_clock(scenario: Scenario) -> bool:
    """Whether its iterations begin by the clock, not when those before have ended."""
    return scenario.executor.endswith("-arrival-rate") or (
        scenario.search is not None and scenario.search.by == "rate"
    )


def _share(value: int | str | None) -> float | None:
    return None if value is None else fraction(value)


def _time(value: str | None) -> float | None:
    return None if value is None else seconds(value)


def _number(value: int | str | None) -> float | None:
    return None if value is None else float(whole(value))
