"""The connections of one run: one for each of its runners that is there, and the newest where one has come twice."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from squall.hub import protocol

if TYPE_CHECKING:
    from squall.hub.connection import Connection

GOODBYE_SECONDS: Final = 1.0
"""How long runners may take to leave when the hub ends."""


class Connections:
    """Who can be spoken to."""

    def __init__(self) -> None:
        self._open: dict[int, Connection] = {}
        self._alone = asyncio.Event()
        self._alone.set()

    def __len__(self) -> int:
        """How many runners are connected."""
        return len(self._open)

    def add(self, runner: int, connection: Connection) -> None:
        """A runner has connected; where it was connected already, that connection ends."""
        before = self._open.get(runner)
        if before is not None:
            before.close(protocol.CLOSE_REPLACED, "the runner has connected again")
        self._open[runner] = connection
        self._alone.clear()

    def current(self, runner: int, connection: Connection) -> bool:
        """Whether this is the connection of the runner, and not one that was replaced."""
        return self._open.get(runner) is connection

    def remove(self, runner: int) -> None:
        """A runner's connection has ended."""
        del self._open[runner]
        if not self._open:
            self._alone.set()

    def send(self, runner: int, message: protocol.FromHub) -> None:
        """Tell a runner something, if it is there."""
        if runner in self._open:
            self._open[runner].send(message)

    def dismiss(self, reason: str) -> None:
        """Send all home: no load may go on."""
        for connection in self._open.values():
            dismiss(connection, reason)

    async def close(self) -> None:
        """End them all; what was still to be said is said before."""
        for connection in self._open.values():
            connection.close(1001, "the hub ends")
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._alone.wait()


def dismiss(connection: Connection, reason: str) -> None:
    """Send a runner home."""
    connection.send(protocol.Stop(reason, 0))
    connection.send(protocol.Goodbye())
