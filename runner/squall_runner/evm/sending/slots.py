"""How many may be on their way at once; who comes when all places are taken waits in line, first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque


class Slots:
    """Places, and the line before them.

    Args:
        most: How many places there are.
    """

    __slots__ = ("_line", "_most", "used")

    def __init__(self, most: int) -> None:
        self.used = 0
        """Places that are taken."""
        self._most = most
        self._line: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait in line."""
        return sum(not future.done() for future in self._line)

    def take(self) -> bool:
        """Take a place, if one is free and nobody waits for it."""
        if self.used >= self._most or self._line:
            return False
        self.used += 1
        return True

    async def turn(self, seconds: float) -> None:
        """Take a place as soon as it is one's turn.

        Raises:
            TimeoutError: It was not within so many seconds.
            asyncio.CancelledError: The caller was cancelled; its place is given up.
        """
        if self.take():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(future)
        try:
            async with asyncio.timeout(seconds):
                await future
        except BaseException:
            if future.done() and not future.cancelled():
                self.release()
            else:
                future.cancel()
                self._serve()
            raise

    def release(self) -> None:
        """Give up a place."""
        self.used -= 1
        self._serve()

    def _serve(self) -> None:
        line = self._line
        while line and (line[0].done() or self.used < self._most):
            future = line.popleft()
            if not future.done():
                self.used += 1
                future.set_result(None)
