"""How a run stands, for however many watch it: each reads as fast as it can, and nobody waits for the slow ones."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from squall.report.model import LiveState


class Watched:
    """The state of one run.

    Args:
        now: The first one.

    Attributes:
        now: The latest one.
    """

    def __init__(self, now: LiveState) -> None:
        self.now = now
        self._news = asyncio.Event()

    def show(self, now: LiveState) -> None:
        """Have those who watch see another one."""
        self.now = now
        self._news.set()
        self._news = asyncio.Event()

    async def states(self, is_last: Callable[[], bool]) -> AsyncIterator[LiveState]:
        """All as they come; who reads slowly misses some, never the last.

        Args:
            is_last: Whether no other will come.
        """
        seen: LiveState | None = None
        while True:
            if self.now is not seen:
                seen = self.now
                yield seen
            elif is_last():
                return
            else:
                await self._news.wait()
