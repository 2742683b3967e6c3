"""What a second of 1,000 runners costs the hub: decode 1,000 snapshots of 20 series, merge, judge, show.

The hub must take in a second's snapshots in well under a second on one core, or slots pile up and stops come late. Run:
`python bench/hub_merge.py [RUNNERS]`; prints JSON.
"""

from __future__ import annotations

import json
import random
import sys
import time

import msgspec

from squall.hub import protocol
from squall.hub.judging import Judge
from squall.hub.limits import SECOND, Limits
from squall.hub.live import live_state
from squall.hub.members import PINGS
from squall.hub.model import RunSpec
from squall.hub.run import RunState
from squall.hub.series import row
from squall.metrics.declared import catalogue_of
from squall.metrics.histogram import Histogram
from squall.metrics.names import Kind
from squall.metrics.slots import SlotStore
from squall.metrics.snapshot import SeriesDef, Snapshot, encode, pack
from squall.plan.compile import compile_plan
from squall.spec.loadtest import LoadTest

RUNNERS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
SLOTS = 5
TRENDS, COUNTERS, RATES, GAUGES = 8, 6, 4, 2
TREND_NAMES = (
    "http_req_total",
    "http_req_response_time",
    "http_req_duration",
    "http_req_waiting",
    "http_req_receiving",
    "iteration_duration",
    "schedule_lag",
    "loop_lag",
)
COUNTER_NAMES = (
    "http_reqs",
    "iterations",
    "iterations_started",
    "data_sent",
    "data_received",
    "http_connections",
)


def definitions() -> list[SeriesDef]:
    tags = (("scenario", "s"),)
    names = [(name, Kind.TREND) for name in TREND_NAMES] + [(name, Kind.COUNTER) for name in COUNTER_NAMES]
    names += [("http_req_failed", Kind.RATE), ("checks", Kind.RATE), ("job_failed", Kind.RATE)]
    names += [("checks", Kind.RATE), ("vus", Kind.GAUGE), ("vus_max", Kind.GAUGE)]
    made = [SeriesDef(i, name, kind, tags) for i, (name, kind) in enumerate(names)]
    made[17] = SeriesDef(17, "checks", Kind.RATE, (("check", "c"), ("scenario", "s")))
    return made


def frames(runner: int, made: random.Random) -> list[bytes]:
    trends = [Histogram() for _ in range(TRENDS)]
    found = []
    for slot in range(SLOTS):
        for trend in trends:
            for _ in range(100):
                trend.record(made.lognormvariate(-3, 0.5))
        requests = 100 * (slot + 1)
        found.append(
            protocol.measured(
                encode(
                    Snapshot(
                        runner,
                        "a",
                        slot,
                        defs=definitions() if slot == 0 else [],
                        counters=[(8 + i, float(requests)) for i in range(COUNTERS)],
                        rates=[(14 + i, slot, requests) for i in range(RATES)],
                        gauges=[(18 + i, 10.0, 10.0, 10.0) for i in range(GAUGES)],
                        trends=[(i, pack(trend)) for i, trend in enumerate(trends)],
                    )
                )
            )
        )
    return found


def main() -> None:
    manifest = {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": "bench"},
        "spec": {
            "shards": RUNNERS,
            "scenarios": [
                {
                    "name": "s",
                    "executor": "constant-vus",
                    "vus": RUNNERS,
                    "duration": "60s",
                    "steps": [{"think": {"duration": "1s"}}],
                }
            ],
            "thresholds": [
                {
                    "metric": "http_req_duration",
                    "expression": "p(95)<500ms",
                    "over": "10s",
                    "abortOnFail": True,
                },
                {"metric": "http_req_failed", "expression": "rate<50%"},
            ],
        },
    }
    model = LoadTest.model_validate(manifest)
    plan, limits = compile_plan(model.spec), Limits.of(model.spec)
    store = SlotStore(catalogue_of(model.spec), keep=limits.keep_slots, anchors=limits.anchors)
    spec = RunSpec(run="b", manifest=manifest, runners=tuple((i,) for i in range(RUNNERS)))
    now = 1_000 * SECOND
    state = RunState(
        spec,
        manifest=model.spec,
        limits=limits,
        store=store,
        judge=Judge(model.spec, plan, store),
        now_ns=now,
    )
    for i in range(RUNNERS):
        state.hello(protocol.Hello(protocol.VERSION, i, "a", (i,), now), now)
        for _ in range(PINGS):
            state.received(i, protocol.Pong(now, now), now)
        state.received(i, protocol.Ready(), now)
    state.take()
    state.tick(now)
    assert state.start_ns is not None
    random_source = random.Random(1)
    sent = [frames(i, random_source) for i in range(RUNNERS)]
    size = sum(map(len, (each[-1] for each in sent))) / RUNNERS
    decoding, merging, showing = [], [], []
    for slot in range(SLOTS):
        now = state.start_ns + (slot + 1) * SECOND
        began = time.perf_counter()
        messages = [protocol.from_runner(each[slot]) for each in sent]
        decoded = time.perf_counter()
        for i, message in enumerate(messages):
            state.received(i, message, now)
        actions = state.take()
        merged = time.perf_counter()
        for action in actions:
            if hasattr(action, "message"):
                protocol.encode(action.message)
        msgspec.json.encode(live_state(state, plan, "bench", now))
        for key, aggregate in store.view(slot):
            msgspec.json.encode(row(slot, key, aggregate))
        shown = time.perf_counter()
        assert state.judged == slot
        decoding.append(decoded - began)
        merging.append(merged - decoded)
        showing.append(shown - merged)
    print(
        json.dumps(
            {
                "runners": RUNNERS,
                "bytes_per_snapshot": round(size),
                "decode_ms": round(1000 * min(decoding[1:]), 1),
                "merge_and_judge_ms": round(1000 * min(merging[1:]), 1),
                "ack_live_and_rows_ms": round(1000 * min(showing[1:]), 1),
                "total_ms_per_second": round(
                    1000 * min(map(sum, zip(decoding[1:], merging[1:], showing[1:], strict=True))), 1
                ),
            }
        )
    )


if __name__ == "__main__":
    main()
