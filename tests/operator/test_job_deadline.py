"""How long Kubernetes lets a Job live: longer than its run may by all deadlines, so that only one whose operator is gone is ended by it."""

from __future__ import annotations

from typing import Any

import pytest
from support.jobs import job_of

from squall_operator.manifests.job import SPARE_SECONDS
from squall_operator.settings import RunnerDefaults

STEPS = [{"http": {"url": "/"}}]
SCENARIO = {"name": "s", "executor": "shared-iterations", "iterations": 1, "vus": 1, "steps": STEPS}
SAFETY = {"maxDuration": "10m", "stopGrace": "5s", "lostControl": "20s"}


def lasts(start_seconds: float, **spec: Any) -> int:
    document = {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": "shop"},
        "spec": {"http": {"baseUrl": "http://a"}, "scenarios": [SCENARIO], "safety": SAFETY, **spec},
    }
    job = job_of(document, RunnerDefaults(image="r"), start_seconds=start_seconds)
    return int(job["activeDeadlineSeconds"])


@pytest.mark.parametrize(
    ("start", "spec", "seconds"),
    [
        (300, {}, 300 + 625),
        (3600, {}, 3600 + 625),
        (0.5, {}, 626),
        (300, {"setup": {"steps": STEPS, "timeout": "20m"}}, 300 + 1200 + 625),
        (300, {"teardown": {"steps": STEPS, "timeout": "15m"}}, 300 + 900 + 625),
    ],
)
def test_a_job_outlasts_its_run(start: float, spec: dict[str, Any], seconds: int) -> None:
    assert lasts(start, **spec) == seconds + SPARE_SECONDS
