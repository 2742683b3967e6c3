"""Tasks that somebody else may end: work that is given up when something has happened, and tasks that do not want to end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence


async def done_before(event: asyncio.Event, work: Coroutine[object, object, object]) -> bool:
    """Do some work, or give it up when an event comes; returns whether it was done. Raises what the work raised."""
    task, given_up = asyncio.create_task(work), asyncio.create_task(event.wait())
    try:
        await asyncio.wait([task, given_up], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        return task.done()
    finally:
        for each in (task, given_up):
            each.cancel()
        await asyncio.gather(task, given_up, return_exceptions=True)


async def settle(tasks: Sequence[asyncio.Task[None]], seconds: float) -> None:
    """Wait for tasks that were cancelled, but not for ever: they may run code of the user's that refuses to end."""
    done, _ = await asyncio.wait(tasks, timeout=seconds)
    for task in done:
        if not task.cancelled():
            task.exception()  # looked at, so that nobody complains; what matters has been told
