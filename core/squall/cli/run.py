"""`squall run`: a load test on this machine. The exit code is the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from squall.cli.options import ManifestChanges, manifest_options
from squall.errors import ExitCode


@click.command()
@click.argument("file")
@click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results"),
    show_default=True,
    help="Where the run's folder is made.",
)
@click.option(
    "--processes", type=click.IntRange(1), metavar="N", help="Runner processes; by default one per core."
)
@click.option("--prometheus-url", default="", metavar="URL", help="Where thresholds with `query` are asked.")
@click.option(
    "--baseline", type=click.Path(path_type=Path), metavar="DIR", help="Compare with the run in DIR."
)
@click.option(
    "--max-regression",
    "limits",
    multiple=True,
    metavar="[METRIC:]FIGURE=PERCENT",
    help="With --baseline: fail when a figure got worse by more, such as p95=10%. Repeatable.",
)
@manifest_options
def run(
    file: str,
    *,
    results: Path,
    processes: int | None,
    prometheus_url: str,
    baseline: Path | None,
    limits: tuple[str, ...],
    changes: ManifestChanges,
) -> int:
    """Run the load test in FILE (- for standard input) on all cores of this machine.

    Ctrl-C once stops, tears down and reports; twice ends at once, and still reports.
    """
    import sys

    import uvloop

    from squall.errors import UsageError
    from squall.local.run import LocalRun, cores, run_local
    from squall.report import console as closing
    from squall.report.comparison import check_limits, parse_limits, show
    from squall.report.folder import read_summary
    from squall.report.live import view_for
    from squall.report.terminal import terminal
    from squall.validation import load_one

    if limits and baseline is None:
        raise UsageError("--max-regression needs --baseline", "name the folder of the run to compare with")
    wanted = parse_limits(limits)
    before = read_summary(baseline) if baseline else None
    if before is not None:
        check_limits(before, wanted)
    test = load_one(file, changes.options())
    console = terminal(sys.stdout)
    for warning in test.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False)
    request = LocalRun(
        name=test.name,
        manifest=test.data,
        shards=int(test.model.spec.shards),
        variables=test.variables,
        secrets=test.secrets,
        files=test.files,
        results=results,
        processes=processes or cores(),
        options=_options(changes),
        prometheus_url=prometheus_url,
        mask=test.secrets.mask,
    )
    summary, folder, problems = uvloop.run(run_local(request, view_for(console)))
    closing.show(summary, console)
    regressed = before is not None and show(before, summary, wanted, console)
    for problem in problems:
        console.print(f"warning: {problem}", style="yellow", markup=False)
    console.print(f"results: {folder.path}", markup=False, soft_wrap=True)
    if regressed and summary.verdict.exit_code == ExitCode.PASSED:
        return ExitCode.REGRESSION
    return summary.verdict.exit_code


def _options(changes: ManifestChanges) -> dict[str, Any]:
    """What the command line changed, for the report; values of variables may be secret and stay out."""
    named = {
        "variants": changes.variants,
        "vus": changes.vus,
        "duration": changes.duration,
        "stages": changes.stages,
        "scenarios": changes.scenarios,
        "set": changes.sets,
        "variables": tuple(name for name, _ in changes.variables),
        "time scale": changes.time_scale if changes.time_scale != 1 else None,
    }
    return {
        name: ", ".join(value) if isinstance(value, tuple) else value
        for name, value in named.items()
        if value
    }
