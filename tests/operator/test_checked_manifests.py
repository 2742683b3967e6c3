"""Manifests as they come from the API server: checked by the same code as on somebody's machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from squall_operator.checked import check
from squall_operator.settings import RunnerDefaults

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DEFAULTS = RunnerDefaults(image="registry.example/runner:1", cpu=2)
MANIFESTS = [
    (path.relative_to(EXAMPLES).as_posix(), document)
    for path in sorted(EXAMPLES.rglob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
    if isinstance(document, dict) and document.get("kind") == "LoadTest"
]


@pytest.mark.parametrize("document", [pytest.param(each, id=name) for name, each in MANIFESTS])
def test_every_example_is_right_but_for_files_of_somebodys_machine(document: dict[str, Any]) -> None:
    served = {"creationTimestamp": "2026-01-01T00:00:00Z", "uid": "u", "generation": 1, "managedFields": []}
    checked = check({**document, "metadata": {**document["metadata"], **served}, "status": {}}, DEFAULTS)
    wrong = [text for text in checked.problems if "is on somebody's machine" not in text]
    assert wrong == []
    if not checked.problems:
        assert checked.plan is not None
        assert checked.plan.pods >= 1
        assert checked.facts is not None


def test_a_hundred_problems_are_all_told() -> None:
    scenarios = [
        {
            "name": f"s{number}",
            "executor": "constant-vus",
            "vus": 1,
            "duration": "10s",
            "steps": [{"http": {"url": f"http://a/${{nothing{number}}}"}}],
        }
        for number in range(100)
    ]
    body = {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": "wrong"},
        "spec": {"scenarios": scenarios},
    }
    checked = check(body, DEFAULTS)
    assert checked.plan is None
    assert all(any(f"nothing{number}" in text for text in checked.problems) for number in (0, 50, 99))
