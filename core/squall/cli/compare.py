"""`squall compare`: two runs beside each other, and a failure when the later one is worse than allowed."""

from __future__ import annotations

from pathlib import Path

import click

from squall.errors import ExitCode


@click.command()
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@click.option(
    "--max-regression",
    "limits",
    multiple=True,
    metavar="[METRIC:]FIGURE=PERCENT",
    help="Fail when a figure got worse by more: p95=10%, http_req_failed:rate=1%. Repeatable.",
)
def compare(before: Path, after: Path, limits: tuple[str, ...]) -> int:
    """Compare the runs in the folders BEFORE and AFTER. Exit code 110 on a regression."""
    import sys

    from squall.report.comparison import parse_limits, show
    from squall.report.folder import read_summary
    from squall.report.terminal import terminal

    regressed = show(read_summary(before), read_summary(after), parse_limits(limits), terminal(sys.stdout))
    return ExitCode.REGRESSION if regressed else ExitCode.PASSED
