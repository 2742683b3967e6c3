"""`squall run`: a load test on this machine or on a cluster. The exit code is the verdict."""

from __future__ import annotations

import gc
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from squall.cli.cluster import Where, timeout_option, where_options
from squall.cli.options import ManifestChanges, manifest_options

if TYPE_CHECKING:
    from rich.console import Console

    from squall.local.launcher import Launcher
    from squall.report.folder import ResultsFolder
    from squall.report.model import Summary
    from squall.verdict.baseline import RegressionLimit


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
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="Leave out lines of the run's log below it; by default what the manifest or SQUALL_LOG_LEVEL says, else info.",
)
@click.option("--cluster", "on_a_cluster", is_flag=True, help="Run it on a Kubernetes cluster instead.")
@timeout_option("With --cluster: give up waiting after this long; the run goes on.")
@click.option(
    "--force-conflicts", "force", is_flag=True, help="With --cluster: take over fields that others manage."
)
@where_options
@manifest_options
def run(
    file: str,
    *,
    on_a_cluster: bool,
    limit: float | None,
    force: bool,
    where: Where,
    results: Path,
    processes: int | None,
    prometheus_url: str,
    baseline: Path | None,
    limits: tuple[str, ...],
    log_level: str | None,
    changes: ManifestChanges,
) -> int:
    """Run the load test in FILE (- for standard input) on all cores of this machine, or with --cluster on a cluster.

    Ctrl-C once stops, tears down and reports; twice ends at once, and still reports. With --cluster, twice leaves the
    run to the operator.
    """
    if limits and baseline is None:
        raise click.UsageError(
            "--max-regression needs --baseline: name the folder of the run to compare with"
        )
    if on_a_cluster:
        if processes or prometheus_url or log_level:
            raise click.UsageError(
                "--processes, --prometheus-url and --log-level are for this machine; on a cluster the installation decides, and "
                "outputs.logs.level of the manifest"
            )
        from squall.cli.run_cluster import Asked, run_there

        asked = Asked(file, results, changes, limit, force, baseline, limits)
        return run_there(where, asked)
    if limit is not None or force or where.given:
        raise click.UsageError("--timeout, --force-conflicts, --namespace and --context go with --cluster")
    import uvloop

    from squall.local.files import make_room
    from squall.local.packing import cores

    make_room(processes or cores())
    settings = Settings(
        file, results, processes or cores(), prometheus_url, baseline, limits, changes, log_level or ""
    )
    return uvloop.run(_beside_waiting_runners(settings))


@dataclass(frozen=True, slots=True)
class Settings:
    """The command line, as given."""

    file: str
    results: Path
    processes: int
    prometheus_url: str
    baseline: Path | None
    limits: tuple[str, ...]
    changes: ManifestChanges
    log_level: str


async def _beside_waiting_runners(settings: Settings) -> int:
    """Run; the runners' processes load their code while this one loads its own and reads the manifest."""
    from squall.local.launcher import Launcher

    gc.disable()  # loading makes no garbage, and looking for it takes a tenth of the start; `_run` enables it
    with _scratch_file() as output:
        launcher = Launcher(output)
        try:
            await launcher.warm(settings.processes)
            return await _run(settings, launcher)
        finally:
            await launcher.close()


def _scratch_file() -> IO[bytes]:
    """Where runners' output goes until the run has a folder.

    Raises:
        UsageError: There is no place for it.
    """
    from squall.errors import UsageError

    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        hint = "make room in it, or name another folder in TMPDIR"
        raise UsageError(f"no temporary file can be made: {error.strerror}", hint) from error


async def _run(settings: Settings, launcher: Launcher) -> int:
    from squall.local.interrupts import at_once

    with at_once():
        from squall.local.run import LocalRun, run_local
        from squall.report.comparison import check_limits, judged, parse_limits
        from squall.report.folder import RUNNER_LOG, read_summary
        from squall.report.live import view_for
        from squall.report.terminal import terminal
        from squall.validation import load_one

        gc.freeze()
        gc.enable()
        limits = parse_limits(settings.limits)
        before = read_summary(settings.baseline) if settings.baseline else None
        if before is not None:
            check_limits(before, limits)
        test = load_one(settings.file, settings.changes.options())
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
        results=settings.results,
        processes=settings.processes,
        options=options_of(settings.changes),
        prometheus_url=settings.prometheus_url,
        mask=test.secrets.mask,
        log_level=settings.log_level,
        judge=(lambda after: judged(before, after, limits)) if before is not None else (lambda after: after),
    )
    summary, folder, problems = await run_local(request, launcher, view_for(console))
    show_end(summary, folder, problems, console, before=before, limits=limits)
    if (folder.path / RUNNER_LOG).exists():
        console.print(f"what runners printed: {folder.path / RUNNER_LOG}", markup=False, soft_wrap=True)
    return summary.verdict.exit_code


def show_end(
    summary: Summary,
    folder: ResultsFolder,
    problems: list[str],
    console: Console,
    *,
    before: Summary | None,
    limits: list[RegressionLimit],
) -> None:
    """Print how a run has ended: its summary, how it compares with the baseline, and where its results are."""
    from squall.report import console as closing
    from squall.report.comparison import show

    closing.show(summary, console)
    if before is not None:
        show(before, summary, limits, console)
    for problem in problems:
        console.print(f"warning: {problem}", style="yellow", markup=False, soft_wrap=True)
    console.print(f"results: {folder.path}", markup=False, soft_wrap=True)


def options_of(changes: ManifestChanges) -> dict[str, Any]:
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
