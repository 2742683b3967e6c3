"""Retries, rate limits and the circuit breaker as their users have them: through `squall run`, with more than one runner."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

from support.countingtarget import CountingTarget
from support.examples import EXAMPLES, run, running_platform
from support.hostile import OK, Peer, hostile
from support.squallrun import Squall, manifest, step

BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
LATER = b"HTTP/1.1 429 Later\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
SLACK = 0.1
"""Seconds; a target notices a request a little after it was sent."""


class Flaky:
    """Answers the first try of three iterations in ten with a failure, and every other request well."""

    def __init__(self, failure: bytes) -> None:
        self._failure = failure
        self._lock = threading.Lock()
        self._seen: set[str] = set()
        self.tries = 0

    def __call__(self, peer: Peer) -> None:
        while request := peer.request():
            peer.send(self._answer(request))

    def _answer(self, request: bytes) -> bytes:
        found = re.search(rb" /\?n=(\d+)-(\d+) ", request)
        if found is None:
            return OK
        key = found[0].decode()
        with self._lock:
            self.tries += 1
            first = key not in self._seen
            self._seen.add(key)
        return self._failure if first and int(found[2]) % 10 < 3 else OK


def test_retries_mend_iterations_and_hide_no_failure(squall: Squall) -> None:
    flaky = Flaky(BUSY)
    with hostile(flaky) as server:
        test = manifest(
            server.url,
            steps=[step("get", url="/?n=${vu}-${iter}"), {"think": {"duration": "10ms"}}],
            http={"retry": {"initial": "10ms", "budget": "100%"}},
            thresholds=[{"metric": "http_req_failed", "expression": "rate<20%"}],
        )
        scenario = test["spec"]["scenarios"][0]
        del scenario["duration"]
        scenario |= {"executor": "per-vu-iterations", "iterations": 50}
        ended = squall(test, processes=2).ended()
    # Of four VUs with fifty iterations each.
    assert ended.count() == flaky.tries == 260
    assert ended.count("iterations") == 200
    assert ended.count("iterations_failed") == ended.count("step_failures") == 0
    (failed,) = [row for row in ended.summary.metrics if row.metric == "http_req_failed" and not row.tags]
    assert failed.values["passes"] == 60
    assert failed.values["rate"] == 60 / 260
    assert ended.outcome()[:2] == (99, "Failed"), "what retries have mended still counts in the verdict"
    assert [(row.error, row.status, row.count, row.denied) for row in ended.summary.retries] == [
        ("http_5xx", "503", 60, 0)
    ]
    assert "23.08% of the requests were retries, 60 in all" in ended.said


def test_a_retry_after_is_waited_for(squall: Squall) -> None:
    with hostile(Flaky(LATER)) as server:
        test = manifest(server.url, vus=2, steps=[step("get", url="/?n=${vu}-${iter}")], http={"retry": {}})
        scenario = test["spec"]["scenarios"][0]
        del scenario["duration"]
        scenario |= {"executor": "per-vu-iterations", "iterations": 1}
        ended = squall(test).ended()
    assert ended.code == 0
    assert ended.count("http_retries") == 2
    (total,) = [
        row for row in ended.summary.metrics if row.metric == "http_req_response_time" and not row.tags
    ]
    assert total.values["max"] > 1.0


def test_the_fleet_has_the_rate_and_no_more(squall: Squall, target: CountingTarget) -> None:
    rate, burst = 60, 6
    test = manifest(
        target.url,
        vus=30,
        duration="3s",
        shards=3,
        steps=[step("get", url="/")],
        http={"rateLimits": [{"rate": rate, "burst": burst}]},
    )
    ended = squall(test, processes=2).ended()
    assert ended.summary.runners == 2
    moments = sorted(seen.at for seen in target.seen if seen.path == "/")
    assert ended.count() == len(moments)
    for i, first in enumerate(moments):
        for j in range(i, len(moments)):
            assert j - i + 1 <= burst + rate * (moments[j] - first + SLACK), (i, j)
    assert len(moments) >= 0.95 * rate * 3
    (host,) = ended.summary.hosts
    assert host.host == "127.0.0.1"
    assert host.wait_median_seconds is not None
    assert host.wait_median_seconds > 0.2, "thirty VUs wait for sixty turns a second"
    assert "waited for their turn in its rate limit" in ended.said


def test_a_circuit_opens_and_closes_with_the_target(squall: Squall, target: CountingTarget) -> None:
    breaker = {"errorRate": "50%", "window": "2s", "minRequests": 10, "openFor": "500ms", "probes": 2}
    test = manifest(
        target.url,
        vus=6,
        duration="5s",
        steps=[step("get", url="/") | {"onError": "continue"}, {"think": {"duration": "20ms"}}],
        http={"circuitBreaker": breaker},
    )
    run = squall(test)
    run.wait_for_requests(target, 50)
    target.status = 500
    time.sleep(1.2)
    target.status = 200
    recovered = target.count()
    run.wait_for_requests(target, recovered + 50)
    ended = run.ended()
    (host,) = ended.summary.hosts
    assert host.host == f"127.0.0.1:{target.port}"
    assert host.circuit_opened >= 1
    assert host.circuit_rejected > 0
    assert 0.4 < host.circuit_open_seconds < 5
    assert ended.count() == target.count("/"), "a request that was not sent is none"
    rejected = [row for row in ended.summary.errors if row.error == "circuit_open"]
    assert sum(row.count for row in rejected) == host.circuit_rejected
    (failed,) = [row for row in ended.summary.metrics if row.metric == "http_req_failed" and not row.tags]
    assert failed.values["total"] == ended.count() + host.circuit_rejected
    assert f"The circuit of 127.0.0.1:{target.port} was open for" in ended.said
    events = [line["event"] for line in ended.log if str(line.get("event", "")).startswith("Circuit")]
    assert events[0] == "CircuitOpened"
    assert events[-1] == "CircuitClosed"


def test_a_stop_ends_a_pause_before_a_retry(squall: Squall, target: CountingTarget) -> None:
    target.status = 503
    test = manifest(
        target.url,
        duration="40s",
        steps=[step("get", url="/")],
        http={"retry": {"initial": "30s", "backoff": {"max": "30s"}}},
    )
    run = squall(test, processes=2)
    run.wait_for_requests(target, 4)
    began = time.monotonic()
    run.signal(2)
    ended = run.ended()
    assert time.monotonic() - began < 15
    assert ended.code == 105
    assert ended.count() == target.count("/") == 4
    assert ended.count("http_retries") == 0


def test_the_example_mends_what_its_comment_says(tmp_path: Path) -> None:
    with running_platform(tmp_path, "--error-rate", "0.05") as platform:
        ran = run(EXAMPLES / "resilience.yaml", "--time-scale", "0.5", cwd=tmp_path, url=platform.url)
    assert ran.code == 0, ran.explain()
    retries = ran.count("http_retries")
    assert retries > 0
    assert ran.values("http_req_failed")["passes"] == retries
    assert "of the requests were retries" in ran.explain()
