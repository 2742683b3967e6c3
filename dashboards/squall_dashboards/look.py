"""How everything looks: one meaning has one colour and one unit, and each kind of panel is set up in one place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from grafana_foundation_sdk.builders import common as parts
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import heatmap, stat, statetimeline, statushistory, table, timeseries
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from squall.export.run import RESULTS, STATES
from squall_dashboards.promql import quantile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grafana_foundation_sdk.cog.builder import Builder

    Panel: TypeAlias = Builder[dashboard.Panel]

GOOD, WARNING, BAD, BROKEN, UNKNOWN = "green", "orange", "red", "dark-red", "purple"
WANTED, HAD, BEFORE = "text", "blue", "yellow"
"""What the plan wants, what came, and what an earlier run had."""

DATASOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
PUSHED, SCRAPED = "$resolution", ""
"""The least time between two points, and to Grafana the interval between samples: Squall pushes one a second, whatever the data source
believes of its scrapes."""
AUTO = "__auto"
"""Grafana names a series after the labels in which it differs."""

SECONDS, SHARE, PER_SECOND, COUNT, BYTES, BYTES_PER_SECOND = (
    "s",
    "percentunit",
    "ops",
    "short",
    "bytes",
    "Bps",
)
DATE, NONE = "dateTimeAsIso", "none"

QUANTILES = {
    0.5: ("p50", "super-light-blue"),
    0.9: ("p90", "light-blue"),
    0.95: ("p95", HAD),
    0.99: ("p99", "dark-blue"),
}

_RESULT_COLOURS = {"Passed": GOOD, "Failed": BAD, "Invalid": UNKNOWN, "Aborted": WARNING, "Error": BROKEN}
_STATE_COLOURS = {"pending": WANTED, "pass": GOOD, "violated": WARNING, "failed": BAD, "noData": UNKNOWN}
RESULT_COLOURS = {result: _RESULT_COLOURS[result] for result in RESULTS}
STATE_COLOURS = {state: _STATE_COLOURS[state] for state in STATES}
UNDER_WAY = 0
RESULT_CODES = {result: code for code, result in enumerate(RESULTS, start=1)}
STATE_CODES = {state: code for code, state in enumerate(STATES)}

Mappings: TypeAlias = list[dashboard.ValueMapping]
Transformation: TypeAlias = dashboard.DataTransformerConfig


@dataclass(frozen=True, slots=True)
class Query:
    """A query of a panel.

    Attributes:
        expression: PromQL.
        legend: What its series are called.
        colour: Of its series, where they have one meaning.
        dashed: Whether it is a line to compare with.
    """

    expression: str
    legend: str = AUTO
    colour: str = ""
    dashed: bool = False


# -- queries --------------------------------------------------------------------------------------------------


def _targets(
    queries: Sequence[Query], interval: str = PUSHED, form: PromQueryFormat = PromQueryFormat.TIME_SERIES
) -> list[Builder[Any]]:
    """Queries over time."""
    return [target.range().interval(interval) for target in _dataqueries(queries, form)]


def _at_end(
    queries: Sequence[Query], form: PromQueryFormat = PromQueryFormat.TIME_SERIES
) -> list[Builder[Any]]:
    """Queries of how it stands at the end of the shown time."""
    return [target.instant() for target in _dataqueries(queries, form)]


def _dataqueries(queries: Sequence[Query], form: PromQueryFormat) -> list[Dataquery]:
    return [
        Dataquery()
        .expr(query.expression)
        .legend_format(query.legend)
        .format(form)
        .datasource(DATASOURCE)
        .ref_id(_letter(index))
        for index, query in enumerate(queries)
    ]


def _letter(index: int) -> str:
    return chr(ord("A") + index)


def property_of(name: str, value: object) -> dashboard.DynamicConfigValue:
    """One setting of a field."""
    return dashboard.DynamicConfigValue(name, value)


COLOURED_TEXT = property_of("custom.cellOptions", {"type": "color-text"})
COLOURED_CELL = property_of("custom.cellOptions", {"type": "color-background"})


def fixed(colour: str) -> dashboard.DynamicConfigValue:
    """A colour that does not depend on the value."""
    return property_of("color", {"mode": "fixed", "fixedColor": colour})


def steps(*limits: tuple[float, str], base: str = GOOD) -> build.ThresholdsConfig:
    """Colours by value: the base, and others from some value on."""
    made = [dashboard.Threshold(value=None, color=base)]
    made += [dashboard.Threshold(value=value, color=colour) for value, colour in limits]
    return build.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(made)


def _names(codes: Mapping[str, int], colours: Mapping[str, str], **more: tuple[int, str]) -> Mappings:
    shown = {str(code): (name, colours[name]) for name, code in codes.items()}
    shown |= {str(code): (name, colour) for name, (code, colour) in more.items()}
    options = {
        code: dashboard.ValueMappingResult(text=text, color=colour, index=index)
        for index, (code, (text, colour)) in enumerate(shown.items())
    }
    return [dashboard.ValueMap(options=options)]


RESULT_NAMES = _names(RESULT_CODES, RESULT_COLOURS, running=(UNDER_WAY, HAD))
STATE_NAMES = _names(STATE_CODES, STATE_COLOURS)
CIRCUIT_NAMES = _names(
    {"closed": 0, "half open": 1, "open": 2}, {"closed": GOOD, "half open": WARNING, "open": BAD}
)
UP_NAMES = _names({"left out": 0, "in use": 1}, {"left out": BAD, "in use": GOOD})
HELD_NAMES = _names({"missed": 0, "held": 1}, {"missed": BAD, "held": GOOD})


def named(colours: Mapping[str, str]) -> Mappings:
    """Colours of texts."""
    options = {text: dashboard.ValueMappingResult(color=colour) for text, colour in colours.items()}
    return [dashboard.ValueMap(options=options)]


# -- panels ---------------------------------------------------------------------------------------------------


def lines(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    width: int = 8,
    stacked: bool = False,
    most: float | None = None,
    interval: str = PUSHED,
) -> timeseries.Panel:
    """Lines over time."""
    panel = timeseries.Panel().title(title).description(description).unit(unit).min(0)
    panel.span(width).height(8).datasource(DATASOURCE)
    panel.line_width(1).fill_opacity(30 if stacked else 6).show_points(common.VisibilityMode.AUTO)
    panel.span_nulls(False).axis_soft_min(0)
    if most is not None:
        panel.max(most)
    if stacked:
        panel.stacking(parts.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    panel.legend(
        parts.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.TABLE)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["mean", "max", "lastNotNull"])
    )
    panel.tooltip(
        parts.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
    )
    for index, query in enumerate(queries):
        properties = [fixed(query.colour)] if query.colour else []
        if query.dashed:
            properties.append(property_of("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}))
            properties.append(property_of("custom.fillOpacity", 0))
        if properties:
            panel.override_by_query(_letter(index), properties)
    return panel.targets(_targets(queries, interval))


scraped_lines = partial(lines, interval=SCRAPED)
"""Lines of what Prometheus has scraped."""


def quantiles(
    title: str, description: str, trend: str, *matchers: str, interval: str = PUSHED
) -> timeseries.Panel:
    """The usual percentiles of a trend of durations."""
    queries = [Query(quantile(q, trend, *matchers), name, colour) for q, (name, colour) in QUANTILES.items()]
    return lines(title, description, SECONDS, *queries, interval=interval)


def bars(title: str, description: str, unit: str, *queries: Query, width: int = 8) -> timeseries.Panel:
    """Stacked bars: each counts what fell into its own time."""
    panel = lines(title, description, unit, *queries, width=width, stacked=True)
    return panel.draw_style(common.GraphDrawStyle.BARS).fill_opacity(80).line_width(0)


def heat(title: str, description: str, unit: str, query: Query, *, width: int = 12) -> heatmap.Panel:
    """How values are distributed over time. A native histogram has 64 buckets per power of two, so columns are few."""
    colour = (
        heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues").exponent(0.5).steps(64)
    )
    panel = heatmap.Panel().title(title).description(description).span(width).height(9).datasource(DATASOURCE)
    panel.calculate(False).color(colour).max_data_points(120).filter_values(
        heatmap.FilterValueRange().le(1e-9)
    )
    panel.unit(unit).y_axis(heatmap.YAxisConfig().unit(unit)).show_y_histogram()
    return panel.targets(_targets([query], form=PromQueryFormat.HEATMAP))


def figure(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    width: int = 3,
    colours: build.ThresholdsConfig | None = None,
) -> stat.Panel:
    """Figures as they stand at the end of the shown time."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .span(width)
        .height(4)
        .datasource(DATASOURCE)
    )
    panel.graph_mode(common.BigValueGraphMode.NONE).thresholds(colours or steps(base=WANTED))
    panel.color_mode(common.BigValueColorMode.VALUE)
    panel.reduce_options(parts.ReduceDataOptions().calcs(["lastNotNull"]))
    for index, query in enumerate(queries):
        if query.colour:
            panel.override_by_query(_letter(index), [fixed(query.colour)])
    return panel.targets(_at_end(queries))


def words(title: str, description: str, query: Query, mappings: Mappings, *, width: int) -> stat.Panel:
    """What the legend says, in the colour of the value."""
    panel = figure(title, description, NONE, query, width=width)
    return (
        panel.mappings(mappings)
        .text_mode(common.BigValueTextMode.NAME)
        .color_mode(common.BigValueColorMode.BACKGROUND)
    )


def states(
    title: str, description: str, query: Query, mappings: Mappings, *, width: int = 12
) -> statetimeline.Panel:
    """States over time, from their codes."""
    panel = statetimeline.Panel().title(title).description(description).unit(NONE).span(width).height(8)
    panel.datasource(DATASOURCE).mappings(mappings).show_value(common.VisibilityMode.AUTO).row_height(0.8)
    panel.thresholds(steps(base=WANTED))
    return panel.targets(_targets([query]))


def history(
    title: str, description: str, query: Query, mappings: Mappings, *, width: int = 12
) -> statushistory.Panel:
    """What came of it each time, from its codes."""
    panel = statushistory.Panel().title(title).description(description).unit(NONE).span(width).height(8)
    panel.datasource(DATASOURCE).mappings(mappings).show_value(common.VisibilityMode.NEVER)
    panel.thresholds(steps(base=WANTED)).max_data_points(100)
    return panel.targets(_targets([query]))


def rows(
    title: str,
    description: str,
    key: str,
    columns: Mapping[str, tuple[Query, str]],
    *,
    hidden: Sequence[str] = (),
    sort: str = "",
    falling: bool = False,
    width: int = 24,
    height: int = 8,
) -> table.Panel:
    """A table of several queries that have one label in common.

    Args:
        title: Of the panel.
        description: Of the panel.
        key: The label by which rows are put together.
        columns: Names of columns, each with its query and unit. Labels of the queries are columns as well.
        hidden: Labels and columns that only links need, or nobody.
        sort: The column by which rows are sorted, if nobody chooses another.
        falling: Whether the greatest is on top.
        width: In parts of 24.
        height: In units of the grid.
    """
    panel = table.Panel().title(title).description(description).unit(NONE).span(width).height(height)
    panel.datasource(DATASOURCE).filterable(True)
    panel.targets(_at_end([query for query, _ in columns.values()], PromQueryFormat.TABLE))
    values = {
        f"Value #{_letter(index)}" if len(columns) > 1 else "Value": name
        for index, name in enumerate(columns)
    }
    panel.with_transformation(Transformation(id_val="joinByField", options={"byField": key, "mode": "outer"}))
    away = dict.fromkeys(_times(len(columns)), True)
    panel.with_transformation(
        Transformation(
            id_val="organize", options={"excludeByName": away, "renameByName": values, "indexByName": {}}
        )
    )
    for name, (query, unit) in columns.items():
        properties = [property_of("unit", unit)]
        if query.colour:
            properties.append(fixed(query.colour))
        panel.override_by_name(name, properties)
    if sort:
        panel.sort_by([parts.TableSortByFieldState().display_name(sort).desc(falling)])
    for name in hidden:
        panel.override_by_name(name, [property_of("custom.hidden", True)])
    return panel


def _times(count: int) -> list[str]:
    """What the fields with the moment of each query are called after joining."""
    return ["Time", *(f"Time {index}" for index in range(1, count + 1))]
