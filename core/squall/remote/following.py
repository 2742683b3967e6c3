"""Somebody watches a run: until it has ended, or until they have seen enough.

The run depends on nobody who watches. A terminal that is closed, an API server that is away and a network that is cut cost the view, never
the run, and the view takes it up again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from squall.errors import ExitCode, InfrastructureError, SquallError
from squall.kube.api import KubeError
from squall.remote.seen import outcome_of, status_of

if TYPE_CHECKING:
    from squall.remote.cluster import Cluster
    from squall.remote.seen import Outcome
    from squall.remote.signals import Signals
    from squall.remote.view import View

UNNOTICED_SECONDS: Final = 15.0
"""How long an operator may take to say anything, before its absence is mentioned."""
_RETRY_SECONDS: Final = 0.5
_BEFORE: Final = frozenset({"Queued", "Suspended"})
"""Phases of a run that is wanted and has not begun."""


class LeftError(SquallError):
    """Whoever watched has gone; the run may go on."""

    exit_code = ExitCode.USER


async def attend(
    cluster: Cluster, name: str, key: str, view: View, signals: Signals, *, limit: float | None, stop: bool
) -> Outcome:
    """Show a run until it has ended.

    Args:
        cluster: Where it is.
        name: Of the LoadTest.
        key: Of the run.
        view: Where it is shown.
        signals: What ends the watching.
        limit: Seconds until it is given up; None for never.
        stop: Whether the first signal stops the run; else it only ends the watching.

    Raises:
        InfrastructureError: It takes longer than `limit`; the run goes on.
        LeftError: It was asked to end the watching.
        KubeError: The API server refuses.
    """
    following = asyncio.create_task(_until_ended(cluster, name, key, view))
    asked = asyncio.create_task(signals.asked.wait())
    again = asyncio.create_task(signals.again.wait())
    stopping: asyncio.Task[None] | None = None
    view.begin()
    try:
        async with asyncio.timeout(limit):
            await asyncio.wait({following, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not following.done() and stop:
                view.tell("stopping the run and waiting for its verdict; once more leaves at once")
                stopping = asyncio.create_task(_stop(cluster, name, view))
                await asyncio.wait({following, again}, return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            return await following
    except TimeoutError:
        raise InfrastructureError(
            f"{name} has not ended within {limit:g} s; it goes on",
            f"`squall watch {name}` follows it, `squall stop {name}` ends it",
        ) from None
    finally:
        view.end()
        tasks = [task for task in (following, asked, again, stopping) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    told = stop and stopping is not None and stopping.done() and not stopping.cancelled()
    state = "it was told to stop" if told else "the run goes on"
    raise LeftError(f"left {name}: {state}", f"`squall watch {name}` follows it again")


async def _until_ended(cluster: Cluster, name: str, key: str, view: View) -> Outcome:
    silence = asyncio.get_running_loop().call_later(
        UNNOTICED_SECONDS,
        view.tell,
        f"no operator has taken notice of {name} yet: is it running, and does it watch namespace {cluster.namespace}?",
    )
    try:
        async for body in cluster.follow(name, view.tell):
            outcome = outcome_of(body, key)
            if outcome is not None:
                return outcome
            if body is None:
                continue
            status = status_of(body)
            if not status.phase:
                continue
            if status.run.key == key or status.phase in _BEFORE:
                view.update(name, status)
            elif not status.active:
                continue  # what is left of a run before
            silence.cancel()
    finally:
        silence.cancel()
    raise AssertionError("a watch goes on until it is ended")


async def _stop(cluster: Cluster, name: str, view: View) -> None:
    """Tell the operator, as soon as the API server takes it."""
    said = False
    while True:
        try:
            await cluster.hold(name, suspend=True)
        except KubeError as error:
            if not said:
                view.tell(f"cannot be stopped yet: {error.message}")
            said = True
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return
