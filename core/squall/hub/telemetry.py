"""How a hub of its own is doing, as metrics for Prometheus; asked for and answered on an address of its own.

The port that runners call is open to every tenant's pods, and may be behind TLS. So metrics have another one, which a network policy can
keep for Prometheus alone. Figures are read when somebody asks, and have no label that names a run, a LoadTest or a namespace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, get_args

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from squall import __version__
from squall.errors import UsageError
from squall.hub.tally import REFUSALS, totals_of
from squall.report.model import Phase, RunnerPhase

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client import Metric

    from squall.hub.driver import Run
    from squall.hub.hub import Hub
    from squall.hub.tally import Tally, Totals

PREFIX: Final = "squall_hub_"


def registry_of(hub: Hub) -> CollectorRegistry:
    """The metrics of a hub and of its process."""
    registry = process_registry()
    registry.register(_HubCollector(hub))
    return registry


def process_registry() -> CollectorRegistry:
    """A registry with what is to be known of any process: CPU, memory, open files, garbage collection."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def exposed(registry: CollectorRegistry, request: web.Request) -> web.Response:
    """The answer to somebody who asks for metrics: as text, or as OpenMetrics where that is asked for."""
    encode, kind = choose_encoder(request.headers.get("Accept", ""))
    return web.Response(body=encode(registry), headers={"Content-Type": kind})


async def serve(registry: CollectorRegistry, host: str, port: int) -> tuple[web.AppRunner, str]:
    """Serve `/metrics`; returns what is to be cleaned up by the caller, and the URL. Port 0 takes any that is free.

    Raises:
        UsageError: The address cannot be listened on.
    """

    async def metrics(request: web.Request) -> web.Response:
        return exposed(registry, request)

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise UsageError(
            f"cannot listen on {host}:{port} for metrics: {error.strerror}", "choose another --metrics-listen"
        ) from error
    bound = runner.addresses[0]
    return runner, f"http://{bound[0]}:{bound[1]}/metrics"


class _HubCollector(Collector):
    """Reads a hub when it is asked."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        """All families."""
        runs = tuple(self._hub.runs.values())
        totals = sum(map(totals_of, runs), start=self._hub.tally.forgotten)
        yield InfoMetricFamily(f"{PREFIX}build", "What the hub is.", {"version": __version__})
        yield from _standing(runs)
        yield from _merging(runs, totals)
        yield from _receiving(self._hub.tally, totals)
        if self._hub.pushes:
            yield from _pushing(runs, totals)


def _standing(runs: Iterable[Run]) -> Iterator[Metric]:
    phases = dict.fromkeys(get_args(Phase), 0)
    runners = dict.fromkeys(get_args(RunnerPhase), 0)
    for run in runs:
        phases[run.live.phase] += 1
        if not run.is_finished:
            for runner in run.live.runners:
                runners[runner.phase] += 1
    yield _by(
        "runs",
        "Runs that the hub has, by phase; those that have finished until they are forgotten.",
        "phase",
        phases,
    )
    yield _by("runners", "Runners of the runs that have not finished, by phase.", "phase", runners)
    yield _gauge("connections", "Runners that are connected.", sum(run.connected for run in runs))
    yield _gauge(
        "journals_lost",
        "Runs that are not kept, as the disk refuses their journal: a hub that is started again would not know them.",
        sum(run.journal_lost for run in runs),
    )


def _merging(runs: Iterable[Run], totals: Totals) -> Iterator[Metric]:
    yield _gauge(
        "merge_lag_seconds",
        "How long ago the oldest second of any run ended that is not judged yet. Below 2 while all is well.",
        max((run.lag_seconds for run in runs), default=0.0),
    )
    yield _counter("slots_judged", "Seconds of runs that were judged.", totals.slots)
    yield _counter(
        "slots_incomplete",
        "Those of them that were judged without what a live runner should have delivered in time.",
        totals.incomplete,
    )


def _receiving(tally: Tally, totals: Totals) -> Iterator[Metric]:
    yield _counter("snapshots_received", "Snapshots that runners have delivered.", tally.snapshots)
    yield _counter(
        "snapshots_late",
        "Snapshots that came after their second had been judged; they count in totals.",
        totals.late,
    )
    yield _counter("received_bytes", "All messages of runners.", tally.received_bytes)
    refused = CounterMetricFamily(
        f"{PREFIX}refused", "How often somebody was turned away, and why.", labels=["reason"]
    )
    for reason in REFUSALS:
        refused.add_metric([reason], tally.refused[reason])
    yield refused


def _pushing(runs: Iterable[Run], totals: Totals) -> Iterator[Metric]:
    """How pushing the runs' metrics goes, of all of them together."""
    exporters = [run.exporter for run in runs if run.exporter is not None]
    yield _counter("remote_write_samples_sent", "Samples that the receiver has taken.", totals.sent)
    yield _counter("remote_write_samples_refused", "Samples that it has refused.", totals.refused)
    yield _counter("remote_write_samples_dropped", "Samples that never reached it.", totals.dropped)
    yield _counter("remote_write_retries", "Requests that were sent again.", totals.retries)
    yield _gauge(
        "remote_write_samples_pending", "Samples that wait.", sum(each.pending for each in exporters)
    )
    yield _gauge(
        "remote_write_pending_bytes", "What they take.", sum(each.pending_bytes for each in exporters)
    )
    yield _gauge(
        "remote_write_lag_seconds",
        "How old the oldest sample is that waits.",
        max((each.lag_seconds for each in exporters), default=0.0),
    )
    yield _gauge(
        "remote_write_failing",
        "Runs whose metrics do not reach the receiver at the moment.",
        sum(each.fails for each in exporters),
    )


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, text, value=value)


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(PREFIX + name, text, value=value)


def _by(name: str, text: str, label: str, values: Mapping[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(PREFIX + name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
