"""The end of a run in the terminal: the verdict first, then why, then the figures.

Everything that comes from the target or the manifest is printed as text, never as markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from squall.metrics import format as fmt
from squall.report.breakdown import tables
from squall.report.capacity import columns_of, curve
from squall.report.figures import find
from squall.report.findings import findings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console, RenderableType

    from squall.report import breakdown
    from squall.report.model import CapacitySummary, MetricSummary, Summary, ThresholdState

RESULT_STYLE: Final = {
    "Passed": "bold green",
    "Failed": "bold red",
    "Invalid": "bold yellow",
    "Aborted": "bold red",
    "Error": "bold red",
}
STATE: Final = {
    "pass": ("✓", "green"),
    "pending": ("·", "dim"),
    "violated": ("!", "yellow"),
    "failed": ("✗", "red"),
    "noData": ("?", "yellow"),
}


def show(summary: Summary, console: Console) -> None:
    """Print the whole summary; sentences stay in one line where no terminal has a width, so that they can be searched for."""
    for part in _parts(summary):
        console.print(part, soft_wrap=isinstance(part, Text) and not console.is_terminal)


def _parts(summary: Summary) -> Iterator[RenderableType]:
    yield ""
    if summary.thresholds and summary.metrics:
        yield threshold_table(summary.thresholds, title="Thresholds")
    if summary.tiers and summary.metrics:
        yield _tiers(summary)
    if summary.checks:
        yield _checks(summary)
    if any(row.metric == "http_reqs" for row in summary.metrics):
        yield _requests(summary)
        stages = _requests(summary, "stage")
        if stages.row_count > 1:
            yield stages
        yield from _not_sent(summary)
    if any(load.peak_actual or load.interrupted or load.dropped for load in summary.load):
        yield _iterations(summary)
    for found in summary.capacity:
        yield _capacity(found)
        yield Text(f"{found.scenario}: {found.message}", "bold")
    timed = [_timed(summary, title, metrics) for title, metrics in _TIMED.items()]
    parts = [_drawn(table) for table in tables(summary)]
    yield from (table for table in (*timed, *parts, _custom(summary)) if table.row_count)
    if summary.errors:
        yield _errors(summary)
    for finding in findings(summary):
        yield Text(f"• {finding.text}" + (f"\n  → {finding.advice}" if finding.advice else ""))
    for warning in summary.warnings:
        yield Text(f"! {warning}", "yellow")
    yield _verdict(summary)


def _verdict(summary: Summary) -> Panel:
    verdict = summary.verdict
    title = verdict.result + (f" ({verdict.cause})" if verdict.cause else "")
    body = Text()
    body.append(title, RESULT_STYLE[verdict.result])
    if summary.grades.get(""):
        body.append(f"   grade: {summary.grades['']}")
    if verdict.message:
        body.append(f"\n{verdict.message}")
    return Panel(body, border_style=RESULT_STYLE[verdict.result], expand=False)


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for place, column in enumerate(columns):
        first = place == 0
        table.add_column(column, justify="left" if first else "right", overflow="fold", no_wrap=first)
    return table


def threshold_table(thresholds: Sequence[ThresholdState], *, title: str) -> Table:
    """Thresholds with their state; also part of the live view."""
    table = _table(title, "", "condition", "value", "worst")
    table.columns[1].justify = "left"
    for threshold in thresholds:
        mark, style = STATE[threshold.state]
        condition = Text(f"{threshold.source}  ", overflow="fold")
        condition.append(threshold.expression, "bold")
        table.add_row(
            Text(mark, style),
            condition,
            fmt.quantity(threshold.value, threshold.unit),
            fmt.quantity(threshold.worst, threshold.unit),
        )
    return table


def _tiers(summary: Summary) -> Table:
    """Each group's grade, and what kept it from a better one."""
    table = _table("Grades", "", "grade", "better tiers broke on")
    for column in table.columns:
        column.justify = "left"
    for group, grade in summary.grades.items():
        missed = Text()
        for tier in summary.tiers:
            if tier.group == group and not tier.held:
                broken = ", ".join(
                    f"{at.source} {at.expression}" for at in tier.thresholds if at.state != "pass"
                )
                missed.append(f"{tier.name}: {broken}  ")
        table.add_row(group or "run", Text(grade or "none", "green" if grade else "red"), missed)
    return table


def _checks(summary: Summary) -> Table:
    table = _table("Checks", "", "check", "passed", "failed")
    table.columns[1].justify = "left"
    for check in summary.checks:
        mark, style = STATE["failed" if check.fails else "pass"]
        table.add_row(
            Text(mark, style),
            Text(f"{check.scenario}/{check.step}: {check.name}"),
            fmt.number(check.passes),
            Text(fmt.number(check.fails), style if check.fails else ""),
        )
    return table


def _requests(summary: Summary, tag: str = "") -> Table:
    """Whole run and scenarios, or the stages of every scenario."""
    table = _table(
        "Requests by stage" if tag else "Requests",
        "",
        "requests",
        "rate",
        "failed",
        "total p50",
        "p95",
        "p99",
        "response p95",
    )
    for row in summary.metrics:
        wanted = set(row.tags) == {"scenario", tag} if tag else not set(row.tags) - {"scenario"}
        if row.metric == "http_reqs" and wanted:
            table.add_row(Text(" / ".join(row.tags.values()) or "all"), *_figures(summary, row))
    return table


NOT_SENT: Final = ("circuit_open", "rate_limited", "forbidden")
"""Failures of requests that never left; see the classes of failures."""


def _not_sent(summary: Summary) -> Iterator[Text]:
    """A share of failures is read as one of the requests beside it; where it is of more, that is said."""
    sent, failed = find(summary.metrics, "http_reqs"), find(summary.metrics, "http_req_failed")
    more = int(failed.values["total"] - sent.values["count"]) if sent and failed else 0
    if failed and more > 0:
        classes = [name for name in NOT_SENT if any(error.error == name for error in summary.errors)]
        why = f" ({', '.join(classes)})" if classes else ""
        were = "request was" if more == 1 else "requests were"
        yield Text(
            f"{fmt.number(more)} more {were} not sent{why}: they are in the share of failures, "
            f"of {fmt.number(failed.values['total'])} in all, and in no other figure."
        )


def _figures(summary: Summary, requests: MetricSummary) -> Iterator[str]:
    yield fmt.number(requests.values["count"])
    yield f"{fmt.number(requests.values['rate'])}/s"
    failed = find(summary.metrics, "http_req_failed", **requests.tags)
    yield fmt.share(failed.values["rate"]) if failed else "-"
    whole = find(summary.metrics, "http_req_total", **requests.tags)
    for figure in ("med", "p95", "p99"):
        yield fmt.time(whole.values[figure]) if whole else "-"
    response = find(summary.metrics, "http_req_response_time", **requests.tags)
    yield fmt.time(response.values["p95"]) if response else "-"


def _iterations(summary: Summary) -> Table:
    table = _table(
        "Iterations", "", "completed", "failed", "dropped", "interrupted", "planned", "p50", "p95", "peak"
    )
    for load in summary.load:
        duration = find(summary.metrics, "iteration_duration", scenario=load.scenario)
        table.add_row(
            Text(load.scenario),
            fmt.number(load.iterations),
            Text(fmt.number(load.failed), "red" if load.failed else ""),
            Text(fmt.number(load.dropped), "yellow" if load.dropped else ""),
            fmt.number(load.interrupted),
            "-" if load.planned is None else fmt.number(load.planned),
            fmt.time(duration.values["med"]) if duration else "-",
            fmt.time(duration.values["p95"]) if duration else "-",
            f"{fmt.number(load.peak_actual)} {load.unit}",
        )
    return table


def _capacity(found: CapacitySummary) -> Table:
    table = _table(f"Capacity: {found.scenario}", *columns_of(found))
    table.columns[-1].justify = "left"
    styles = {"held": "green", "failed": "red"}
    for load, outcome, *figures, broken in curve(found):
        table.add_row(load, Text(outcome, styles.get(outcome, "yellow")), *figures, Text(broken))
    return table


_MOST_OF_AN_EXAMPLE: Final = 300
_TIMED: Final = {"Groups": "group_duration", "Jobs (polled until done)": "job_latency"}


def _timed(summary: Summary, title: str, metric: str) -> Table:
    """Steps that are timed as a whole."""
    table = _table(title, "", "count", "p50", "p95", "p99", "failed")
    for row in summary.metrics:
        if row.metric == metric and "step" in row.tags:
            failed = find(summary.metrics, "job_failed", **row.tags) if metric == "job_latency" else None
            table.add_row(
                Text(f"{row.tags['scenario']}/{row.tags['step']}"),
                fmt.number(row.values["count"]),
                *(fmt.time(row.values[figure]) for figure in ("med", "p95", "p99")),
                fmt.share(failed.values["rate"]) if failed else "",
            )
    return table


def _drawn(given: breakdown.Table) -> Table:
    """Components, flows and the chain."""
    table = _table(given.title, *given.columns)
    for row in given.rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _custom(summary: Summary) -> Table:
    table = _table("Own metrics", "", "count", "p50", "p95", "p99")
    for row in summary.metrics:
        if not row.custom or row.tags:
            continue
        if row.kind == "trend":
            figures = [fmt.quantity(row.values[name], row.unit) for name in ("med", "p95", "p99")]
            table.add_row(row.metric, fmt.number(row.values["count"]), *figures)
        elif row.kind == "rate":
            table.add_row(row.metric, fmt.number(row.values["total"]), fmt.share(row.values["rate"]))
        else:
            table.add_row(row.metric, fmt.number(row.values["count" if row.kind == "counter" else "value"]))
    return table


def shortened(example: str) -> str:
    """As much of an example as a table has room for; the report and the summary have all of it."""
    return example if len(example) <= _MOST_OF_AN_EXAMPLE else f"{example[: _MOST_OF_AN_EXAMPLE - 3]}..."


def _errors(summary: Summary) -> Table:
    table = _table("Errors", "class", "status", "step", "count", "example")
    table.columns[4].justify = "left"
    for error in summary.errors[:10]:
        place = Text(f"{error.scenario}/{error.step}")
        table.add_row(
            error.error, error.status, place, fmt.number(error.count), Text(shortened(error.example))
        )
    return table
