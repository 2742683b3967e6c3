"""What steps are compiled with, and the place of one step: its name, its tags, and what its failure does.

Everything that is known before the run is settled here: names of series, the user's tags, policies. What is left
for the hot path is looking up a series by stage and status.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, TypeAlias

from squall.expr import compile_template
from squall_runner.recording import make_tags
from squall_runner.steps.failure import EndIteration
from squall_runner.steps.shown import origin_only, without_values

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from pathlib import Path

    from squall.expr import Env, Scope, Template
    from squall.spec.steps import OnError
    from squall.spec.structs import HttpDefaults, Step
    from squall_runner.auth import Tokens
    from squall_runner.engine.control import Control
    from squall_runner.engine.examples import Examples
    from squall_runner.engine.traffic import Traffic
    from squall_runner.engine.vu import Vu
    from squall_runner.evm.chain import Chain
    from squall_runner.http import Origin, Request, Response
    from squall_runner.recording import RateSeries, Recorder, RequestSeries, Tags, TrendSeries
    from squall_runner.resilience.failover import Failover
    from squall_runner.resilience.hosts import Resilience


MAX_STATUSES: Final = 16
"""A step's statuses beyond so many are told apart by their first digit alone, such as `5xx`: a target that answers at random
would make a series of each."""

StepFn: TypeAlias = "Callable[[Vu], Awaitable[None]]"
"""A compiled step, as it runs for one VU."""


class Observer(Protocol):
    """Somebody who wants to see everything: `squall try`."""

    def step(self, site: Site, vu: Vu) -> None:
        """A step begins."""

    def exchange(self, site: Site, vu: Vu, request: Request, response: Response, *, failed: bool) -> None:
        """A request has ended; `failed` by what its step expects."""

    def check(
        self, site: Site, name: str, source: str, *, held: bool, seen: Mapping[str, Any], why: str
    ) -> None:
        """A check was evaluated; `seen` holds what it looked at."""

    def value(self, site: Site, name: str, value: Any) -> None:
        """A name was given a value."""

    def act(  # noqa: PLR0917 - as `Context.acted` is called
        self, site: Site, vu: Vu, action: str, duration: float, error: str, details: Mapping[str, Any]
    ) -> None:
        """A step has done something on a chain, or has failed to; `details` are for people."""

    def failure(self, site: Site, error: str, message: str, hint: str) -> None:
        """A step failed."""


@dataclass(frozen=True, slots=True)
class Target:
    """A base URL: where it leads, and what stands before every path."""

    origin: Origin
    prefix: str


@dataclass(frozen=True, slots=True)
class Context:
    """What all steps of one scenario (or of setup or teardown) share while they are compiled.

    Attributes:
        scenario: The value of the tag `scenario`.
        tags: The scenario's own tags.
        http: Defaults of the http steps.
        targets: The base URLs, resolved; may be empty.
        constants: The environment as far as it is known before the run: variables and the run itself.
        files: Where each of `spec.files` lies.
        recorder: Where measurements go.
        control: Whether the load may go on.
        examples: Where failures leave their messages.
        abort: Asks to end the run: reason and message.
        note: Writes to the run's log.
        clock: Seconds, monotonic; the clock of all times in responses.
        tokens: The OAuth2 tokens that requests show.
        resilience: What is known of the hosts: their pace, their circuits, their retries.
        failover: Knows which base URLs can be reached; None when all have their share whatever happens.
        turns: Whose turn it is among the base URLs.
        observer: Who watches every step, if anybody.
        traffic: Logs iterations and their requests, if the manifest asks for it.
        measured: Whether requests are part of the load's metrics (setup's are not).
        pauses: Whether think steps take their time.
        chain: What this process has of the chain of `spec.evm`, if there is one.
    """

    scenario: str
    tags: Tags
    http: HttpDefaults
    targets: tuple[Target, ...]
    constants: Env
    files: Mapping[str, Path]
    recorder: Recorder
    control: Control
    examples: Examples
    abort: Callable[[str, str], None]
    note: Callable[..., None]
    clock: Callable[[], float]
    tokens: Tokens
    resilience: Resilience
    failover: Failover | None
    turns: Iterator[int] = field(default_factory=count)
    observer: Observer | None = None
    traffic: Traffic | None = None
    measured: bool = True
    pauses: bool = True
    chain: Chain | None = None

    @property
    def acted(self) -> Callable[..., None] | None:
        """Who is told of what was done on a chain, as `Observer.act`; None when nobody wants to know."""
        if self.observer is not None:
            return self.observer.act
        return self.traffic.act if self.traffic is not None else None

    @property
    def exchanged(self) -> Callable[..., None] | None:
        """Who is told of each request that has ended, as `Observer.exchange`; None when nobody wants to know."""
        if self.observer is not None:
            return self.observer.exchange
        return self.traffic.exchange if self.traffic is not None else None

    def constant(self, template: Template) -> str | None:
        """The text of a template that is the same for all VUs and iterations; None when it is not."""
        if template.constant is not None:
            return template.constant
        if template.names <= {"var", "run"}:
            return template.render(self.constants)
        return None


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled step.

    Attributes:
        run: Runs it for one VU.
        names: The names that it gives values to.
    """

    run: StepFn
    names: frozenset[str] = frozenset()

    def observed(self, site: Site, observer: Observer) -> Compiled:
        """The same step, seen by somebody."""
        inner = self.run

        async def run(vu: Vu) -> None:
            observer.step(site, vu)
            await inner(vu)

        return Compiled(run, self.names)

    def containing(self) -> Compiled:
        """The same step with `onError: continue`: the iteration goes on after a failure, its own or one from within."""
        inner = self.run

        async def run(vu: Vu) -> None:
            try:
                await inner(vu)
            except EndIteration as failure:
                if failure.aborts:
                    raise

        return Compiled(run, self.names)


@dataclass(slots=True)
class Site:
    """One step's place: what it is called, what its measurements are tagged with, what its failure does.

    Attributes:
        ctx: What it was compiled with.
        name: The value of the tag `step`.
        place: Where it stands, such as `2.1`: the first step within the second.
        on_error: What follows a failure in the end: the step's own `onError`, or where that only ends the iteration, what
            the steps around it make of this.
        tags: The scenario's and the step's own tags, as far as they are constant.
        own: Tags whose values depend on the iteration.
        url: What may be shown of a request's URL, see `squall_runner.steps.shown`.
    """

    ctx: Context
    name: str
    place: str
    on_error: OnError
    tags: Tags = ()
    own: tuple[tuple[str, Template], ...] = ()
    url: Callable[[Request], str] = origin_only
    _requests: dict[tuple[str, ...], RequestSeries] = field(default_factory=dict)
    _trends: dict[tuple[str, str], TrendSeries] = field(default_factory=dict)
    _checks: dict[tuple[str, str], RateSeries] = field(default_factory=dict)
    _statuses: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, step: Step, name: str, place: str, on_error: OnError, scope: Scope, ctx: Context) -> Site:  # noqa: PLR0917 - one caller
        """The place of a step of the manifest."""
        constant, own = dict(ctx.tags), []
        for tag, text in (step.tags or {}).items():
            template = compile_template(text, scope)
            known = ctx.constant(template)
            if known is None:
                own.append((tag, template))
            else:
                constant[tag] = known
        return cls(ctx, name, place, on_error, tuple(constant.items()), tuple(own))

    def tagged(self, env: Env, **tags: str) -> Tags:
        """All tags of a measurement in this iteration."""
        own = self.tags
        if self.own:
            own = (*own, *((name, template.render(env)) for name, template in self.own))
        return make_tags(own=own, scenario=self.ctx.scenario, step=self.name, **tags)

    def requests(
        self, vu: Vu, stage: str, method: str, status: str, error: str, *, failed: bool
    ) -> RequestSeries:
        """The series of this step's requests with this outcome."""
        key = (stage, method, status, error)
        found = self._requests.get(key)
        if found is None:
            status = self.status(status)
            tags = self.tagged(vu.env, stage=stage, method=method, status=status, error=error)
            found = self.ctx.recorder.requests(tags, failed=failed, error=error)
            if not self.own:
                self._requests[key] = found
        return found

    def status(self, status: str) -> str:
        """The value of the tag `status` for a status: itself, or its class when the step has seen too many of them."""
        if status in self._statuses or not status:
            return status
        if len(self._statuses) >= MAX_STATUSES:
            return f"{status[0]}xx"
        self._statuses.add(status)
        return status

    def trend(self, metric: str, vu: Vu, stage: str) -> TrendSeries:
        """A trend of this step."""
        key = (metric, stage)
        found = self._trends.get(key)
        if found is None:
            found = self.ctx.recorder.trend(metric, self.tagged(vu.env, stage=stage))
            if not self.own:
                self._trends[key] = found
        return found

    def check(self, name: str, vu: Vu, stage: str) -> RateSeries:
        """The series of one of this step's checks."""
        key = (name, stage)
        found = self._checks.get(key)
        if found is None:
            found = self.ctx.recorder.rate("checks", self.tagged(vu.env, stage=stage, check=name))
            if not self.own:
                self._checks[key] = found
        return found

    def fail(self, vu: Vu, error: str, message: str, hint: str = "") -> NoReturn:
        """Count a failure of this step, and ask for the end of the run if that is what follows.

        Raises:
            EndIteration: Always; see `Compiled.containing` for whether the iteration ends.
        """
        ctx = self.ctx
        if ctx.observer is not None:
            ctx.observer.failure(self, error, message, hint)
        if ctx.traffic is not None:
            ctx.traffic.step_failed(vu, self.name, error)
        message, hint = without_values(message, vu.env), without_values(hint, vu.env)
        if ctx.measured:
            tags = self.tagged(vu.env, stage=vu.scenario.stage, error=error)
            ctx.recorder.counter("step_failures", tags).value += 1
        ctx.examples.keep(error, ctx.scenario, self.name, message, hint)
        aborts = self.on_error == "abortRun"
        if aborts:
            ctx.abort("StepFailed", f"{ctx.scenario} / {self.name}: {message}")
        raise EndIteration(aborts=aborts)
