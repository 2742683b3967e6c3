"""Connections that all VUs of a process share, fewer than there are VUs: who has none waits for one, in order of asking.

A service in front of another one, such as a gateway with a pool of its own, does not open a connection per visitor. What
is subtle about sharing is that nothing may get lost: a connection that is closed, an opening that fails, and somebody
who stops waiting at the very moment when it would be their turn all have to hand on what they had. So there is one word
for what is handed on, a *place*: the right to have one open connection. There are as many places as connections may be
open; each is free, or belongs to a connection (one that is being opened included) until its socket is gone.

    pool = network.shared_pool(origin)
    connection = await pool.acquire(open, deadline, phases)     # comes back by itself when its response is complete
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from squall_runner.http.errors import TIMEOUT, RequestError
from squall_runner.http.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from squall_runner.http.dialing import Phases
    from squall_runner.http.exchange import Channel


class SharedPool(Pool):
    """At most so many connections to one origin, for everybody.

    While somebody waits, no connection is idle and no place is free: whatever comes back is handed to the first who waits.

    Args:
        origin: Where they lead, for messages.
        places: How many may be open.
        clock: Seconds, monotonic.
    """

    __slots__ = ("__weakref__", "_clock", "_free", "_origin", "_places", "_waiting")

    def __init__(self, origin: str, places: int, clock: Callable[[], float]) -> None:
        super().__init__(cookies=True)
        self.put = self._come_back
        self._origin = origin
        self._places = places
        self._free = places
        self._clock = clock
        self._waiting: deque[asyncio.Future[Channel | None]] = deque()

    async def acquire(
        self,
        open_one: Callable[[Callable[[], None]], Awaitable[Channel]],
        deadline: float,
        phases: Phases,
        *,
        fresh: bool = False,
    ) -> Channel:
        """Waits for a connection, and opens one when there is a place for it.

        Args:
            open_one: Opens a connection, and lets what it is given be called when the socket is gone.
            deadline: When the whole request has to be over, in the clock's seconds.
            phases: `begun` becomes the end of the wait, if there was one.
            fresh: One that has served before will not do.

        Raises:
            RequestError: The time was over before there was one (`timeout`), or it could not be opened.
        """
        connection = await self._claim(deadline, phases, fresh=fresh)
        if connection is not None:
            return connection
        leave = self._place()
        try:
            connection = await open_one(leave)
        except BaseException:
            leave()
            raise
        connection.pool = self
        return connection

    def close(self) -> None:
        """Leaves all as it is: one VU is done, the others are not."""

    # Handing on.

    def _come_back(self, connection: Channel) -> None:
        """Takes back a connection whose response is complete."""
        if self._hand(connection):
            return
        if len(self.idle) >= 2 * self._places:  # most of these were closed while they were idle
            self.idle[:] = [each for each in self.idle if not each.closed]
        self.idle.append(connection)

    def _place(self) -> Callable[[], None]:
        """A place that is in use; returns what gives it back, however often that is called."""
        taken = True

        def leave() -> None:
            nonlocal taken
            if taken:
                taken = False
                self._leave()

        return leave

    def _leave(self) -> None:
        if not self._hand(None):
            self._free += 1

    def _hand(self, what: Channel | None) -> bool:
        """Gives a connection, or a place to open one, to the first who still waits; whether there was somebody."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(what)
                return True
        return False

    # Waiting.

    async def _claim(self, deadline: float, phases: Phases, *, fresh: bool) -> Channel | None:
        """Returns an open connection, or None: whoever asked has a place now, and may open one."""
        first = False
        while True:
            if self._free and (fresh or not self.idle):
                self._free -= 1
                return None
            connection = self.idle.pop() if self.idle else await self._wait(deadline, phases, first=first)
            if connection is None:
                return None
            if not (fresh or connection.closed):
                return connection
            if not connection.closed:
                connection.abort()
            first = True  # its place becomes free as soon as its socket is gone, and was ours already

    async def _wait(self, deadline: float, phases: Phases, *, first: bool) -> Channel | None:
        waiter: asyncio.Future[Channel | None] = asyncio.get_running_loop().create_future()
        if first:
            self._waiting.appendleft(waiter)
        else:
            self._waiting.append(waiter)
        begun = self._clock()
        try:
            async with asyncio.timeout(deadline - begun):
                return await waiter
        except TimeoutError as exc:
            self._give_up(waiter)
            waited = f"{self._clock() - begun:.3g} s"
            text = f"waited {waited} for a free connection: all {self._places} to {self._origin} were in use"
            raise RequestError(TIMEOUT, text) from exc
        except BaseException:
            self._give_up(waiter)
            raise
        finally:
            phases.begun = self._clock()

    def _give_up(self, waiter: asyncio.Future[Channel | None]) -> None:
        """Stops waiting; hands on what came at the same moment."""
        if waiter.cancelled() or not waiter.done():
            with suppress(ValueError):
                self._waiting.remove(waiter)
            return
        connection = waiter.result()
        if connection is None:
            self._leave()
        elif not connection.closed:  # a closed one gives its place back by itself
            self._come_back(connection)
