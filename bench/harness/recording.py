"""What it costs to record one finished request into all its metrics; prints nanoseconds, medians of several rounds.

A script of its own, so that it can be pinned to a core: whatever else the bench has done cannot disturb it.
"""

from __future__ import annotations

import random
import statistics
import time

from squall_runner.recording import Recorder, make_tags

ROUNDS = 7
SLOTS = 10
REQUESTS = 20_000
"""In a slot, that is in a second: what a busy core does."""


def rows() -> list[tuple[float, float, float, float, float, float, int, int]]:
    """Finished requests with times as they are on a busy core."""
    chance = random.Random(1)
    found = []
    for number in range(REQUESTS):
        start = 1000.0 + number / REQUESTS
        sending, waiting = chance.uniform(5e-6, 2e-5), chance.lognormvariate(-6, 0.5)
        found.append((start, start + sending + waiting, start, sending, waiting, 0.0, 120, 250))
    return found


def seconds_per_request() -> float:
    """One round: the row of each request, histograms, and the snapshot at the end of each slot."""
    recorder = Recorder(0, "bench")
    series = recorder.requests(
        make_tags(scenario="get", step="item", method="GET", status="200"), failed=False
    )
    finished = rows()
    add = series.add
    began = time.perf_counter()
    for slot in range(SLOTS):
        for row in finished:
            add(*row)
        recorder.measure(slot)
    return (time.perf_counter() - began) / (SLOTS * REQUESTS)


if __name__ == "__main__":
    print(round(statistics.median(seconds_per_request() for _ in range(ROUNDS)) * 1e9))
