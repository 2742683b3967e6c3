"""`squall plan`: what a test would do, before anything is sent.

Load is easily sixty times what was meant: a rate per second that was meant per minute, ten shards that each seem
to do the whole. Here it stands as a picture and in numbers, computed by the code that will drive it.
"""

from __future__ import annotations

import click

from squall.cli.options import ManifestChanges, manifest_options
from squall.cli.saying import say


@click.command()
@click.argument("file")
@click.option(
    "--shards", type=click.IntRange(1), metavar="N", help="Plan for N shards instead of the manifest's."
)
@click.option("--json", "as_json", is_flag=True, help="Print the whole plan as a JSON document.")
@manifest_options
def plan(file: str, *, shards: int | None, as_json: bool, changes: ManifestChanges) -> None:
    """Show the load over time, totals, and each shard's part. Sends nothing.

    The number of shards that is suggested follows a rule of thumb, which is printed with it. FILE may be - for
    standard input.
    """
    from dataclasses import replace

    from squall.plan.chain import chain_cost
    from squall.plan.compile import compile_plan
    from squall.plan.sizing import requests_per_iteration
    from squall.validation import load_one

    if shards is not None:
        changes = replace(changes, sets=(*changes.sets, f"shards={shards}"))
    test = load_one(file, changes.options(complete=False))
    compiled = compile_plan(test.model.spec)
    requests = [requests_per_iteration(scenario) for scenario in test.model.spec.scenarios]
    chain = chain_cost(test.model.spec, compiled)
    if as_json:
        import json

        from squall.plan.document import plan_document

        click.echo(json.dumps(plan_document(test.name, compiled, requests, chain), indent=2))
    else:
        from squall.cli.plan_view import print_plan
        from squall.report.terminal import SafeConsole

        print_plan(SafeConsole(highlight=False), test.name, compiled, requests, chain)
    for warning in test.warnings:
        say(f"warning: {warning}", err=True)
