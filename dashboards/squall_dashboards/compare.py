"""*Compare*: a run over an earlier one, each second over the same second since its start.

PromQL can look back by a fixed time, so the earlier run is shifted by how much earlier it began: a number that Grafana reads into a
variable. It is whole seconds, so the two are apart by half of one at most. What lies after the shown time cannot be brought into it, so the run is the
later of the two and the baseline the earlier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall_dashboards.frame import add_row, choice, moments, newest, number, page, resolution, which_run
from squall_dashboards.look import (
    BAD,
    BEFORE,
    COLOURED_TEXT,
    COUNT,
    HAD,
    PER_SECOND,
    SECONDS,
    SHARE,
    WARNING,
    Query,
    figure,
    lines,
    property_of,
    rows,
    steps,
)
from squall_dashboards.promql import (
    RUN,
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
from squall_dashboards.requests import FAILED, RESPONSE, RESPONSE_IS, TOTAL, TOTAL_IS

if TYPE_CHECKING:
    from collections.abc import Callable

    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from squall_dashboards.look import Panel

_BASELINE = 'run="$baseline"'
_HISTORY = "$history"
_SHIFT = "${shift}s"
_WORSE = steps((0.05, WARNING), (0.2, BAD))
_SIDES = ((RUN, "", "run", HAD), (_BASELINE, _SHIFT, "baseline", BEFORE))


def compare() -> Dashboard:
    """The dashboard."""
    start = "squall_run_start_time_seconds"
    own, others = (last(start, each, over=_HISTORY) for each in (RUN, 'loadtest="$loadtest",run!="$run"'))
    # Of the same namespace, which all others of the name may not be of.
    earlier = f"({others} < scalar(max({own}))) and on (namespace) {own}"
    began = last(start, _BASELINE, over=_HISTORY)
    # Without a baseline there is nothing to shift, but queries want a number.
    shift = f"round(max({own}) - scalar(max({began}))) >= 0 or vector(0)"
    made = page(
        "squall-compare",
        "Compare",
        "A run over an earlier one of the same LoadTest, aligned at their starts. The time shown is that of the run.",
        variables=[
            *which_run(),
            choice(
                "history",
                "Look back",
                "How far the baseline may lie before the end of the shown time",
                ("1d", "7d", "30d", "90d"),
                "7d",
            ),
            newest(
                "baseline",
                "Baseline",
                "A run that began before the run; the last one comes first",
                earlier,
                of="run",
            ),
            number("shift", shift),
            resolution(),
        ],
    )
    made.annotations(moments())
    add_row(made, "Over all of each run", _figures())
    made.with_panel(_table())
    add_row(made, "Second by second since the start", _overlays())
    return made


def _figures() -> list[Panel]:
    def pair(
        title: str, description: str, unit: str, make: Callable[[str], str], *, judged: bool = True
    ) -> Panel:
        own, before = make(RUN), make(_BASELINE)
        panel = figure(
            title,
            f"{description} The change is of the run against the baseline.",
            unit,
            Query(own, "run", HAD),
            Query(before, "baseline", BEFORE),
            Query(f"({own}) / ({before}) - 1", "change"),
            width=6,
            colours=_WORSE if judged else None,
        )
        return panel.override_by_name("change", [property_of("unit", SHARE)])

    def percentile(q: float, trend: str) -> Callable[[str], str]:
        return lambda which: final_quantile(q, trend, which, over=_HISTORY)

    def pace(which: str) -> str:
        elapsed = summed(last("squall_run_elapsed_seconds", which, over=_HISTORY))
        return f"{final('squall_http_reqs_total', which, over=_HISTORY)} / {elapsed}"

    return [
        pair("Requests a second", "Over all of the run.", PER_SECOND, pace, judged=False),
        pair(
            "Failed requests",
            "The share without a response or with an unexpected status.",
            SHARE,
            lambda which: final_ratio(*FAILED, which, over=_HISTORY),
        ),
        pair("p95 total time", TOTAL_IS, SECONDS, percentile(0.95, TOTAL)),
        pair("p95 response time", RESPONSE_IS, SECONDS, percentile(0.95, RESPONSE)),
    ]


def _table() -> Panel:
    by = ("scenario", "step")

    def column(which: str) -> str:
        whole = final_quantile(0.95, TOTAL, which, by=by, over=_HISTORY)
        return f'max by (step) (label_join({whole}, "step", " / ", "scenario", "step"))'

    own, before = column(RUN), column(_BASELINE)
    table = rows(
        "p95 total time of each step",
        f"{TOTAL_IS} Over all of each run.",
        "step",
        {
            "run": (Query(own, colour=HAD), SECONDS),
            "baseline": (Query(before, colour=BEFORE), SECONDS),
            "change": (Query(f"{own} / {before} - 1"), SHARE),
        },
    )
    return table.thresholds(_WORSE).override_by_name("change", [COLOURED_TEXT])


def _overlays() -> list[Panel]:
    def overlay(title: str, description: str, unit: str, make: Callable[[str, str], str]) -> Panel:
        return lines(
            title,
            description,
            unit,
            *(Query(make(which, ago), legend, colour) for which, ago, legend, colour in _SIDES),
        )

    def percentile(q: float, trend: str) -> Callable[[str, str], str]:
        return lambda which, ago: quantile(q, trend, which, ago=ago)

    def gauge(name: str) -> Callable[[str, str], str]:
        return lambda which, ago: f"sum({name}{where(which)}{f' offset {ago}' if ago else ''})"

    return [
        overlay("p95 total time", TOTAL_IS, SECONDS, percentile(0.95, TOTAL)),
        overlay("p99 total time", TOTAL_IS, SECONDS, percentile(0.99, TOTAL)),
        overlay("p95 response time", RESPONSE_IS, SECONDS, percentile(0.95, RESPONSE)),
        overlay(
            "Requests",
            "Sent a second.",
            PER_SECOND,
            lambda which, ago: rate("squall_http_reqs_total", which, ago=ago),
        ),
        overlay(
            "Failed requests",
            "The share without a response or with an unexpected status.",
            SHARE,
            lambda which, ago: ratio(*FAILED, which, ago=ago),
        ),
        overlay(
            "Iterations",
            "Carried through a second.",
            PER_SECOND,
            lambda which, ago: rate("squall_iterations_total", which, ago=ago),
        ),
        overlay("VUs", "That are running.", COUNT, gauge("squall_vus")),
        overlay(
            "Generator's CPU",
            "Of the core that a runner may use: the busiest runner.",
            SHARE,
            gauge("squall_cpu_usage"),
        ),
        overlay(
            "p99 loop lag",
            "How late the runners' event loops answer; where the two differ, so may all else.",
            SECONDS,
            percentile(0.99, "squall_loop_lag_seconds"),
        ),
    ]
