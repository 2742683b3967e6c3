"""Calling the node: one call goes to one endpoint, and to others when that one cannot answer it.

    rpc = Rpc(settings, endpoints, client=client, network=network, chain_id=31337)
    await rpc.start()                       # every endpoint that answers is on the right chain, or the run is refused
    head = await rpc.call("eth_blockNumber")
    sent = await rpc.send_raw(raw, hash, sticky=wallet)

Every failure is an `RpcError` with a kind; HTTP 200 with an error inside is one, and so is an answer that is none. A call that may
have reached a node is made again only if that can do no harm: a read, or the same raw transaction, of which a chain takes only one
however often it comes. Whoever cannot be sure afterwards is told so (`unknown_fate`). No endpoint gets a call before it has said
that it is on the right chain, and it is asked again when connections to it were lost.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any, Final

from squall.plan.share import WHOLE
from squall.spec.secrets import shortened
from squall_runner.evm.node.asker import SEND, Asker
from squall_runner.evm.node.chainguard import ChainGuard
from squall_runner.evm.node.checking import Checker
from squall_runner.evm.node.endpoints import Endpoint, Pool
from squall_runner.evm.node.failures import Kind, RpcError, Wordings
from squall_runner.evm.node.jsonrpc import Call
from squall_runner.resilience.budget import RetryBudget
from squall_runner.waiting import wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from squall.plan.share import Share
    from squall_runner.evm.node.rpcsettings import EndpointSettings, RpcSettings
    from squall_runner.http import HttpClient, Network


_SCATTER: Final = 0.25
"""Who was asked to come back after a while comes back up to so much later: not all in the same moment."""


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
        asker: Asks them.
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
        self._rng = rng or random.Random()  # noqa: S311 - pauses are no secret
        self._health = health
        self._told = told
        self._budget = RetryBudget()
        self.pool = Pool(endpoints, settings, share, clock=clock, rng=self._rng, changed=self._changed)
        self.asker = Asker(
            settings,
            self.pool.all,
            client,
            wordings or Wordings(),
            clock=clock,
            rng=self._rng,
            recorded=recorded,
        )
        self.chain = ChainGuard(chain_id, self.asker)
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
        asked = [self.chain.verify(each, self._settings.timeout) for each in self.pool.all]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
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
        await self.asker.close()

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
        urgent: bool = False,
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
            urgent: Whether it goes before others that wait for their turn in an endpoint's rate.

        Raises:
            RpcError: It has failed; see the module.
        """
        now = self.clock()
        call = Call(
            method, params, idempotent, into, self.asker.joining if joined is None else joined, urgent
        )
        self._budget.deposit(self._settings.budget)
        try:
            endpoint = self.pool.pick(sticky, now)
        except RpcError as error:
            error.complete(method, "")
            raise
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
        self,
        method: str,
        params: Iterable[Sequence[Any]],
        *,
        sticky: str = "",
        into: Any = Any,
        urgent: bool = False,
    ) -> list[Any]:
        """The results of the same method for many parameters, asked for in batches where the endpoint takes them.

        Args:
            method: What is called; has to be harmless when called twice.
            params: The parameters of each call.
            sticky: As for `call`, like the others.
            into: See there.
            urgent: See there.

        Raises:
            RpcError: One has failed.
        """
        calls = [
            self.call(method, each, sticky=sticky, into=into, joined=True, urgent=urgent) for each in params
        ]
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
            message = f"the node calls this transaction {shortened(found, 66)}, and not {tx_hash}"
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
            length = max(0.0, following.paused - now) * (1 + _SCATTER * self._rng.random())
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
        if not endpoint.free(now, urgent=call.urgent) and not await _turn(endpoint, deadline):
            words = f"more calls wait for their turn than its rate allows in {deadline - now:.3g} s"
            raise RpcError(Kind.RATE_LIMITED, words, method=call.method, endpoint=endpoint.shown)
        try:
            return await self.asker.ask_now(endpoint, call, deadline)
        except RpcError as error:
            if not error.stale:
                raise
            unknown = error.unknown_fate
        try:
            await self.chain.verify(endpoint, deadline - now)  # over a new connection
            return await self.asker.ask_now(endpoint, call, deadline, again=True)
        except RpcError as error:
            # Who has closed the connection may have read the call before.
            error.unknown_fate = (error.unknown_fate or unknown) and error.kind is not Kind.ALREADY_KNOWN
            raise

    # -- how endpoints are ------------------------------------------------------------------------------------

    def _changed(self, endpoint: Endpoint) -> None:
        self.report(endpoint)
        how = "is asked" if endpoint.up else f"is left out: {endpoint.why}"
        self._told("info" if endpoint.up else "warning", f"endpoint {endpoint.shown} {how}")

    def check_soon(self) -> None:
        """Look after the endpoints now: something about one of them is odd."""
        self._checker.wake()

    def report(self, endpoint: Endpoint) -> None:
        """Tell how well an endpoint is."""
        self._health(endpoint.name, endpoint.up, self.pool.lag(endpoint, self.clock()))


async def _turn(endpoint: Endpoint, deadline: float) -> bool:
    return endpoint.line is None or await endpoint.line.turn(deadline)


def _may_repeat(error: RpcError, endpoint: Endpoint, call: Call) -> bool:
    """Whether to call again, at another endpoint or later."""
    if error.kind is Kind.CHAIN_MISMATCH:
        return endpoint.chain_ok is False  # the endpoint was refused, and the call never made
    return error.repeatable(idempotent=call.idempotent)
