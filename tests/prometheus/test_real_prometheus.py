"""The Prometheus that other tests build on really runs, scrapes, answers PromQL, and goes away."""

import time
from pathlib import Path

import pytest
from support.prometheus import running_prometheus

pytestmark = pytest.mark.prometheus


def test_it_answers_promql_and_leaves_nothing_behind() -> None:
    with running_prometheus() as prometheus:
        (sample,) = prometheus.query("vector(6) * 7")
        pid = prometheus.process.pid
    assert sample["value"][1] == "42"
    assert not Path(f"/proc/{pid}").exists()


def test_it_scrapes_what_it_is_told_to() -> None:
    # A target nobody listens on: the scrape fails, and `up` says so.
    config = {"job_name": "absent", "static_configs": [{"targets": ["127.0.0.1:9"]}]}
    with running_prometheus([config]) as prometheus:
        deadline = time.monotonic() + 30
        while not (found := prometheus.query('up{job="absent"}')) and time.monotonic() < deadline:
            time.sleep(0.1)
    assert [sample["value"][1] for sample in found] == ["0"]
