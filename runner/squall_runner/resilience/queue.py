"""Requests that wait for their turn at a host, first come, first served.

Thousands of VUs may wait. They wait in one line with one timer, so that a VU that is taken away leaves no hole in it:
the others move up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall_runner.resilience.pace import Pace

# Timers of uvloop count whole milliseconds and may be early; a shorter one would only have to be set again.
_SHORTEST: Final = 0.001


class _Waiting(NamedTuple):
    future: asyncio.Future[bool]
    came: float
    deadline: float


class Queue:
    """The line before one host, of one shard.

    Args:
        pace: When the next may go.
        clock: Seconds, monotonic.
    """

    __slots__ = ("_clock", "_gone", "_line", "_pace", "_timer")

    def __init__(self, pace: Pace, clock: Callable[[], float]) -> None:
        self._pace = pace
        self._clock = clock
        self._line: deque[_Waiting] = deque()
        self._gone = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Whether nobody waits, nor would have to: nothing would be lost with this queue."""
        return not self._line and self._pace.idle(self._clock())

    def free(self, now: float) -> bool:
        """Whether there is nothing to wait for; if so, the turn is taken."""
        if self._line or self._pace.turn() > now:
            return False
        self._pace.take(now, now)
        return True

    async def turn(self, deadline: float) -> bool:
        """Wait for one's turn, unless it is there.

        Args:
            deadline: The moment until which the request makes sense.

        Returns:
            False, at once, when the turn would come after the deadline; nobody has to wait for this request then.

        Raises:
            asyncio.CancelledError: The caller was cancelled; its place is given up.
        """
        now = self._clock()
        if self.free(now):
            return True
        if self._pace.place(len(self._line) - self._gone, now) > deadline:
            return False
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._line.append(_Waiting(future, now, deadline))
        if self._timer is None:
            self._arm(self._pace.turn() - now)
        try:
            return await future
        except asyncio.CancelledError:
            self._gone += future.cancelled()  # one that had its turn is no longer in the line
            raise

    def _arm(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(max(seconds, _SHORTEST), self._move)

    def _move(self) -> None:
        """Let go whoever may go."""
        self._timer = None
        line, pace, now = self._line, self._pace, self._clock()
        while line:
            future, came, deadline = line[0]
            if future.done():
                self._gone -= 1
            elif deadline < now:
                future.set_result(False)
            else:
                due = pace.turn()
                if due > now:
                    self._arm(due - now)
                    return
                pace.take(max(due, came), now)
                future.set_result(True)
            line.popleft()
