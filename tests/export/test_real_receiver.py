"""What a real run pushes is in a real Prometheus, complete, and is what the report says."""

from __future__ import annotations

import json
import statistics
import time
import urllib.request
from collections.abc import Iterator
from itertools import pairwise

import pytest
from support.countingtarget import CountingTarget, counting_target
from support.prometheus import Prometheus, running_prometheus
from support.pushed import at_end, counters, percentile_holds, unix
from support.squallrun import Ended, Squall, manifest

from squall.export.names import families_of
from squall.export.run import FAMILIES
from squall.metrics.names import BUILT_IN

pytestmark = pytest.mark.prometheus
DURATION = 5


@pytest.fixture(scope="module")
def prometheus() -> Iterator[Prometheus]:
    with running_prometheus() as running:
        yield running


@pytest.fixture
def target() -> Iterator[CountingTarget]:
    with counting_target() as running:
        yield running


@pytest.fixture(scope="module")
def ran(prometheus: Prometheus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    """One run for several tests: fleet and shards, native histograms, thresholds of which one fails."""
    started = Squall(tmp_path_factory.mktemp("run"))
    with counting_target() as target:
        made = manifest(
            target.url,
            duration=f"{DURATION}s",
            steps=[
                {
                    "name": "get",
                    "http": {"url": "/"},
                    "checks": {"ok": "status == 200"},
                    "tags": {"run": "own"},
                },
                {"think": {"duration": "20ms"}},
            ],
            thresholds=[
                {"metric": "http_req_failed", "expression": "rate<1%"},
                {"name": "few", "metric": "http_reqs", "expression": "count<1"},
            ],
            outputs={
                "prometheus": {
                    "remoteWriteUrl": prometheus.remote_write_url,
                    "perShard": True,
                    "labels": {"team": "shop"},
                }
            },
        )
        yield started(made, processes=2).ended()
    started.close()


def samples(prometheus: Prometheus, selector: str) -> list[tuple[float, str]]:
    """All samples of the one series that a range selector finds."""
    (series,) = prometheus.query(selector)
    return [(float(at), text) for at, text in series["values"]]


def test_counters_are_those_of_the_report(prometheus: Prometheus, ran: Ended) -> None:
    found = counters(prometheus, ran.summary, at_end(ran.summary))
    assert len(found) > 10
    assert {name: pushed for name, (pushed, _) in found.items()} == {
        name: told for name, (_, told) in found.items()
    }


@pytest.mark.parametrize(("name", "q"), [("med", 0.5), ("p95", 0.95)])
def test_percentiles_are_those_of_the_report(prometheus: Prometheus, ran: Ended, name: str, q: float) -> None:
    assert percentile_holds(prometheus, ran.summary, name, q)


def test_shards_add_up_to_the_fleet_under_names_of_their_own(prometheus: Prometheus, ran: Ended) -> None:
    at = at_end(ran.summary)
    found = prometheus.query(
        f'sum by (shard) (squall_shard_http_reqs_total{{run="{ran.summary.run}"}})', time=at
    )
    assert {sample["metric"]["shard"] for sample in found} == {"0", "1"}
    assert sum(float(sample["value"][1]) for sample in found) == ran.count()
    name = f'squall_shard_http_req_total_seconds{{run="{ran.summary.run}"}}'
    assert prometheus.value(f"histogram_count(sum({name}))", at) == ran.count()


def test_a_series_begins_with_zero_goes_up_once_a_second_and_is_ended(
    prometheus: Prometheus, ran: Ended
) -> None:
    found = samples(prometheus, f'squall_http_reqs_total{{run="{ran.summary.run}"}}[10m]')
    times, values = [at for at, _ in found], [float(text) for _, text in found]
    assert values[0] == 0
    assert values == sorted(values)
    assert times[0] == pytest.approx(unix(ran.summary.started_at), abs=0.01)
    assert statistics.median(after - before for before, after in pairwise(times)) == pytest.approx(
        1, abs=0.01
    )
    # 2 s after the end it still stands, 10 s after it a stale marker has ended it, long before the usual five minutes.
    assert not prometheus.query(
        f'squall_http_reqs_total{{run="{ran.summary.run}"}}', time=at_end(ran.summary) + 8
    )


def test_labels_are_those_of_the_run(prometheus: Prometheus, ran: Ended) -> None:
    (sample,) = prometheus.query(
        f'squall_http_reqs_total{{run="{ran.summary.run}"}}', time=at_end(ran.summary)
    )
    assert sample["metric"] == {
        "__name__": "squall_http_reqs_total",
        "loadtest": "fault",
        "run": ran.summary.run,
        "exported_run": "own",
        "team": "shop",
        "scenario": "visit",
        "step": "get",
        "method": "GET",
        "status": "200",
    }


def test_the_run_itself_is_told(prometheus: Prometheus, ran: Ended) -> None:
    run, at = f'run="{ran.summary.run}"', at_end(ran.summary)
    verdict = ran.summary.verdict  # that of a busy machine may be Invalid
    query = f'squall_run_verdict{{{run},result="{verdict.result}",reason="{verdict.reason}"}}'
    assert prometheus.value(query, at) == 1
    assert prometheus.value(f"squall_run_exit_code{{{run}}}", at) == verdict.exit_code
    assert prometheus.value(f'squall_threshold_state{{{run},threshold="few",state="failed"}}', at) == 1
    assert prometheus.value(f'squall_threshold_limit{{{run},threshold="few"}}', at) == 1
    assert prometheus.value(f'squall_threshold_value{{{run},threshold="few"}}', at) == ran.count()
    assert prometheus.value(f"squall_run_start_time_seconds{{{run}}}", at) == pytest.approx(
        unix(ran.summary.started_at), abs=0.001
    )
    middle = unix(ran.summary.started_at) + 4.5
    load = f'{{{run},scenario="visit",unit="vus"}}'
    assert prometheus.value(f"squall_scenario_target{load}", middle) == 4
    assert prometheus.value(f"squall_scenario_delivered{load}", middle) == 4
    assert prometheus.value(f'squall_run_phase{{{run},phase="running"}}', middle) == 1
    assert prometheus.value(f'squall_run_runners{{{run},phase="running"}}', middle) == 2
    assert prometheus.value(f'squall_remote_write_samples_dropped_total{{{run},shard=""}}', at) == 0


def test_every_name_is_one_of_the_reference(prometheus: Prometheus, ran: Ended) -> None:
    known = {family.name for family in FAMILIES}
    for prefix in ("squall_", "squall_shard_"):
        known |= {family.name for metric in BUILT_IN.values() for family in families_of(metric, prefix)}
    answer = urllib.request.urlopen(f"{prometheus.url}/api/v1/label/__name__/values", timeout=10)
    names = {name for name in json.loads(answer.read())["data"] if name.startswith("squall_")}
    assert names <= known
    assert len(names) > 40


def test_classic_histograms_have_the_counts_of_the_report(
    prometheus: Prometheus, target: CountingTarget, squall: Squall
) -> None:
    output = {"remoteWriteUrl": prometheus.remote_write_url, "histograms": "classic"}
    ended = squall(manifest(target.url, outputs={"prometheus": output})).ended()
    run, at = f'run="{ended.summary.run}"', at_end(ended.summary)
    name = "squall_http_req_total_seconds"
    assert prometheus.value(f"sum({name}_count{{{run}}})", at) == ended.count()
    assert prometheus.value(f'sum({name}_bucket{{{run},le="+Inf"}})', at) == ended.count()
    found = next(m for m in ended.summary.metrics if m.metric == "http_req_total" and not m.tags)
    assert prometheus.value(f"sum({name}_sum{{{run}}})", at) / ended.count() == pytest.approx(
        found.values["avg"]
    )
    p95 = prometheus.value(f"histogram_quantile(0.95, sum by (le) ({name}_bucket{{{run}}}))", at)
    # The buckets are that wide, and the first one reaches from 0 to 1 ms, which a quick target stays below.
    assert found.values["p95"] / 2.6 < p95 < max(found.values["p95"] * 2.6, 0.001)


def test_a_second_is_there_within_three(
    prometheus: Prometheus, target: CountingTarget, squall: Squall
) -> None:
    made = manifest(
        target.url, duration="8s", outputs={"prometheus": {"remoteWriteUrl": prometheus.remote_write_url}}
    )
    made["metadata"]["name"] = "fresh"
    run = squall(made)
    lags: list[float] = []
    while run.process.poll() is None and len(lags) < 10:
        found = prometheus.query('timestamp(squall_http_reqs_total{loadtest="fresh"})')
        lags += [time.time() - float(sample["value"][1]) for sample in found]
        time.sleep(0.4)
    run.ended()
    assert lags
    assert max(lags) < 3.0
