"""What a manifest adds to the catalogue, and which tag values its run can have.

Both serve the same end: a threshold on something that cannot exist is a mistake that should be named before the run, not
a threshold that quietly never fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall.metrics.names import Catalogue, Kind, Metric, Unit, catalogue, custom

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from squall.spec import structs
    from squall.spec.loadtest import LoadTestSpec
    from squall.spec.steps import Record, Step


def catalogue_of(spec: LoadTestSpec | structs.LoadTestSpec) -> Catalogue:
    """The built-in metrics and those that the manifest's steps record.

    Raises:
        ValueError: A name is malformed, built in, or declared as two different kinds.
    """
    blocks = (block or () for each in spec.scenarios for block in (each.steps, each.finally_steps))
    return catalogue(recorded_by(step.record) for block in blocks for step in _steps(block) if step.record)


def recorded_by(record: Record | structs.Record) -> Metric:
    """The metric that a `record` feeds.

    A trend of the step's duration is in seconds. A `value` is whatever the user computes: a plain number, whose
    limits may still be written with units.

    Raises:
        ValueError: The name is malformed or built in.
    """
    names = {
        Kind.TREND: record.trend,
        Kind.COUNTER: record.counter,
        Kind.RATE: record.rate,
        Kind.GAUGE: record.gauge,
    }
    kind, name = next((kind, name) for kind, name in names.items() if name)
    seconds = kind is Kind.TREND and record.value is None
    return custom(name, kind, unit=Unit.SECONDS if seconds else Unit.ONE)


def tag_values(spec: LoadTestSpec) -> dict[str, frozenset[str]]:
    """The values that the tags `scenario` and `stage` can have; a stage without a name has its place, from 1.

    Of `stage` nobody knows them all where a scenario searches for capacity: each level is one.
    """
    scenarios = frozenset(scenario.name for scenario in spec.scenarios)
    stages = {
        stage.name or str(place)
        for scenario in spec.scenarios
        for place, stage in enumerate(scenario.stages or (), start=1)
    }
    if any(scenario.search for scenario in spec.scenarios):
        return {"scenario": scenarios}
    return {"scenario": scenarios, "stage": frozenset(stages)}


def _steps(block: Sequence[Step | structs.Step]) -> Iterator[Step | structs.Step]:
    """All steps of a block, however deep."""
    for step in block:
        yield step
        for inner in _blocks(step):
            yield from _steps(inner)


def _blocks(step: Step | structs.Step) -> Iterator[Sequence[Step | structs.Step]]:
    """The blocks that a step consists of, if it has any."""
    if step.if_step:
        yield from (step.if_step.then, step.if_step.else_steps or ())
    holders = [
        step.group,
        step.repeat,
        *(step.choose or ()),
        *(step.parallel.branches if step.parallel else ()),
    ]
    yield from (holder.steps for holder in holders if holder)
