"""`poll`: asks again until a job is done.

The job is what is measured (`job_latency`, `poll_count`, `job_failed`); the single polls would only say how often
somebody asked, so they stay out of the request trends and count as `poll_reqs`. A poll that fails is sent again as any
request is (`retry`), within the deadline of the job; only when the last try has failed, the job has.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from squall.expr import EvaluationError, compile_expression
from squall.spec.language import MIN_INTERVAL
from squall.spec.quantities import seconds
from squall.spec.secrets import shortened
from squall_runner.resilience.backoff import asked_pause, backing_off
from squall_runner.steps.context import Compiled
from squall_runner.steps.failure import CANCELLED, EXPRESSION, JOB, Halted
from squall_runner.steps.http import Outcome, compile_options
from squall_runner.steps.request import compile_request
from squall_runner.steps.sending import STALE, Guard, count_retry, error_of, exchange, failure_of
from squall_runner.steps.shown import shown_url
from squall_runner.waiting import wait

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from squall.expr import Evaluate, Scope
    from squall.spec.structs import Poll, Step
    from squall_runner.engine.vu import Vu
    from squall_runner.http import Request, Response
    from squall_runner.steps.context import Site
    from squall_runner.steps.http import Options
    from squall_runner.steps.program import Compiler

_ASKED_TO_WAIT = frozenset({429, 503})
_PENDING = "pending"


@dataclass(frozen=True, slots=True)
class _Job:
    """A compiled poll step.

    Attributes:
        guard: Sends the polls.
        expected: The statuses that are no failure.
        pauses: The pause after the n-th poll, in seconds.
        deadline: For the whole job, in seconds.
    """

    site: Site
    guard: Guard
    expected: frozenset[int]
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
                response, _ = await self.guard.send(vu, self.build(vu), stage, end, _asks_to_wait)
                polls += 1
                error, message = self._verdict(vu, response)
            except (EvaluationError, ValueError, OSError) as problem:
                error, message = EXPRESSION, str(problem)
            if error != _PENDING:
                break
            pause = max(self.pauses(polls, vu.rng), asked_pause(response.header("retry-after")))
            if clock() + pause >= end:
                error, message = JOB, f"not done within {self.deadline:g} s, after {polls} polls"
                break
            if vu.root.halted:  # nothing could come after the pause
                raise Halted
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

    def _verdict(self, vu: Vu, response: Response) -> tuple[str, str]:
        """The class of the job's failure and a sentence, empty when it is done, or `_PENDING`."""
        error, message = failure_of(self.site, response, self.expected)
        if error:
            return (_PENDING, "") if _asks_to_wait(response) else (error, message)
        if self.fail_when is not None and self.fail_when(vu.env, response):
            return JOB, f"the job has failed: {shortened(response.text, 200)}"
        return ("", "") if self.until(vu.env, response) else (_PENDING, "")

    def _record(self, vu: Vu, stage: str, latency: float, polls: int, *, failed: bool) -> None:
        site = self.site
        if not site.ctx.measured:
            return
        site.trend("job_latency", vu, stage).add(latency)
        site.trend("poll_count", vu, stage).add(polls)
        site.ctx.recorder.rate("job_failed", site.tagged(vu.env, stage=stage)).add(hit=failed)


def _asks_to_wait(response: Response) -> bool:
    """Whether the server asks to come back later; no failure, but its way to say that the job is not done."""
    return response.status in _ASKED_TO_WAIT and bool(response.header("retry-after"))


@dataclass(frozen=True, slots=True)
class _Polls:
    """The single requests of a poll step.

    Attributes:
        site: The step.
        options: How they are sent.
    """

    site: Site
    options: Options

    async def ask(
        self,
        vu: Vu,
        request: Request,
        stage: str,
        timeout: float,  # noqa: ASYNC109 - as `exchange`
        waited: float,
    ) -> tuple[Response, bool]:
        """Send one of them and count it; see `Attempt` in `steps.sending`."""
        response = await exchange(
            self.site,
            self.options,
            vu,
            request,
            timeout,
            waited,
            lambda: self._count(vu, stage, request.method, status="", error=CANCELLED),
            keep_body=True,
        )
        error = error_of(response, self.options.expected)
        if self.site.ctx.measured:
            self._count(
                vu,
                stage,
                request.method,
                status=str(response.status or ""),
                error=error,
                sent=response.bytes_sent,
                received=response.bytes_received,
            )
            for _ in range(response.retries):
                count_retry(self.site, vu, stage, response, STALE)
        if response.error:
            await asyncio.sleep(0)  # as in `http`: a refused connection may have taken no turn of the loop
        return response, bool(error)

    def _count(
        self, vu: Vu, stage: str, method: str, *, status: str, error: str, sent: int = 0, received: int = 0
    ) -> None:
        recorder = self.site.ctx.recorder
        status = self.site.status(status)
        tags = self.site.tagged(vu.env, stage=stage, method=method, status=status, error=error)
        recorder.counter("poll_reqs", tags).value += 1
        recorder.counter("data_sent", tags).value += sent
        recorder.counter("data_received", tags).value += received


def compile_poll(step: Step, site: Site, scope: Scope, compiler: Compiler) -> Compiled:
    """Compile a poll step."""
    poll = step.poll
    assert poll is not None, "the step is of this kind"
    options = compile_options(poll.http, compiler.ctx)
    build, _ = compile_request(poll.http, scope, compiler.ctx)
    site.url = shown_url(poll.http, scope, compiler.ctx)
    response_scope = scope.with_response()
    job = _Job(
        site=site,
        guard=Guard(site, options.retry, options.timeout, _Polls(site, options).ask, lambda *_: None),
        expected=options.expected,
        build=build,
        until=compile_expression(poll.until, response_scope).evaluate,
        fail_when=compile_expression(poll.fail_when, response_scope).evaluate if poll.fail_when else None,
        pauses=pauses(poll),
        deadline=seconds(poll.deadline),
        outcome=Outcome.of(step, site, scope, options.expected),
    )
    return Compiled(job.run, frozenset(step.extract or ()))


def pauses(poll: Poll) -> Callable[[int, Random], float]:
    """What draws the pause in seconds after the n-th poll (from 1); never without one."""
    least = seconds(MIN_INTERVAL)
    interval = max(least, seconds(poll.interval))
    if poll.backoff is None:
        return lambda _, __: interval
    return backing_off(interval, poll.backoff, least=least)
