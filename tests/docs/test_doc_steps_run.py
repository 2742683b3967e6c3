"""The steps that the documentation shows do what they say against the bundled target, and are measured as it says."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.documentation import blocks
from support.examples import Ran, run, running_platform
from support.manifests import ROOT

from squall.cli.pages import _tags_of
from squall.metrics.names import BUILT_IN

SCENARIOS = ROOT / "docs" / "scenarios.md"
SHOWN = [yaml.safe_load(each.text) for each in blocks("yaml") if each.page == SCENARIOS]
STEPS = [each["steps"] for each in SHOWN if "steps" in each]
CARE = next(each["http"] for each in SHOWN if "retry" in each.get("http", {}))
"""What the page shows of retries, rate limits and the circuit breaker."""
OWN_TAGS = {"page", "component"}
SOMETIMES = {"status", "error", "stage"}
"""Tags that are left out where they have no value."""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    folder: Path = tmp_path_factory.mktemp("documented")
    file = folder / "loadtest.yaml"
    file.write_text(yaml.safe_dump(_manifest(), sort_keys=False))
    with running_platform(folder) as platform:
        yield run(file, cwd=folder, url=platform.url)


def _manifest() -> dict[str, Any]:
    """The test at the top of the page with each list of steps as a scenario of its own, run once, and arrivals."""
    manifest: dict[str, Any] = SHOWN[0]
    manifest["spec"]["http"] |= CARE
    once = {"executor": "per-vu-iterations", "iterations": 1}
    arrivals = {
        "name": "arrivals",
        "executor": "ramping-arrival-rate",
        "stages": [{"name": "rush", "duration": "1s", "target": 20}],
        "maxVUs": 1,
        "steps": [{"http": {"url": "/missing"}}],
    }
    scenarios = [{"name": f"shown-{n}", **once, "steps": steps} for n, steps in enumerate(STEPS)]
    manifest["spec"]["scenarios"] = [*scenarios, arrivals]
    return manifest


def test_every_step_that_is_shown_succeeds(ran: Ran) -> None:
    assert len(STEPS) > 10
    assert ran.code == 0, ran.explain()
    for load in ran.summary.load:
        if load.scenario != "arrivals":
            assert (load.iterations, load.failed) == (1, 0), f"{load.scenario}: {ran.explain()}"
    assert [check.name for check in ran.summary.checks if check.fails] == []
    assert {error.scenario for error in ran.summary.errors} == {"arrivals"}


def test_metrics_have_the_tags_that_the_reference_tells(ran: Ran) -> None:
    seen: dict[str, set[str]] = {}
    for row in ran.series():
        seen.setdefault(row["m"], set()).update(row.get("g", {}))
    assert {
        "schedule_lag",
        "job_latency",
        "group_duration",
        "loop_lag",
        "checks",
        "rate_limit_wait",
        "circuit_state",
    } <= set(seen)
    for metric in set(seen) & set(BUILT_IN):
        tags = _tags_of(metric)
        told = set(tags.split(", ")) if tags else set()
        assert seen[metric] - OWN_TAGS <= told, metric
        assert told - seen[metric] <= SOMETIMES, metric


def test_own_metrics_have_the_tags_that_the_reference_tells(ran: Ran) -> None:
    seen = {row["m"]: set(row["g"]) for row in ran.series() if row["m"] not in BUILT_IN}
    assert {"job_duration", "visit_duration", "last_user", "nfts_seen"} <= set(seen)
    assert all(tags - OWN_TAGS <= {"scenario", "stage", "step"} for tags in seen.values())
