"""Asking one endpoint once: what is sent, what its answer stands for, and what both say about the endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from squall_runner.evm.node.batching import Batcher
from squall_runner.evm.node.failures import Kind, RpcError, Wordings
from squall_runner.evm.node.jsonrpc import Call, call_body
from squall_runner.evm.node.outcomes import body_of, result_of
from squall_runner.resilience.breaker import REJECTED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from squall_runner.evm.node.endpoints import Endpoint
    from squall_runner.evm.node.rpcsettings import RpcSettings
    from squall_runner.http import HttpClient, Response

SEND: Final = "eth_sendRawTransaction"
_USUAL_BATCH: Final = 100
"""The most calls in one batch where the manifest does not join calls, but `Rpc.call_many` does."""
_TRUSTED_SECONDS: Final = 1.0
"""For so long the chain of an endpoint is not asked for again, however many connections are opened."""


class Asker:
    """Asks endpoints, without waiting for a turn, and whatever their chain.

    Args:
        settings: How endpoints are asked.
        endpoints: All of them.
        client: Sends the HTTP requests.
        wordings: What nodes mean.
        clock: Seconds, monotonic.
        rng: Scatters pauses.
        recorded: Told of each try: name of the endpoint, method, seconds, and the kind of failure (empty: none).

    Attributes:
        clock: See above.
        joining: Whether calls are joined into batches where nobody says otherwise.
    """

    def __init__(
        self,
        settings: RpcSettings,
        endpoints: Sequence[Endpoint],
        client: HttpClient,
        wordings: Wordings,
        *,
        clock: Callable[[], float],
        rng: Random,
        recorded: Callable[[str, str, float, str], None],
    ) -> None:
        self.clock = clock
        self.joining = settings.batch_most > 1
        self._settings = settings
        self._client = client
        self._wordings = wordings
        self._rng = rng
        self._recorded = recorded
        self._numbers = 0
        most, pause = (settings.batch_most, settings.batch_wait) if self.joining else (_USUAL_BATCH, 0.0)
        self._batchers = {
            each: Batcher(each, self._post, wordings, most=most, wait=pause) for each in endpoints
        }

    async def close(self) -> None:
        """Give up batches that are under way."""
        for each in self._batchers.values():
            await each.close()

    async def ask_now(self, endpoint: Endpoint, call: Call, deadline: float, *, again: bool = False) -> Any:
        """Ask one endpoint once.

        Args:
            endpoint: Which one.
            call: What is called.
            deadline: Until when, by the clock.
            again: A stale connection was the excuse once already.

        Raises:
            RpcError: It has failed.
        """
        begun, method = self.clock(), call.method
        ticket = endpoint.breaker.enter(begun)
        if ticket == REJECTED:
            words = "it is left alone, as too many calls have failed"
            raise RpcError(Kind.UNREACHABLE, words, method=method, endpoint=endpoint.shown)
        self._numbers = number = self._numbers + 1
        body = call_body(number, method, call.params)
        endpoint.in_flight += 1
        seconds = None
        try:
            # Nobody would learn that a transaction was sent twice, and may be with the node although it refuses it then.
            harmless = call.idempotent and method != SEND
            if call.joined and endpoint.batches:
                batcher, left = self._batchers[endpoint], deadline - begun
                text, seconds = await batcher.ask(number, body, deadline, left, repeatable=harmless)
            else:
                response = await self._post(endpoint, body, deadline, harmless)
                seconds = response.end - response.start
                if endpoint.chain_ok and not response.reused and begun - endpoint.placed > _TRUSTED_SECONDS:
                    endpoint.chain_ok = None  # a connection was lost; another node may be there by now
                text = body_of(response, method, endpoint.shown)
            result = result_of(text, number, call.into, self._wordings, method, endpoint.shown)
        except RpcError as error:
            now = self.clock()
            error.complete(method, endpoint.shown)
            error.stale = error.stale and call.idempotent and not again
            self._failed(endpoint, error, now, seconds)
            if error.stale:
                endpoint.breaker.abandon(ticket)
                raise
            endpoint.breaker.leave(ticket, now, failed=error.at_fault)
            self._recorded(endpoint.name, method, now - begun if seconds is None else seconds, error.kind)
            raise
        except BaseException:
            endpoint.breaker.abandon(ticket)
            raise
        finally:
            endpoint.in_flight -= 1
        endpoint.answered(seconds)
        endpoint.breaker.leave(ticket, begun + seconds, failed=False)
        self._recorded(endpoint.name, method, seconds, "")
        return result

    async def _post(self, endpoint: Endpoint, body: bytes, deadline: float, repeatable: bool) -> Response:  # noqa: FBT001
        return await self._client.send(
            endpoint.envelope.request(body, repeatable=repeatable),
            timeout=max(0.0, deadline - self.clock()),
            keep_body=True,
            max_redirects=0,
        )

    def _failed(self, endpoint: Endpoint, error: RpcError, now: float, seconds: float | None) -> None:
        """Draw from a failure what it says about the endpoint; `seconds` are those that its answer took."""
        if error.kind is Kind.RATE_LIMITED:
            endpoint.refusals += 1
            endpoint.pause(error.wait or self._settings.pause(endpoint.refusals, self._rng), now)
        elif error.wait:
            endpoint.pause(error.wait, now)
        elif seconds is not None and not error.at_fault:
            endpoint.answered(seconds)
        if error.kind is Kind.UNREACHABLE and endpoint.chain_ok:
            endpoint.chain_ok = None  # another node may be there when it comes back
