"""Thresholds on the system under test, asked of a real Prometheus that scrapes an exporter while the run goes on."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.examples import logging_target, run
from support.processes import free_ports
from support.prometheus import running_prometheus

MANIFEST = """
apiVersion: squall.dev/v1alpha1
kind: LoadTest
metadata: {name: promql}
spec:
  variables: [{name: baseUrl, value: "http://127.0.0.1:9", env: BASE_URL}]
  http: {baseUrl: "${var.baseUrl}"}
  scenarios:
    - name: steady
      executor: constant-vus
      vus: 1
      duration: DURATION
      steps: [{name: get, http: {url: /}}, {think: {duration: 20ms}}]
  thresholds:
    - {name: memory, query: "max(target_memory_bytes)", expression: "value<2000", abortOnFail: true}
    - {metric: http_req_failed, expression: "rate<1%"}
"""
SAMPLE_SECONDS = 30.0


@contextmanager
def exporter(start: float) -> Iterator[tuple[int, list[float]]]:
    """A metric that a test may change, as Prometheus scrapes it."""
    value = [start]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"target_memory_bytes {value[0]}\n".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            """Nothing to say."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port, value
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def scraped() -> Iterator[tuple[str, list[float]]]:
    """A Prometheus that has scraped a value below the limit, and the value to change."""
    with exporter(1000.0) as (port, value):
        config = {"job_name": "target", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
        with running_prometheus([config]) as prometheus:
            prometheus.process.wait_until(
                lambda: bool(prometheus.query("target_memory_bytes")), timeout=SAMPLE_SECONDS
            )
            yield prometheus.url, value


@pytest.mark.prometheus
def test_a_value_below_the_limit_passes(scraped: tuple[str, list[float]], tmp_path: Path) -> None:
    with logging_target() as target:
        ran = run(
            MANIFEST.replace("DURATION", "2500ms"),
            f"--prometheus-url={scraped[0]}",
            cwd=tmp_path,
            url=target.url,
        )
    assert ran.code == 0, ran.explain()
    assert (ran.summary.thresholds[0].state, ran.summary.thresholds[0].value) == ("pass", 1000.0)


@pytest.mark.prometheus
def test_the_run_stops_when_the_value_crosses_the_limit(
    scraped: tuple[str, list[float]], tmp_path: Path
) -> None:
    address, value = scraped
    with logging_target() as target:

        def cross() -> None:
            """Once load has been seen, the target's memory grows."""
            deadline = time.monotonic() + SAMPLE_SECONDS
            while len(target.seen) < 20 and time.monotonic() < deadline:
                time.sleep(0.02)
            value[0] = 5000.0

        crossing = threading.Thread(target=cross)
        crossing.start()
        ran = run(
            MANIFEST.replace("DURATION", "40s"), f"--prometheus-url={address}", cwd=tmp_path, url=target.url
        )
        crossing.join()
    assert ran.code == 99, ran.explain()
    verdict = ran.summary.verdict
    assert (verdict.result, verdict.cause, verdict.observed) == ("Aborted", "threshold", 5000.0)
    memory = ran.summary.thresholds[0]
    assert (memory.name, memory.source, memory.state) == ("memory", "max(target_memory_bytes)", "failed")
    assert ran.summary.timings.load_seconds < 40
    assert ran.count("http_reqs") == len(target.seen)


def test_an_unreachable_prometheus_is_no_data_and_says_so(tmp_path: Path) -> None:
    with logging_target() as target:
        ran = run(
            MANIFEST.replace("DURATION", "2500ms"),
            f"--prometheus-url=http://127.0.0.1:{free_ports(1)[0]}",
            cwd=tmp_path,
            url=target.url,
        )
    assert ran.code == 99, ran.explain()
    assert (ran.summary.verdict.result, ran.summary.verdict.reason) == ("Failed", "NoData")
    assert ran.summary.thresholds[0].state == "noData"
    assert any("max(target_memory_bytes)" in warning for warning in ran.summary.warnings)
    assert "Prometheus gave no answer" in ran.done.out
    assert ran.values("http_req_failed")["rate"] == 0.0


def test_without_a_prometheus_the_threshold_has_no_data(tmp_path: Path) -> None:
    with logging_target() as target:
        ran = run(
            MANIFEST.replace("DURATION", "1s").replace("abortOnFail: true", "noData: pass"),
            cwd=tmp_path,
            url=target.url,
        )
    assert ran.code == 0, ran.explain()
    assert ran.summary.thresholds[0].state == "noData"
    assert "prometheus-url" in ran.done.out
