"""The end of a load: waiting for executors without ever waiting for longer than a stop may take.

A user's function may ignore that it is cancelled, so tasks are told to end, told once more, and then left behind with a
warning: whoever waits for the load has to hear of its end.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall_runner.engine.control import Control

_MARGIN_SECONDS = 0.5
"""After the grace of a stop, tasks have this long to notice it; twice."""


async def until_done(
    runs: set[asyncio.Task[None]],
    control: Control,
    stop: Callable[[float], None],
    grace: Callable[[], float],
    note: Callable[..., None],
) -> None:
    """Wait for all executors; after a stop only as long as a stop may take.

    Args:
        runs: The executors. A failure of one, which is a defect, stops all others; it is the caller's to raise.
        control: Whether the load may go on.
        stop: Stops it, with so many seconds of grace.
        grace: The seconds that the latest stop has granted.
        note: Writes to the run's log, see `Hooks.note`.
    """
    stopped = asyncio.create_task(control.on_stop.wait())
    pending = set(runs)
    try:
        while pending and not control.stopped:
            await asyncio.wait({*pending, stopped}, return_when=asyncio.FIRST_COMPLETED)
            pending = {run for run in pending if not run.done()}
            if any(not run.cancelled() and run.exception() for run in runs if run.done()):
                stop(0)
        if pending:
            _, pending = await asyncio.wait(pending, timeout=grace() + _MARGIN_SECONDS)
    finally:
        stopped.cancel()
        for run in pending:
            run.cancel()
    if pending:
        _, pending = await asyncio.wait(pending, timeout=_MARGIN_SECONDS)
    if pending:
        message = "a step did not end when it was told to; python steps must let cancellation pass"
        note("warning", "StepsDidNotStop", message=message)
