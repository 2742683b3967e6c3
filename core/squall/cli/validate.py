"""`squall validate`: every problem of manifests at once, for people, editors and pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from squall.cli.options import ManifestChanges, manifest_options
from squall.cli.saying import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squall.spec.problems import Problem
    from squall.validation import Resource


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="FILE...")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@manifest_options
def validate(paths: tuple[str, ...], *, output: str, changes: ManifestChanges) -> int:
    """Report every problem of manifests: files, directories, or - for standard input.

    Nothing is sent. Secrets need not be given; every variant is checked too. Exit code 104 when anything is wrong.
    """
    from squall.errors import ExitCode
    from squall.spec.problems import ManifestError
    from squall.validation import load_resources

    try:
        resources = load_resources(paths, changes.options(complete=False, all_variants=True))
    except ManifestError as error:
        if output == "json":
            _print_json(error.problems, ())
        else:
            say(error.message, err=True)
        return ExitCode.MANIFEST
    if output == "json":
        _print_json((), resources)
    else:
        _print_text(resources)
    return ExitCode.PASSED


def _print_text(resources: Sequence[Resource]) -> None:
    for resource in resources:
        say(f"{resource.source}: {resource.kind} {resource.name} is valid")
        for warning in resource.test.warnings if resource.test else ():
            say(f"    warning: {warning}")
    if not resources:
        say("nothing to validate: no resources of squall.dev found")


def _print_json(problems: Sequence[Problem], resources: Sequence[Resource]) -> None:
    import json
    from dataclasses import asdict

    document = {
        "valid": not problems,
        "problems": [asdict(problem) for problem in problems],
        "resources": [
            {
                "kind": resource.kind,
                "name": resource.name,
                "file": resource.source,
                "warnings": list(resource.test.warnings) if resource.test else [],
            }
            for resource in resources
        ],
    }
    click.echo(json.dumps(document, indent=2))
