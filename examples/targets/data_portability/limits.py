"""What services of the network do to those who ask too much, or at a bad moment: 429 with Retry-After, delays, failures."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class TokenBucket:
    """So many requests per second, with a few more at once after a quiet time.

    Args:
        rate: Requests per second; 0 for no limit.
        burst: Requests at once after a quiet time.
        clock: Seconds that only grow.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._tokens, self._at = float(burst), clock()

    def wait(self) -> float:
        """0 when a request may pass now, and has; else the seconds until one may."""
        if self._rate <= 0:
            return 0.0
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._rate


class RefusedError(Exception):
    """A request that is answered with an error; `retry_after` in seconds goes into the header of that name."""

    def __init__(
        self, status: int, message: str, *, code: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after = status, code, retry_after

    def response(self) -> web.Response:
        """The answer."""
        headers = {} if self.retry_after is None else {"Retry-After": str(math.ceil(self.retry_after))}
        body = {"error": str(self)} | ({"code": self.code} if self.code else {})
        return web.json_response(body, status=self.status, headers=headers)


class Faults:
    """Delays and failures of a service, at random; the same ones for the same seed.

    Args:
        latency: Mean seconds that an answer takes longer.
        failure_rate: Share of requests that are answered with 503.
        seed: Of chance.
    """

    def __init__(self, latency: float = 0.0, failure_rate: float = 0.0, seed: int = 1) -> None:
        self._latency, self._failure_rate = latency, failure_rate
        self._random = random.Random(seed)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Holds requests up, lets some fail, and turns refusals into answers."""
        if request.path in {"/health", "/metrics"}:
            return await handler(request)
        if self._latency:
            await asyncio.sleep(self._random.expovariate(1 / self._latency))
        if self._random.random() < self._failure_rate:
            return RefusedError(503, "the service has a bad moment").response()
        try:
            return await handler(request)
        except RefusedError as error:
            return error.response()


async def json_body(request: web.Request, **types: type) -> dict[str, Any]:
    """The request's JSON body, which has to be an object with these members.

    Raises:
        RefusedError: It is not.
    """
    try:
        body = await request.json()
    except ValueError:
        raise RefusedError(400, "the body is no JSON") from None
    if not isinstance(body, dict):
        raise RefusedError(400, "the body must be a JSON object")
    for name, kind in types.items():
        if not isinstance(body.get(name), kind):
            raise RefusedError(400, f"the body needs {name}, of type {kind.__name__}")
    return body
