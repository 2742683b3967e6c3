"""What a real run pushes is in a real Prometheus, and is what the report says."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.countingtarget import CountingTarget, counting_target
from support.prometheus import Prometheus, running_prometheus
from support.squallrun import Squall, manifest

from squall.report.model import Summary

pytestmark = pytest.mark.prometheus


@pytest.fixture(scope="module")
def prometheus() -> Iterator[Prometheus]:
    with running_prometheus() as running:
        yield running


@pytest.fixture
def target() -> Iterator[CountingTarget]:
    with counting_target() as running:
        yield running


@pytest.fixture
def squall(tmp_path: Path) -> Iterator[Squall]:
    started = Squall(tmp_path)
    yield started
    started.close()


def test_try(prometheus: Prometheus, target: CountingTarget, squall: Squall) -> None:
    made = manifest(target.url, duration="6s", outputs={"prometheus": {"remoteWriteUrl": prometheus.remote_write_url}},
        thresholds=[{"metric":"http_req_failed","expression":"rate<1%"}])
    ended = squall(made).ended()
    print(ended.out[-3000:])
    with urllib.request.urlopen(prometheus.url + "/api/v1/label/__name__/values") as a:
        print(json.load(a))
    for q in ("squall_http_reqs_total", "squall_run_info", "squall_run_verdict", "sum(last_over_time(squall_http_reqs_total[5m]))",
      "histogram_quantile(0.95, sum(last_over_time(squall_http_req_duration_seconds[5m])))","increase(squall_http_reqs_total[5m])", "squall_remote_write_samples_sent_total"):
        print(q, prometheus.query(q))
    with urllib.request.urlopen(prometheus.url + "/api/v1/query?" + urllib.parse.urlencode({"query":"squall_http_reqs_total[1m]"})) as a:
        print(json.load(a))
    print([ (m.metric, m.values) for m in ended.summary().metrics if not m.tags][:6], ended.summary().warnings)
    print(prometheus.process.log_end(30))
    assert 0
