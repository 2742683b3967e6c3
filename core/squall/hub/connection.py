"""The hub's end of one runner's connection: frames wait in a bounded queue, so that no runner can hold up the hub."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from squall.hub import protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

QUEUE_FRAMES: Final = 1024
"""An acknowledgement and a ping a second: a runner may be frozen for minutes before this is full."""
CLOSE_SECONDS: Final = 1.0


class Connection:
    """Sends to one runner; `run` must be running.

    Args:
        socket: A WebSocket that is open.
        break_off: Ends it at once, whatever is still on its way.
    """

    def __init__(self, socket: web.WebSocketResponse, break_off: Callable[[], None]) -> None:
        self._socket = socket
        self._break_off = break_off
        self._queue: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._closing: tuple[int, str] | None = None

    def send(self, message: protocol.FromHub) -> None:
        """Queue a message; a runner that does not take its messages is disconnected."""
        if self._closing is not None:
            return
        if len(self._queue) >= QUEUE_FRAMES:
            # Who takes nothing takes no farewell either, and waiting for it would let it stay.
            self._queue.clear()
            self._break_off()
            return
        self._queue.append(protocol.encode(message))
        self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Close after what is queued has been sent."""
        if self._closing is None:
            self._closing = (code, reason)
            self._wake.set()

    async def run(self) -> None:
        """Send what is queued, until closed."""
        while True:
            while self._queue:
                await self._socket.send_bytes(self._queue.popleft())
            if self._closing is not None:
                break
            self._wake.clear()
            await self._wake.wait()
        code, reason = self._closing
        # The reason travels in a control frame, which holds 123 bytes.
        await self._socket.close(code=code, message=reason.encode()[:120])
