"""Manifests as they come from the API server: checked by the same code as on somebody's machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from squall.validation import Options, load_text
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
    wrong = [each.brief for each in checked.problems if "is on somebody's machine" not in each.message]
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
    assert all(any(f"nothing{number}" in each.message for each in checked.problems) for number in (0, 50, 99))


@pytest.mark.parametrize(("setup", "seconds"), [(None, 0), ({"timeout": "7m"}, 420)])
def test_the_plan_says_how_long_a_setup_may_take(setup: dict[str, Any] | None, seconds: float) -> None:
    more = {"setup": {"steps": [{"http": {"url": "http://a/"}}], **setup}} if setup else {}
    checked = check(served(**more), DEFAULTS)
    assert checked.plan is not None
    assert checked.plan.setup_seconds == seconds


def test_the_plan_says_how_many_runners_each_pod_has() -> None:
    """Pods are as even as can be, so some carry fewer shards, and thus fewer runners, than they might."""
    checked = check(
        served(shards=7, runner={"shardsPerPod": 3, "resources": {"limits": {"cpu": 3}}}), DEFAULTS
    )
    assert checked.plan is not None
    assert checked.plan.runners == (3, 2, 2)


def served(**spec: Any) -> dict[str, Any]:
    scenario = {"name": "s", "executor": "shared-iterations", "iterations": 1, "vus": 1}
    scenario |= {"steps": [{"http": {"url": "http://a/"}}]}
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": "large"},
        "spec": {"scenarios": [scenario], **spec},
    }


@pytest.mark.parametrize("text", ["x", "ab\n", "中", "a\"'\\\n", "\x1b", "😀 \n\n"])
def test_what_may_be_written_may_be_stored(text: str) -> None:
    """Lines, quotes and letters beyond ASCII take more room in what a server keeps than in what somebody wrote."""

    def written(document: dict[str, Any]) -> str:
        return json.dumps(document, ensure_ascii=False).replace("\\u001b", "\\e")

    inline = text * min(60_000 // (len(written({"": text}).encode()) - 8), 65_536 // len(text))
    body = served(files=[{"name": f"{name}.txt", "inline": inline} for name in "ab"])
    (resource,) = load_text(written(body), Options(complete=False))
    checked = check(body, DEFAULTS)
    assert checked.problems == ()
    assert checked.test is not None
    assert resource.test is not None
    assert checked.test.data == resource.test.data == body


def test_what_nobody_may_write_is_not_run_either() -> None:
    files = [{"name": f"f{number}", "inline": "x" * 65_000} for number in range(7)]
    (problem,) = check(served(files=files), DEFAULTS).problems
    assert "the manifest has 444 KiB as JSON; at most 384 KiB" in problem.message


def test_what_is_nested_without_end_is_refused() -> None:
    deep: Any = {}
    for _ in range(5000):
        deep = {"a": deep}
    (problem,) = check(served(variants=[{"name": "v", "spec": deep}]), DEFAULTS).problems
    assert "nested deeper than 64 levels" in problem.message


def in_pieces(pieces: int, size: int, kind: str = "configMap") -> dict[str, Any]:
    return {kind: {"name": "n", "key": "k", "pieces": pieces, "sizeBytes": size}}


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ([in_pieces(16, 5), in_pieces(16, 5, "secret")], ""),
        ([in_pieces(16, 5), in_pieces(17, 5, "secret")], "spec.files: the files have 33 pieces"),
        ([in_pieces(2, 2**27), in_pieces(1, 2**27 + 1)], "each pod unpacks them"),
    ],
)
def test_files_in_pieces_have_a_limit_together(files: list[dict[str, Any]], why: str) -> None:
    named = [{"name": f"f{number}", **each} for number, each in enumerate(files)]
    checked = check(served(files=named), DEFAULTS)
    assert [why in problem.brief for problem in checked.problems] == ([True] if why else [])


def _with(**spec: Any) -> dict[str, Any]:
    step = spec.pop("step", {"http": {"url": "/"}})
    scenario = {"name": "s", "executor": "constant-vus", "vus": 1, "duration": "10s", "steps": [step]}
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": "t", "namespace": "n", "uid": "u"},
        "spec": {"http": {"baseUrl": "http://shop.test.example"}, "scenarios": [scenario], **spec},
    }


@pytest.mark.parametrize(
    "runner",
    [
        {"resources": {"requests": None}},
        {"resources": {"requests": [1]}},
        {"resources": {"limits": "x"}},
        {"resources": {"limits": {"cpu": "inf"}}},
        {"resources": {"limits": {"cpu": "1e400"}}},
        {"template": {"spec": {"hostAliases": ["x"]}}},
        {"template": {"spec": {"dnsConfig": "x"}}},
        {"template": {"metadata": {"labels": ["a"]}}},
        {"template": {"metadata": {"labels": "abc"}}},
        {"template": {"spec": {"containers": "x"}}},
    ],
)
def test_whatever_the_schema_lets_through_gets_an_answer(runner: dict[str, Any]) -> None:
    """Else a run could not be stopped any more once its LoadTest was edited to this."""
    checked = check(_with(runner=runner), DEFAULTS)
    assert checked.problems
    assert checked.plan is None
    if "resources" in runner:
        assert "write requests and limits as amounts" in checked.problems[0].message


@pytest.mark.parametrize(
    ("step", "hosts"),
    [
        ({"http": {"url": "http://other.example/a"}}, {"other.example", "shop.test.example"}),
        (
            {"http": {"method": "POST", "url": "/", "json": {"url": "http://callback.example"}}},
            {"shop.test.example"},
        ),
        ({"http": {"url": "/", "query": {"url": "http://[bad"}}}, {"shop.test.example"}),
    ],
)
def test_hosts_are_those_that_requests_go_to(step: dict[str, Any], hosts: set[str]) -> None:
    checked = check(_with(step=step), DEFAULTS)
    assert checked.facts is not None, checked.problems
    assert set(checked.facts.hosts) == hosts
