"""What is unusual, pushed to a real Prometheus and asked back: buckets at every schema, odd labels, many series that look alike."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.prometheus import Prometheus, running_prometheus

from squall.export.exporter import Exporter
from squall.export.model import Form, Receiver, RemoteWrite
from squall.metrics import buckets
from squall.metrics.histogram import Histogram
from squall.metrics.names import BUILT_IN
from squall.metrics.series import Aggregate, Counter, SeriesKey

pytestmark = pytest.mark.prometheus
SECOND = 1_000_000_000
ODD = (
    *(
        'say "hi"',
        "back\\slash",
        "two\nlines",
        "tab\there",
        "nul\0",
        "{braces}",
        "a=b,c",
        "Überweisung 支払い 💸",
    ),
    *(" spaces ", "$var ${x}", "\u202eright to left", "x" * 200),
)


@pytest.fixture(scope="module")
def prometheus() -> Iterator[Prometheus]:
    with running_prometheus() as running:
        yield running


async def pushed(
    prometheus: Prometheus, measured: dict[SeriesKey, Aggregate], run: str, **form: Any
) -> float:
    """Push measurements once; returns when they were taken, Unix seconds."""
    said: list[tuple[str, str, str]] = []
    receiver = Receiver(url=prometheus.remote_write_url)
    exporter = Exporter(
        RemoteWrite(receiver=receiver, form=Form(**form)),
        BUILT_IN,
        (("run", run),),
        clock=time.time_ns,
        say=lambda *words: said.append(words),
    )
    exporter.start()
    at = time.time_ns() - 10 * SECOND
    assert await exporter.finish(at, at - SECOND, list(measured.items()), seconds=30) == ()
    assert said == []
    return at / SECOND


@pytest.mark.parametrize("schema", range(7))
async def test_every_schema_s_buckets_hold_what_those_of_the_trend_do(
    prometheus: Prometheus, schema: int
) -> None:
    chance = random.Random(schema)
    trend = Histogram.of(
        [0.0, 1e-12, 1e9, *(chance.lognormvariate(-3, 3) for _ in range(2000)), *(0.25, 0.5, 1.0, 2.0)]
    )
    at = await pushed(prometheus, {SeriesKey.of("http_req_total"): trend}, f"s{schema}", schema=schema)
    (series,) = prometheus.query(f'squall_http_req_total_seconds{{run="s{schema}"}}', time=at + 1)
    found = series["histogram"][1]
    assert (int(found["count"]), float(found["sum"])) == (trend.count, trend.sum)
    asked = [(float(high), int(count)) for _, _, high, count in found["buckets"] if int(count)]
    mine = trend.buckets(schema)
    bounds = [
        (buckets.upper_bound(mine.offset + index, schema), count) for index, count in enumerate(mine.counts)
    ]
    expected = [
        (buckets.ZERO_THRESHOLD, trend.zero),
        *((bound, int(count)) for bound, count in bounds if count),
    ]
    assert [count for _, count in asked] == [count for _, count in expected]
    assert [bound for bound, _ in asked] == pytest.approx([bound for bound, _ in expected], rel=1e-12)


async def test_labels_come_back_as_they_were(prometheus: Prometheus) -> None:
    measured = {SeriesKey.of("http_reqs", step=odd): Counter(index + 1) for index, odd in enumerate(ODD)}
    at = await pushed(prometheus, dict(measured), "odd")
    found = prometheus.query('squall_http_reqs_total{run="odd"}', time=at + 1)
    assert {each["metric"]["step"]: float(each["value"][1]) for each in found} == {
        odd: index + 1 for index, odd in enumerate(ODD)
    }


async def test_series_that_look_alike_are_added_and_not_refused(prometheus: Prometheus) -> None:
    long = "é" * 600  # more than a label may hold, and both begin with the same
    measured = {SeriesKey.of("http_reqs", step=f"{long}{end}"): Counter(2) for end in "abc"}
    at = await pushed(prometheus, dict(measured), "alike")
    assert prometheus.value('squall_http_reqs_total{run="alike"}', at + 1) == 6
