"""`squall report`: a finished run once more, from what its folder holds."""

from __future__ import annotations

import io
from pathlib import Path

import click

FORMATS = ("console", "markdown", "junit", "json")


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(FORMATS), default="console", show_default=True)
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Write there instead.")
def report(directory: Path, form: str, output: Path | None) -> None:
    """Show the report of the finished run in DIRECTORY again."""
    import sys

    import msgspec
    from rich.console import Console

    from squall.errors import UsageError
    from squall.report import console, junit, markdown
    from squall.report.folder import read_summary
    from squall.report.terminal import terminal

    summary = read_summary(directory)
    if form == "console":
        if output is None:
            console.show(summary, terminal(sys.stdout))
            return
        buffer = io.StringIO()
        console.show(summary, Console(file=buffer, width=120))
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
