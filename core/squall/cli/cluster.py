"""The options by which every command that talks to a cluster finds it: `kubectl`'s names, `kubectl`'s meaning.

@click.command()
@where_options
def stop(*, where: Where) -> int:
    return on_cluster(where, work)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from squall.remote.cluster import Cluster

    T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Where:
    """A cluster and a namespace, as given; empty for what the kubeconfig says."""

    namespace: str = ""
    context: str = ""

    @property
    def given(self) -> bool:
        """Whether the command line says anything of a cluster."""
        return bool(self.namespace or self.context)


_OPTIONS = (
    click.option(
        "--namespace", "-n", default="", metavar="NAME", help="Namespace; by default the context's own."
    ),
    click.option(
        "--context", default="", metavar="NAME", help="Context of the kubeconfig; by default the current one."
    ),
)


def where_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, which gets them as one argument, `where`."""

    @wraps(command)
    def gathered(*args: Any, **kwargs: Any) -> Any:
        where = Where(kwargs.pop("namespace"), kwargs.pop("context"))
        return command(*args, where=where, **kwargs)

    for option in reversed(_OPTIONS):
        gathered = option(gathered)
    return gathered


def on_cluster(where: Where, work: Callable[[Cluster], Awaitable[T]]) -> T:
    """Do something with a cluster.

    Raises:
        UsageError: The Kubernetes client is not installed.
        SquallError: Whatever `work` raises.
    """
    import asyncio

    from squall.remote.needs import need_client

    need_client()

    async def connect() -> T:
        from squall.remote.cluster import connected

        async with connected(where.namespace, where.context) as cluster:
            return await work(cluster)

    return asyncio.run(connect())


def seconds_of(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """A Go-style duration, in seconds."""
    from squall.spec.quantities import seconds

    if value is None:
        return None
    try:
        return seconds(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def timeout_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--timeout`, which gives up waiting but leaves the run alone."""
    return click.option("--timeout", "limit", callback=seconds_of, metavar="D", help=text)
