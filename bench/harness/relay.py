"""Stands between a sender and its receiver, which can so be away for a while."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

from support.processes import free_ports


class Relay:
    """Passes connections on to a port, or refuses them."""

    def __init__(self, to: int) -> None:
        self._to = to
        (self.port,) = free_ports(1)
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def listen(self, *, on: bool) -> None:
        asyncio.run_coroutine_threadsafe(self._listen(on=on), self._loop).result(10)

    async def _listen(self, *, on: bool) -> None:
        if on:
            self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        elif self._server is not None:
            self._server.close()
            for writer in self._open:
                writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        both = {writer, back}
        self._open |= both
        with suppress(OSError):
            await asyncio.gather(_copy(reader, back), _copy(there, writer))
        self._open -= both
        for each in both:
            each.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
