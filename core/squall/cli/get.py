"""`squall get`: the load tests of a namespace at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from squall.cli.cluster import Where, on_cluster, where_options
from squall.cli.saying import say

if TYPE_CHECKING:
    from squall.kube.api import Json
    from squall.remote.cluster import Cluster

_PIPED_WIDTH = 10_000


@click.command()
@click.argument("name", required=False)
@click.option("--all-namespaces", "-A", "everywhere", is_flag=True, help="Those of all namespaces.")
@where_options
def get(name: str | None, *, everywhere: bool, where: Where) -> None:
    """List the LoadTests of a namespace, or show the one called NAME: phase, verdict, shards and figures."""
    import sys
    import time

    from squall.report.terminal import SafeConsole

    if everywhere and (name or where.namespace):
        raise click.UsageError("--all-namespaces lists all; leave NAME and --namespace away")

    async def read(cluster: Cluster) -> list[Json]:
        from squall.kube.paths import collection

        if name:
            return [await cluster.load_test(name)]
        namespace = "" if everywhere else cluster.namespace
        found: list[Json] = (await cluster.kube.get(collection("loadtests", namespace)))["items"]
        return found

    bodies = on_cluster(where, read)
    if not bodies:
        say("no LoadTests found")
        return
    from squall.remote.listing import table

    # Where nobody looks but a program, a row is a line.
    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    SafeConsole(width=width).print(table(bodies, time.time(), namespaces=everywhere))
