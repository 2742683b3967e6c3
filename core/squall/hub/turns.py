"""Keeps a thousand runners that all speak at once from holding up whoever says stop.

All snapshots of a second come within the same few milliseconds, and merging them takes hundreds. An event loop that did all of that before
it looked at anything else would hear of a stop, or answer a ping, only then; and where the hub has too little of a processor, runners'
frames pile up and each round takes longer than the one before. So in each round of the loop only so much is taken in, and the rest waits
for the next rounds, first come, first served.

A round ends with the piece that fills it, however long that piece is. So whose pieces are long has to rest after each: what a single run
sends may be slow to take in, and must not make the hub slow for the others.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS: Final = 0.02
"""Of work in one round of the loop."""
REST: Final = 3.0
"""Seconds of rest for each second of work in pieces longer than a round."""


class Turns:
    """Shares the loop between those who wait for their turn and everybody else.

    Args:
        clock: Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._end: float | None = None
        """When this round's share is used up; None until somebody takes the first turn in it."""

    async def mine(self) -> None:
        """Wait until there is time for a little work."""
        while True:
            now = self._clock()
            if self._end is None:
                self._end = now + SECONDS
                asyncio.get_running_loop().call_soon(self._renew)
            if now < self._end:
                return
            await asyncio.sleep(0)

    def _renew(self) -> None:
        """Another round has begun."""
        self._end = None


class Rest:
    """What one run has to wait for, since taking in what it sent took long.

    Args:
        clock: Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._until = -1.0

    def took(self, seconds: float) -> None:
        """So long the loop could do nothing else."""
        if seconds > SECONDS:
            self._until = max(self._until, self._clock()) + REST * seconds

    async def over(self) -> None:
        """Wait until the run has rested."""
        while (left := self._until - self._clock()) > 0:  # noqa: ASYNC110 - another one may have gone first, and taken long
            await asyncio.sleep(left)
