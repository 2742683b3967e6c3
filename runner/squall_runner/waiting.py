"""Waiting that is never too short.

The timers of uvloop count whole milliseconds from the last whole one, so they can fire a millisecond early: a pause
of 10 ms would take 9, and the load would be a tenth higher than asked. Here an early timer is set again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_SHORTEST: Final = 0.001
"""A shorter timer would fire at once, again and again, until the time has come."""


async def wait(seconds: float, clock: Callable[[], float]) -> None:
    """Wait for this long by the clock, or up to about a millisecond longer."""
    due = clock() + seconds
    await asyncio.sleep(seconds)
    while (left := due - clock()) > 0:  # noqa: ASYNC110 - it is time that is waited for
        await asyncio.sleep(max(left, _SHORTEST))
