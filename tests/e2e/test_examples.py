"""Every example does what it shows: it runs to Passed, and each command that takes a manifest works on it."""

from __future__ import annotations

import json
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from support.examples import (
    EXAMPLES,
    ON_CHAINS,
    Platform,
    command,
    look,
    run,
    running_platform,
    squall,
)

# A minting user pauses for five seconds at the end; nobody has to wait for that here.
NO_PAUSE = "scenarios.minting.gracefulStop=10s"
CALM = "safety.saturation.tolerated=100%"
"""What is tried here is not how fast this machine is."""

CASES = {
    "first-request.yaml": ("--time-scale", "0.1"),
    "capacity.yaml": ("--time-scale", "0.1", "--set", "scenarios.minting.search.max=6"),
    "login-flow/loadtest.yaml": (),
    "open-model.yaml": ("--time-scale", "0.15"),
    "python-step/loadtest.yaml": (),
    "resilience.yaml": ("--time-scale", "0.2"),
    "service-to-service.yaml": ("--time-scale", "0.2"),
    "nft-platform/loadtest.yaml": ("--variant", "smoke", "--time-scale", "0.1", "--set", NO_PAUSE),
    "nft-platform/full-flow.yaml": ("--time-scale", "0.02"),
}
each_example = pytest.mark.parametrize("name", CASES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


@pytest.fixture(scope="module")
def platform(folder: Path) -> Iterator[Platform]:
    with running_platform(folder) as running:
        yield running


def test_every_example_has_a_case() -> None:
    manifests = {
        str(path.relative_to(EXAMPLES))
        for path in EXAMPLES.rglob("*.yaml")
        if "LoadTest" in path.read_text(encoding="utf-8") and path not in ON_CHAINS
    }
    assert manifests == set(CASES)


@each_example
def test_runs_to_passed(name: str, folder: Path, platform: Platform) -> None:
    ran = run(EXAMPLES / name, *CASES[name], cwd=folder, url=platform.url)
    assert ran.code == 0, ran.explain()
    assert ran.summary.verdict.result == "Passed"
    assert ran.count("http_reqs") > 0
    assert ran.values("checks")["rate"] == 1.0
    assert ran.summary.errors == ()


def test_validate_takes_the_whole_folder(folder: Path) -> None:
    done = squall("validate", EXAMPLES, cwd=folder)
    assert done.code == 0, done.out + done.err
    assert len(re.findall("is valid$", done.out, re.MULTILINE)) == len(CASES) + len(ON_CHAINS)


@each_example
def test_show_prints_what_validates_again(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = look("show", EXAMPLES / name, *CASES[name])
    assert shown.code == 0, shown.err
    document = yaml.safe_load(shown.out)
    assert document["kind"] == "LoadTest"
    assert "variants" not in document["spec"] or not CASES[name]
    # Files are named relative to the manifest, so what is shown belongs beside it.
    monkeypatch.chdir((EXAMPLES / name).parent)
    again = look("show", "-", stdin=shown.out)
    assert again.code == 0, again.err
    assert yaml.safe_load(again.out) == document


@each_example
def test_plan_shows_the_load_without_sending_any(name: str) -> None:
    done = look("plan", EXAMPLES / name, *CASES[name], "--json")
    assert done.code == 0, done.err
    scenarios = yaml.safe_load((EXAMPLES / name).read_text())["spec"]["scenarios"]
    assert [each["name"] for each in json.loads(done.out)["scenarios"]] == [
        each["name"] for each in scenarios
    ]


def test_the_demo_ends_with_a_verdict_and_leaves_nothing_behind(folder: Path) -> None:
    results = folder / "demo"
    done = command(
        sys.executable,
        str(EXAMPLES / "demo.py"),
        "--time-scale",
        "0.003",
        *("--set", NO_PAUSE, "--set", CALM),
        "--results",
        str(results),
        cwd=folder,
    )
    assert done.code == 0, done.out + done.err
    assert "Passed" in done.out
    assert len(list(results.iterdir())) == 1
    listening = re.search(r"http://\S+?:\d+", done.out)
    assert listening is not None
    address = urlsplit(listening.group())
    with socket.socket() as probe:
        assert probe.connect_ex((address.hostname, address.port)) != 0
