"""What `squall plan` prints, read as a person reads it."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from squall.cli.plan_chart import chart, number, stage_axis, time_axis
from squall.cli.plan_view import print_plan
from squall.plan.compile import compile_plan
from squall.plan.model import StageSpan
from squall.plan.sizing import requests_per_iteration
from squall.spec.loadtest import LoadTestSpec

S = 1_000_000_000


def printed(*scenarios, shards=1, width=80):
    named = [{"name": f"s{i}", "steps": [{"http": {"url": "/"}}], **s} for i, s in enumerate(scenarios)]
    spec = LoadTestSpec.model_validate({"scenarios": named, "shards": shards})
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None)
    print_plan(console, "demo", compile_plan(spec), [requests_per_iteration(s) for s in spec.scenarios])
    return out.getvalue()


RAMP = {
    "executor": "ramping-vus",
    "startVUs": 0,
    "stages": [{"duration": "1m", "target": 8}, {"name": "hold", "duration": "1m", "target": 8}],
}


def test_a_chart_fills_from_below_in_eighths():
    assert chart([0, 1, 8, 16], 16, 2) == [
        "      16 ┤   █",
        "         │ ▁██",
        "       0 └────",
    ]


@given(peaks=st.lists(st.just(0) | st.floats(1e-4, 1e7), min_size=1, max_size=60), height=st.integers(1, 10))
def test_every_column_with_load_shows_something(peaks, height):
    lowest = chart(peaks, max(peaks), height)[height - 1][10:].ljust(len(peaks))
    assert [mark != " " for mark in lowest] == [value > 0 for value in peaks]


def test_the_time_axis_ends_with_the_end():
    axis = time_axis(120 * S, 60)
    assert axis.split() == ["0s", "30s", "1m", "1m30s", "2m"]
    assert len(axis) == 70


def test_stage_names_stand_where_the_stages_are():
    spans = [
        StageSpan("1", 0, 10 * S),
        StageSpan("a long name", 10 * S, 15 * S),
        StageSpan("x", 15 * S, 16 * S),
    ]
    assert stage_axis(spans, 20 * S, 20) == " " * 10 + "╵1" + " " * 8 + "╵a l…"
    assert not stage_axis([StageSpan("", 0, S)], S, 20)


@pytest.mark.parametrize(("value", "text"), [(1250.0, "1,250"), (2.5, "2.5"), (1234.5, "1,234"), (0, "0")])
def test_numbers_for_people(value, text):
    assert number(value) == text


def test_the_whole_plan_fits_eighty_columns_and_says_what_matters():
    text = printed(
        RAMP,
        {
            "executor": "ramping-arrival-rate",
            "arrivals": "poisson",
            "stages": [{"duration": "2m", "target": 50}],
        },
        {"executor": "shared-iterations", "iterations": 99, "vus": 3, "maxDuration": "2m"},
        shards=4,
    )
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "demo: 3 scenarios on 4 shards, 2m and up to 30s to finish" in text
    assert "s0 (ramping-vus, VUs)" in text
    assert "s2 (shared-iterations, VUs, ends when its iterations are done)" in text
    assert "╵hold" in text
    assert "all closed scenarios, VUs" in text
    assert "all open scenarios" not in text  # there is one, its own chart says it
    assert "~3,000" in text
    assert "Suggested shards: at least 1, for a peak of 11 VUs and 50 requests/s" in text
    assert "assumes that a shard" in text


def test_the_middle_of_many_shards_is_left_out():
    text = printed(RAMP, shards=40)
    assert "30 more" in text
    assert len(text.splitlines()) < 50
    assert "nothing to do" in text  # 8 VUs have no part for shard 40


def test_twelve_shards_are_all_shown():
    assert "more" not in printed({**RAMP, "maxIterations": 5}, shards=12)


def test_a_cap_is_shown_as_one():
    assert "≤ 12,500" in printed({**RAMP, "maxIterations": 12_500})


def test_a_search_is_drawn_as_the_most_that_it_may_become() -> None:
    search = {"by": "rate", "start": 10, "max": 600}
    thresholds = [{"metric": "http_req_duration", "expression": "p(95)<1s"}]
    text = printed({"executor": "capacity", "search": search | {"thresholds": thresholds}}, width=200)
    assert "a level; drawn: at most)" in text
    row = next(line for line in text.splitlines() if line.startswith("s0 ") and "until found" in line)
    assert "≤ 10m" in row
    assert "≤ 600/s" in row
