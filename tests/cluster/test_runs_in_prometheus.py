"""A run on real pods, whose hub and runners push to a real Prometheus: it is there as its report tells, and nothing alerts on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
import yaml
from support.cluster.access import Access
from support.cluster.operated import ENDED, Installation, installation, manifest, scenario, until
from support.kubeclient import Json
from support.processes import free_ports
from support.prometheus import Prometheus, running_prometheus
from support.pushed import at_end, counters, percentile_holds
from support.rights import DEPLOY, objects

from squall.report.model import Summary

pytestmark = [
    pytest.mark.node,
    pytest.mark.matrix,
    pytest.mark.prometheus,
    pytest.mark.timeout(300, func_only=True),
]

SHARDS = 4
RULES = DEPLOY / "components" / "monitoring" / "rules.yaml"


@dataclass(frozen=True, slots=True)
class Monitored:
    """An installation, and the Prometheus that it pushes to and that scrapes it."""

    squall: Installation
    prometheus: Prometheus

    def run(self, name: str, **spec: Any) -> Summary:
        """Run a LoadTest to its end; returns its report."""
        self.squall.apply(manifest(name, **spec))
        status = self.squall.wait(name, *ENDED, seconds=150)
        return msgspec.convert(self.squall.summary(status), Summary)


@pytest.fixture(scope="module")
def monitored(access: Access, images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitored]:
    del images
    folder = tmp_path_factory.mktemp("monitored")
    (rules,) = objects(RULES)
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules["spec"]), encoding="utf-8")
    hub, operator = (f"127.0.0.1:{port}" for port in free_ports(2))
    scraped = [scraping("squall-hub", hub), scraping("squall-operator", operator)]
    with running_prometheus(scraped, rules=folder / "rules.yaml", address=access.address) as prometheus:
        options = ["--metrics-listen", hub, "--remote-write-url", prometheus.remote_write_url]
        with installation(access, folder, hub=options, operator=["--listen", operator]) as squall:
            yield Monitored(squall, prometheus)


def scraping(job: str, target: str) -> Json:
    labels = {"namespace": "squall-system", "pod": f"{job}-0"}
    return {"job_name": job, "static_configs": [{"targets": [target], "labels": labels}]}


@pytest.fixture(scope="module")
def ran(monitored: Monitored) -> Summary:
    output = {"remoteWriteUrl": monitored.prometheus.remote_write_url, "perShard": True}
    return monitored.run(
        "pushed",
        shards=SHARDS,
        scenarios=[{**scenario("10s"), "vus": SHARDS * 2}],
        thresholds=[{"name": "errors", "metric": "http_req_failed", "expression": "rate<1%"}],
        outputs={"prometheus": output},
    )


def test_counters_are_those_of_the_report(monitored: Monitored, ran: Summary) -> None:
    found = counters(monitored.prometheus, ran, at_end(ran))
    assert len(found) > 10
    assert {query: pushed for query, (pushed, _) in found.items()} == {
        query: told for query, (_, told) in found.items()
    }


@pytest.mark.parametrize(("name", "q"), [("med", 0.5), ("p95", 0.95), ("p99", 0.99)])
def test_percentiles_are_those_of_the_report_but_for_a_bucket(
    monitored: Monitored, ran: Summary, name: str, q: float
) -> None:
    assert percentile_holds(monitored.prometheus, ran, name, q)


def test_verdict_thresholds_and_labels_are_there(monitored: Monitored, ran: Summary) -> None:
    at, labels = at_end(ran), f'run="{ran.run}",loadtest="pushed",namespace="{monitored.squall.namespace}"'

    def value(name: str, **more: str) -> float:
        told = "".join(f',{key}="{text}"' for key, text in more.items())
        return monitored.prometheus.value(f"{name}{{{labels}{told}}}", at)

    assert ran.verdict.result == "Passed", ran.verdict
    assert value("squall_run_verdict", result="Passed") == 1
    assert value("squall_threshold_state", threshold="errors", state="pass") == 1
    assert value("squall_run_info", shards=str(SHARDS)) == 1
    assert value("squall_run_phase", phase="finished") == 1
    assert value("squall_remote_write_samples_dropped_total", shard="") == 0
    assert not monitored.prometheus.query(f"squall_run_stop_time_seconds{{{labels}}}", time=at)
    assert not monitored.prometheus.query(f"squall_http_reqs_total{{{labels}}}", time=at + 8)


def test_each_pod_has_pushed_its_own_share(monitored: Monitored, ran: Summary) -> None:
    requests = next(
        each.values["count"] for each in ran.metrics if each.metric == "http_reqs" and not each.tags
    )
    query = f'sum by (shard) (last_over_time(squall_shard_http_reqs_total{{run="{ran.run}"}}[10m]))'

    def by_shard() -> dict[str, float]:
        found = monitored.prometheus.query(query)
        return {each["metric"]["shard"]: float(each["value"][1]) for each in found}

    until(lambda: sum(by_shard().values()) == requests, 20, lambda: f"{by_shard()}, of {requests}")
    assert by_shard().keys() == {str(shard) for shard in range(SHARDS)}


def test_a_stop_is_marked_with_its_reason(monitored: Monitored) -> None:
    limit = {"metric": "http_reqs", "expression": "count<5", "abortOnFail": True}
    ended = monitored.run("cut", scenarios=[scenario("60s")], thresholds=[limit])
    assert ended.verdict.cause == "threshold"
    labels = f'run="{ended.run}",cause="threshold",reason="{ended.verdict.reason}"'
    at = at_end(ended)
    stopped = monitored.prometheus.value(f"squall_run_stop_time_seconds{{{labels}}}", at)
    began = monitored.prometheus.value(f'squall_run_start_time_seconds{{run="{ended.run}"}}', at)
    assert began < stopped < at
    assert monitored.prometheus.value(f'squall_run_verdict{{{labels},result="Aborted"}}', at) == 1


def test_operator_and_hub_are_scraped_and_nothing_alerts(monitored: Monitored, ran: Summary) -> None:
    prometheus = monitored.prometheus
    until(
        lambda: bool(
            prometheus.query("squall_operator_leader == 1 and squall_operator_round_seconds_count > 3")
        ),
        20,
        lambda: f"{prometheus.query('squall_operator_leader')}",
    )
    assert prometheus.query("squall_hub_slots_judged_total")[0]["value"][1] != "0"
    assert prometheus.query("squall_hub_remote_write_samples_sent_total > 0")
    assert prometheus.query("squall_hub_slots_incomplete_total")
    assert not prometheus.query('ALERTS{alertstate="firing"}'), ran.run
