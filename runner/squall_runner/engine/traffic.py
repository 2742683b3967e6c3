"""Logging iterations and requests: a sample of them as a whole, and those that fail.

It exists only where `outputs.logs.iterations` asks for it, and whoever would call it is compiled without it otherwise. However
much happens, the lines of a second are bounded: a log that grows with the load would be the first thing that breaks in a load test.
What a line says comes from the manifest and from measurements; no header, no body, and of a URL what `squall_runner.steps.shown` allows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from squall.logs import events
from squall.spec.quantities import exact_share, whole
from squall_runner.engine.sampling import Sample
from squall_runner.steps.sending import error_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from structlog.typing import FilteringBoundLogger

    from squall.hub.protocol import Assignment
    from squall.spec.structs import LoggedIterations, Outputs
    from squall_runner.engine.vu import Vu
    from squall_runner.http import Request, Response
    from squall_runner.steps.context import Site

_DIGITS: Final = 6
"""Of durations in seconds: microseconds."""


class Flow:
    """What is kept of an iteration until it has ended, as soon as there is anything to keep.

    Attributes:
        sampled: All of it is logged.
        failed_step: The step that failed last.
        error: The class of that failure.
        failed_steps: How many steps failed, those included that the iteration survived.
        failed_checks: How many checks did not hold.
    """

    __slots__ = ("error", "failed_checks", "failed_step", "failed_steps", "sampled")

    def __init__(self, *, sampled: bool) -> None:
        self.sampled = sampled
        self.failed_step = self.error = ""
        self.failed_steps = self.failed_checks = 0


def lines_of(most: int, shards: int, own: Sequence[int]) -> int:
    """The lines a second that the runner of some shards may write, of those of the whole run; all shares add up to it."""
    return sum((shard + 1) * most // shards - shard * most // shards for shard in own)


class Traffic:
    """Logs the iterations of one runner.

    Args:
        wanted: What the manifest asks for.
        lines: Where to.
        run: The run's id.
        shards: How many shards the run has.
        own: Those of this runner.
    """

    def __init__(
        self,
        wanted: LoggedIterations,
        lines: FilteringBoundLogger,
        *,
        run: str,
        shards: int,
        own: Sequence[int],
    ) -> None:
        self._lines = lines
        self._sample = Sample(run, exact_share(wanted.sample))
        self._failures = wanted.failures
        self._requests = wanted.requests
        self._most = lines_of(whole(wanted.max_per_second), shards, own)
        # Where everything fails, failures alone would fill a second, and nobody would see how an iteration goes.
        self._for_sample = self._most // 2 if exact_share(wanted.sample) else 0
        self._room = self._most
        self._left_out = 0

    def begin(self, vu: Vu, scenario: str, stage: str) -> None:
        """An iteration begins."""
        vu.flow = None
        # What cannot be told from its beginning is left out as a whole.
        if self._sample.holds(vu.id, vu.iteration - 1) and self._admit(sampled=True):
            vu.flow = Flow(sampled=True)
            self._lines.info(events.FLOW_START, **_place(vu, scenario, stage))

    def end(self, vu: Vu, scenario: str, stage: str, *, failed: bool | None, duration: float) -> None:
        """An iteration has ended that failed, or of which something was kept.

        Args:
            vu: Whose iteration.
            scenario: Of what.
            stage: When.
            failed: As `ScenarioLoad.iterate` returns it.
            duration: In seconds.
        """
        flow = _kept(vu)
        if not self._wants(sampled=flow.sampled, failed=bool(failed)):
            return
        tell = self._lines.warning if failed else self._lines.info
        tell(
            events.FLOW_COMPLETE,
            **_place(vu, scenario, stage),
            outcome="interrupted" if failed is None else "failed" if failed else "completed",
            duration=round(duration, _DIGITS),
            failed_step=flow.failed_step,
            error=flow.error,
            failed_steps=flow.failed_steps,
            failed_checks=flow.failed_checks,
        )

    def exchange(self, site: Site, vu: Vu, request: Request, response: Response, *, failed: bool) -> None:
        """A request has ended; see `Observer.exchange`."""
        flow = vu.root.flow
        if flow is None and not failed:
            return  # nearly always
        sampled = flow is not None and flow.sampled
        if not (self._requests and self._wants(sampled=sampled, failed=failed)):
            return
        tell = self._lines.warning if failed else self._lines.info
        tell(
            events.REQUEST,
            **_place(vu, site.ctx.scenario, vu.scenario.stage),
            step=site.name,
            method=request.method,
            url=site.url(request),
            status=response.status,
            error=error_of(response, frozenset()) if failed else "",
            **_figures(response),
        )

    def act(  # noqa: PLR0917 - as in `Observer`
        self, site: Site, vu: Vu, action: str, duration: float, error: str, details: Mapping[str, Any]
    ) -> None:
        """Something was done on a chain; see `Observer.act`."""
        flow = vu.root.flow
        if flow is None and not error:
            return
        sampled = flow is not None and flow.sampled
        if not (self._requests and self._wants(sampled=sampled, failed=bool(error))):
            return
        tell = self._lines.warning if error else self._lines.info
        tell(
            events.ACTION,
            **_place(vu, site.ctx.scenario, vu.scenario.stage),
            step=site.name,
            action=action,
            duration=round(duration, _DIGITS),
            error=error,
            hash=details.get("hash", ""),
            block=details.get("block", 0),
            method=details.get("method", ""),
        )

    def step_failed(self, vu: Vu, step: str, error: str) -> None:
        """A step has failed."""
        flow = _kept(vu)
        flow.failed_step, flow.error = step, error
        flow.failed_steps += 1

    def check_failed(self, vu: Vu) -> None:
        """A check did not hold."""
        _kept(vu).failed_checks += 1

    def account(self) -> None:
        """A second is over: say what was left out of it, and make room for the next."""
        if self._left_out:
            self._lines.warning(events.LINES_LEFT_OUT, lines=self._left_out, max_per_second=self._most)
        self._left_out, self._room = 0, self._most

    def _wants(self, *, sampled: bool, failed: bool) -> bool:
        """Whether something of an iteration is to be logged, and there is room for it."""
        return (sampled or (failed and self._failures)) and self._admit(sampled=sampled)

    def _admit(self, *, sampled: bool) -> bool:
        if self._room > (0 if sampled else self._for_sample):
            self._room -= 1
            return True
        self._left_out += 1
        return False


def make_traffic(
    outputs: Outputs | None, lines: FilteringBoundLogger | None, assignment: Assignment, shards: int
) -> Traffic | None:
    """What logs iterations, where the manifest asks for it and this process has a log.

    Args:
        outputs: Of the manifest.
        lines: This process's log, if it has one.
        assignment: What the runner was given.
        shards: How many the run has.
    """
    if outputs is None or outputs.logs is None or outputs.logs.iterations is None or lines is None:
        return None
    return Traffic(outputs.logs.iterations, lines, run=assignment.run, shards=shards, own=assignment.shards)


def _kept(vu: Vu) -> Flow:
    """What is kept of a VU's iteration, from now on at the latest."""
    root = vu.root
    if root.flow is None:
        root.flow = Flow(sampled=False)
    return root.flow


def _place(vu: Vu, scenario: str, stage: str) -> dict[str, Any]:
    return {
        "shard": vu.shard,
        "scenario": scenario,
        "stage": stage,
        "vu": vu.id,
        "iteration": vu.iteration - 1,
        **({} if vu.root.wallet is None else {"wallet": vu.root.wallet.address}),
    }


def _figures(response: Response) -> dict[str, Any]:
    """What was measured of a request; durations in seconds, sizes in bytes."""
    first = response.redirects[0] if response.redirects else response
    return {
        "total": round(response.end - first.start, _DIGITS),
        "duration": round(response.duration, _DIGITS),
        "blocked": round(response.blocked, _DIGITS),
        "connecting": round(response.dns + response.connect + response.tls, _DIGITS),
        "sending": round(response.sending, _DIGITS),
        "waiting": round(response.waiting, _DIGITS),
        "receiving": round(response.receiving, _DIGITS),
        "sent": response.bytes_sent,
        "received": response.bytes_received,
        "size": response.size,
        "redirects": len(response.redirects),
        "reused": response.reused,
    }
