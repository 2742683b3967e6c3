"""How the operator itself is doing: metrics for Prometheus, health and readiness for the kubelet, structured logs.

GET /healthz   200 while the event loop turns
GET /readyz    200 once everything may be watched and a hub answers
GET /metrics   Prometheus' text format, or OpenMetrics
"""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from prometheus_client import Counter, Gauge, Histogram, Info

from squall import __version__
from squall.hub.telemetry import exposed, process_registry
from squall.logs import events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from structlog.typing import FilteringBoundLogger

    from squall_operator.lasting import Standing

OUTCOMES: Final = ("allowed", "refused", "error")
"""Of reviews."""
_SECONDS: Final = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)


class Telemetry:
    """Metrics and logs of one operator process.

    Args:
        lines: Makes lines of its log.

    Attributes:
        refused: Set whenever the Kubernetes API has forbidden something; cleared by whoever looks into it.
    """

    def __init__(self, lines: FilteringBoundLogger) -> None:
        self.registry = process_registry()
        Info("squall_operator_build", "What the operator is", registry=self.registry).info(
            {"version": __version__}
        )
        self._log = lines
        self.refused = asyncio.Event()
        self._actions = Histogram(
            "squall_operator_action_seconds",
            "How long actions took, by kind",
            ["action"],
            registry=self.registry,
            buckets=_SECONDS,
        )
        self._rounds = Histogram(
            "squall_operator_round_seconds",
            "How long it took to look at a LoadTest and to do what followed",
            registry=self.registry,
            buckets=_SECONDS,
        )
        self._calls = Histogram(
            "squall_operator_api_seconds",
            "Calls of the Kubernetes API; the status is 0 where there was no answer",
            ["method", "status"],
            registry=self.registry,
            buckets=_SECONDS,
        )
        self._failures = Counter(
            "squall_operator_failures_total",
            "Rounds that ended with an error",
            ["error"],
            registry=self.registry,
        )
        self._reviews = Histogram(
            "squall_operator_review_seconds",
            "How long reviews of the webhook took, by outcome: allowed, refused, or error where it could not judge",
            ["outcome"],
            registry=self.registry,
            buckets=_SECONDS,
        )
        for outcome in OUTCOMES:  # a counter that begins with its first error hides that one
            self._reviews.labels(outcome)
        self._leader = Gauge("squall_operator_leader", "1 while this process acts", registry=self.registry)
        self._waiting = Gauge(
            "squall_operator_queue_waiting", "LoadTests that wait to be looked at", registry=self.registry
        )
        self._held = Gauge(
            "squall_operator_queue_held",
            "LoadTests that a policy's limit of concurrent runs holds back",
            registry=self.registry,
        )
        self._ahead = Gauge(
            "squall_operator_queue_ahead",
            "For how many other runs that one of them waits which has to wait longest",
            registry=self.registry,
        )
        self._runs = Gauge("squall_operator_runs", "LoadTests by phase", ["phase"], registry=self.registry)
        self._oldest = Gauge(
            "squall_operator_phase_oldest_seconds",
            "For how long that LoadTest has been in a phase which has been so the longest",
            ["phase"],
            registry=self.registry,
        )
        self._overdue = Gauge(
            "squall_operator_overdue_seconds",
            "By how much a run has outlasted what its phase may last, at most; known to who leads",
            registry=self.registry,
        )
        self._hub = Gauge("squall_operator_hub_up", "1 while a hub answers", ["hub"], registry=self.registry)

    @contextmanager
    def acting(self, action: str) -> Iterator[None]:
        """Measure an action."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._actions.labels(action).observe(time.perf_counter() - began)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Measure a round."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._rounds.observe(time.perf_counter() - began)

    def called(self, method: str, status: int, seconds: float) -> None:
        """A call of the Kubernetes API is over; the status is 0 where there was no answer."""
        self._calls.labels(method, str(status)).observe(seconds)
        if status == HTTPStatus.FORBIDDEN:
            self.refused.set()

    def failed(self, place: tuple[str, str], error: Exception) -> None:
        """A round has failed; it is tried again."""
        self._failures.labels(type(error).__name__).inc()
        self._log.warning(events.ROUND_FAILED, namespace=place[0], loadtest=place[1], error=str(error))

    def reviewed(self, outcome: str, seconds: float) -> None:
        """The webhook has answered: `allowed` or `refused`, or `error` where it could not judge."""
        self._reviews.labels(outcome).observe(seconds)

    def review_failed(self, error: Exception) -> None:
        """The webhook has a defect; what it could not judge is left to its failure policy."""
        self._failures.labels(type(error).__name__).inc()
        self._log.error(events.REVIEW_FAILED, error=repr(error))

    def certificate(self, level: str, text: str) -> None:
        """The webhook's certificate was renewed (`info`), or the new one cannot be used (`error`)."""
        (self._log.error if level == "error" else self._log.info)(events.CERTIFICATE, message=text)

    def leading(self, *, leads: bool) -> None:
        """This process has begun to act, or has ceased to."""
        self._leader.set(leads)
        self._log.info(events.LEADER if leads else events.NOT_LEADER)

    def note(self, event: str, **fields: Any) -> None:
        """Something for the log."""
        self._log.info(event, **fields)

    def waiting(self, problem: str) -> None:
        """Something is missing without which there is nothing to do; it is waited for."""
        self._log.warning(events.WAITING, problem=problem)

    def lacking(self, problem: str) -> None:
        """The operator works, but not all of it: rights are missing."""
        self._log.warning(events.RIGHTS_MISSING, problem=problem)

    def gauge(self, *, waiting: int, standing: Standing, hubs: Mapping[str, bool]) -> None:
        """Take the readings that are asked for."""
        self._waiting.set(waiting)
        self._runs.clear()
        for phase, count in standing.phases.items():
            self._runs.labels(phase).set(count)
        for phase, seconds in standing.oldest.items():
            self._oldest.labels(phase).set(seconds)
        self._overdue.set(standing.overdue)
        self._held.set(len(standing.ahead))
        self._ahead.set(max(standing.ahead, default=0))
        for hub, up in hubs.items():
            self._hub.labels(hub).set(up)


async def serve(
    telemetry: Telemetry, address: tuple[str, int], *, read: Callable[[], None], ready: Callable[[], bool]
) -> web.AppRunner:
    """Serve health, readiness and metrics; to be cleaned up by the caller.

    Args:
        telemetry: Whose metrics.
        address: To listen on.
        read: Called before metrics are shown.
        ready: Whether the process may be given work.

    Raises:
        OSError: The address cannot be listened on.
    """

    async def health(request: web.Request) -> web.Response:
        del request
        return web.Response(text="ok")

    async def readiness(request: web.Request) -> web.Response:
        del request
        return web.Response(text="ok") if ready() else web.Response(status=503, text="not yet")

    async def metrics(request: web.Request) -> web.Response:
        read()
        return exposed(telemetry.registry, request)

    app = web.Application()
    app.add_routes([web.get("/healthz", health), web.get("/readyz", readiness), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, *address).start()
    return runner
