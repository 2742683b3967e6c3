"""The Job of a run, as the operator makes it of a LoadTest that has nothing but its scenarios to give to pods."""

from __future__ import annotations

from typing import Any

from squall.spec.loadtest import LoadTest
from squall_operator.manifests.inputs import Inputs
from squall_operator.manifests.job import build_job
from squall_operator.manifests.owned import Owner
from squall_operator.settings import RunnerDefaults


def job_of(document: dict[str, Any], defaults: RunnerDefaults, *, start_seconds: float = 1) -> dict[str, Any]:
    """The spec of the Job.

    Args:
        document: The LoadTest.
        defaults: What the installation says about runners.
        start_seconds: How long the run may take to begin.
    """
    job = build_job(
        Owner(namespace="default", name="shop", uid="u"),
        "shop-1",
        LoadTest.model_validate(document).spec,
        Inputs(objects=(), token={}, volumes=(), mounts=()),
        pods=1,
        start_seconds=start_seconds,
        defaults=defaults,
    )
    made: dict[str, Any] = job["spec"]
    return made


def container_of(document: dict[str, Any], defaults: RunnerDefaults) -> dict[str, Any]:
    """The one container of its pods."""
    (container,) = job_of(document, defaults)["template"]["spec"]["containers"]
    found: dict[str, Any] = container
    return found
