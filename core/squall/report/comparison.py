"""Two runs beside each other: which figures are compared, and how the differences are shown.

What is worse is judged by `squall.verdict.baseline`; here it is said which figures of a summary take part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec
from rich.table import Table
from rich.text import Text

from squall.errors import UsageError
from squall.expr import nearest
from squall.metrics import format as fmt
from squall.metrics.names import BUILT_IN
from squall.metrics.series import SeriesKey
from squall.report.model import VerdictSummary
from squall.verdict.baseline import Difference, Figure, FigureKey, RegressionLimit, compare
from squall.verdict.verdict import regressed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from squall.report.model import MetricSummary, Summary
    from squall.report.parts import ComponentSummary

_HIGHER_IS_BETTER: Final = frozenset({"checks", "http_reqs", "iterations", "evm_txs"})
_NEITHER: Final = frozenset(
    {"data_sent", "data_received", "loop_lag", "schedule_lag", "evm_rpc_reqs", "evm_gas_used", "evm_fees"}
)
"""More or less of these is neither better nor worse, or says nothing about the target."""
_NOT_TO_COMPARE: Final = frozenset({"Invalid", "Aborted", "Error"})
_TREND_FIGURES: Final = ("avg", "med", "p90", "p95", "p99", "max")
_SHOWN: Final = frozenset(
    {
        FigureKey("http_reqs", "rate"),
        FigureKey("http_req_failed", "rate"),
        FigureKey("checks", "rate"),
        FigureKey("capacity", "value"),
        FigureKey("evm_txs", "rate"),
        FigureKey("evm_tx_failed", "rate"),
        FigureKey("evm_tx_inclusion_duration", "p95"),
        *(
            FigureKey(metric, name)
            for metric in ("http_req_total", "http_req_duration")
            for name in ("med", "p95", "p99")
        ),
    }
)


def figures(summary: Summary) -> dict[FigureKey, Figure]:
    """The figures of a run that can be compared: of the whole run, of each scenario and of each component."""
    return {
        FigureKey(str(SeriesKey.of(row.metric, **row.tags)), name): figure
        for row in summary.metrics
        if set(row.tags) <= {"scenario"} and _compared(row)
        for name, figure in _figures(row)
    } | {key: figure for component in summary.components for key, figure in _of_component(component)}


def _of_component(found: ComponentSummary) -> Iterable[tuple[FigureKey, Figure]]:
    duration, failed = (
        str(SeriesKey.of(metric, component=found.name))
        for metric in ("component_duration", "component_failed")
    )
    for name, seconds in (("med", found.p50_seconds), ("p95", found.p95_seconds), ("p99", found.p99_seconds)):
        yield FigureKey(duration, name), Figure(seconds, unit="s")
    if found.steps:
        yield FigureKey(failed, "rate"), Figure(found.failed / found.steps, share=True, unit="share")


def _compared(row: MetricSummary) -> bool:
    """Whether its figures say something about the target: the main ones of requests and iterations, and the user's own."""
    return row.custom or (
        row.metric in BUILT_IN and BUILT_IN[row.metric].reported and row.metric not in _NEITHER
    )


def _figures(row: MetricSummary) -> Iterable[tuple[str, Figure]]:
    if row.kind == "trend":
        for name in _TREND_FIGURES:
            yield name, Figure(row.values[name], unit=row.unit)
    elif row.kind == "rate" and row.values["total"]:
        yield "rate", Figure(row.values["rate"], _better(row), share=True, unit="share")
    elif row.metric == "capacity":
        yield "value", Figure(row.values["value"], "higher")
    elif row.kind == "counter":
        yield "rate", Figure(row.values["rate"], _better(row))


def _better(row: MetricSummary) -> Literal["lower", "higher"]:
    """By default less is better; of a manifest's own rates a hit is a success."""
    own_rate = row.custom and row.kind == "rate"
    return "higher" if own_rate or row.metric in _HIGHER_IS_BETTER else "lower"


def parse_limits(texts: Iterable[str]) -> list[RegressionLimit]:
    """Read `--max-regression` options.

    Raises:
        UsageError: One of them is malformed.
    """
    try:
        return [RegressionLimit.parse(text) for text in texts]
    except ValueError as error:
        raise UsageError(str(error)) from error


def check_limits(before: Summary, limits: Iterable[RegressionLimit]) -> None:
    """Refuse limits that could never fail.

    Raises:
        UsageError: A limit is about nothing that the earlier run has measured.
    """
    known = figures(before)
    for limit in limits:
        if not any(limit.covers(key) for key in known):
            message = f"--max-regression {limit} is about nothing that was measured"
            raise UsageError(message, _measured(limit, known))


def _measured(limit: RegressionLimit, known: Iterable[FigureKey]) -> str:
    """What the limit could have been about."""
    figures_of: dict[str, list[str]] = {}
    for key in known:
        figures_of.setdefault(key.metric, []).append(key.aggregation)
    metric = limit.metric or limit.aggregation
    if metric in figures_of:
        there = figures_of[metric]
        return f"write {metric}:{there[0]}={limit.allowed * 100:g}%; it has {', '.join(there)}"
    if limit.metric:
        return nearest(limit.metric, figures_of)
    return "there are " + ", ".join(sorted({each for some in figures_of.values() for each in some}))


def regressions(found: Iterable[Difference]) -> list[Difference]:
    """The differences that break their limit; a limited figure that is no longer measured does too."""
    return [
        difference
        for difference in found
        if difference.regression
        or (difference.limit is not None and difference.before is not None and difference.after is None)
    ]


def judged(before: Summary, after: Summary, limits: Sequence[RegressionLimit]) -> Summary:
    """The later run with its verdict against the earlier one: it fails when it passed otherwise and got worse."""
    broken = regressions(compare(figures(before), figures(after), limits))
    if not broken or after.verdict.result != "Passed":
        return after
    found = regressed(broken)
    verdict = VerdictSummary(
        result="Failed",
        reason=found.reason,
        message=found.message,
        expression=found.expression,
        observed=found.observed,
        exit_code=int(found.exit_code),
    )
    return msgspec.structs.replace(after, verdict=verdict)


def show(before: Summary, after: Summary, limits: Sequence[RegressionLimit], console: Console) -> bool:
    """Print the differences; returns whether there is a regression. Raises like `check_limits`."""
    check_limits(before, limits)
    found = compare(figures(before), figures(after), limits)
    if before.manifest_hash != after.manifest_hash:
        console.print("note: the two runs had different manifests", style="yellow")
    for run in (before, after):
        if run.verdict.result in _NOT_TO_COMPARE:
            text = f"note: {run.run} is {run.verdict.result}: its figures say little about the target"
            console.print(text, style="yellow", markup=False)
    console.print(table(before, after, found))
    broken = regressions(found)
    for difference in broken:
        console.print(f"regression: {difference.describe()}", style="red", markup=False)
    return bool(broken)


def table(before: Summary, after: Summary, found: Iterable[Difference]) -> Table:
    """The figures that matter most, and those with a limit."""
    broken = {difference.key for difference in regressions(found)}
    shown = Table(
        title=f"{before.run} → {after.run}",
        title_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for column in ("figure", "before", "after", "change", "limit"):
        shown.add_column(column, justify="left" if column == "figure" else "right")
    for difference in found:
        if not (_shown(difference.key) or difference.limit is not None):
            continue
        style = "red" if difference.key in broken else ""
        shown.add_row(
            Text(str(difference.key), style),
            fmt.quantity(difference.before, difference.unit),
            fmt.quantity(difference.after, difference.unit),
            Text(_change(difference), style),
            f"≤ {fmt.share(difference.limit.allowed)}" if difference.limit else "",
        )
    return shown


def _shown(key: FigureKey) -> bool:
    return key in _SHOWN or (
        key.metric.startswith(("component_duration{", "component_failed{"))
        and key.aggregation in {"p95", "rate"}
    )


def _change(difference: Difference) -> str:
    if difference.worse is None:
        return "not measured" if difference.after is None else "new"
    if difference.worse == 0:
        return "same"
    size = "from 0" if abs(difference.worse) == float("inf") else fmt.share(abs(difference.worse))
    return f"{size} {'worse' if difference.worse > 0 else 'better'}"
