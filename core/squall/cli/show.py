"""`squall show`: the manifest as it would run, to read, to review, or to apply to a cluster."""

from __future__ import annotations

import click

from squall.cli.options import ManifestChanges, manifest_options
from squall.cli.saying import say


@click.command()
@click.argument("file")
@click.option("--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
@manifest_options
def show(file: str, *, output: str, changes: ManifestChanges) -> None:
    """Print the effective manifest: variants, options and variables applied.

    Secrets stay references. FILE may be - for standard input; several LoadTests are printed one after the other.
    """
    from squall.spec.printing import to_json, to_yaml
    from squall.validation import load_effective

    tests = load_effective([file], changes.options(complete=False))
    documents = [test.data for test in tests]
    click.echo(to_json(documents) if output == "json" else to_yaml(documents), nl=False)
    for test in tests:
        for warning in test.warnings:
            say(f"warning: {warning}", err=True)
