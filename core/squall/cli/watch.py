"""`squall watch` and `squall stop`: a run on a cluster that somebody else, or another terminal, has begun."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from squall.cli.cluster import Where, on_cluster, timeout_option, where_options
from squall.cli.saying import say

if TYPE_CHECKING:
    from squall.remote.cluster import Cluster


@click.command()
@click.argument("name")
@timeout_option("Give up waiting after this long; the run goes on.")
@where_options
def watch(name: str, *, limit: float | None, where: Where) -> int:
    """Follow the run that the LoadTest NAME asks for until it has ended, and exit with its verdict's code.

    Ctrl-C ends the watching, not the run.
    """

    async def follow(cluster: Cluster) -> int:
        from squall.remote.seen import key_of

        key = key_of(await cluster.load_test(name))
        return await _attended(cluster, name, key, limit)

    return on_cluster(where, follow)


@click.command()
@click.argument("name")
@timeout_option("Give up waiting for the verdict after this long.")
@where_options
def stop(name: str, *, limit: float | None, where: Where) -> int:
    """Stop the run of the LoadTest NAME and wait for its verdict.

    This sets spec.suspend, so nothing starts again before `squall run --cluster`, or an edit, takes it back. The exit code is 0
    when the run has ended, whatever its verdict.
    """

    async def halt(cluster: Cluster) -> int:
        from squall.errors import ExitCode
        from squall.remote.seen import status_of

        await cluster.load_test(name)
        status = status_of(await cluster.hold(name, suspend=True))
        if status.active:
            await _attended(cluster, name, status.run.key, limit)
        else:
            say(f"{name} is not running; it is held now and does not start")
        return ExitCode.PASSED

    return on_cluster(where, halt)


async def _attended(cluster: Cluster, name: str, key: str, limit: float | None) -> int:
    """Show a run until it has ended; returns the exit code of its verdict."""
    from squall.remote.following import attend
    from squall.remote.signals import Signals
    from squall.remote.view import view_for
    from squall.report import console as closing
    from squall.report.terminal import terminal

    console = terminal(sys.stdout)
    view = view_for(console)
    with Signals() as signals:
        outcome = await attend(cluster, name, key, view, signals, limit=limit, stop=False)
    summary = await cluster.final(outcome.report, view.tell) if outcome.report else None
    if summary is not None:
        closing.show(summary, console)
    else:
        console.print(f"{name}: {outcome.message}", markup=False, soft_wrap=True)
    return outcome.exit_code
