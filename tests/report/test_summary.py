from __future__ import annotations

import msgspec
import pytest
from support.summaries import facts, summary, totals

from squall.metrics.histogram import Histogram
from squall.metrics.names import Merge
from squall.metrics.series import Counter, Gauge, SeriesKey
from squall.report.figures import find
from squall.report.model import Summary, Timings
from squall.report.summary import build_summary, loaded, manifest_hash


def test_percentiles_of_the_whole_come_from_merged_histograms() -> None:
    whole = Histogram()
    for key, aggregate in totals().items():
        if key.metric == "http_req_total":
            assert isinstance(aggregate, Histogram)
            whole.merge(aggregate)

    row = find(summary().metrics, "http_req_total")

    assert row is not None
    assert row.values["p95"] == whole.quantile(0.95)
    assert row.values["count"] == 400


@pytest.mark.parametrize(
    ("tags", "requests", "seconds"),
    [
        ({}, 400, 60),
        ({"scenario": "browse"}, 400, 60),
        ({"scenario": "browse", "stage": "1"}, 200, 10),
        ({"scenario": "browse", "stage": "hold"}, 200, 50),
        ({"scenario": "browse", "step": "cart"}, 200, 60),
    ],
)
def test_the_same_totals_are_cut_four_ways(tags: dict[str, str], requests: int, seconds: int) -> None:
    row = find(summary().metrics, "http_reqs", **tags)
    assert row is not None
    assert row.values == {"count": requests, "rate": requests / seconds}


def test_a_stage_that_was_cut_short_has_the_rate_of_the_time_it_had() -> None:
    row = find(
        summary(timings=Timings(load_seconds=20.0)).metrics, "http_reqs", scenario="browse", stage="hold"
    )
    assert row is not None
    assert row.values["rate"] == 200 / 10


def test_merging_for_the_report_leaves_the_totals_alone() -> None:
    given = totals()
    build_summary(facts(totals=given))
    assert given[SeriesKey.of("vus", scenario="browse")] == totals()[SeriesKey.of("vus", scenario="browse")]
    key = SeriesKey.of("http_reqs", scenario="browse", stage="1", step="home", method="GET")
    assert given[key] == totals()[key]


def test_each_group_of_tiers_has_its_grade() -> None:
    assert summary().grades == {"": "silver", "cart": ""}
    assert summary(tiers=()).grades == {}


def test_load_tells_planned_and_delivered() -> None:
    (load,) = summary().load
    assert (load.iterations, load.failed, load.peak_actual, load.peak_target) == (140, 60, 5, 5)


def test_errors_are_counted_by_class_and_keep_an_example() -> None:
    first, _, second = summary().errors
    assert (first.error, first.count, first.example) == ("timeout", 55, "no answer within 30s")
    assert (second.error, second.status, second.count) == ("http_5xx", "503", 5)


def test_checks_tell_passes_and_fails() -> None:
    (check,) = summary().checks
    assert (check.name, check.passes, check.fails) == ("status is 200", 140, 60)


def test_a_summary_survives_json() -> None:
    given = summary()
    assert msgspec.json.decode(msgspec.json.encode(given), type=Summary) == given


def test_a_run_that_measured_nothing_has_a_summary() -> None:
    empty = summary(totals={}, thresholds=(), tiers=())
    assert empty.metrics == ()
    assert empty.load[0].iterations == 0


def test_the_manifest_hash_ignores_the_order_of_keys() -> None:
    assert manifest_hash({"a": 1, "b": {"c": 2, "d": 3}}) == manifest_hash({"b": {"d": 3, "c": 2}, "a": 1})
    assert manifest_hash({"a": 1}) != manifest_hash({"a": 2})


def test_rows_stand_in_the_order_of_the_manifest() -> None:
    rows = [row.tags for row in summary().metrics if row.metric == "http_reqs"]
    assert [tags.get("stage") for tags in rows if "stage" in tags] == ["1", "hold"]
    assert [tags.get("step") for tags in rows if "step" in tags] == ["home", "cart"]


@pytest.mark.parametrize(
    ("tags", "end", "spans"),
    [
        ({}, 20.0, ((0.0, 20.0),)),
        ({"step": "home"}, 20.0, ((0.0, 20.0),)),
        ({"scenario": "browse"}, 20.0, ((0.0, 20.0),)),
        ({"scenario": "browse", "stage": "hold"}, 20.0, ((10.0, 20.0),)),
        ({"stage": "hold"}, 99.0, ((10.0, 60.0),)),
        ({"stage": "hold"}, 5.0, ()),
    ],
)
def test_when_there_was_load_of_a_scenario_and_a_stage(
    tags: dict[str, str], end: float, spans: tuple[tuple[float, float], ...]
) -> None:
    assert loaded(facts().plan, end, tags) == spans


def test_what_the_generator_knows_of_itself_comes_from_its_own_metrics():
    own = {
        SeriesKey.of("cpu_usage"): Gauge(0.5, 0.2, 0.9, Merge.MAX),
        SeriesKey.of("cores_busy"): Gauge(0.6, 0.1, 0.97, Merge.MAX),
        SeriesKey.of("files_used"): Gauge(0.1, 0.1, 0.4, Merge.MAX),
        SeriesKey.of("ports_used"): Gauge(0.2, 0.2, 0.3, Merge.MAX),
        SeriesKey.of("cpu_wait"): Counter(3.5),
        SeriesKey.of("cpu_throttled"): Counter(1.25),
        SeriesKey.of("clock_steps"): Counter(2.0),
        SeriesKey.of("gc_pause"): Histogram.of([0.01, 0.04]),
        SeriesKey.of("send_stall"): Histogram.of([0.5, 1.5]),
    }
    found = summary(totals=own, saturated_share=0.2, saturation="it was slow; change it").generator
    assert (found.cpu_peak, found.cores_busy_peak, found.files_used_peak, found.ports_used_peak) == (
        0.9,
        0.97,
        0.4,
        0.3,
    )
    assert (found.cpu_wait_seconds, found.cpu_throttled_seconds, found.clock_steps) == (3.5, 1.25, 2)
    assert (found.gc_pause_max_seconds, found.send_stall_seconds) == (0.04, pytest.approx(2.0))
    assert (found.saturated_share, found.saturation) == (0.2, "it was slow; change it")
