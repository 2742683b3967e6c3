"""`http`: one request. The hottest path there is; what is slow in it is slow a hundred million times."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from squall.expr import EvaluationError
from squall.spec.quantities import seconds
from squall_runner.resilience.retry import RetryPolicy
from squall_runner.steps.checking import compile_checks
from squall_runner.steps.context import Compiled
from squall_runner.steps.extract import MISSING, ExtractionError, compile_extractor
from squall_runner.steps.failure import CANCELLED, EXPRESSION, Halted
from squall_runner.steps.record import compile_record
from squall_runner.steps.request import compile_request
from squall_runner.steps.sending import STALE, UNAUTHORIZED, compile_guard, count_retry, error_of, failure_of
from squall_runner.steps.shown import shown_url

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from squall.expr import Scope
    from squall.spec.structs import Extractor as ExtractorSpec
    from squall.spec.structs import Http, Retry, Step
    from squall_runner.engine.vu import Vu
    from squall_runner.http import Request, Response
    from squall_runner.recording import RequestSeries
    from squall_runner.steps.checking import Check
    from squall_runner.steps.context import Context, Site
    from squall_runner.steps.extract import Extractor
    from squall_runner.steps.program import Compiler
    from squall_runner.steps.record import Recording

_BY_DEFAULT = ("200-399",)
_NEEDS_BODY = frozenset({"body", "text"})
"""Names whose use in an expression means that the body has to be kept."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a request is sent.

    Attributes:
        timeout: Seconds for the whole of it.
        max_redirects: How many are followed.
        expected: The statuses that are no failure.
        retry: What is sent again; None for nothing.
    """

    timeout: float
    max_redirects: int
    expected: frozenset[int]
    retry: RetryPolicy | None


def compile_options(http: Http, ctx: Context) -> Options:
    """The options of a request; the defaults of the manifest where the step says nothing."""
    redirects = ctx.http.max_redirects if http.max_redirects is None else http.max_redirects
    timeout = seconds(http.timeout or ctx.http.timeout)
    return Options(
        timeout=timeout,
        max_redirects=redirects,
        expected=expected_statuses(http.expect_status or _BY_DEFAULT),
        retry=_policy(http.retry or ctx.http.retry, ctx, timeout),
    )


def default_options(ctx: Context) -> Options:
    """The options of a request about which the manifest says nothing of its own."""
    timeout = seconds(ctx.http.timeout)
    return Options(
        timeout,
        ctx.http.max_redirects,
        expected_statuses(_BY_DEFAULT),
        _policy(ctx.http.retry, ctx, timeout),
    )


def _policy(retry: Retry | None, ctx: Context, longest: float) -> RetryPolicy | None:
    if retry is None or not retry.max_retries:
        return None
    if ctx.http.retry is not None:  # the budget is the host's, whichever step sends
        retry = msgspec.structs.replace(retry, budget=ctx.http.retry.budget)
    return RetryPolicy.of(retry, expected_statuses(retry.statuses) if retry.statuses else None, longest)


def expected_statuses(ranges: tuple[str, ...] | list[str]) -> frozenset[int]:
    """Statuses written as `200` or `200-299`."""
    found: set[int] = set()
    for text in ranges:
        first, _, last = text.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


class Meter:
    """Records the requests of one step.

    Args:
        site: The step.
        expected: The statuses that are no failure.

    Attributes:
        site: The step.
    """

    __slots__ = ("_expected", "_series", "site")

    def __init__(self, site: Site, expected: frozenset[int]) -> None:
        self.site = site
        self._expected = expected
        self._series: dict[str, dict[int, RequestSeries]] = {}

    def record(self, vu: Vu, stage: str, response: Response, intended: float) -> RequestSeries:
        """Count a finished request; returns its series, which knows whether it has failed."""
        if response.error:
            series = self._find(vu, stage, response)
        else:
            try:
                series = self._series[stage][response.status]
            except KeyError:
                series = self._find(vu, stage, response)
        start = response.start
        if response.redirects or response.retries:
            start = self._extra(vu, stage, response, intended)
        if response.blocked or not response.reused:
            _opened(series, response)
        series.add(
            start,
            response.end,
            intended,
            response.sending,
            response.waiting,
            response.receiving,
            response.bytes_sent,
            response.bytes_received,
        )
        return series

    def _find(self, vu: Vu, stage: str, response: Response) -> RequestSeries:
        error = error_of(response, self._expected)
        status = str(response.status) if response.status else ""
        series = self.site.requests(vu, stage, response.request.method, status, error, failed=bool(error))
        if not response.error and not self.site.own:
            self._series.setdefault(stage, {})[response.status] = series
        return series

    def _hop(self, vu: Vu, stage: str, hop: Response) -> RequestSeries:
        return self.site.requests(vu, stage, hop.request.method, str(hop.status), "", failed=False)

    def _extra(self, vu: Vu, stage: str, response: Response, intended: float) -> float:
        """Count what was sent beside the final request; returns when the first one began."""
        for _ in range(response.retries):
            count_retry(self.site, vu, stage, response, STALE)
        start = response.start
        for hop in reversed(response.redirects):
            start = hop.start
            hops = self._hop(vu, stage, hop)
            if hop.blocked or not hop.reused:
                _opened(hops, hop)
            hops.add(
                hop.start,
                hop.end,
                intended,
                hop.sending,
                hop.waiting,
                hop.receiving,
                hop.bytes_sent,
                hop.bytes_received,
            )
        return start

    def cancelled(self, vu: Vu, stage: str, method: str) -> None:
        """Count a request that the generator itself cut off: the target may have seen it, but it has not failed."""
        tags = self.site.tagged(vu.env, stage=stage, method=method, error=CANCELLED)
        self.site.ctx.recorder.counter("http_reqs", tags).value += 1


def _opened(series: RequestSeries, response: Response) -> None:
    connecting = response.dns + response.connect
    series.opened(response.blocked + connecting + response.tls, connecting, response.tls)


def compile_extractors(specs: Mapping[str, ExtractorSpec] | None) -> tuple[Extractor, ...]:
    """Compile a step's `extract`."""
    return tuple(
        compile_extractor(
            name,
            json_path=spec.json_path,
            header=spec.header,
            regex=spec.regex,
            cookie=spec.cookie,
            default=MISSING if spec.default is msgspec.UNSET else spec.default,
            all_matches=spec.all,
        )
        for name, spec in (specs or {}).items()
    )


def reads_body(specs: Mapping[str, ExtractorSpec] | None) -> bool:
    """Whether an extractor looks into the body."""
    return any(spec.json_path is not None or spec.regex is not None for spec in (specs or {}).values())


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is done with a response: checks, extraction, the user's metric, and what a failure does."""

    site: Site
    expected: frozenset[int]
    checks: tuple[Check, ...]
    extractors: tuple[Extractor, ...]
    record: Recording | None
    keep_body: bool

    @classmethod
    def of(cls, step: Step, site: Site, scope: Scope, expected: frozenset[int]) -> Outcome:
        """Compile what the step says about its response."""
        response_scope = scope.with_response()
        checks, names = compile_checks(step.checks, site, response_scope)
        record = (
            compile_record(step.record, site, response_scope.with_names(step.extract or ()))
            if step.record
            else None
        )
        keep = bool(names & _NEEDS_BODY) or reads_body(step.extract) or site.ctx.observer is not None
        keep = keep or bool(step.record and step.record.value)
        return cls(site, expected, checks, compile_extractors(step.extract), record, keep)

    @property
    def look(self) -> Callable[[Vu, Response, str], None] | None:
        """What looks at a response that has not failed; None when there is nothing to look at."""
        if self.extractors or self.record is not None or len(self.checks) > 1:
            return lambda vu, response, stage: self.take(vu, stage, response, response.duration, failed=False)
        return self.checks[0] if self.checks else None

    def take(self, vu: Vu, stage: str, response: Response, duration: float, *, failed: bool) -> None:
        """Look at a response, of which is known whether it failed; raises EndIteration when the step has failed."""
        for check in self.checks:
            check(vu, response, stage)
        error = message = ""
        if failed:
            error, message = failure_of(self.site, response, self.expected)
        elif self.extractors:
            error, message = self._extract(vu, response)
        if self.record is not None:
            self.record(vu, response, duration, ok=not error)
        if error:
            self.site.fail(vu, error, message)

    def build(self, vu: Vu, build: Callable[[Vu], Request]) -> Request:
        """Build the request. If that is not possible there is no response: raises EndIteration."""
        try:
            return build(vu)
        except (EvaluationError, ValueError, OSError) as error:
            if self.record is not None:
                self.record(vu, None, 0.0, ok=False)
            self.site.fail(vu, EXPRESSION, str(error), getattr(error, "hint", ""))

    def _extract(self, vu: Vu, response: Response) -> tuple[str, str]:
        env, observer = vu.env, self.site.ctx.observer
        for extractor in self.extractors:
            try:
                value = env[extractor.name] = extractor(response)
            except ExtractionError as error:
                return error.error, f"{error.message}; {error.hint}"
            if observer is not None:
                observer.value(self.site, extractor.name, value)
        return "", ""


def compile_http(step: Step, site: Site, scope: Scope, compiler: Compiler) -> Compiled:
    """Compile an http step."""
    ctx = compiler.ctx
    assert step.http is not None, "the step is of this kind"
    options = compile_options(step.http, ctx)
    build, constant = compile_request(step.http, scope, ctx)
    site.url = shown_url(step.http, scope, ctx)
    outcome = Outcome.of(step, site, scope, options.expected)
    names = frozenset(step.extract or ())
    meter = Meter(site, options.expected)
    plain = partial(_compile_plain, options, meter, None, _given, None, outcome.keep_body)
    guard = compile_guard(site, options, meter, plain, keep_body=outcome.keep_body)
    if guard is None:
        return Compiled(_compile_plain(options, meter, outcome, build, constant, outcome.keep_body), names)

    async def run(vu: Vu) -> None:
        request = constant if constant is not None else outcome.build(vu, build)
        stage = vu.scenario.stage
        response, failed = await guard.send(vu, request, stage)
        outcome.take(vu, stage, response, response.duration, failed=failed)

    return Compiled(run, names)


def compile_send(
    site: Site, options: Options, *, keep_body: bool
) -> Callable[[Vu, Request, str], Awaitable[tuple[Response, bool]]]:
    """What sends a request of a step, records it, and says whether it has failed."""
    meter = Meter(site, options.expected)
    plain = partial(_compile_plain, options, meter, None, _given, None, keep_body)
    guard = compile_guard(site, options, meter, plain, keep_body=keep_body)
    return guard.send if guard is not None else plain()


def _given(_: Vu) -> Request:
    raise AssertionError("the request is given")


def _compile_plain(  # noqa: PLR0915, PLR0917 - one coroutine, see below; called from here only
    options: Options,
    meter: Meter,
    outcome: Outcome | None,
    build: Callable[[Vu], Request],
    constant: Request | None,
    keep_body: bool,  # noqa: FBT001 - as above
) -> Callable[..., Coroutine[Any, Any, Any]]:
    """A whole http step, or with no outcome the sending of a given request, as one coroutine.

    Every coroutine between a VU and its connection would be made once and resumed once for each request. So what
    `HttpClient.send` does stands here once more, as far as the usual response needs it.
    """
    site = meter.site
    ctx = site.ctx
    control, clock, exchanged, measured = ctx.control, ctx.clock, ctx.exchanged, ctx.measured
    standstill = control.standstill
    record, expected = meter.record, options.expected
    timeout, redirects = options.timeout, options.max_redirects
    look = outcome.look if outcome is not None else None

    async def send(  # noqa: PLR0912, PLR0915 - as above
        vu: Vu, request: Request | None = constant, stage: str = ""
    ) -> tuple[Response, bool] | None:
        if request is None:
            request = build(vu) if outcome is None else outcome.build(vu, build)
        stage = stage or vu.scenario.stage
        root = vu.root
        if root.halted:
            raise Halted
        now = clock()
        if now - control.beat > standstill:
            await control.thaw()
            if root.halted:
                raise Halted
            now = clock()
        root.in_flight += 1
        control.last_request = now
        client, deadline = vu.client, now + timeout
        connection = future = None
        try:
            connection = client.start(request, now, deadline, keep_body)
            if connection is None:
                response = await client.send_slowly(request, now, deadline, keep_body, redirects)
            else:
                future = connection.future
                response = await future  # type: ignore[misc]  # it was started
                if not response.settled:
                    response = await client.settle(response, connection, deadline, keep_body, redirects)
        except BaseException as problem:
            if connection is not None and future is not None:
                connection.abandon(future)
            if measured and isinstance(problem, asyncio.CancelledError):
                meter.cancelled(vu, stage, request.method)
            raise
        finally:
            root.in_flight -= 1
        intended = vu.ready
        vu.ready = response.end
        root.yields += 1
        if measured:
            failed = record(vu, stage, response, intended).failed
        else:
            failed = bool(response.error) or response.status not in expected
        if exchanged is not None:
            exchanged(site, vu, request, response, failed=failed)
        if failed:
            if response.status == UNAUTHORIZED:
                ctx.tokens.answered(response)
            if response.error:
                await asyncio.sleep(
                    0
                )  # a connection can be refused without waiting; nobody else would ever run
            if outcome is not None:
                outcome.take(vu, stage, response, response.duration, failed=True)
        elif look is not None:
            look(vu, response, stage)
        return (response, failed) if outcome is None else None

    return send
