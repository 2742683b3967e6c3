"""What surrounds the panels: variables, annotations, links, and the dashboard itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard

from squall_dashboards.look import BAD, DATASOURCE, HAD, WANTED, WARNING
from squall_dashboards.promql import RUN, last, where

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grafana_foundation_sdk.cog.builder import Builder

    from squall_dashboards.look import Panel

TAG = "squall"
ALL = ".*"
"""Matches also where the label is not there, as with the namespace of a run on one machine."""


# -- variables ------------------------------------------------------------------------------------------------


def datasource() -> build.DatasourceVariable:
    """Which Prometheus is asked."""
    text = "The Prometheus, Mimir or Thanos that runs push to and that scrapes operator and hub"
    return build.DatasourceVariable("datasource").label("Data source").description(text).type("prometheus")


def resolution() -> build.CustomVariable:
    """How fine lines are; rates are over four times that at least."""
    description = "The least time between two points; rates and percentiles are over four times that, or more"
    return choice("resolution", "Resolution", description, ("1s", "2s", "5s", "15s", "1m"), "2s")


def values_of(
    name: str, label: str, description: str, series: str, *matchers: str, of: str = ""
) -> build.QueryVariable:
    """All values of a label, of which none needs to be chosen."""
    variable = build.QueryVariable(name).label(label).description(description).datasource(DATASOURCE)
    variable.query(_query(f"label_values({series}{where(*matchers)}, {of or name})"))
    variable.refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
    return variable.sort(dashboard.VariableSort.NATURAL_ASC).include_all(True).all_value(ALL)


def newest(name: str, label: str, description: str, began: str, *, of: str) -> build.QueryVariable:
    """Values of a label of runs; the first, which is taken, is that of the run that began last, of those whose beginnings are given."""
    variable = build.QueryVariable(name).label(label).description(description).datasource(DATASOURCE)
    variable.query(_query(f"query_result(sort_desc(max by ({of}) ({began})))")).regex(f'/{of}="([^"]+)"/')
    variable.refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
    return variable.sort(dashboard.VariableSort.DISABLED)


def number(name: str, expression: str) -> build.QueryVariable:
    """A number that queries need and nobody has to see, whole as PromQL's durations are."""
    variable = build.QueryVariable(name).hide(dashboard.VariableHide.HIDE_VARIABLE).datasource(DATASOURCE)
    variable.query(_query(f"query_result({expression})")).regex(r"/\} (-?[0-9]+)/")
    return variable.refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)


def choice(
    name: str, label: str, description: str, values: Sequence[str], first: str
) -> build.CustomVariable:
    """One of some values."""
    options = [dashboard.VariableOption(text=each, value=each, selected=each == first) for each in values]
    variable = build.CustomVariable(name).label(label).description(description).values(",".join(values))
    return variable.options(options).current(options[list(values).index(first)])


def text(name: str, label: str, description: str, value: str) -> build.TextBoxVariable:
    """Something that whoever looks may write."""
    option = dashboard.VariableOption(text=value, value=value)
    return (
        build.TextBoxVariable(name).label(label).description(description).default_value(value).current(option)
    )


def which_run() -> list[Builder[dashboard.VariableModel]]:
    """The variables by which a run is chosen."""
    place = 'namespace=~"$namespace"'
    began = [
        last("squall_run_start_time_seconds", *each) for each in ((place,), (place, 'loadtest="$loadtest"'))
    ]
    return [
        values_of(
            "namespace", "Namespace", "Of the LoadTest; runs on one machine have none", "squall_run_info"
        ),
        newest("loadtest", "LoadTest", "The one that ran last comes first", began[0], of="loadtest"),
        newest("run", "Run", "The last one comes first", began[1], of="run"),
    ]


def _query(text: str) -> dict[str, object]:
    return {"query": text, "refId": "variable"}


# -- annotations ----------------------------------------------------------------------------------------------


class _Annotation(dashboard.AnnotationQuery):
    """One of Prometheus, whose settings stand beside those of all annotations.

    Args:
        name: Shown above the panels.
        expression: PromQL.
        colour: Of the lines.
        title: With labels as `{{label}}`.
        at_value: Whether the values are the moments, in milliseconds; otherwise it is where there are values.
    """

    def __init__(self, name: str, expression: str, colour: str, title: str, *, at_value: bool) -> None:
        super().__init__(name=name, datasource=DATASOURCE, icon_color=colour, expr=expression)
        self._title = title
        self._at_value = at_value

    def to_json(self) -> dict[str, object]:
        """With Prometheus' own settings."""
        own = {"titleFormat": self._title, "useValueForTime": self._at_value, "step": "1s"}
        return super().to_json() | own


class _Annotate(build.AnnotationQuery):
    def __init__(self, annotation: _Annotation) -> None:
        super().__init__()
        self._internal = annotation


def moments() -> list[Builder[dashboard.AnnotationQuery]]:
    """Start, stages, breaches, stop and end, each from the series that says so."""

    def moment(name: str, series: str, colour: str, title: str) -> Builder[dashboard.AnnotationQuery]:
        return _Annotate(_Annotation(name, f"{series}{where(RUN)} * 1000", colour, title, at_value=True))

    stages = f"squall_scenario_stage{where(RUN)}"
    return [
        moment("Start", "squall_run_start_time_seconds", HAD, "start"),
        _Annotate(_Annotation("Stages", stages, WANTED, "{{scenario}}: {{stage}}", at_value=False)),
        moment("Breach", "squall_threshold_failed_time_seconds", BAD, "threshold failed: {{threshold}}"),
        moment("Stop", "squall_run_stop_time_seconds", WARNING, "stop: {{cause}} {{reason}}"),
        moment("End", "squall_run_end_time_seconds", HAD, "end"),
    ]


# -- the dashboard --------------------------------------------------------------------------------------------


def page(
    uid: str,
    title: str,
    description: str,
    *,
    variables: Sequence[Builder[dashboard.VariableModel]],
    since: str = "now-30m",
    refresh: str = "10s",
) -> build.Dashboard:
    """A dashboard without panels."""
    made = build.Dashboard(f"Squall / {title}").uid(uid).description(description).tags([TAG]).readonly()
    made.time(since, "now").refresh(refresh).timezone("browser")
    made.tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
    for variable in (datasource(), *variables):
        made.with_variable(variable)
    others = build.DashboardLink("Squall").type(dashboard.DashboardLinkType.DASHBOARDS).tags([TAG])
    return made.link(others.include_vars(True).keep_time(True).as_dropdown(False))


def add_row(made: build.Dashboard, title: str, panels: Sequence[Panel], *, folded: bool = False) -> None:
    """Panels under a heading; folded, they are not asked for before somebody opens it."""
    row = build.Row(title)
    if folded:
        for panel in panels:
            row.with_panel(panel)
        made.with_row(row)
        return
    made.with_row(row)
    for panel in panels:
        made.with_panel(panel)
