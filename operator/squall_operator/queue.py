"""What has to be looked at, and when: a queue of keys in which each stands at most once.

However often something happens to a LoadTest, it is looked at once more and never by two at a time; what fails is tried again
later and later, and a success forgets that.
"""

from __future__ import annotations

import asyncio
import heapq
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

_K = TypeVar("_K", bound="Hashable")

FIRST_RETRY: Final = 0.5
LAST_RETRY: Final = 15.0


class WorkQueue(Generic[_K]):
    """Keys that wait for their turn.

    Args:
        work: Looks at a key; returns after how many seconds it should be looked at again, or None. It may raise nothing but what
            is to be tried again.
        failed: Told of a key and what `work` raised.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        work: Callable[[_K], Awaitable[float | None]],
        failed: Callable[[_K, Exception], None],
        clock: Callable[[], float],
    ) -> None:
        self._work = work
        self._failed = failed
        self._clock = clock
        self._heap: list[tuple[float, int, _K]] = []
        self._due: dict[_K, float] = {}
        """When each waiting key is due; what stands in the heap with another time is void."""
        self._busy: set[_K] = set()
        self._again: dict[_K, float] = {}
        """Keys for which something came while they were being looked at."""
        self._retries: dict[_K, float] = {}
        self._count = 0
        self._changed = asyncio.Event()

    def add(self, key: _K, after: float = 0.0) -> None:
        """Have a key looked at, at the latest after so many seconds."""
        due = self._clock() + after
        if key in self._busy:
            self._again[key] = min(due, self._again.get(key, due))
            return
        if due >= self._due.get(key, float("inf")):
            return
        self._due[key] = due
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, key))
        self._changed.set()

    @property
    def waiting(self) -> int:
        """How many keys are due and not yet looked at."""
        now = self._clock()
        return sum(due <= now for due in self._due.values())

    async def run(self, hands: int = 16) -> None:
        """Work until cancelled, on so many keys at once."""
        async with asyncio.TaskGroup() as group:
            for _ in range(hands):
                group.create_task(self._serve())

    async def _serve(self) -> None:
        while True:
            key = await self._next()
            self._busy.add(key)
            after: float | None
            try:
                after = await self._work(key)
                self._retries.pop(key, None)
            except asyncio.CancelledError:
                self._busy.discard(key)
                self._again.pop(key, None)
                self.add(key)  # whoever works next begins with what was broken off
                raise
            except Exception as error:  # noqa: BLE001 - one key's trouble must not end the work on all others
                after = self._retries.get(key, FIRST_RETRY)
                self._retries[key] = min(LAST_RETRY, after * 2)
                self._failed(key, error)
            finally:
                self._busy.discard(key)
            asked = self._again.pop(key, None)
            if asked is not None:
                self.add(key, max(0.0, asked - self._clock()))
            if after is not None:
                self.add(key, after)

    async def _next(self) -> _K:
        while True:
            now = self._clock()
            while self._heap:
                due, _, key = self._heap[0]
                if self._due.get(key) != due:
                    heapq.heappop(self._heap)
                    continue
                if due > now:
                    break
                heapq.heappop(self._heap)
                del self._due[key]
                return key
            self._changed.clear()
            delay = self._heap[0][0] - now if self._heap else None
            try:
                async with asyncio.timeout(delay):
                    await self._changed.wait()
            except TimeoutError:
                continue
