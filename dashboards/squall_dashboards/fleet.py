"""*Fleet*: all runs - those under way, what came of the others, and what waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall_dashboards import operators
from squall_dashboards.frame import add_row, page, resolution, values_of
from squall_dashboards.look import (
    BAD,
    COLOURED_CELL,
    COUNT,
    DATE,
    HAD,
    NONE,
    PER_SECOND,
    RESULT_CODES,
    RESULT_COLOURS,
    RESULT_NAMES,
    SECONDS,
    SHARE,
    Query,
    bars,
    figure,
    history,
    lines,
    property_of,
    rows,
)
from squall_dashboards.promql import (
    RANGE,
    coded,
    equal,
    final,
    final_quantile,
    final_ratio,
    last,
    quantile,
    rate,
    ratio,
    summed,
    where,
)
from squall_dashboards.requests import FAILED, TOTAL, TOTAL_IS

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from squall_dashboards.look import Panel

_RUNS = ('namespace=~"$namespace"', 'loadtest=~"$loadtest"')
_EACH = ("namespace", "loadtest")
"""Teams may give their LoadTests one name."""
_NAMED = "{{namespace}} {{loadtest}}"
_UNDER_WAY = 'phase!="finished"'
_STEP = "$__interval"
_TO_RUN = (
    "/d/squall-run?var-datasource=${datasource}&var-loadtest=${__data.fields.loadtest}&var-run=${__data.fields.run}"
    "&from=${__data.fields.from.numeric}&to=${__data.fields.to.numeric}"
)
_MARGIN = 15
"""Seconds that a link shows before a run and after it."""


def fleet() -> Dashboard:
    """The dashboard."""
    made = page(
        "squall-fleet",
        "Fleet",
        "All runs: those under way, what came of the others, and what waits.",
        variables=[
            values_of(
                "namespace", "Namespace", "Of the LoadTests; runs on one machine have none", "squall_run_info"
            ),
            values_of(
                "loadtest", "LoadTest", "All of them, or one", "squall_run_info", 'namespace=~"$namespace"'
            ),
            resolution(),
        ],
        since="now-24h",
        refresh="30s",
    )
    for panel in _overview():
        made.with_panel(panel)
    made.with_panel(_table())
    add_row(made, "Verdicts", _verdicts())
    add_row(made, "Under way", _under_way())
    add_row(made, "Queue", operators.queue())
    return made


def _overview() -> list[Panel]:
    figures = [
        figure(
            result,
            f"Runs of the shown time that ended {result}.",
            COUNT,
            Query(_ended(result, RANGE), result, colour),
        )
        for result, colour in RESULT_COLOURS.items()
    ]
    running = f"sum(squall_run_phase{where(*_RUNS, _UNDER_WAY)})"
    return [
        figure("Under way", "Runs that go on.", COUNT, Query(running, "runs", HAD), width=3).no_value("0"),
        *figures,
        figure(
            "Requests",
            "Of all runs of the shown time.",
            COUNT,
            Query(final("squall_http_reqs_total", *_RUNS), "requests"),
            width=3,
        ),
        figure(
            "Failed",
            "The share of their requests without a response or with an unexpected status.",
            SHARE,
            Query(final_ratio(*FAILED, *_RUNS), "failed"),
            width=3,
        ),
    ]


def _ended(result: str, over: str) -> str:
    return f"sum({last('squall_run_verdict', *_RUNS, equal('result', result), over=over)})"


def _table() -> Panel:
    by = ("run",)
    began = f"max by (run) ({last('squall_run_start_time_seconds', *_RUNS)})"
    ended = f"max by (run) ({last('squall_run_end_time_seconds', *_RUNS)})"
    until = f"({ended} or on (run) 0 * {began} + time())"
    verdict = coded(RESULT_CODES, "squall_run_verdict", "result", *_RUNS, over=RANGE)
    result = f"max by (run) ({verdict}) or on (run) 0 * {began}"
    why = f"max by (run, cause, reason) ({last('squall_run_verdict', *_RUNS)} == 1) or on (run) {began}"
    table = rows(
        "Runs",
        "Each run of the shown time; its name leads to it. Requests, the share that failed and p95 of total time are of all of it.",
        "run",
        {
            "info": (
                Query(f"max by (run, namespace, loadtest, shards) ({last('squall_run_info', *_RUNS)})"),
                NONE,
            ),
            "result": (Query(result), NONE),
            "why": (Query(why), NONE),
            "began": (Query(f"{began} * 1000"), DATE),
            "took": (Query(f"{until} - {began}"), SECONDS),
            "requests": (Query(final("squall_http_reqs_total", *_RUNS, by=by)), COUNT),
            "failed": (Query(final_ratio(*FAILED, *_RUNS, by=by)), SHARE),
            "p95": (Query(final_quantile(0.95, TOTAL, *_RUNS, by=by)), SECONDS),
            "from": (Query(f"floor({began} - {_MARGIN}) * 1000"), NONE),
            "to": (Query(f"ceil({until} + {_MARGIN}) * 1000"), NONE),
        },
        hidden=["info", "why", "from", "to"],
        sort="began",
        falling=True,
        height=10,
    )
    table.override_by_name(
        "result",
        [
            property_of("mappings", RESULT_NAMES),
            COLOURED_CELL,
        ],
    )
    table.override_by_name("run", [property_of("links", [{"title": "Run", "url": _TO_RUN}])])
    return table


def _verdicts() -> list[Panel]:
    by_result = [Query(_ended(result, _STEP), result, colour) for result, colour in RESULT_COLOURS.items()]
    codes = coded(RESULT_CODES, "squall_run_verdict", "result", *_RUNS, over=_STEP)
    return [
        bars("Runs that ended", "By result, each where it ended.", COUNT, *by_result, width=12),
        history(
            "Verdicts of each LoadTest",
            "What came of its runs; where two ended at once, the graver one.",
            Query(f"max by ({', '.join(_EACH)}) ({codes})", _NAMED),
            RESULT_NAMES,
        ),
    ]


def _under_way() -> list[Panel]:
    return [
        lines(
            "Requests",
            "Sent a second, by LoadTest.",
            PER_SECOND,
            Query(rate("squall_http_reqs_total", *_RUNS, by=_EACH), _NAMED),
            stacked=True,
        ),
        lines(
            "Failed requests",
            "The share without a response or with an unexpected status, by LoadTest.",
            SHARE,
            Query(ratio(*FAILED, *_RUNS, by=_EACH), _NAMED),
            most=1,
        ),
        lines(
            "p95 total time",
            f"{TOTAL_IS} By LoadTest.",
            SECONDS,
            Query(quantile(0.95, TOTAL, *_RUNS, by=_EACH), _NAMED),
        ),
        lines(
            "Runs",
            "Under way, by phase.",
            COUNT,
            Query(f"sum by (phase) (squall_run_phase{where(*_RUNS, _UNDER_WAY)})", "{{phase}}"),
            stacked=True,
        ),
        lines(
            "VUs",
            "That are running, by LoadTest.",
            COUNT,
            Query(summed(f"squall_vus{where(*_RUNS)}", _EACH), _NAMED),
            stacked=True,
        ),
        lines(
            "Saturated generators",
            "Runs whose generator could not keep up.",
            COUNT,
            Query(f"sum(squall_generator_saturated{where(*_RUNS)})", "saturated", BAD),
        ),
    ]
