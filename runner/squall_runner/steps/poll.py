"""`poll`: asks again until a job is done.

The job is what is measured (`job_latency`, `poll_count`, `job_failed`); the single polls would only say how often
somebody asked, so they stay out of the request trends and count as `poll_reqs`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from squall.expr import EvaluationError, compile_expression
from squall.spec.base import fraction, seconds
from squall.spec.steps import MIN_INTERVAL
from squall_runner.steps.context import Compiled
from squall_runner.steps.failure import CANCELLED, EXPRESSION, JOB, Halted
from squall_runner.steps.http import UNAUTHORIZED, Options, Outcome, compile_options, error_of
from squall_runner.steps.request import compile_request
from squall_runner.waiting import wait

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from squall.expr import Evaluate, Scope
    from squall.spec.steps import Poll, Step
    from squall_runner.engine.vu import Vu
    from squall_runner.http import Request, Response
    from squall_runner.steps.context import Site
    from squall_runner.steps.program import Compiler

_ASKED_TO_WAIT = frozenset({429, 503})
_PENDING = "pending"


@dataclass(frozen=True, slots=True)
class _Job:
    """A compiled poll step.

    Attributes:
        pauses: The pause after the n-th poll, in seconds.
        deadline: For the whole job, in seconds.
    """

    site: Site
    options: Options
    build: Callable[[Vu], Request]
    until: Evaluate
    fail_when: Evaluate | None
    pauses: Callable[[int, Random], float]
    deadline: float
    outcome: Outcome

    async def run(self, vu: Vu) -> None:
        """Poll until the job has ended, then record it."""
        clock, stage = self.site.ctx.clock, vu.scenario.stage
        begun = clock()
        end = begun + self.deadline
        polls = 0
        while True:
            try:
                response = await self._ask(vu, stage, end)
                polls += 1
                error, message = self._verdict(vu, response)
            except (EvaluationError, ValueError, OSError) as problem:
                error, message = EXPRESSION, str(problem)
            if error != _PENDING:
                break
            pause = max(self.pauses(polls, vu.rng), retry_after(response))
            if clock() + pause >= end:
                error, message = JOB, f"not done within {self.deadline:g} s, after {polls} polls"
                break
            vu.ready = clock() + pause
            await wait(pause, clock)
        latency = clock() - begun
        self._record(vu, stage, latency, polls, failed=bool(error))
        if not error:
            self.outcome.take(vu, stage, response, latency, failed=False)
            return
        if self.outcome.record is not None:
            self.outcome.record(vu, None, latency, ok=False)
        self.site.fail(vu, error, message)

    async def _ask(self, vu: Vu, stage: str, end: float) -> Response:
        ctx, root = self.site.ctx, vu.root
        if root.halted:
            raise Halted
        request = self.build(vu)
        now = ctx.clock()
        if now - ctx.control.beat > ctx.control.standstill:
            await ctx.control.thaw()
            if root.halted:
                raise Halted
        root.in_flight += 1
        ctx.control.last_request = now
        timeout = max(0.001, min(self.options.timeout, end - now))
        redirects = self.options.max_redirects
        try:
            response = await vu.client.send(request, timeout=timeout, keep_body=True, max_redirects=redirects)
        except asyncio.CancelledError:
            self._count(vu, stage, request.method, status="", error=CANCELLED)
            raise
        finally:
            root.in_flight -= 1
        root.yields += 1
        vu.ready = response.end
        if ctx.observer is not None:
            ctx.observer.exchange(self.site, request, response)
        error, _ = error_of(response, self.options.expected)
        status = str(response.status or "")
        self._count(
            vu,
            stage,
            request.method,
            status=status,
            error=error,
            sent=response.bytes_sent,
            received=response.bytes_received,
        )
        if error and response.status == UNAUTHORIZED:
            ctx.tokens.answered(response)
        if response.error:
            await asyncio.sleep(0)  # as in `http`: a refused connection may have taken no turn of the loop
        return response

    def _verdict(self, vu: Vu, response: Response) -> tuple[str, str]:
        """The class of the job's failure and a sentence, empty when it is done, or `_PENDING`."""
        error, message = error_of(response, self.options.expected)
        if error:
            waits = response.status in _ASKED_TO_WAIT and bool(response.header("retry-after"))
            return (_PENDING, "") if waits else (error, message)
        if self.fail_when is not None and self.fail_when(vu.env, response):
            return JOB, f"the job has failed: {response.text[:200]}"
        return ("", "") if self.until(vu.env, response) else (_PENDING, "")

    def _count(
        self, vu: Vu, stage: str, method: str, *, status: str, error: str, sent: int = 0, received: int = 0
    ) -> None:
        ctx = self.site.ctx
        if not ctx.measured:
            return
        status = self.site.status(status)
        tags = self.site.tagged(vu.env, stage=stage, method=method, status=status, error=error)
        ctx.recorder.counter("poll_reqs", tags).value += 1
        ctx.recorder.counter("data_sent", tags).value += sent
        ctx.recorder.counter("data_received", tags).value += received

    def _record(self, vu: Vu, stage: str, latency: float, polls: int, *, failed: bool) -> None:
        site = self.site
        if not site.ctx.measured:
            return
        site.trend("job_latency", vu, stage).add(latency)
        site.trend("poll_count", vu, stage).add(polls)
        site.ctx.recorder.rate("job_failed", site.tagged(vu.env, stage=stage)).add(hit=failed)


def compile_poll(step: Step, site: Site, scope: Scope, compiler: Compiler) -> Compiled:
    """Compile a poll step."""
    poll = step.poll
    assert poll is not None, "the step is of this kind"
    options = compile_options(poll.http, compiler.ctx)
    build, _ = compile_request(poll.http, scope, compiler.ctx)
    response_scope = scope.with_response()
    job = _Job(
        site=site,
        options=options,
        build=build,
        until=compile_expression(poll.until, response_scope).evaluate,
        fail_when=compile_expression(poll.fail_when, response_scope).evaluate if poll.fail_when else None,
        pauses=pauses(poll),
        deadline=seconds(poll.deadline),
        outcome=Outcome.of(step, site, scope, options.expected),
    )
    return Compiled(job.run, frozenset(step.extract or ()))


def pauses(poll: Poll) -> Callable[[int, Random], float]:
    """The pause in seconds after the n-th poll (from 1): `interval * factor^(n-1)`, bounded and jittered; never without one."""
    least = seconds(MIN_INTERVAL)
    interval = max(least, seconds(poll.interval))
    if poll.backoff is None:
        return lambda _, __: interval
    factor = float(poll.backoff.factor)
    most = seconds(poll.backoff.max)
    jitter = fraction(poll.backoff.jitter)
    # Beyond this the power overflows, and the longest pause has been reached long before.
    steps = 200

    def pause(number: int, rng: Random) -> float:
        length = min(most, interval * factor ** min(number - 1, steps))
        if jitter:
            length *= 1 + jitter * (2 * rng.random() - 1)
        return max(least, length)

    return pause


def retry_after(response: Response) -> float:
    """Seconds that the server asks to wait (RFC 9110, section 10.2.3); 0 when it does not ask."""
    text = response.header("retry-after").strip()
    if not text:
        return 0.0
    if text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        due = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
    if due.tzinfo is None:
        due = due.replace(tzinfo=UTC)
    return max(0.0, (due - datetime.now(UTC)).total_seconds())
