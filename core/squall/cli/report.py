"""`squall report`: a finished run once more, from what its folder holds or a cluster keeps."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import click

from squall.cli.cluster import Where, on_cluster, where_options

if TYPE_CHECKING:
    from squall.remote.cluster import Cluster
    from squall.report.model import Summary

_KINDS = ("loadtest", "loadtests")
FORMATS = ("console", "markdown", "junit", "json")


@click.command()
@click.argument("source", metavar="DIRECTORY|loadtest/NAME")
@click.option("--format", "form", type=click.Choice(FORMATS), default="console", show_default=True)
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Write there instead.")
@click.option(
    "--run", "run_id", default="", metavar="ID", help="With loadtest/NAME: another run than the last."
)
@where_options
def report(source: str, *, form: str, output: Path | None, run_id: str, where: Where) -> None:
    """Show the report of a finished run again: of the one in DIRECTORY, or of the LoadTest NAME on a cluster."""
    import sys

    import msgspec

    from squall.errors import UsageError
    from squall.report import console, junit, markdown
    from squall.report.terminal import SafeConsole, terminal

    summary = _summary(source, run_id, where)
    if form == "console":
        if output is None:
            console.show(summary, terminal(sys.stdout))
            return
        buffer = io.StringIO()
        console.show(summary, SafeConsole(file=buffer, width=120))
        text = buffer.getvalue()
    elif form == "markdown":
        text = markdown.render(summary)
    elif form == "junit":
        text = junit.render(summary)
    else:
        text = msgspec.json.format(msgspec.json.encode(summary)).decode() + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror}") from error


def _summary(source: str, run_id: str, where: Where) -> Summary:
    """The summary of the run that is meant."""
    from squall.report.folder import read_summary

    kind, _, name = source.partition("/")
    if kind not in _KINDS or not name or Path(source).exists():
        if run_id or where.given:
            raise click.UsageError(
                "--run, --namespace and --context go with loadtest/NAME, not with a folder"
            )
        return read_summary(Path(source))

    async def fetch(cluster: Cluster) -> Summary:
        return await cluster.report_of(name, run_id)

    return on_cluster(where, fetch)
