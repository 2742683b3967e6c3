"""What the command line changes is shown by `squall show`, and is what is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from support.examples import LoggingTarget, logging_target, look, run

MANIFEST = """
apiVersion: squall.dev/v1alpha1
kind: LoadTest
metadata: {name: options}
spec:
  variables:
    - {name: baseUrl, value: "http://127.0.0.1:9", env: BASE_URL}
    - {name: colour, value: red, env: OPTIONS_COLOUR}
    - {name: token, secret: {name: options, key: token}}
  files: [{name: note.txt, path: note.txt}]
  http: {baseUrl: "${var.baseUrl}", headers: {X-Colour: "${var.colour}", X-Token: "${var.token}"}}
  scenarios:
    - name: closed
      executor: constant-vus
      vus: 2
      duration: 600ms
      gracefulStop: 2s
      steps:
        - {name: one, http: {method: POST, url: /closed, file: note.txt, headers: {X-Id: "${vu}_${iter}"}}}
        - think: {duration: 20ms}
    - name: open
      executor: constant-arrival-rate
      rate: 20
      duration: 600ms
      maxVUs: 10
      steps: [{name: two, http: {url: /open}}]
  thresholds:
    - {metric: http_req_failed, expression: "rate<1%"}
    - {metric: "http_reqs{scenario:open}", expression: "count>=1"}
  shards: 1
  variants:
    - {name: wide, spec: {shards: 3, scenarios: [{name: closed, vus: 6}]}}
    - {name: extra, spec: {scenarios: [{name: late, executor: shared-iterations, iterations: 7, steps: [{name: three, http: {url: /late}}]}]}}
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "options.yaml"
    path.write_text(MANIFEST)
    (tmp_path / "note.txt").write_text("a note")
    (tmp_path / "other.txt").write_text("another")
    return path


@pytest.fixture
def target() -> Any:
    with logging_target() as running:
        yield running


def shown(manifest: Path, *options: str) -> dict[str, Any]:
    done = look("show", manifest, *options)
    assert done.code == 0, done.err
    spec: dict[str, Any] = yaml.safe_load(done.out)["spec"]
    return spec


def scenario(spec: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in spec["scenarios"] if each["name"] == name)


def vus_of(target: LoggingTarget) -> set[str]:
    return {each.partition("_")[0] for each in target.headers("/closed", "X-Id")}


def test_variants_apply_in_order(manifest: Path, target: LoggingTarget, tmp_path: Path) -> None:
    options = ("--variant=wide", "--variant=extra", "--var=token=t")
    spec = shown(manifest, *options)
    assert (spec["shards"], scenario(spec, "closed")["vus"], scenario(spec, "late")["iterations"]) == (
        3,
        6,
        7,
    )
    ran = run(manifest, *options, "--processes=2", cwd=tmp_path, url=target.url)
    assert ran.code == 0, ran.explain()
    assert (ran.summary.shards, ran.summary.runners) == (3, 2)
    assert len(vus_of(target)) == 6
    assert len(target.to("/late")) == 7
    assert ran.summary.options["variants"] == "wide, extra"
    assert scenario(ran.manifest["spec"], "closed") == scenario(spec, "closed")


def test_sizes_and_scenarios(manifest: Path, target: LoggingTarget, tmp_path: Path) -> None:
    options = ("--vus=5", "--duration=400ms", "--scenario=closed", "--var=token=t")
    spec = shown(manifest, *options)
    assert [each["name"] for each in spec["scenarios"]] == ["closed"]
    assert (spec["scenarios"][0]["vus"], spec["scenarios"][0]["duration"]) == (5, "400ms")
    assert [each["metric"] for each in spec["thresholds"]] == ["http_req_failed"]
    ran = run(manifest, *options, "--processes=3", cwd=tmp_path, url=target.url)
    assert ran.code == 0, ran.explain()
    assert (ran.summary.shards, ran.summary.runners) == (1, 1), "no process is without a shard"
    assert "http_reqs{scenario:open} count>=1 is left out" in ran.done.out
    assert len(vus_of(target)) == 5
    assert target.to("/open") == []
    assert [load.peak_actual for load in ran.summary.load] == [5]
    assert (ran.summary.planned_seconds, ran.summary.options["scenarios"]) == (0.4, "closed")


def test_stages_and_time_scale(manifest: Path, target: LoggingTarget, tmp_path: Path) -> None:
    options = ("--stage=1s:4", "--stage=2s:8", "--time-scale=0.2", "--var=token=t")
    spec = shown(manifest, *options)
    for name, executor in (("closed", "ramping-vus"), ("open", "ramping-arrival-rate")):
        changed = scenario(spec, name)
        assert changed["executor"] == executor
        assert [(s["duration"], s["target"]) for s in changed["stages"]] == [("200ms", 4), ("400ms", 8)]
    assert scenario(spec, "closed")["gracefulStop"] == "400ms"
    ran = run(manifest, *options, cwd=tmp_path, url=target.url)
    assert ran.code == 0, ran.explain()
    assert ran.summary.planned_seconds == pytest.approx(0.6)
    assert 5 <= len(vus_of(target)) <= 8
    # 0.2 s up to 4 per second and 0.4 s up to 8 per second: 2.8 arrivals.
    assert len(target.to("/open")) == 2
    stages = [
        row.tags["stage"]
        for row in ran.cut("http_reqs", "scenario", "stage")
        if row.tags["scenario"] == "closed"
    ]
    assert stages == ["1", "2"]
    assert ran.summary.options["stages"] == "1s:4, 2s:8"
    assert ran.summary.options["time scale"] == 0.2


def test_variables_files_and_anything_else(
    manifest: Path, target: LoggingTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPTIONS_COLOUR", "green")
    assert shown(manifest)["http"]["headers"]["X-Colour"] == "green"
    options = (
        "--var=colour=blue",
        "--var=token=hidden-word",
        "--set=scenarios.open.rate=40",
        "--set=shards=2",
    )
    spec = shown(manifest, *options)
    assert spec["http"]["headers"] == {"X-Colour": "blue", "X-Token": "${var.token}"}
    assert (scenario(spec, "open")["rate"], spec["shards"]) == (40, 2)
    ran = run(manifest, *options, f"--file=note.txt={tmp_path / 'other.txt'}", cwd=tmp_path, url=target.url)
    assert ran.code == 0, ran.explain()
    assert set(target.headers("/open", "X-Colour")) == {"blue"}
    assert set(target.headers("/open", "X-Token")) == {"hidden-word"}
    assert set(target.headers("/closed", "Content-Length")) == {str(len("another"))}
    assert len(target.to("/open")) == 24
    assert ran.summary.options["variables"] == "colour, token"
    assert (
        "hidden-word"
        not in (ran.folder / "summary.json").read_text() + (ran.folder / "manifest.yaml").read_text()
    )
