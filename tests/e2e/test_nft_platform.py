"""Workload A complete: the NFT platform at its full number of VUs, its verdict as the target gets worse, roles and phases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.examples import FULL_FLOW, PLATFORM, Ran, Seen, logging_target, run, running_platform

from squall.report.findings import findings

PEAKS = {"signup": 100, "minting": 10, "gallery": 100, "marketplace": 20}
SEEDED = {"users": 1, "assets": 0, "nfts": 100, "listings": 0, "subscriptions": 0}
"""What the target holds from its start."""


def grown(counts: dict[str, int]) -> dict[str, int]:
    return {name: count - SEEDED[name] for name, count in counts.items()}


def checked(ran: Ran, scenario: str, step: str) -> int:
    """How many of a step's requests were answered with 200, by its own check."""
    return sum(
        check.passes
        for check in ran.summary.checks
        if (check.name, check.scenario, check.step) == ("status is 200", scenario, step)
    )


def on_platform(folder: Path, settings: tuple[str, ...], *options: str) -> Ran:
    with running_platform(folder, *settings) as platform:
        return run(PLATFORM, *options, cwd=folder, url=platform.url)


def patience(time: str) -> list[str]:
    """How long iterations may take after the end, before scaling: nobody waits for pauses of seconds here."""
    return [f"--set=scenarios.{name}.gracefulStop={time}" for name in PEAKS]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ran, dict[str, int]]]:
    """The whole programme at all its VUs, in six seconds, and what the target held afterwards."""
    folder = tmp_path_factory.mktemp("full")
    with running_platform(folder) as platform:
        ran = run(PLATFORM, "--time-scale", "0.006", *patience("300s"), cwd=folder, url=platform.url)
        yield ran, grown(platform.counts())


def test_the_whole_programme_passes_with_the_best_grade(full: tuple[Ran, dict[str, int]]) -> None:
    ran, _ = full
    assert ran.code == 0, ran.explain()
    assert ran.summary.verdict.result == "Passed"
    assert ran.summary.grades == {
        "": "excellent",
        **{group: f"{group}.good" for group in ("signup", "mint", "gallery", "errors", "throughput")},
    }
    assert "grade: excellent" in ran.done.out


def test_every_scenario_reaches_all_its_users(full: tuple[Ran, dict[str, int]]) -> None:
    ran, _ = full
    assert {load.scenario: load.peak_target for load in ran.summary.load} == PEAKS
    assert {load.scenario: load.peak_actual for load in ran.summary.load} == PEAKS
    assert ran.values("vus")["max"] >= 200


def test_what_the_target_stored_is_what_the_summary_says(full: tuple[Ran, dict[str, int]]) -> None:
    ran, stored = full
    assert stored == {
        "users": checked(ran, "signup", "signup"),
        "assets": checked(ran, "minting", "upload"),
        "nfts": checked(ran, "minting", "mint"),
        "listings": checked(ran, "marketplace", "list-for-sale"),
        "subscriptions": 0,
    }
    assert ran.count("http_reqs", scenario="signup") == stored["users"]
    assert ran.count("http_reqs") == sum(stored.values()) + sum(
        ran.count("http_reqs", scenario=scenario, step=step)
        for scenario, step in (("minting", "login"), ("gallery", "gallery"))
    )


def test_thresholds_and_tables_have_the_same_figures(full: tuple[Ran, dict[str, int]]) -> None:
    ran, _ = full
    judged = {
        (threshold.source, threshold.expression): threshold.value
        for tier in ran.summary.tiers
        for threshold in tier.thresholds
    }
    assert judged["http_reqs", "rate>10/s"] == pytest.approx(ran.values("http_reqs")["rate"])
    assert judged["signup_duration", "p(95)<2s"] == ran.values("signup_duration")["p95"]
    assert judged["checks{scenario:minting}", "rate>99%"] == ran.values("checks", scenario="minting")["rate"]


def test_own_metrics_stages_and_report_are_there(full: tuple[Ran, dict[str, int]]) -> None:
    ran, _ = full
    for metric in ("signup_duration", "mint_duration", "gallery_load_duration"):
        assert ran.values(metric)["count"] > 0
    stages = [
        row.tags["stage"]
        for row in ran.cut("http_reqs", "scenario", "stage")
        if row.tags["scenario"] == "signup"
    ]
    assert stages == ["warm-up", "users-10", "to-50", "users-50", "to-100", "users-100", "ramp-down"]
    report = (ran.folder / "report.md").read_text()
    for part in ("Passed", "excellent", "signup_duration", "users-100", "100"):
        assert part in report


def test_a_slow_target_gets_a_lower_grade(tmp_path: Path) -> None:
    ran = on_platform(tmp_path, ("--latency", "2.5s"), "--time-scale", "0.004", *patience("500s"))
    grades = ran.summary.grades
    assert grades[""] not in {"excellent", "ideal"}, ran.explain()
    assert grades["signup"] in {"signup.acceptable", ""}
    assert grades["gallery"] in {"gallery.acceptable", ""}
    assert grades["errors"] == "errors.good"
    slow = next(check for check in ran.summary.checks if check.name == "response under 2 s")
    assert slow.fails > 0


def test_a_failing_target_fails_the_run(tmp_path: Path) -> None:
    ran = on_platform(tmp_path, ("--error-rate", "0.1"), "--time-scale", "0.003", *patience("300s"))
    assert ran.code == 99, ran.explain()
    verdict = ran.summary.verdict
    assert (verdict.result, verdict.cause) == ("Failed", "")
    assert ran.summary.grades[""] == ran.summary.grades["errors"] == ""
    assert 0.03 < ran.values("http_req_failed")["rate"] < 0.2
    assert {error.error for error in ran.summary.errors} == {"http_5xx"}
    assert sum(error.count for error in ran.summary.errors) == (ran.values("http_req_failed")["passes"])


def test_the_breaking_point_is_found_and_the_run_stops_there(tmp_path: Path) -> None:
    ran = on_platform(
        tmp_path,
        ("--capacity", "5", "--latency", "200ms", "--execution-limit", "1s"),
        "--time-scale",
        "0.006",
        *patience("200s"),
    )
    assert ran.code == 99, ran.explain()
    assert ran.summary.verdict.result in {"Aborted", "Failed"}
    assert ran.summary.grades[""] == ""
    told = [finding.text for finding in findings(ran.summary)]
    assert any("began to break in stage" in text for text in told), told
    assert any("began to break in stage" in line for line in ran.done.out.splitlines())
    assert ran.summary.errors[0].status == "504"
    assert {error.error for error in ran.summary.errors} <= {"http_5xx"}


def test_a_slow_chain_lowers_the_grade_of_minting_alone(tmp_path: Path) -> None:
    # Ten mints at once, 1.6 a second: the last waits for six seconds, and has all the time it needs.
    ran = on_platform(
        tmp_path,
        ("--mint-rate", "1.6"),
        "--scenario=minting",
        "--vus=10",
        "--duration=100ms",
        "--set=scenarios.minting.gracefulStop=8s",
    )
    assert ran.code == 0, ran.explain()
    assert ran.count("mint_duration") == 10
    assert ran.summary.grades["mint"] == "mint.acceptable"
    assert ran.summary.grades["errors"] == "errors.good"
    assert "signup" not in ran.summary.grades, "what did not run has no grade"


def answer_like_the_platform(seen: Seen) -> Any:
    return {
        "token": "t" * 20,
        "assetId": 1,
        "nftId": 1,
        "nfts": [{"id": 1}],
        "total": 1,
        "page": int(seen.query.get("page", "1")),
        "subscriptionId": 1,
    }


def test_roles_stay_on_their_sandboxes(tmp_path: Path) -> None:
    roles = {
        "/api/auth/signup": range(10),
        "/api/nft/mint": range(10, 20),
        "/api/marketplace/list": range(20, 30),
        "/api/subscription/subscribe": range(30, 40),
        "/api/nfts": range(40, 50),
    }
    with logging_target(answer_like_the_platform) as target:
        ran = run(
            PLATFORM,
            "--variant=roles",
            "--time-scale=0.004",
            "--set=http.headers.X-Shard=${shard}",
            cwd=tmp_path,
            url=target.url,
        )
        for path, shards in roles.items():
            used = {int(shard) for shard in target.headers(path, "X-Shard")}
            assert used, path
            assert used <= set(shards), path
    assert ran.code == 0, ran.explain()
    assert ran.summary.shards == 50
    measured = {row.tags["scenario"] for row in ran.cut("http_reqs", "scenario")}
    assert measured == {"signup", "minting", "marketplace", "subscription", "database"}
    assert all(load.peak_actual == load.peak_target for load in ran.summary.load)


PHASES = {
    "phase-1": ((), "0.02", 1, 1),
    "phase-2": (("--variant=phase-2",), "0.004", 10, 10),
    "phase-3": (("--variant=phase-3",), "0.002", 10, 50),
    "phase-4": (("--variant=phase-4",), "0.002", 20, 100),
    "phase-5": (("--variant=phase-5",), "0.0015", 50, 250),
}


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A platform whose chain keeps up with a phase that lasts for a second."""
    folder = tmp_path_factory.mktemp("roomy")
    with running_platform(folder, "--mint-rate", "1000") as platform:
        yield platform.url


@pytest.mark.parametrize("phase", PHASES)
def test_the_full_flow_in_all_its_phases(phase: str, roomy: str, tmp_path: Path) -> None:
    options, scale, shards, users = PHASES[phase]
    ran = run(FULL_FLOW, *options, "--time-scale", scale, cwd=tmp_path, url=roomy)
    assert ran.code == 0, ran.explain()
    assert (ran.summary.shards, ran.summary.load[0].peak_target) == (shards, users)
    assert ran.count("full_flow_duration") == ran.count("mint_duration") > 0
    assert ran.count("http_reqs") == 3 * ran.count("iterations_started")
    grade = "excellent" if users >= 200 else "ideal" if users >= 100 else "minimum" if users >= 50 else ""
    assert ran.summary.grades[""] == grade
