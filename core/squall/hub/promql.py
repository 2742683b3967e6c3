"""Asks Prometheus for the thresholds on the system under test, once a second and never waiting long.

A run must not depend on the monitoring of its target: no answer, a late answer or a strange one is "no data" for that second,
with a warning that says why, and the threshold's own `noData` decides what that means at the end.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

TIMEOUT_SECONDS: Final = 2.0
MAX_BYTES: Final = 1024 * 1024


class PrometheusError(Exception):
    """A query has no usable answer; the message says why."""


class Prometheus:
    """A Prometheus server, or what speaks its HTTP API.

    Args:
        url: Its base URL, such as `http://127.0.0.1:9090`; a path before `/api` is kept.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/") + "/api/v1/query"
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, query: str, at_unix: float) -> float | None:
        """The value of an instant query, the largest of a vector; None when the answer holds none.

        An answer that leads elsewhere is an error: whoever gives it could have the hub ask any server that it reaches.

        Raises:
            PrometheusError: There is no answer, or it is an error.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS))
        data = {"query": query, "time": f"{at_unix:.3f}", "timeout": f"{TIMEOUT_SECONDS:g}s"}
        try:
            async with self._session.post(self._url, data=data, allow_redirects=False) as response:
                return value_of(_decode(await _whole(response.content), response.status))
        except TimeoutError:
            raise PrometheusError(f"no answer within {TIMEOUT_SECONDS:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise PrometheusError(str(error) or type(error).__name__) from error

    async def ask_all(
        self, queries: Iterable[str], at_unix: float
    ) -> dict[str, float | PrometheusError | None]:
        """The answers to several queries, asked at the same time."""
        asked = list(dict.fromkeys(queries))
        answers = await asyncio.gather(*(self.ask(query, at_unix) for query in asked), return_exceptions=True)
        found: dict[str, float | PrometheusError | None] = {}
        for query, answer in zip(asked, answers, strict=True):
            if isinstance(answer, BaseException) and not isinstance(answer, PrometheusError):
                raise answer
            found[query] = answer
        return found

    async def close(self) -> None:
        """Let go of connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _whole(content: aiohttp.StreamReader) -> bytes:
    """All of an answer, however many pieces it comes in.

    Raises:
        PrometheusError: It is too long.
    """
    body = bytearray()
    while piece := await content.read(MAX_BYTES + 1 - len(body)):
        body += piece
        if len(body) > MAX_BYTES:
            text = f"the answer is longer than {MAX_BYTES} bytes; aggregate in the query, to one number"
            raise PrometheusError(text)
    return bytes(body)


def _decode(body: bytes, status: int) -> dict[str, Any]:
    if 300 <= status < 400:
        raise PrometheusError(f"status {status}: it is somewhere else; give the URL where it is")
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise PrometheusError(f"status {status}, and the answer is not JSON") from None
    if not isinstance(answer, dict) or answer.get("status") != "success":
        text = answer.get("error", "") if isinstance(answer, dict) else ""
        raise PrometheusError(f"status {status}: {text or 'the answer is not one of Prometheus'}")
    data = answer.get("data")
    if not isinstance(data, dict):
        raise PrometheusError("the answer holds no data")
    return data


def value_of(data: dict[str, Any]) -> float | None:
    """The one number in the `data` of an instant query's answer, the largest of a vector; None without any.

    Raises:
        PrometheusError: It is a string or a range, or malformed.
    """
    kind, result = data.get("resultType"), data.get("result")
    try:
        if kind == "scalar":
            values = [float(result[1])]  # type: ignore[index]  # what is malformed raises TypeError, caught below
        elif kind == "vector":
            values = [float(sample["value"][1]) for sample in result]  # type: ignore[union-attr]  # likewise
        else:
            raise PrometheusError(f"the query gives a {kind}, not a number or a vector of numbers")
    except (TypeError, KeyError, IndexError, ValueError):
        raise PrometheusError("the answer is malformed") from None
    return max((value for value in values if not math.isnan(value)), default=None)
