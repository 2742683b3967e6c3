"""Sending with care: what `spec.http` declares about a host stands between a step and its requests.

A step whose manifest declares none of it does not come here; see `compile_send` in `steps.http`. In order, a request
asks whether the circuit of its host lets it through, waits for its turn in the host's pace, and asks once more; then it
is sent, and if it fails and its policy and the host's budget allow it, all of this begins anew after a pause.

Host, pace and circuit are those of the request itself: redirects that it follows are not looked at.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from squall_runner.http.errors import CONNECT_TIMEOUT, TIMEOUT, RequestError
from squall_runner.http.response import failed
from squall_runner.resilience.backoff import asked_pause
from squall_runner.resilience.breaker import REJECTED
from squall_runner.resilience.targets import watched
from squall_runner.steps.failure import CIRCUIT_OPEN, RATE_LIMITED, Halted
from squall_runner.steps.shown import without_values
from squall_runner.waiting import wait

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Protocol, TypeAlias

    from squall_runner.engine.vu import Vu
    from squall_runner.http import Request, Response
    from squall_runner.resilience.hosts import Circuit
    from squall_runner.resilience.retry import RetryPolicy
    from squall_runner.steps.context import Site
    from squall_runner.steps.http import Meter, Options

    Result: TypeAlias = tuple[Response, bool]
    """A response, and whether it is a failure."""

    Plain: TypeAlias = Callable[[Vu, Request, str], Awaitable[Result]]

    class Attempt(Protocol):
        """Sends a request once and records it."""

        async def __call__(
            self,
            vu: Vu,
            request: Request,
            stage: str,
            timeout: float,  # noqa: ASYNC109 - as `exchange`
            waited: float,
        ) -> Result:
            """`timeout` is what is left of it after the `waited` seconds before; raises as `exchange`."""


STALE: Final = "stale"
"""The cause of a retry that is no failure of the target's: it had closed a kept connection in the meantime."""
_UNSENT_SECONDS: Final = 0.1
"""The pause after a request that was not sent; without it a VU would do nothing but fail, as fast as it can."""
_MOST_WAITED: Final = 0.9
"""The share of a timeout after which a request is not sent any more: its failure would be laid at the target's door."""
_TOO_LATE: Final = frozenset({TIMEOUT, CONNECT_TIMEOUT})
UNAUTHORIZED: Final = 401
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500


async def exchange(  # noqa: PLR0917 - called from here and from `steps.poll`
    site: Site,
    options: Options,
    vu: Vu,
    request: Request,
    timeout: float,  # noqa: ASYNC109 - the client's deadlines watch it
    waited: float,
    cancelled: Callable[[], None],
    *,
    keep_body: bool,
) -> Response:
    """Send a request once; counting it is the caller's.

    Args:
        site: The step.
        options: How it is sent.
        vu: Who sends it.
        request: What is sent.
        timeout: For the whole of it, in seconds.
        waited: How long it waited for its turn before, in seconds; becomes a part of it.
        cancelled: Counts it when it is cut off.
        keep_body: Whether its body will be used.

    Raises:
        Halted: The VU may send nothing more.
        asyncio.CancelledError: It was cut off.
    """
    ctx, root = site.ctx, vu.root
    if root.halted:
        raise Halted
    now = ctx.clock()
    if now - ctx.control.beat > ctx.control.standstill:
        await ctx.control.thaw()
        if root.halted:
            raise Halted
    root.in_flight += 1
    ctx.control.last_request = now
    sending = vu.client.send(
        request, timeout=timeout, keep_body=keep_body, max_redirects=options.max_redirects
    )
    try:
        response = await (sending if ctx.failover is None else watched(ctx.failover, request, sending))
    except asyncio.CancelledError:
        if ctx.measured:
            cancelled()
        raise
    finally:
        root.in_flight -= 1
    vu.ready = response.end
    root.yields += 1
    if waited:
        first = _first(response)
        first.start -= waited
        first.blocked += waited
        if response.error in _TOO_LATE:
            response.error_message += (
                f"; {waited:.3g} s of its {timeout + waited:.3g} s had gone by in the queue of its rate limit"
            )
    if (exchanged := ctx.exchanged) is not None:
        bad = bool(response.error) or response.status not in options.expected
        exchanged(site, vu, request, response, failed=bad)
    if response.status == UNAUTHORIZED and UNAUTHORIZED not in options.expected:
        ctx.tokens.answered(response)
    return response


def _first(response: Response) -> Response:
    """What the host answered that the request was sent to."""
    return response.redirects[0] if response.redirects else response


def compile_guard(
    site: Site, options: Options, meter: Meter, plain: Callable[[], Plain], *, keep_body: bool
) -> Guard | None:
    """What stands between an http step and its requests; None when the manifest declares nothing of the kind.

    Args:
        site: The step.
        options: How its requests are sent.
        meter: Records them.
        plain: Compiles what sends a request about which there is nothing special, in the shortest way.
        keep_body: Whether their bodies will be used.
    """
    ctx = site.ctx
    guarded = ctx.resilience.limited or ctx.resilience.breaking or ctx.failover is not None
    if options.retry is None and not guarded:
        return None

    async def attempt(
        vu: Vu,
        request: Request,
        stage: str,
        timeout: float,  # noqa: ASYNC109 - as above
        waited: float,
    ) -> Result:
        intended = vu.ready
        response = await exchange(
            site,
            options,
            vu,
            request,
            timeout,
            waited,
            lambda: meter.cancelled(vu, stage, request.method),
            keep_body=keep_body,
        )
        if ctx.measured:
            bad = meter.record(vu, stage, response, intended).failed
        else:
            bad = bool(response.error) or response.status not in options.expected
        if response.error:
            await asyncio.sleep(0)  # as in `compile_send`
        return response, bad

    unsent = partial(_count_unsent, site)
    return Guard(
        site, options.retry, options.timeout, attempt, unsent, plain() if ctx.failover is None else None
    )


def error_of(response: Response, expected: frozenset[int]) -> str:
    """The class of a response's failure; empty when it is none."""
    if response.error:
        return response.error
    if response.status in expected:
        return ""
    return "http_5xx" if response.status >= 500 else "http_4xx"


def failure_of(site: Site, response: Response, expected: frozenset[int]) -> tuple[str, str]:
    """The class of a response's failure and a sentence about it, as it may be shown; empty when it is none."""
    error = error_of(response, expected)
    if not error or response.error:
        return error, response.error_message
    request = _first(response).request
    moved = " after redirects" if response.redirects else ""
    return (
        error,
        f"{request.method} {site.url(request)} was answered with {response.status} {response.reason}{moved}",
    )


def _count_unsent(site: Site, vu: Vu, stage: str, response: Response) -> None:
    """A failure that is no request: nothing was sent, and nothing took time."""
    tags = site.tagged(vu.env, stage=stage, method=response.request.method, error=response.error)
    site.ctx.recorder.rate("http_req_failed", tags).add(hit=True)
    site.ctx.recorder.counter("http_req_errors", tags).value += 1


def count_retry(site: Site, vu: Vu, stage: str, response: Response, cause: str) -> None:
    """Count a request that is sent again, by why."""
    _count(site, "http_retries", vu, stage, response, cause)


def _keep_example(site: Site, vu: Vu, response: Response) -> None:
    """Keep an example of a failure that a further try may mend: no step will tell of it then."""
    ctx = site.ctx
    error, message = failure_of(site, response, frozenset())
    if ctx.measured:
        ctx.examples.keep(error, ctx.scenario, site.name, without_values(message, vu.env))


def _count(site: Site, metric: str, vu: Vu, stage: str, response: Response, cause: str) -> None:  # noqa: PLR0917
    if site.ctx.measured:
        status = "" if cause == STALE else site.status(str(response.status or ""))
        tags = site.tagged(vu.env, stage=stage, method=response.request.method, status=status, error=cause)
        site.ctx.recorder.counter(metric, tags).value += 1


@dataclass(frozen=True, slots=True)
class Guard:
    """What stands between one step and its requests.

    Attributes:
        site: The step.
        policy: The step's retries, if it has any.
        timeout: For one try, waiting included, in seconds.
        attempt: Sends once.
        unsent: Counts a request that was not sent.
        plain: Sends once with the whole timeout, if there is a shorter way to do it than `attempt`.
    """

    site: Site
    policy: RetryPolicy | None
    timeout: float
    attempt: Attempt
    unsent: Callable[[Vu, str, Response], None]
    plain: Plain | None = None

    async def send(
        self,
        vu: Vu,
        request: Request,
        stage: str,
        end: float = math.inf,
        settled: Callable[[Response], bool] = lambda _: False,
    ) -> Result:
        """Send a request, and once more as long as that is of use.

        Args:
            vu: Who sends it.
            request: What is sent.
            stage: What it is counted for.
            end: The moment at which there is no time left for it.
            settled: Whether a response is an answer although it looks like a failure.

        Returns:
            What came of the last try.

        Raises:
            Halted: The VU may send nothing more.
            asyncio.CancelledError: It was cut off.
        """
        intended, policy, number = vu.ready, self.policy, 0
        response, bad = await self._once(vu, request, stage, end)
        if policy is None:
            return response, bad
        budget = self.site.ctx.resilience.budget(request.origin)
        if not _unsent(response):
            budget.deposit(policy.share)
        while number < policy.most:
            number += 1
            cause = policy.cause(
                request.method, response.status, response.error, moved=bool(response.redirects)
            )
            if not cause or settled(response):
                break
            asked = asked_pause(response.header("retry-after"))
            pause = max(asked, policy.pause(number, vu.rng))
            if asked > policy.longest or self.site.ctx.clock() + pause >= end:
                break
            if not budget.spend():
                _count(self.site, "http_retries_denied", vu, stage, response, cause)
                break
            await self._pause(vu, pause)
            vu.ready = intended
            count_retry(self.site, vu, stage, response, cause)
            _keep_example(self.site, vu, response)
            response, bad = await self._once(vu, request, stage, end)
        return response, bad

    async def _once(self, vu: Vu, request: Request, stage: str, end: float) -> Result:
        """One try: through the circuit, in its turn."""
        ctx = self.site.ctx
        resilience = ctx.resilience
        breaking = resilience.breaking and ctx.measured
        if self.plain is not None and not (breaking or resilience.limited):
            return await self.plain(vu, request, stage)
        if vu.root.halted:
            raise Halted
        clock = ctx.clock
        # Setup and teardown are no load that a host has to be spared, and teardown may clean up what the load has done.
        circuit = resilience.circuit(request.origin) if breaking else None
        began = clock()
        if circuit is not None and circuit.breaker.rejects(began):
            return await self._reject(vu, request, stage, circuit)
        limit = max(0.001, min(self.timeout, end - began))
        waited = 0.0
        if resilience.limited:
            turn = await self._turn(vu, request, began, began + limit * _MOST_WAITED)
            if turn is None:
                message = (
                    f"its turn in the rate limit of {request.origin.authority} would come when more than "
                    f"{_MOST_WAITED:.0%} of its {limit:.3g} s are over"
                )
                return await self._fail(vu, request, stage, RATE_LIMITED, message)
            waited = turn
        if circuit is None:
            return await self._try(vu, request, stage, limit, waited)
        ticket = circuit.breaker.enter(began if not waited else clock())
        if ticket == REJECTED:
            return await self._reject(vu, request, stage, circuit)
        try:
            response, bad = await self._try(vu, request, stage, limit, waited)
        except BaseException:
            circuit.breaker.abandon(ticket)
            raise
        circuit.breaker.leave(ticket, clock(), failed=_host_failed(response))
        return response, bad

    def _try(self, vu: Vu, request: Request, stage: str, limit: float, waited: float) -> Awaitable[Result]:
        """Send once."""
        if self.plain is not None and not waited and limit == self.timeout:
            return self.plain(vu, request, stage)
        return self.attempt(vu, request, stage, max(0.001, limit - waited), waited)

    async def _turn(self, vu: Vu, request: Request, now: float, deadline: float) -> float | None:
        """Wait for one's turn: for how many seconds; None when it would come too late."""
        line = self.site.ctx.resilience.line(request.origin, vu.shard)
        if line is None:
            return 0.0
        waited = 0.0
        if not line.queue.free(now):
            if not await line.queue.turn(deadline):
                return None
            waited = self.site.ctx.clock() - now
            vu.root.yields += 1
        if self.site.ctx.measured:
            line.waits.add(waited)
        return waited

    async def _reject(self, vu: Vu, request: Request, stage: str, circuit: Circuit) -> Result:
        return await self._fail(vu, request, stage, CIRCUIT_OPEN, circuit.reject())

    async def _fail(self, vu: Vu, request: Request, stage: str, error: str, message: str) -> Result:
        """What a request that is not sent comes to."""
        ctx = self.site.ctx
        now = ctx.clock()
        response = failed(request, now, now, RequestError(error, message))
        if (exchanged := ctx.exchanged) is not None:
            exchanged(self.site, vu, request, response, failed=True)
        if ctx.measured:
            self.unsent(vu, stage, response)
        vu.ready = now + _UNSENT_SECONDS
        await self._pause(vu, _UNSENT_SECONDS)
        return response, True

    async def _pause(self, vu: Vu, seconds: float) -> None:
        if vu.root.halted:  # nothing could come after it
            raise Halted
        await wait(seconds, self.site.ctx.clock)
        vu.root.yields += 1


def _unsent(response: Response) -> bool:
    return response.error in {RATE_LIMITED, CIRCUIT_OPEN}


def _host_failed(response: Response) -> bool:
    """Whether a host could not do what was asked of it; one that redirects has done it."""
    first = _first(response)
    return not first.status or first.status == _TOO_MANY or first.status >= _SERVER_ERROR
