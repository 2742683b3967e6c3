"""What is pushed passes for well-made metrics with `promtool`: names, units, types and help of every family."""

from __future__ import annotations

from typing import Any

import pytest
from support.promtool import promtool

from squall.export.exposition import Exposition, Standing
from squall.export.model import Form
from squall.export.names import Point
from squall.export.run import FAMILIES
from squall.export.wire import read
from squall.metrics.histogram import Histogram
from squall.metrics.names import BUILT_IN, Kind
from squall.metrics.series import Aggregate, Counter, Gauge, Rate, SeriesKey

pytestmark = pytest.mark.prometheus
TYPES = {1: "counter", 2: "gauge", 3: "histogram"}


def value_of(kind: Kind) -> Aggregate:
    if kind is Kind.TREND:
        made = Histogram()
        made.record(0.2)
        return made
    return {Kind.COUNTER: Counter(3.0), Kind.GAUGE: Gauge.at(2.0), Kind.RATE: Rate(1, 4)}[kind]


def exposed() -> str:
    """One series of every family that there is, as a scrape would show it. Native histograms have no form as text, so classic ones."""
    made = Exposition(BUILT_IN, Form(histograms="classic"), (("run", "r1"),), own=FAMILIES)
    measured = [
        (SeriesKey.of(name, scenario="a"), value_of(metric.kind)) for name, metric in BUILT_IN.items()
    ]
    points = [
        Point(family, tuple((label, "x") for label in sorted(family.labels)), 1.0) for family in FAMILIES
    ]
    requests = [read(body.data) for body in filter(None, made.bodies(Standing(2000, 1000, measured, points)))]
    families = {each.metric_family_name: each for request in requests for each in request.metadata}
    lines: dict[str, list[str]] = {name: [] for name in families}
    for request in requests:
        for series in request.timeseries:
            labels = {label.name: label.value for label in series.labels}
            name = labels.pop("__name__")
            told = ",".join(f'{key}="{text}"' for key, text in labels.items())
            lines[_family(name, families)].append(f"{name}{{{told}}} {series.samples[-1].value}")
    return "".join(
        f"# HELP {name} {found.help}\n# TYPE {name} {TYPES[found.type]}\n"
        + "".join(f"{line}\n" for line in lines[name])
        for name, found in families.items()
    )


def _family(name: str, families: dict[str, Any]) -> str:
    return next(each for each in (name, name.rpartition("_")[0]) if each in families)


def test_promtool_finds_nothing_wrong_with_them() -> None:
    text = exposed()
    assert text.count("# TYPE") > len(BUILT_IN) + len(FAMILIES) - 1
    promtool("check", "metrics", text=text)


def test_promtool_would_find_what_is_wrong() -> None:
    with pytest.raises(AssertionError, match="_total"):
        promtool("check", "metrics", text="# HELP squall_x X.\n# TYPE squall_x counter\nsquall_x 1\n")
