"""Calling the node: one call goes to one endpoint, and to others when that one cannot answer it.

    rpc = Rpc(settings, endpoints, client=client, network=network, chain_id=31337)
    await rpc.start()                       # every endpoint that answers is on the right chain, or the run is refused
    head = await rpc.call("eth_blockNumber")
    sent = await rpc.send_raw(raw, hash, sticky=wallet)

Every failure is an `RpcError` with a kind; HTTP 200 with an error inside is one, and so is an answer that is none. A call that may
have reached a node is made again only if that can do no harm: a read, or the same raw transaction, of which a chain takes only one
however often it comes. Whoever cannot be sure afterwards is told so (`unknown_fate`). No endpoint gets a call before it has said
that it is on the right chain, and it is asked again after each lost connection.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any, Final

from squall.plan.share import WHOLE
from squall_runner.evm.batching import Batcher
from squall_runner.evm.chainguard import ChainGuard
from squall_runner.evm.checking import Checker
from squall_runner.evm.endpoints import Endpoint, Pool
from squall_runner.evm.failures import Kind, RpcError, Wordings
from squall_runner.evm.jsonrpc import Call, call_body
from squall_runner.evm.outcomes import body_of, result_of
from squall_runner.resilience.breaker import REJECTED
from squall_runner.resilience.budget import RetryBudget
from squall_runner.waiting import wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from squall.plan.share import Share
    from squall_runner.evm.rpcsettings import EndpointSettings, RpcSettings
    from squall_runner.http import HttpClient, Network, Response


def _nothing(*_: object) -> None:
    """Nobody wants to know."""


SEND: Final = "eth_sendRawTransaction"
_USUAL_BATCH: Final = 100
"""The most calls in one batch where the manifest does not join calls, but `call_many` does."""


class Rpc:
    """The endpoints of a chain, as one node that does not fail.

    Args:
        settings: How endpoints are asked.
        endpoints: At least one.
        client: Sends the HTTP requests; with a network that shares connections (`shared_connections`), as many calls at once
            would otherwise open as many connections.
        network: The client's own, whose rules WebSockets keep, too.
        chain_id: The only chain that will do; None: any that is no well-known one of value, and the same for all.
        wordings: What nodes mean.
        share: This shard's place among all, for rates.
        clock: Seconds, monotonic.
        rng: Scatters pauses.
        recorded: Told of each try of each call: name of the endpoint, method, seconds, and the kind of failure (empty: none).
        health: Told after each check, and each change: name of the endpoint, whether it is up, seconds that its head is behind.
        told: Told for the run's log: `warning` or `info`, and a sentence.

    Attributes:
        pool: The endpoints.
        chain: Sees that they are on the right chain.
        network: See above.
        clock: See above.
    """

    def __init__(
        self,
        settings: RpcSettings,
        endpoints: Sequence[EndpointSettings],
        *,
        client: HttpClient,
        network: Network,
        chain_id: int | None,
        wordings: Wordings | None = None,
        share: Share = WHOLE,
        clock: Callable[[], float] = time.perf_counter,
        rng: random.Random | None = None,
        recorded: Callable[[str, str, float, str], None] = _nothing,
        health: Callable[[str, bool, float], None] = _nothing,
        told: Callable[[str, str], None] = _nothing,
    ) -> None:
        self.network = network
        self.clock = clock
        self._settings = settings
        self._client = client
        self._wordings = wordings or Wordings()
        self._rng = rng or random.Random()  # noqa: S311 - pauses are no secret
        self._recorded = recorded
        self._health = health
        self._told = told
        self._numbers = 0
        self._budget = RetryBudget()
        self.pool = Pool(endpoints, settings, share, clock=clock, rng=self._rng, changed=self._changed)
        self.chain = ChainGuard(chain_id, self)
        self._joined = settings.batch_most > 1
        most, pause = (settings.batch_most, settings.batch_wait) if self._joined else (_USUAL_BATCH, 0.0)
        self._batchers = {each: Batcher(each, self._post, most=most, wait=pause) for each in self.pool.all}
        self._checker = Checker(self, rng=self._rng)

    @property
    def chain_id(self) -> int:
        """The chain that the endpoints are on; 0 until the first has said so, where the manifest does not name it."""
        return self.chain.found or 0

    # -- life -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """See that all endpoints that answer are on the right chain, and begin to look after them.

        Raises:
            RpcError: One is on another chain (`CHAIN_MISMATCH`), or none answers.
        """
        outcomes = await asyncio.gather(
            *(self.chain.verify(each, self._settings.timeout) for each in self.pool.all),
            return_exceptions=True,
        )
        problems = [each for each in outcomes if isinstance(each, BaseException)]
        for problem in problems:
            if not isinstance(problem, RpcError) or problem.kind is Kind.CHAIN_MISMATCH:
                raise problem
        if len(problems) == len(self.pool.all):
            raise problems[0]
        self._checker.start()

    async def close(self) -> None:
        """Give up what is under way. The client and the network are their owner's."""
        await self._checker.stop()
        await self.chain.close()
        for each in self._batchers.values():
            await each.close()

    # -- calls ------------------------------------------------------------------------------------------------

    async def call(
        self,
        method: str,
        params: Sequence[Any] = (),
        *,
        sticky: str = "",
        timeout: float | None = None,  # noqa: ASYNC109 - the HTTP client's deadlines watch it
        idempotent: bool = True,
        into: Any = Any,
        joined: bool | None = None,
    ) -> Any:
        """The result of a call.

        Args:
            method: What is called.
            params: Its parameters, as JSON values.
            sticky: Who calls, if that one keeps to one endpoint as long as it is well; empty: any endpoint will do.
            timeout: Seconds for the whole of it, all tries included; None: each try has its own time, and nothing else bounds it.
            idempotent: Whether reaching the chain twice has the same effect as once.
            into: The type that the result has to have (`str`, `list`, a `msgspec.Struct`, ...); an answer that has another one
                is refused.
            joined: Whether it is sent in one batch with others of the same moment; None: as the manifest says.

        Raises:
            RpcError: It has failed; see the module.
        """
        now = self.clock()
        call = Call(method, params, idempotent, into, self._joined if joined is None else joined)
        self._budget.deposit(self._settings.budget)
        endpoint = self.pool.pick(sticky, now)
        if endpoint.paused <= now:
            try:
                return await self._ask(endpoint, call, now, timeout)
            except RpcError as error:
                failure = error
            if failure.at_fault:
                self._checker.wake()
        else:
            words, left = "it has asked to be left alone for a while", endpoint.paused - now
            failure = RpcError(Kind.RATE_LIMITED, words, method=method, endpoint=endpoint.shown, wait=left)
        return await self._again(failure, endpoint, call, sticky, now, timeout)

    async def call_many(
        self, method: str, params: Iterable[Sequence[Any]], *, sticky: str = "", into: Any = Any
    ) -> list[Any]:
        """The results of the same method for many parameters, asked for in batches where the endpoint takes them.

        Args:
            method: What is called; has to be harmless when called twice.
            params: The parameters of each call.
            sticky: As for `call`.
            into: As for `call`.

        Raises:
            RpcError: One has failed.
        """
        calls = [self.call(method, each, sticky=sticky, into=into, joined=True) for each in params]
        results = await asyncio.gather(*calls, return_exceptions=True)
        for each in results:
            if isinstance(each, BaseException):
                raise each
        return results

    async def send_raw(
        self,
        raw: str,
        tx_hash: str,
        *,
        sticky: str = "",
        timeout: float | None = None,  # noqa: ASYNC109 - as above
    ) -> str:
        """Hand in a signed transaction; that a node knows it already is as good as accepting it.

        Args:
            raw: The transaction, as `0x...`.
            tx_hash: Its hash, as `0x...`.
            sticky: As for `call`; best the wallet's address, since pending nonces are known to one node first.
            timeout: As for `call`.

        Returns:
            Its hash.

        Raises:
            RpcError: It was refused; or nobody knows (`unknown_fate`): then it may be mined nevertheless.
        """
        try:
            found: str = await self.call(SEND, (raw,), sticky=sticky, timeout=timeout, into=str)
        except RpcError as error:
            if error.kind is Kind.ALREADY_KNOWN:
                return tx_hash
            raise
        if found.lower() != tx_hash.lower():
            message = f"the node calls this transaction {found[:66]}, and not {tx_hash}"
            raise RpcError(Kind.MALFORMED, message, method=SEND, unknown_fate=True)
        return found

    async def _again(  # noqa: PLR0917 - as `call` has them
        self,
        error: RpcError,
        endpoint: Endpoint,
        call: Call,
        sticky: str,
        begun: float,
        timeout: float | None,  # noqa: ASYNC109 - as above
    ) -> Any:
        """Call again what has failed once, as long as that makes sense; as `call`."""
        settings, failed, unknown = self._settings, [endpoint], error.unknown_fate
        end = None if timeout is None else begun + timeout
        for number in range(1, settings.max_retries + 1):
            if not _may_repeat(error, endpoint, call) or not self._budget.spend():
                break
            now = self.clock()
            try:
                following = self.pool.pick(sticky, now, failed)
            except RpcError:
                break
            length = max(0.0, following.paused - now)
            if following in failed or number > 1:
                length = max(length, settings.pause(number, self._rng))
            if length >= settings.timeout or (end is not None and now + length >= end):
                break
            if length:
                await wait(length, self.clock)
            endpoint, now = following, self.clock()
            try:
                return await self._ask(endpoint, call, now, None if end is None else end - now)
            except RpcError as another:
                error = another
                failed.append(endpoint)
                unknown = unknown or error.unknown_fate
        error.unknown_fate = unknown and error.kind is not Kind.ALREADY_KNOWN
        raise error

    # -- one try ----------------------------------------------------------------------------------------------

    async def _ask(
        self,
        endpoint: Endpoint,
        call: Call,
        now: float,
        timeout: float | None,  # noqa: ASYNC109 - as above
    ) -> Any:
        """Ask one endpoint once, when it is its turn. Raises RpcError."""
        allowed = self._settings.timeout
        deadline = now + (allowed if timeout is None or timeout > allowed else timeout)
        if not endpoint.chain_ok:
            await self.chain.verify(endpoint, deadline - now)
        line = endpoint.line
        if line is not None and not line.free(now) and not await line.turn(deadline):
            words = f"more calls wait for their turn than its rate allows in {deadline - now:.3g} s"
            raise RpcError(Kind.RATE_LIMITED, words, method=call.method, endpoint=endpoint.shown)
        return await self.ask_now(endpoint, call, deadline)

    async def ask_now(self, endpoint: Endpoint, call: Call, deadline: float) -> Any:
        """Ask one endpoint once, without waiting for a turn and whatever its chain; for `call` and for checks.

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
            if call.joined and endpoint.batches:
                batcher = self._batchers[endpoint]
                answer = batcher.ask(number, body, deadline, repeatable=call.idempotent)
                text, seconds = await _within(deadline - begun, answer)
            else:
                response = await self._post(endpoint, body, deadline, call.idempotent)
                seconds = response.end - response.start
                text = body_of(response, method, endpoint.shown)
            result = result_of(text, number, call.into, self._wordings, method, endpoint.shown)
        except RpcError as error:
            now = self.clock()
            error.complete(method, endpoint.shown)
            self._failed(endpoint, error, now)
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

    def _failed(self, endpoint: Endpoint, error: RpcError, now: float) -> None:
        """Draw from a failure what it says about the endpoint."""
        if error.kind is Kind.RATE_LIMITED:
            endpoint.refusals += 1
            endpoint.pause(error.wait or self._settings.pause(endpoint.refusals, self._rng), now)
        elif error.wait:
            endpoint.pause(error.wait, now)
        if error.kind is Kind.UNREACHABLE and endpoint.chain_ok:
            endpoint.chain_ok = None  # another node may be there when it comes back

    # -- how endpoints are ------------------------------------------------------------------------------------

    def _changed(self, endpoint: Endpoint) -> None:
        self.report(endpoint)
        if endpoint.up:
            self._told("info", f"endpoint {endpoint.shown} is asked")
        else:
            self._told("warning", f"endpoint {endpoint.shown} is left out: {endpoint.why}")

    def check_soon(self) -> None:
        """Look after the endpoints now: something about one of them is odd."""
        self._checker.wake()

    def report(self, endpoint: Endpoint) -> None:
        """Tell how well an endpoint is."""
        self._health(endpoint.name, endpoint.up, self.pool.lag(endpoint, self.clock()))


async def _within(seconds: float, answer: Any) -> Any:
    """Wait for an answer no longer than that: others in its batch may have more time."""
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except TimeoutError:
        raise RpcError(Kind.TIMEOUT, f"no answer came within {seconds:.3g} s", unknown_fate=True) from None


def _may_repeat(error: RpcError, endpoint: Endpoint, call: Call) -> bool:
    """Whether to call again, at another endpoint or later."""
    if error.kind is Kind.CHAIN_MISMATCH:
        return endpoint.chain_ok is False  # the endpoint was refused, and the call never made
    return error.repeatable(idempotent=call.idempotent)
