"""Counts never lie: what the summary says was sent is what a target with a log of its own has seen.

All load models run beside each other, so that one run of each shape of the fleet proves all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from support.examples import LoggingTarget, Ran, logging_target, run

ROWS = 60
FLEETS = {"1x1": (1, 1), "2x2": (2, 2), "2x3": (2, 3), "3x5": (3, 5), "1x4": (1, 4)}
"""Processes and shards."""

STEP = """
      - name: {name}
        http: {{url: /{name}, headers: {{X-Id: "${{vu}}_${{iter}}", X-Shard: "${{shard}}"{more}}}}}
        checks: {{"status is 200": "status == 200"}}
        record: {{counter: {counter}}}
"""
MANIFEST = f"""
apiVersion: squall.dev/v1alpha1
kind: LoadTest
metadata: {{name: counts}}
spec:
  variables: [{{name: baseUrl, value: "http://127.0.0.1:9", env: BASE_URL}}]
  http: {{baseUrl: "${{var.baseUrl}}"}}
  files:
    - name: rows.csv
      inline: |
        row
{"".join(f"        r{number}" + chr(10) for number in range(ROWS))}
  data:
    - {{name: rows, csv: rows.csv, order: unique}}
  scenarios:
    - name: steady
      executor: constant-vus
      vus: 7
      duration: 1200ms
      steps: {STEP.format(name="steady", counter="sent_steady", more="")}
      - think: {{duration: 20ms}}
    - name: ramp
      executor: ramping-vus
      stages: [{{name: up, duration: 600ms, target: 6}}, {{name: down, duration: 600ms, target: 0}}]
      steps: {STEP.format(name="ramp", counter="sent_ramp", more="")}
      - think: {{duration: 20ms}}
    - name: arrivals
      executor: constant-arrival-rate
      rate: 90
      duration: 1200ms
      maxVUs: 50
      steps: {STEP.format(name="arrivals", counter="sent_arrivals", more="")}
    - name: each
      executor: per-vu-iterations
      vus: 5
      iterations: 4
      steps: {STEP.format(name="each", counter="sent_each", more="")}{STEP.format(name="again", counter="sent_each", more="")}
    - name: shared
      executor: shared-iterations
      vus: 5
      iterations: 41
      steps: {STEP.format(name="shared", counter="sent_shared", more="")}
    - name: unique
      executor: shared-iterations
      vus: 5
      iterations: 1000
      steps: {STEP.format(name="unique", counter="sent_unique", more=', X-Row: "${data.rows.row}"')}
"""
STEPS = ("steady", "ramp", "arrivals", "each", "again", "shared", "unique")


@dataclass(frozen=True, slots=True)
class Fleet:
    processes: int
    shards: int
    ran: Ran
    target: LoggingTarget


@pytest.fixture(scope="module", params=FLEETS)
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    processes, shards = FLEETS[request.param]
    with logging_target() as target:
        ran = run(
            MANIFEST,
            f"--processes={processes}",
            f"--set=shards={shards}",
            cwd=tmp_path_factory.mktemp("counts"),
            url=target.url,
        )
        assert ran.code == 0, ran.explain()
        yield Fleet(processes, shards, ran, target)


def test_the_summary_counts_what_the_target_saw(fleet: Fleet) -> None:
    ran, target = fleet.ran, fleet.target
    assert (ran.summary.shards, ran.summary.runners) == (fleet.shards, min(fleet.processes, fleet.shards))
    assert ran.count("http_reqs") == len(target.seen)
    for step in STEPS:
        seen = len(target.to(f"/{step}"))
        scenario = "each" if step == "again" else step
        assert ran.count("http_reqs", scenario=scenario, step=step) == seen > 0, step
        assert ran.count("http_req_total", scenario=scenario, step=step) == seen
        (check,) = (each for each in ran.summary.checks if each.step == step)
        assert (check.passes, check.fails) == (seen, 0)


def test_what_the_plan_fixes_is_done_exactly(fleet: Fleet) -> None:
    target = fleet.target
    assert len(target.to("/arrivals")) == 108
    assert len(target.to("/shared")) == 41
    assert len(target.to("/each")) == len(target.to("/again")) == 20
    per_vu = Counter(each.partition("_")[0] for each in target.headers("/each", "X-Id"))
    assert list(per_vu.values()) == [4] * 5
    assert fleet.ran.count("dropped_iterations") == 0
    planned = {load.scenario: load.planned for load in fleet.ran.summary.load}
    assert (planned["arrivals"], planned["each"], planned["shared"]) == (108, 20, 41)


def test_every_row_of_unique_data_is_used_once(fleet: Fleet) -> None:
    rows = Counter(fleet.target.headers("/unique", "X-Row"))
    assert rows == Counter(f"r{number}" for number in range(ROWS))
    shards = Counter(fleet.target.headers("/unique", "X-Shard"))
    assert set(shards) == {str(shard) for shard in range(fleet.shards)}
    assert max(shards.values()) - min(shards.values()) <= 1


def test_vu_and_iteration_name_an_iteration_of_the_whole_run(fleet: Fleet) -> None:
    ids = [each.headers["X-Id"] for each in fleet.target.seen if each.path != "/again"]
    assert len(set(ids)) == len(ids)
    # A VU belongs to one scenario and one shard.
    homes: dict[str, set[tuple[str, str]]] = {}
    for each in fleet.target.seen:
        path = each.path.replace("again", "each")
        homes.setdefault(each.headers["X-Id"].partition("_")[0], set()).add((path, each.headers["X-Shard"]))
    assert {len(found) for found in homes.values()} == {1}


def test_cuts_by_scenario_stage_and_step_sum_to_the_whole(fleet: Fleet) -> None:
    ran = fleet.ran
    for metric in ("http_reqs", "http_req_total", "http_req_duration", "iterations", "iterations_started"):
        whole = ran.count(metric)
        assert sum(row.values["count"] for row in ran.cut(metric, "scenario")) == whole, metric
    assert sum(row.values["count"] for row in ran.cut("http_reqs", "scenario", "step")) == ran.count(
        "http_reqs"
    )
    stages = {row.tags["stage"]: row.values["count"] for row in ran.cut("http_reqs", "scenario", "stage")}
    assert list(stages) == ["up", "down"]
    assert sum(stages.values()) == len(fleet.target.to("/ramp"))
    rates = ran.cut("checks", "scenario", "step")
    assert (
        sum(row.values["total"] for row in rates) == ran.values("checks")["total"] == len(fleet.target.seen)
    )


def test_own_counters_of_several_steps_add_up(fleet: Fleet) -> None:
    ran = fleet.ran
    assert ran.count("sent_each") == len(fleet.target.to("/each")) + len(fleet.target.to("/again"))
    for name in ("steady", "ramp", "arrivals", "shared", "unique"):
        assert ran.count(f"sent_{name}") == len(fleet.target.to(f"/{name}"))


def test_the_series_file_sums_to_the_summary(fleet: Fleet) -> None:
    ran = fleet.ran
    rows = ran.series()
    for metric, figure in (("http_reqs", "v"), ("iterations", "v"), ("http_req_total", "n")):
        assert sum(row[figure] for row in rows if row["m"] == metric) == ran.count(metric)
    for scenario in ("steady", "arrivals", "shared"):
        own = [row for row in rows if row["m"] == "http_reqs" and row["g"]["scenario"] == scenario]
        assert sum(row["v"] for row in own) == len(fleet.target.to(f"/{scenario}"))
    checks = [row for row in rows if row["m"] == "checks"]
    assert sum(row["n"] for row in checks) == ran.values("checks")["total"]
    assert sum(row["h"] for row in checks) == ran.values("checks")["passes"]
    spent = sum(row["sum"] for row in rows if row["m"] == "http_req_total")
    total = ran.values("http_req_total")
    assert spent == pytest.approx(total["avg"] * total["count"])
