"""What makes the platform break: executions at once, time of one execution, connections, the chain's pace.

Without limits a target only gets slower; with these it has a breaking point that a load test can find.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web


class Behaviour:
    """The platform's limits and faults.

    Args:
        latency: Mean time in seconds that one execution takes; single ones vary exponentially around half of it.
        error_rate: Share of executions that fail.
        capacity: Executions at once; further ones wait.
        execution_limit: Seconds after which an execution, waiting included, ends with 504.
        connections: Connections at once; requests on further ones get 503.
        mint_rate: Transactions per second of the chain; minting queues for them.
        payment_latency: Seconds that the payment provider takes.
        seed: Makes latencies and faults repeatable.
    """

    def __init__(
        self,
        *,
        latency: float = 0.005,
        error_rate: float = 0.0,
        capacity: int = 100,
        execution_limit: float = 10.0,
        connections: int = 500,
        mint_rate: float = 10.0,
        payment_latency: float = 0.3,
        seed: int = 1,
    ) -> None:
        self.latency = latency
        self.error_rate = error_rate
        self.execution_limit = execution_limit
        self.connections = connections
        self.payment_latency = payment_latency
        self._capacity = asyncio.Semaphore(capacity)
        self._random = random.Random(seed)
        self._block_time = 1.0 / mint_rate
        self._next_block = 0.0
        self._open_connections: Callable[[], int] = lambda: 0

    def count_connections(self, counter: Callable[[], int]) -> None:
        """Where to ask how many connections are open."""
        self._open_connections = counter

    @web.middleware
    async def middleware(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Put every request but the health check through the limits."""
        if request.path == "/health":
            return await handler(request)
        if self._open_connections() > self.connections:
            response = web.json_response({"error": "too many connections"}, status=503)
            response.force_close()
            return response
        try:
            async with asyncio.timeout(self.execution_limit), self._execution():
                return await handler(request)
        except TimeoutError:
            return web.json_response({"error": "execution time exceeded"}, status=504)

    @asynccontextmanager
    async def _execution(self) -> AsyncIterator[None]:
        async with self._capacity:
            if self.latency:
                half = self.latency / 2
                await asyncio.sleep(half + self._random.expovariate(1 / half))
            if self.error_rate and self._random.random() < self.error_rate:
                raise web.HTTPInternalServerError(
                    text='{"error": "internal"}', content_type="application/json"
                )
            yield

    async def transaction(self) -> None:
        """Wait for a place on the chain, which takes one transaction after the other."""
        now = time.monotonic()
        self._next_block = max(self._next_block, now) + self._block_time
        await asyncio.sleep(self._next_block - now)
