"""`squall try`: the way people write and debug a manifest.

The runner does the work in a process of its own, exactly as in a run; this command gives it an assignment and renders
the events that it tells.
"""

from __future__ import annotations

import click

from squall.cli.options import ManifestChanges, manifest_options


@click.command("try")
@click.argument("file")
@manifest_options
def try_(file: str, *, changes: ManifestChanges) -> int:
    """Run setup, one iteration of each scenario and teardown, and show everything.

    Every request, response, extracted value, check and failure is printed, secrets masked. Pauses are left out. FILE may be -
    for standard input. The exit code is 0 when all steps and checks passed, 99 otherwise, 104 for a bad manifest.
    """
    import secrets
    import sys
    import tempfile
    from pathlib import Path

    from squall.cli.one_process import whole
    from squall.cli.try_process import try_assignment
    from squall.cli.try_view import TryView
    from squall.report.terminal import terminal
    from squall.validation import load_one

    test = load_one(file, changes.options())
    console = terminal(sys.stdout)
    for warning in test.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False)
    with tempfile.TemporaryDirectory(prefix="squall-try-") as folder:
        assignment = whole(test, f"try-{secrets.token_hex(4)}", Path(folder))
        return try_assignment(assignment, TryView(console).show)
