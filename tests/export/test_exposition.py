"""Series begin with zero, never go back, are ended, and have a budget."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

from squall.export.exposition import Exposition, Standing
from squall.export.model import Form
from squall.export.names import Point
from squall.export.run import FAMILIES, STAGE
from squall.export.wire import read
from squall.metrics.histogram import Histogram
from squall.metrics.names import BUILT_IN, Kind, Merge
from squall.metrics.series import Aggregate, Counter, Gauge, Rate, SeriesKey
from squall.metrics.slots import SlotStore
from squall.metrics.snapshot import SeriesDef, Snapshot, pack

REQUESTS = SeriesKey.of("http_reqs", scenario="a")
DURATION = SeriesKey.of("http_req_duration", scenario="a")
VUS = SeriesKey.of("vus", scenario="a")

Samples = dict[str, list[tuple[int, float]]]


class Made:
    """An exposition whose requests are read again."""

    def __init__(self, **form: Any) -> None:
        self.it = Exposition(BUILT_IN, Form(**form), (("run", "r1"),), own=FAMILIES)
        self.before = 0

    def at(self, at_ms: int, measured: dict[SeriesKey, Aggregate], *points: Point) -> Samples:
        standing = Standing(at_ms, self.before, list(measured.items()), list(points))
        self.before = at_ms
        return _samples(list(self.it.bodies(standing)))

    def end(self, at_ms: int) -> Samples:
        return _samples(list(self.it.end(at_ms)))


def _samples(bodies: list[Any]) -> Samples:
    found: Samples = {}
    for body in filter(None, bodies):
        there = set()
        for series in read(body.data).timeseries:
            labels = {label.name: label.value for label in series.labels}
            assert [label.name for label in series.labels] == sorted(labels)
            assert labels["run"] == "r1"
            name = labels.pop("__name__")
            del labels["run"]
            text = name + "".join(f",{key}={text}" for key, text in labels.items())
            values = [(each.timestamp, each.value) for each in series.samples]
            values += [
                (each.timestamp, each.sum if math.isnan(each.sum) else each.count_int)
                for each in series.histograms
            ]
            assert len(values) == 1
            assert text not in there, "what is sent again would be refused"
            there.add(text)
            found.setdefault(text, []).extend(values)
    return found


def test_a_counter_begins_with_a_zero_where_nothing_had_been_counted() -> None:
    made = Made()
    name = "squall_http_reqs_total,scenario=a"
    assert made.at(1000, {REQUESTS: Counter(3)}) == {name: [(0, 0), (1000, 3)]}
    assert made.at(2000, {REQUESTS: Counter(5)}) == {name: [(2000, 5)]}


def test_a_series_that_comes_later_has_its_zero_one_push_before() -> None:
    made = Made()
    made.at(1000, {REQUESTS: Counter(3)})
    found = made.at(2000, {REQUESTS: Counter(3), DURATION: Histogram.of([0.1])})
    assert found["squall_http_req_duration_seconds,scenario=a"] == [(1000, 0), (2000, 1)]
    assert found["squall_http_reqs_total,scenario=a"] == [(2000, 3)]


def test_a_series_that_another_process_has_begun_has_no_second_zero() -> None:
    made = Made()
    made.it.resume([REQUESTS])
    made.before = 5000
    found = made.at(6000, {REQUESTS: Counter(9), DURATION: Histogram.of([0.1])})
    assert found["squall_http_reqs_total,scenario=a"] == [(6000, 9)]
    assert found["squall_http_req_duration_seconds,scenario=a"] == [(5000, 0), (6000, 1)]


def test_what_is_less_by_a_rounding_is_not_less() -> None:
    made = Made()
    key = SeriesKey.of("cpu_wait")
    made.at(1000, {key: Counter(0.3)})
    assert made.at(2000, {key: Counter(0.1 + 0.2 - 1e-16)}) == {
        "squall_cpu_wait_seconds_total": [(2000, 0.3)]
    }


def test_sums_of_a_hub_that_takes_over_are_not_less_although_it_adds_in_another_order() -> None:
    chance, went_back = random.Random(4), 0
    for _ in range(20):
        before, after = SlotStore(), SlotStore()
        runners = [Histogram(), Histogram()]
        for slot in range(50):
            for index, measured in enumerate(runners):
                measured.record_many(np.array([chance.random() for _ in range(9)]))
                defined = SeriesDef(0, DURATION.metric, Kind.TREND, DURATION.tags)
                taken = Snapshot(index, str(index), slot, [defined], trends=[(0, pack(measured))])
                before.add(taken)
                if slot == 49:
                    after.add(taken)
        old, new = Made(histograms="classic"), Made(histograms="classic")
        new.it.resume([DURATION])
        name = "squall_http_req_duration_seconds_sum,scenario=a"
        ((_, was),) = old.at(1000, dict(before.standing(49)))[name][1:]
        ((_, told),) = new.at(2000, dict(after.standing(49)))[name]
        assert was <= told <= was * (1 + 1e-8)
        went_back += sum(each.sum for _, each in after.standing(49) if isinstance(each, Histogram)) < was
    assert went_back, "else this test would show nothing"


def test_series_that_look_the_same_to_prometheus_are_one() -> None:
    made = Made(max_series=100)
    keys = [SeriesKey.of("http_reqs", step=step, note="") for step in ("é" * 600 + each for each in "ab")]
    keys += [SeriesKey("http_reqs", (("exported_run", "x"),)), SeriesKey("http_reqs", (("run", "x"),))]
    found = made.at(1000, {key: Counter(2) for key in keys})
    assert list(found.values()) == [[(0, 0), (1000, 4)], [(0, 0), (1000, 4)]]
    assert made.it.series == 2


def test_a_rate_is_two_counters() -> None:
    found = Made().at(1000, {SeriesKey.of("checks", check="ok"): Rate(2, 3)})
    assert found == {
        "squall_checks_passed_total,check=ok": [(0, 0), (1000, 2)],
        "squall_checks_total,check=ok": [(0, 0), (1000, 3)],
    }


def test_a_gauge_has_no_zero_and_is_ended_when_it_is_gone() -> None:
    made = Made()
    assert made.at(1000, {VUS: Gauge.at(4, Merge.SUM)}) == {"squall_vus,scenario=a": [(1000, 4)]}
    ((at, value),) = made.at(2000, {})["squall_vus,scenario=a"]
    assert at == 2000
    assert math.isnan(value)
    assert made.at(3000, {}) == {}
    assert made.at(4000, {VUS: Gauge.at(1, Merge.SUM)}) == {"squall_vus,scenario=a": [(4000, 1)]}


def test_a_point_is_ended_when_it_is_gone() -> None:
    made = Made()
    up, hold = (Point(STAGE, (("scenario", "a"), ("stage", each)), 1) for each in ("up", "hold"))
    made.at(1000, {}, up)
    found = made.at(2000, {}, hold)
    assert found["squall_scenario_stage,scenario=a,stage=hold"] == [(2000, 1)]
    assert math.isnan(found["squall_scenario_stage,scenario=a,stage=up"][0][1])


def test_at_the_end_everything_that_was_measured_is_ended() -> None:
    made = Made()
    made.at(1000, {REQUESTS: Counter(3), DURATION: Histogram.of([0.1]), VUS: Gauge.at(4)})
    found = made.end(9000)
    assert len(found) == 3
    assert all(at == 9000 and math.isnan(value) for ((at, value),) in found.values())


def test_classic_histograms_end_and_begin_with_all_their_series() -> None:
    made = Made(histograms="classic")
    found = made.at(1000, {DURATION: Histogram.of([0.09, 0.2])})
    assert found["squall_http_req_duration_seconds_bucket,le=0.1,scenario=a"] == [(0, 0), (1000, 1)]
    assert found["squall_http_req_duration_seconds_bucket,le=+Inf,scenario=a"] == [(0, 0), (1000, 2)]
    assert found["squall_http_req_duration_seconds_count,scenario=a"] == [(0, 0), (1000, 2)]
    assert found["squall_http_req_duration_seconds_sum,scenario=a"] == [(0, 0), (1000, pytest.approx(0.29))]
    assert made.end(2000).keys() == found.keys()


def test_beyond_the_budget_sums_stay_right() -> None:
    made = Made(max_series=100)
    keys = [SeriesKey.of("http_reqs", scenario="ab"[number % 2], step=f"s{number}") for number in range(150)]
    found = made.at(1000, {key: Counter(1) for key in keys})
    assert len(found) == 102
    assert sum(values[-1][1] for values in found.values()) == 150
    assert found["squall_http_reqs_total,overflow=true,scenario=a"] == [(0, 0), (1000, 25)]
    assert made.it.folded == 50
    later = made.at(2000, {key: Counter(2) for key in reversed(keys)})
    assert later.keys() == found.keys()
    assert sum(values[-1][1] for values in later.values()) == 300


def test_many_series_go_in_several_requests_of_the_same_moment() -> None:
    exposition = Exposition(BUILT_IN, Form(), ())
    measured = [(SeriesKey.of("http_reqs", step=f"s{number}"), Counter(1)) for number in range(1200)]
    bodies = filter(None, exposition.bodies(Standing(1000, 0, list(measured), [])))
    assert [(each.at_ms, each.samples) for each in bodies] == [(0, 1000), (1000, 1000), (0, 200), (1000, 200)]


def test_what_the_run_is_called_cannot_be_hidden() -> None:
    exposition = Exposition(BUILT_IN, Form(labels=(("run", "other"), ("team", "x"))), (("run", "r1"),))
    _, body = filter(
        None, exposition.bodies(Standing(1000, 0, [(SeriesKey.of("http_reqs"), Counter(1))], []))
    )
    (series,) = read(body.data).timeseries
    assert {label.name: label.value for label in series.labels} == {
        "__name__": "squall_http_reqs_total",
        "run": "r1",
        "team": "x",
    }
