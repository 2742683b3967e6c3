"""The report as Markdown: for people, merge requests and archives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall.metrics import format as fmt
from squall.printable import printable
from squall.report.breakdown import tables
from squall.report.capacity import columns_of, curve
from squall.report.figures import find
from squall.report.findings import findings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from squall.report.model import MetricSummary, Summary, ThresholdState


def render(summary: Summary) -> str:
    """The whole report."""
    parts = [
        _head(summary),
        _capacity(summary),
        _performance(summary),
        _thresholds("Thresholds", summary.thresholds),
        _tiers(summary),
        _by(summary, "stage", "Stages"),
        _by(summary, "step", "Steps"),
        _timed(summary, "Groups", "group_duration"),
        _timed(summary, "Jobs", "job_latency"),
        _breakdown(summary),
        _custom(summary),
        _checks(summary),
        _errors(summary),
        _load(summary),
        _findings(summary),
        _timeline(summary),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def text(value: object) -> str:
    """Data of the target or the manifest, so that it cannot become markup or break a table."""
    plain = printable(" ".join(str(value).split()))
    for mark in ("\\", "`", "*", "_", "[", "]", "<", ">", "|", "#", "!"):
        plain = plain.replace(mark, "\\" + mark)
    return plain


def _code(value: str) -> str:
    plain = printable(" ".join(value.split())).replace("|", "\\|").replace("`", "'")
    return f"`{plain}`"


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns)]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def _head(summary: Summary) -> str:
    verdict = summary.verdict
    result = verdict.result + (f" ({verdict.cause})" if verdict.cause else "")
    parts = [f"# {text(summary.name)}: {result}"]
    if verdict.message:
        parts.append(text(verdict.message))
    facts = [
        ("Run", f"`{summary.run}`"),
        ("Date", summary.started_at),
        (
            "Duration",
            f"{fmt.clock(summary.timings.load_seconds)} of {fmt.clock(summary.planned_seconds)} planned",
        ),
        ("Shards", f"{summary.shards} on {_plural(summary.runners, 'runner')}"),
        ("Peak load", "; ".join(_peak(summary)) or "-"),
        ("Success", _success(summary)),
    ]
    for group, grade in summary.grades.items():
        facts.append((f"Grade {text(group)}".strip(), text(grade) or "none of the tiers held"))
    facts += [(text(name), text(value)) for name, value in summary.options.items()]
    return "\n\n".join([*parts, _table(("", ""), facts)])


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" + ("" if count == 1 else "s")


def _peak(summary: Summary) -> list[str]:
    return [f"{text(load.scenario)} {fmt.number(load.peak_actual)} {load.unit}" for load in summary.load]


def _success(summary: Summary) -> str:
    found = {
        "requests": find(summary.metrics, "http_req_failed"),
        "transactions": find(summary.metrics, "evm_tx_failed"),
    }
    shares = [f"{fmt.share(1 - row.values['rate'])} of {what}" for what, row in found.items() if row]
    return ", ".join(shares) or "-"


_COLUMNS = ("Requests", "Rate", "Failed", "Total p50", "p95", "p99", "Response p95", "Service p95")


def _row(metrics: Sequence[MetricSummary], tags: dict[str, str]) -> tuple[str, ...] | None:
    def values(metric: str) -> dict[str, float]:
        row = next((row for row in metrics if row.metric == metric and row.tags == tags), None)
        return row.values if row else {}

    requests, failed = values("http_reqs"), values("http_req_failed")
    if not requests:
        return None
    total, response, service = (values(f"http_req_{name}") for name in ("total", "response_time", "duration"))
    nan = float("nan")
    return (
        fmt.number(requests["count"]),
        f"{fmt.number(requests['rate'])}/s",
        fmt.share(failed.get("rate", 0.0)),
        *(fmt.time(total.get(name, nan)) for name in ("med", "p95", "p99")),
        fmt.time(response.get("p95", nan)),
        fmt.time(service.get("p95", nan)),
    )


def _performance(summary: Summary) -> str:
    rows = []
    whole = _row(summary.metrics, {})
    if whole:
        rows.append(("**all**", *whole))
    for load in summary.load:
        row = _row(summary.metrics, {"scenario": load.scenario})
        if row:
            rows.append((text(load.scenario), *row))
    if not rows and summary.chain is not None and not find(summary.metrics, "poll_reqs"):
        return ""  # what it did has tables of its own
    if not rows:
        polls = find(summary.metrics, "poll_reqs")
        told = (
            f"Only polls: {fmt.number(polls.values['count'])} requests." if polls else "No request was sent."
        )
        return f"## Performance\n\n{told}"
    return (
        "## Performance\n\n"
        + _table(("", *_COLUMNS), rows)
        + "\n\nTotal: the whole call, waiting for a connection included. Response: from the intended moment. "
        "Service: sending, waiting and receiving only."
    )


def _by(summary: Summary, tag: str, title: str) -> str:
    places = dict.fromkeys(
        (row.tags["scenario"], row.tags[tag])
        for row in summary.metrics
        if row.metric == "http_reqs" and tag in row.tags
    )
    rows = []
    for scenario, value in places:
        row = _row(summary.metrics, {"scenario": scenario, tag: value})
        if row:
            rows.append((text(scenario), text(value), *row))
    return f"## {title}\n\n" + _table(("Scenario", tag.capitalize(), *_COLUMNS), rows) if rows else ""


def _capacity(summary: Summary) -> str:
    parts = []
    for found in summary.capacity:
        rows = [[text(cell) for cell in row] for row in curve(found)]
        columns = [name.capitalize() for name in columns_of(found)]
        table = "\n\n" + _table(columns, rows) if rows else ""
        parts.append(f"## Capacity: {text(found.scenario)}\n\n{text(found.message)}{table}")
    return "\n\n".join(parts)


def _thresholds(title: str, thresholds: Sequence[ThresholdState]) -> str:
    if not thresholds:
        return ""
    rows = [
        (
            _code(threshold.source),
            _code(threshold.expression),
            threshold.state,
            fmt.quantity(threshold.value, threshold.unit),
            fmt.quantity(threshold.worst, threshold.unit),
        )
        for threshold in thresholds
    ]
    return f"## {title}\n\n" + _table(("Metric", "Condition", "State", "Value", "Worst"), rows)


def _tiers(summary: Summary) -> str:
    if not summary.tiers:
        return ""
    parts = ["## Tiers"]
    for tier in summary.tiers:
        outcome = "held" if tier.held else "did not hold"
        parts.append(_thresholds(f"{text(tier.name)}: {outcome}", tier.thresholds).replace("## ", "### ", 1))
    return "\n\n".join(parts)


def _timed(summary: Summary, title: str, metric: str) -> str:
    """Groups, or jobs that were polled until they were done."""
    rows = [
        (
            text(f"{row.tags['scenario']}/{row.tags['step']}"),
            fmt.number(row.values["count"]),
            *(fmt.time(row.values[figure]) for figure in ("med", "p95", "p99", "max")),
        )
        for row in summary.metrics
        if row.metric == metric and "step" in row.tags
    ]
    return f"## {title}\n\n" + _table(("Step", "Count", "p50", "p95", "p99", "Max"), rows) if rows else ""


def _breakdown(summary: Summary) -> str:
    """Components, flows and the chain."""
    return "\n\n".join(
        f"## {table.title}\n\n"
        + _table(
            [
                column if column.startswith("p") and column[1:].isdigit() else column.capitalize()
                for column in table.columns
            ],
            ([text(cell) for cell in row] for row in table.rows),
        )
        + (f"\n\n{table.note}" if table.note else "")
        for table in tables(summary)
    )


def _custom(summary: Summary) -> str:
    rows = [
        (
            text(row.metric),
            "; ".join(
                f"{name} {fmt.quantity(value, _unit(row, name))}" for name, value in row.values.items()
            ),
        )
        for row in summary.metrics
        if not row.tags and row.custom
    ]
    return "## Own metrics\n\n" + _table(("Metric", "Values"), rows) if rows else ""


def _unit(row: MetricSummary, name: str) -> str:
    if name in {"count", "passes", "total"} or (name == "rate" and row.kind == "counter"):
        return "1"
    return row.unit


def _checks(summary: Summary) -> str:
    rows = [
        (
            text(check.name),
            text(f"{check.scenario}/{check.step}"),
            fmt.number(check.passes),
            fmt.number(check.fails),
            fmt.share(check.passes / (check.passes + check.fails)) if check.passes + check.fails else "-",
        )
        for check in summary.checks
    ]
    return "## Checks\n\n" + _table(("Check", "Step", "Passed", "Failed", "Share"), rows) if rows else ""


def _errors(summary: Summary) -> str:
    rows = [
        (
            error.error,
            error.status or "-",
            text(f"{error.scenario}/{error.step}"),
            fmt.number(error.count),
            text(error.example),
        )
        for error in summary.errors
    ]
    return "## Errors\n\n" + _table(("Class", "Status", "Step", "Count", "Example"), rows) if rows else ""


def _load(summary: Summary) -> str:
    rows = [
        (
            text(load.scenario),
            load.executor,
            f"{fmt.number(load.peak_actual)} of {fmt.number(load.peak_target)} {load.unit}",
            fmt.number(load.iterations),
            fmt.number(load.failed),
            fmt.number(load.dropped),
            fmt.number(load.interrupted),
            "-" if load.planned is None else fmt.number(load.planned),
        )
        for load in summary.load
    ]
    columns = ("Scenario", "Executor", "Peak", "Iterations", "Failed", "Dropped", "Interrupted", "Planned")
    return "## Load\n\n" + _table(columns, rows) if rows else ""


def _findings(summary: Summary) -> str:
    found = findings(summary)
    seen = [f"- {text(finding.text)}" for finding in found] or ["- Nothing stood out."]
    advice = [f"- {text(finding.advice)}" for finding in found if finding.advice]
    advice += [f"- {text(warning)}" for warning in summary.warnings]
    recommended = "\n".join(advice) if advice else "- None."
    return "## Findings\n\n" + "\n".join(seen) + "\n\n## Recommendations\n\n" + recommended


def _timeline(summary: Summary) -> str:
    rows = [
        (f"{event.at_seconds:.1f} s", event.level, text(event.event), text(event.message))
        for event in summary.events
    ]
    return "## Timeline\n\n" + _table(("At", "Level", "Event", ""), rows) if rows else ""
