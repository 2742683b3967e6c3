"""Every query of every dashboard is answered with data by a real Prometheus that real runs have pushed to."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Metric, start_http_server
from support.agents import environment
from support.anvil import EvmNode, anvil
from support.chainruns import FUNDER
from support.countingtarget import CountingTarget, counting_target
from support.grafana import Shown, dashboard, has_data, panels
from support.processes import Process, free_ports
from support.prometheus import Prometheus, running_prometheus
from support.squallrun import Ended, Squall

from squall_operator.lasting import Standing
from squall_operator.telemetry import Telemetry

pytestmark = [pytest.mark.prometheus, pytest.mark.timeout(240, func_only=True)]

MARGIN = 3.0
PATIENCE = 120.0
"""Two processes are started before there is any load, which on a busy machine takes longer than the load."""


@dataclass(frozen=True, slots=True)
class World:
    """A Prometheus with all that dashboards show.

    Attributes:
        prometheus: It.
        native: A run that pushed native histograms, the later one.
        classic: The one before, of the same LoadTest, which pushed classic ones.
    """

    prometheus: Prometheus
    native: Ended
    classic: Ended

    def show(self, uid: str, run: Ended, /, **chosen: str) -> Shown:
        """A dashboard, opened at the time of a run."""
        began, ended = unix(run.summary.started_at), unix(run.summary.ended_at)
        return Shown(dashboard(uid), self.prometheus, began - MARGIN, ended + MARGIN, chosen)

    def show_nothing_else(self, uid: str, run: Ended) -> Shown:
        """A dashboard, opened at whole seconds of a run's load.

        With a margin it may show the end of the run before as well: how far they lie apart depends on how fast this machine starts
        one. And Grafana rounds the length of the time that is shown, so a part of a second would let it look back further.
        """
        began, ended = unix(run.summary.started_at), unix(run.summary.ended_at)
        return Shown(dashboard(uid), self.prometheus, ended - math.floor(ended - began), ended)


def unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        ports = [stack.enter_context(exposed(each)) for each in (Operator(), system())]
        ports += (hub_port := free_ports(1)[0],)
        scrapes = [
            {"job_name": f"job-{port}", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
            for port in ports
        ]
        prometheus = stack.enter_context(running_prometheus(scrapes))
        folder = tmp_path_factory.mktemp("hub")
        stack.callback(hub(folder, hub_port, prometheus.remote_write_url).stop)
        squall = Squall(tmp_path_factory.mktemp("runs"))
        stack.callback(squall.close)
        target = stack.enter_context(counting_target())
        node = stack.enter_context(anvil(block_time=1))
        runs = [
            squall(made(target, node, prometheus, form), processes=2).ended(PATIENCE)
            for form in ("classic", "native")
        ]
        yield World(prometheus, native=runs[1], classic=runs[0])


def made(target: CountingTarget, node: EvmNode, prometheus: Prometheus, form: str) -> dict[str, Any]:
    """A run with everything that has a panel: both load models, stages, errors, retries, jobs, a chain, a breach that stops it."""
    target.slow["/slow"] = 0.05
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}/"
    get = {"name": "get", "http": {"url": "/"}, "checks": {"ok": "status == 200", "made": "status == 201"}}
    slow = {"name": "slow", "tags": {"component": "orders"}, "http": {"url": "/slow"}}
    lost = {"name": "lost", "http": {"url": nobody}}
    job = {
        "name": "job",
        "poll": {"http": {"url": "/job"}, "until": "status == 200", "interval": "50ms", "deadline": "5s"},
    }
    stages = [
        {"name": "ramp", "duration": "3s", "target": 4},
        {"name": "hold", "duration": "30s", "target": 4},
    ]
    visit = {
        "name": "visit",
        "executor": "ramping-vus",
        "stages": stages,
        "steps": [get, slow, {"think": {"duration": "50ms"}}],
    }
    order = {
        "name": "order",
        "executor": "constant-arrival-rate",
        "rate": 20,
        "duration": "34s",
        "preAllocatedVUs": 1,
        "steps": [job, slow, lost],
    }
    pay = {
        "name": "pay",
        "executor": "constant-vus",
        "vus": 2,
        "duration": "34s",
        "steps": [
            {
                "name": "send",
                "tags": {"component": "chain"},
                "evm": {"transaction": {"to": f"0x{'11' * 20}", "value": "1 wei"}},
            }
        ],
    }
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": "shop", "namespace": "team"},
        "spec": {
            "shards": 2,
            "evm": {
                "endpoints": [{"name": "node", "url": node.url}],
                "wallets": {"seed": "a seed of ${run.id}", "count": 4},
                "funding": {"keys": [FUNDER], "ahead": 4},
            },
            "http": {
                "baseUrls": [target.url, target.url.replace("127.0.0.1", "localhost")],
                "failover": {},
                "retry": {"maxRetries": 1, "initial": "10ms", "budget": "100%"},
                "rateLimits": [{"rate": 1000}],
                "circuitBreaker": {"errorRate": "50%", "window": "2s", "minRequests": 5, "openFor": "1s"},
            },
            "tiers": [{"name": "good", "thresholds": [{"metric": "checks", "expression": "rate>90%"}]}],
            "scenarios": [visit, order, pay],
            "thresholds": [
                {"name": "quick", "metric": "http_req_total", "expression": "p(95)<10s"},
                {
                    "name": "lasting",
                    "metric": "http_req_failed",
                    "expression": "rate<1%",
                    "after": "6s",
                    "over": "2s",
                    "abortOnFail": True,
                },
            ],
            "safety": {"maxDuration": "60s", "errorRate": {"stop": "100%"}, "consecutiveFailures": 1_000_000},
            "outputs": {
                "prometheus": {
                    "remoteWriteUrl": prometheus.remote_write_url,
                    "histograms": form,
                    "perShard": True,
                }
            },
        },
    }


def hub(folder: Path, port: int, receiver: str) -> Process:
    """A hub that waits for runs, pushes their metrics and tells how it is."""
    command = [sys.executable, "-m", "squall.hub", "--listen", "127.0.0.1:0", "--state-dir", str(folder)]
    command += ["--metrics-listen", f"127.0.0.1:{port}", "--remote-write-url", receiver]
    return Process(command, log=folder / "hub.log", environment=environment())


class Operator(CollectorRegistry):
    """What an operator shows that has something to do each time it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self._telemetry = Telemetry(structlog.get_logger())
        self._telemetry.leading(leads=True)
        self._telemetry.failed(("team", "shop"), RuntimeError("x"))
        phases = {"Running": 2, "Queued": 1}
        standing = Standing(phases, dict.fromkeys(phases, 3.0), 0.0, (1,))
        self._telemetry.gauge(waiting=1, standing=standing, hubs={"http://hub:1": True})

    def collect(self) -> Iterator[Metric]:
        with self._telemetry.looking(), self._telemetry.acting("Launch"):
            self._telemetry.called("PATCH", 200, 0.01)
        return iter(self._telemetry.registry.collect())


def system() -> CollectorRegistry:
    """Series as cAdvisor and the usual exporters call theirs; those themselves would need what they watch."""
    registry = CollectorRegistry()
    cpu = Counter(
        "container_cpu_usage_seconds_total", "", ["namespace", "pod", "container"], registry=registry
    )
    cpu.labels("team", "shop-1", "shop").inc()
    memory = Gauge(
        "container_memory_working_set_bytes", "", ["namespace", "pod", "container"], registry=registry
    )
    memory.labels("team", "shop-1", "shop").set(1e8)
    Gauge("pg_stat_activity_count", "", ["datname", "state"], registry=registry).labels("shop", "active").set(
        3
    )
    Counter("redis_commands_processed_total", "", registry=registry).inc()
    Gauge("rabbitmq_queue_messages", "", ["queue"], registry=registry).labels("orders").set(7)
    return registry


@contextmanager
def exposed(registry: CollectorRegistry) -> Iterator[int]:
    server, thread = start_http_server(port := free_ports(1)[0], "127.0.0.1", registry=registry)
    try:
        yield port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def without_data(shown: Shown) -> list[str]:
    """The queries that are answered with nothing, each with its panel; of a panel that is repeated, each of its values."""
    missing = []
    for panel in panels(shown.of):
        for value in shown.options[panel["repeat"]] if panel.get("repeat") else [""]:
            shown.choose(panel.get("repeat", ""), value)
            missing += [
                f"{panel['title']} {value}: {query}"
                for query, result in shown.results(panel)
                if not has_data(result)
            ]
    return missing


@pytest.mark.parametrize("uid", ["squall-run", "squall-fleet", "squall-operator"])
@pytest.mark.parametrize("form", ["native", "classic"])
def test_every_panel_has_data(world: World, uid: str, form: str) -> None:
    run: Ended = getattr(world, form)
    missing = without_data(world.show(uid, run, run=run.summary.run))
    assert not missing, "\n".join(missing)


def test_every_panel_that_compares_has_data(world: World) -> None:
    missing = without_data(world.show("squall-compare", world.native))
    assert not missing, "\n".join(missing)


def test_a_panel_without_data_is_named(world: World) -> None:
    shown = world.show("squall-run", world.native, run="another")
    assert any(each.startswith("Total time : histogram_quantile(0.5, ") for each in without_data(shown))


def test_variables_offer_what_there_is_the_newest_run_first(world: World) -> None:
    shown = world.show_nothing_else("squall-run", world.native)
    assert shown.options == {
        "namespace": ["team"],
        "loadtest": ["shop"],
        "run": [world.native.summary.run],
        "threshold": ["lasting", "quick"],
    }
    both = Shown(shown.of, world.prometheus, unix(world.classic.summary.started_at), shown.end)
    assert both.options["run"] == [world.native.summary.run, world.classic.summary.run]
    assert world.show("squall-fleet", world.native).options == {"namespace": ["team"], "loadtest": ["shop"]}
    operator = world.show("squall-operator", world.native).options
    assert [len(operator[each]) for each in ("job", "hub")] == [1, 1]


def test_annotations_stand_where_it_happened(world: World) -> None:
    shown = world.show("squall-run", world.native)
    summary = world.native.summary
    found = {each["name"]: shown.events(each) for each in shown.of["annotations"]["list"]}
    began = unix(summary.started_at)
    assert [at for at, _ in found["Start"]] == [pytest.approx(began, abs=0.01)]
    assert [at for at, _ in found["End"]] == [pytest.approx(unix(summary.ended_at), abs=0.01)]
    ((failed, labels),) = found["Breach"]
    assert labels["threshold"] == "lasting"
    ((stopped, labels),) = found["Stop"]
    assert labels["cause"] == "threshold"
    assert began + 6 < failed < stopped < unix(summary.ended_at)
    stages = {labels["stage"]: at for at, labels in found["Stages"]}
    assert stages["ramp"] == pytest.approx(began, abs=2.1)
    assert stages["hold"] == pytest.approx(began + 3, abs=2.1)


def result(shown: Shown, title: str) -> list[Any]:
    """What the queries of a panel are answered with."""
    (panel,) = [
        each for each in panels(shown.of) if each["title"] == title and each["type"] in ("stat", "table")
    ]
    return [answer for _, answer in shown.results(panel)]


@pytest.mark.parametrize("form", ["native", "classic"])
def test_figures_are_those_of_the_report(world: World, form: str) -> None:
    run: Ended = getattr(world, form)
    shown = world.show("squall-run", run, run=run.summary.run)
    ((verdict,),) = result(shown, "Verdict")
    assert verdict["metric"]["result"] == run.summary.verdict.result == "Aborted"
    assert verdict["metric"]["reason"] == run.summary.verdict.reason
    ((requests,),) = result(shown, "Requests")
    assert float(requests["value"][1]) == run.count()
    ((failed,),) = result(shown, "Failed")
    whole = next(each for each in run.summary.metrics if each.metric == "http_req_failed" and not each.tags)
    assert float(failed["value"][1]) == pytest.approx(whole.values["rate"])
    ((p95,),) = result(shown, "p95 total time")
    whole = next(each for each in run.summary.metrics if each.metric == "http_req_total" and not each.tags)
    # A classic bucket may be as wide as that; a native one is not, but a few hundred samples lie apart.
    width = 2.6 if form == "classic" else 1.2
    assert whole.values["p95"] / width < float(p95["value"][1]) < whole.values["p95"] * width


def test_a_run_that_goes_on_shows_its_phase_in_place_of_a_verdict(world: World) -> None:
    whole = world.show("squall-run", world.native)
    shown = Shown(whole.of, world.prometheus, whole.start, unix(world.native.summary.started_at) + 4)
    ((verdict,),) = result(shown, "Verdict")
    assert verdict["metric"]["phase"] == "running"
    assert float(verdict["value"][1]) == 0


def test_thresholds_are_told_with_limit_value_and_state(world: World) -> None:
    shown = world.show("squall-run", world.native)
    info, value, limit, state = (
        {each["metric"]["threshold"]: each for each in answer} for answer in result(shown, "Thresholds")
    )
    assert info["lasting"]["metric"]["expression"] == "rate<1% over 2s after 6s"
    assert float(limit["lasting"]["value"][1]) == 0.01 < float(value["lasting"]["value"][1])
    (panel,) = [each for each in panels(shown.of) if each["title"] == "States"]
    names = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    assert {each: names[state[each]["value"][1]]["text"] for each in state} == {
        "lasting": "failed",
        "quick": "pass",
    }


def test_the_fleet_has_a_row_for_each_run_at_its_time(world: World) -> None:
    shown = world.show("squall-fleet", world.native)
    since = unix(world.classic.summary.started_at) - MARGIN
    shown = Shown(shown.of, world.prometheus, since, shown.end)
    (panel,) = [each for each in panels(shown.of) if each["title"] == "Runs" and each["type"] == "table"]
    names = list(panel["transformations"][1]["options"]["renameByName"].values())
    rows = [{each["metric"]["run"]: each for each in answer} for _, answer in shown.results(panel)]
    found = dict(zip(names, rows, strict=True))
    for run in (world.native, world.classic):
        row = {name: float(found[name][run.summary.run]["value"][1]) for name in names}
        began, ended = unix(run.summary.started_at), unix(run.summary.ended_at)
        assert row["began"] == pytest.approx(began * 1000, abs=10)
        assert row["took"] == pytest.approx(ended - began, abs=0.1)
        assert row["requests"] == run.count()
        assert row["from"] / 1000 < began < ended < row["to"] / 1000
        assert found["why"][run.summary.run]["metric"]["reason"] == run.summary.verdict.reason
    assert all(set(each) == {world.native.summary.run, world.classic.summary.run} for each in rows)


def test_a_heatmap_gets_the_buckets_that_there_are(world: World) -> None:
    for run, wanted in ((world.native, "histograms"), (world.classic, "values")):
        shown = world.show("squall-run", run, run=run.summary.run)
        (panel,) = [each for each in panels(shown.of) if each["type"] == "heatmap"]
        ((_, series),) = shown.results(panel)
        assert all(wanted in each for each in series)
        assert [each["metric"] for each in series] == (
            [{}] if run is world.native else [{"le": each["metric"]["le"]} for each in series]
        )


def test_the_earlier_run_lies_over_the_later_one_by_the_start_of_the_load(world: World) -> None:
    shown = world.show("squall-compare", world.native)
    assert shown.options["baseline"] == [world.classic.summary.run]
    (shift,) = shown.options["shift"]
    starts = [unix(run.summary.started_at) for run in (world.classic, world.native)]
    assert int(shift) == pytest.approx(starts[1] - starts[0], abs=0.51)
    elapsed = "squall_run_elapsed_seconds"
    query = f'{elapsed}{{run="$run"}} - ignoring (run) ({elapsed}{{run="$baseline"}} offset ${{shift}}s)'
    (difference,) = world.prometheus.query_range(shown.expand(query, 1), shown.start, shown.end, 1)
    apart = [abs(float(value)) for _, value in difference["values"]]
    assert len(apart) > 5
    # On a busy machine a hub may leave out a second; then the one before still stands.
    assert statistics.median(apart) <= 1.001
    # A run has nothing to be compared with that came after it.
    first = world.classic.summary.run
    assert world.show("squall-compare", world.classic, run=first).options["baseline"] == []
