"""`squall logs`: what the runners of a run on a cluster print."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from squall.cli.cluster import Where, on_cluster, where_options
from squall.cli.saying import say

if TYPE_CHECKING:
    from squall.remote.cluster import Cluster


@click.command()
@click.argument("name")
@click.option("--shard", type=click.IntRange(0), metavar="I", help="Only the pod that carries this shard.")
@click.option("--follow", "-f", is_flag=True, help="Go on until the pods end.")
@click.option("--raw", is_flag=True, help="Print lines as they were written: JSON, for other programs.")
@where_options
def logs(name: str, *, shard: int | None, follow: bool, raw: bool, where: Where) -> None:
    """Print what the runner pods of the LoadTest NAME log, in words, each line with the pod's index in front."""

    async def show(cluster: Cluster) -> None:
        import sys
        from functools import partial

        from squall.logs.reading import as_read
        from squall.remote.logs import SAME_IN_ALL, show_logs

        words = partial(as_read, colors=sys.stdout.isatty(), without=SAME_IN_ALL)
        await show_logs(cluster, name, shard=shard, follow=follow, write=say, show=str if raw else words)

    on_cluster(where, show)
