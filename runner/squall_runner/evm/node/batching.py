"""Joining calls that come close together into one JSON-RPC batch, and handing each its own answer.

Answers are found by their id, in whatever order they come. One that is missing, or an error, is that call's alone.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from squall_runner.evm.node.failures import Kind, RpcError
from squall_runner.evm.node.jsonrpc import ErrorObject, MalformedError, batch_body, read_batch
from squall_runner.evm.node.outcomes import body_of, node_failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from msgspec import Raw

    from squall_runner.evm.node.endpoints import Endpoint
    from squall_runner.evm.node.failures import Wordings
    from squall_runner.http import Response

_METHOD: Final = "a batch"
_PASSING: Final = frozenset({Kind.RATE_LIMITED, Kind.TIMEOUT})
"""Failures that smaller batches would not mend."""


@dataclass(slots=True, eq=False)
class _Waiting:
    number: int
    body: bytes
    repeatable: bool
    deadline: float
    future: asyncio.Future[tuple[bytes | Raw, float] | RpcError]
    """Gets errors as results: nobody may be left to look at an exception."""


class Batcher:
    """Joins the calls to one endpoint.

    Args:
        endpoint: Who is asked.
        send: Sends a body until a deadline by the clock.
        wordings: What the endpoint means when it refuses a batch.
        most: The most calls in one batch.
        wait: How long the first of them waits for others, in seconds.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        send: Callable[[Endpoint, bytes, float, bool], Awaitable[Response]],
        wordings: Wordings,
        *,
        most: int,
        wait: float,
    ) -> None:
        self._endpoint = endpoint
        self._send = send
        self._wordings = wordings
        self._most = most
        self._wait = wait
        self._line: list[_Waiting] = []
        self._timer: asyncio.Handle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(
        self, number: int, body: bytes, deadline: float, seconds: float, *, repeatable: bool
    ) -> tuple[bytes | Raw, float]:
        """The answer to one call, as bytes, and the seconds that its HTTP request took.

        Args:
            number: The id of the call.
            body: The call.
            deadline: Until when it may take, by the clock.
            seconds: How long that is; others in its batch may have more time.
            repeatable: Whether the HTTP client may send it twice.

        Raises:
            RpcError: No answer came to it.
            asyncio.CancelledError: The caller was cancelled; what has not been sent yet is not sent.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(number, body, repeatable, deadline, loop.create_future())
        self._line.append(waiting)
        if len(self._line) >= self._most:
            self._go()
        elif self._timer is None:
            self._timer = loop.call_later(self._wait, self._go) if self._wait else loop.call_soon(self._go)
        try:
            async with asyncio.timeout(seconds):
                answer = await waiting.future
        except TimeoutError:
            words = f"no answer came within {seconds:.3g} s"
            raise RpcError(Kind.TIMEOUT, words, endpoint=self._endpoint.shown, unknown_fate=True) from None
        if isinstance(answer, RpcError):
            raise answer
        return answer

    async def close(self) -> None:
        """Give up what has not been answered."""
        if self._timer is not None:
            self._timer.cancel()
        for each in self._line:
            each.future.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _go(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        calls = [each for each in self._line if not each.future.done()]
        self._line = []
        if calls:
            task = asyncio.get_running_loop().create_task(self._exchange(calls))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _exchange(self, calls: list[_Waiting]) -> None:
        shown, many = self._endpoint.shown, len(calls) > 1
        try:
            body = batch_body([each.body for each in calls]) if many else calls[0].body
            deadline = max(each.deadline for each in calls)
            response = await self._send(
                self._endpoint, body, deadline, all(each.repeatable for each in calls)
            )
            seconds = response.end - response.start
            text = body_of(response, _METHOD, shown)
            if not many:
                _settle(calls[0], text, seconds)
                return
            answers = read_batch(text)
            if isinstance(answers, ErrorObject):
                await self._refused(calls, answers)
                return
            for each in calls:
                found = answers.get(each.number)
                if found is None:
                    words = "the batch came back without an answer to this call"
                    _fail(each, RpcError(Kind.MALFORMED, words, endpoint=shown, unknown_fate=True))
                else:
                    _settle(each, found, seconds)
        except MalformedError as error:
            for each in calls:
                _fail(each, RpcError(Kind.MALFORMED, str(error), endpoint=shown, unknown_fate=True))
        except RpcError as error:
            for each in calls:
                _fail(each, error.copy(unknown_fate=error.unknown_fate))
        except BaseException:
            for each in calls:
                each.future.cancel()
            raise

    async def _refused(self, calls: list[_Waiting], error: ErrorObject) -> None:
        """It takes no such batches, and has done nothing: it gets smaller ones from now on, and none where even two are too many."""
        failure = node_failure(error, self._wordings, _METHOD, self._endpoint.shown)
        if failure.kind in _PASSING:
            raise failure
        most = len(calls) // 2
        self._most = min(self._most, max(most, 2))
        if most < 2:
            self._endpoint.batches = False
        parts = [calls[at : at + most] for at in range(0, len(calls), most)]
        await asyncio.gather(*(self._exchange(part) for part in parts))


def _settle(call: _Waiting, text: bytes | Raw, seconds: float) -> None:
    if not call.future.done():
        call.future.set_result((text, seconds))


def _fail(call: _Waiting, error: RpcError) -> None:
    if not call.future.done():
        call.future.set_result(error)
