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
from typing import TYPE_CHECKING, Any

from squall.plan.share import WHOLE
from squall_runner.evm.batching import Batcher
from squall_runner.evm.checking import Checker
from squall_runner.evm.endpoints import Endpoint, Pool
from squall_runner.evm.failures import Kind, RpcError, Wordings
from squall_runner.evm.jsonrpc import call_body
from squall_runner.evm.networks import wrong_chain
from squall_runner.evm.outcomes import body_of, result_of
from squall_runner.resilience.breaker import REJECTED
from squall_runner.resilience.budget import RetryBudget
from squall_runner.waiting import wait

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from squall.plan.share import Share
    from squall_runner.evm.rpcsettings import EndpointSettings, RpcSettings
    from squall_runner.http import HttpClient, Network, Response


def _nothing(*_: object) -> None:
    """Nobody wants to know."""


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
        chain_id: The chain that they are on; None until the first has said so, where the manifest does not name it.
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
        self.chain_id = chain_id
        self._wanted = chain_id
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
        self._verifying: dict[Endpoint, asyncio.Future[None]] = {}
        self._batchers: dict[Endpoint, Batcher] = {}
        if settings.batch_most > 1:
            self._batchers = {
                each: Batcher(each, self._post, most=settings.batch_most, wait=settings.batch_wait)
                for each in self.pool.all
            }
        self._checker = Checker(self, rng=self._rng)

    # -- life -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """See that all endpoints that answer are on the right chain, and begin to look after them.

        Raises:
            RpcError: One is on another chain (`CHAIN_MISMATCH`), or none answers.
        """
        outcomes = await asyncio.gather(
            *(self.verify(each, self._settings.timeout) for each in self.pool.all), return_exceptions=True
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
    ) -> Any:
        """The result of a call.

        Args:
            method: What is called.
            params: Its parameters, as JSON values.
            sticky: Who calls, if that one keeps to one endpoint as long as it is well; empty: any endpoint will do.
            timeout: Seconds for the whole of it, all tries included; None: each try has its own time, and nothing else bounds it.
            idempotent: Whether reaching the chain twice has the same effect as once.
            into: The type that the result has to have (`str`, `int`, a `msgspec.Struct`, ...); an answer that has another one
                is refused.

        Raises:
            RpcError: It has failed; see the module.
        """
        now = self.clock()
        self._budget.deposit(self._settings.budget)
        endpoint = self.pool.pick(sticky, now)
        if endpoint.paused <= now:
            try:
                return await self._ask(endpoint, method, params, now, timeout, idempotent, into)
            except RpcError as error:
                failure = error
            if failure.at_fault:
                self._checker.wake()
        else:
            words = f"it has asked for a pause of {endpoint.paused - now:.3g} s"
            failure = RpcError(
                Kind.RATE_LIMITED, words, method=method, endpoint=endpoint.shown, wait=endpoint.paused - now
            )
        return await self._again(failure, endpoint, method, params, sticky, now, timeout, idempotent, into)

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
            found: str = await self.call(
                "eth_sendRawTransaction", (raw,), sticky=sticky, timeout=timeout, into=str
            )
        except RpcError as error:
            if error.kind is Kind.ALREADY_KNOWN:
                return tx_hash
            raise
        if found.lower() != tx_hash.lower():
            message = f"the node calls this transaction {found[:66]}, and not {tx_hash}"
            raise RpcError(Kind.MALFORMED, message, method="eth_sendRawTransaction", unknown_fate=True)
        return found

    async def _again(  # noqa: PLR0917 - as `call` has them
        self,
        error: RpcError,
        endpoint: Endpoint,
        method: str,
        params: Sequence[Any],
        sticky: str,
        begun: float,
        timeout: float | None,  # noqa: ASYNC109 - as above
        idempotent: bool,  # noqa: FBT001 - as above
        into: Any,
    ) -> Any:
        """Call again what has failed once, as long as that makes sense; as `call`."""
        settings, failed, unknown = self._settings, [endpoint], error.unknown_fate
        for number in range(1, settings.max_retries + 1):
            if not self._may_repeat(error, endpoint, idempotent=idempotent) or not self._budget.spend():
                break
            now = self.clock()
            try:
                following = self.pool.pick(sticky, now, failed)
            except RpcError:
                break
            length = max(0.0, following.paused - now)
            if following in failed or number > 1:
                length = max(length, settings.pause(number, self._rng))
            left = float("inf") if timeout is None else begun + timeout - now
            if length >= min(left, settings.timeout):
                break
            if length:
                await wait(length, self.clock)
            endpoint, now = following, self.clock()
            left = None if timeout is None else begun + timeout - now
            try:
                return await self._ask(endpoint, method, params, now, left, idempotent, into)
            except RpcError as another:
                error = another
                failed.append(endpoint)
                unknown = unknown or error.unknown_fate
        error.unknown_fate = unknown and error.kind is not Kind.ALREADY_KNOWN
        raise error

    def _may_repeat(self, error: RpcError, endpoint: Endpoint, *, idempotent: bool) -> bool:
        if error.kind is Kind.CHAIN_MISMATCH:
            return endpoint.chain_ok is False  # the endpoint was refused, and the call never made
        return error.repeatable(idempotent=idempotent)

    # -- one try ----------------------------------------------------------------------------------------------

    async def _ask(  # noqa: PLR0917 - positional calls are the cheapest
        self,
        endpoint: Endpoint,
        method: str,
        params: Sequence[Any],
        now: float,
        timeout: float | None,  # noqa: ASYNC109 - as above
        idempotent: bool,  # noqa: FBT001 - as above
        into: Any,
    ) -> Any:
        """Ask one endpoint once. Raises RpcError."""
        allowed = self._settings.timeout
        deadline = now + (allowed if timeout is None or timeout > allowed else timeout)
        if not endpoint.chain_ok:
            await self.verify(endpoint, deadline - now)
        line = endpoint.line
        if line is not None and not line.free(now) and not await line.turn(deadline):
            words = f"more calls wait for their turn than its rate allows in {deadline - now:.3g} s"
            raise RpcError(Kind.RATE_LIMITED, words, method=method, endpoint=endpoint.shown)
        return await self.ask_now(endpoint, method, params, deadline, idempotent, into)

    async def ask_now(  # noqa: PLR0917 - as above
        self,
        endpoint: Endpoint,
        method: str,
        params: Sequence[Any],
        deadline: float,
        idempotent: bool,  # noqa: FBT001 - as above
        into: Any,
    ) -> Any:
        """Ask one endpoint once, without waiting for a turn and whatever its chain; for `call` and for checks.

        Raises:
            RpcError: It has failed.
        """
        begun = self.clock()
        ticket = endpoint.breaker.enter(begun)
        if ticket == REJECTED:
            words = "it is left alone, as too many calls have failed"
            raise RpcError(Kind.UNREACHABLE, words, method=method, endpoint=endpoint.shown)
        self._numbers = number = self._numbers + 1
        body = call_body(number, method, params)
        endpoint.in_flight += 1
        seconds = None
        try:
            batcher = self._batchers.get(endpoint) if endpoint.batches else None
            if batcher is None:
                response = await self._post(endpoint, body, deadline, idempotent)
                seconds = response.end - response.start
                text: Any = body_of(response, method, endpoint.shown)
            else:
                text, seconds = await _within(
                    deadline - begun, batcher.ask(number, body, deadline, repeatable=idempotent)
                )
            result = result_of(text, number, into, self._wordings, method, endpoint.shown)
        except RpcError as error:
            now = self.clock()
            error.method = error.method or method
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

    # -- the right chain --------------------------------------------------------------------------------------

    async def verify(self, endpoint: Endpoint, seconds: float) -> None:
        """See that an endpoint is on the right chain; whoever wants to know at the same time waits for the same answer.

        Raises:
            RpcError: It is not (`CHAIN_MISMATCH`), or does not say.
        """
        asked = self._verifying.get(endpoint)
        if asked is None:
            asked = asyncio.ensure_future(self._verify(endpoint, seconds))
            self._verifying[endpoint] = asked
            asked.add_done_callback(lambda done: self._verified(endpoint, done))
        await asyncio.shield(asked)

    def _verified(self, endpoint: Endpoint, done: asyncio.Future[None]) -> None:
        del self._verifying[endpoint]
        if not done.cancelled():
            done.exception()  # looked at, even if all who waited have gone

    async def _verify(self, endpoint: Endpoint, seconds: float) -> None:
        method = "eth_chainId"
        text = await self.ask_now(endpoint, method, (), self.clock() + seconds, True, str)  # noqa: FBT003
        try:
            found = int(text, 16)
        except ValueError:
            raise RpcError(
                Kind.MALFORMED, "its chain id is no number", method=method, endpoint=endpoint.shown
            ) from None
        self.settle_chain(endpoint, found)

    def settle_chain(self, endpoint: Endpoint, found: int) -> None:
        """Take note of the chain that an endpoint says it is on.

        Raises:
            RpcError: It is not the right one; the endpoint gets no call any more, until it says otherwise.
        """
        problem = wrong_chain(found, self._wanted)
        if not problem and self.chain_id not in {None, found}:
            problem = f"it is on chain {found}, and another endpoint on chain {self.chain_id}"
        endpoint.chain_ok = not problem
        endpoint.judge(problem)
        if problem:
            raise RpcError(Kind.CHAIN_MISMATCH, problem, method="eth_chainId", endpoint=endpoint.shown)
        self.chain_id = found

    def _changed(self, endpoint: Endpoint) -> None:
        self.report(endpoint)
        if endpoint.up:
            self._told("info", f"endpoint {endpoint.shown} is asked")
        else:
            self._told("warning", f"endpoint {endpoint.shown} is left out: {endpoint.why}")

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
