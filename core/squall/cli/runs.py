"""`squall runs`: what has been run, and how it ended."""

from __future__ import annotations

from pathlib import Path

import click

from squall.cli.saying import say

_PIPED_WIDTH = 10_000


@click.command()
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Where runs are kept.",
)
@click.option("--name", help="Only runs of this LoadTest.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line.")
def runs(results: Path, name: str | None, as_json: bool) -> None:  # noqa: FBT001 - click passes it so
    """List finished runs, oldest first."""
    import sys

    import msgspec
    from rich.table import Table
    from rich.text import Text

    from squall.metrics import format as fmt
    from squall.report.console import RESULT_STYLE
    from squall.report.figures import find
    from squall.report.folder import runs as list_runs
    from squall.report.terminal import SafeConsole

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("started", "verdict", "duration", "requests", "failed", "p95", "folder"):
        table.add_column(column, overflow="fold")
    for path, summary in list_runs(results):
        if summary is None:
            if not name and not as_json:
                table.add_row("", Text("no summary", "yellow"), "", "", "", "", Text(str(path)))
            continue
        if name and summary.name != name:
            continue
        requests, failed, total = (
            find(summary.metrics, metric) for metric in ("http_reqs", "http_req_failed", "http_req_total")
        )
        verdict = summary.verdict
        if as_json:
            row = {
                "folder": str(path),
                "name": summary.name,
                "startedAt": summary.started_at,
                "verdict": verdict,
            }
            click.echo(msgspec.json.encode(row).decode())
            continue
        table.add_row(
            summary.started_at,
            Text(f"{verdict.result} {verdict.cause}".strip(), RESULT_STYLE[verdict.result]),
            fmt.clock(summary.timings.load_seconds),
            fmt.number(requests.values["count"]) if requests else "-",
            fmt.share(failed.values["rate"]) if failed else "-",
            fmt.time(total.values["p95"]) if total else "-",
            Text(str(path)),
        )
    if as_json:
        return
    if table.row_count:
        # Where nobody looks but a program, a row is a line and a path is whole.
        SafeConsole(width=None if sys.stdout.isatty() else _PIPED_WIDTH).print(table)
    else:
        say(f"no runs below {results}")
