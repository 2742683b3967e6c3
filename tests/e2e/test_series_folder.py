"""What a run leaves: every file of the results folder, consistent with the others, and the commands that read it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
import yaml
from support.examples import Ran, look, run, running_platform, squall

from squall.report.model import Summary

SECRET = "pass-phrase-0815"
MANIFEST = """
apiVersion: squall.dev/v1alpha1
kind: LoadTest
metadata: {name: folder}
spec:
  variables:
    - {name: baseUrl, value: "http://127.0.0.1:9", env: BASE_URL}
    - {name: password, secret: {name: folder, key: password}, env: FOLDER_PASSWORD}
    - {name: size, value: "3"}
  files: [{name: note.txt, inline: a few words}, {name: users.csv, path: users.csv}]
  data: [{name: users, csv: users.csv, order: random}]
  http: {baseUrl: "${var.baseUrl}"}
  setup:
    steps:
      - name: account
        http:
          method: POST
          url: /api/auth/signup
          json: {email: "setup.${run.id}@example.com", password: "${var.password}"}
        extract: {token: {jsonPath: $.token}}
  scenarios:
    - name: readers
      executor: ramping-vus
      stages: [{name: up, duration: 700ms, target: 4}, {name: hold, duration: 800ms, target: 4}]
      steps:
        - name: list
          http: {url: /api/nfts, query: {size: "${var.size}"}, auth: {bearer: "${token}"}}
          checks: {"three there": "len(body.nfts) == 3", "five | <there>": "len(body.nfts) == 5"}
          record: {trend: list_duration}
        - {name: mark, set: {"who": "${data.users.name}"}}
        - think: {duration: 20ms}
    - name: writers
      executor: per-vu-iterations
      vus: 2
      iterations: 3
      steps:
        - name: upload
          http: {method: POST, url: /api/upload, auth: {bearer: "${token}"}, multipart: [{name: file, file: note.txt}]}
  teardown: {steps: [{name: still-there, http: {url: /health}}]}
  thresholds:
    - {metric: http_req_failed, expression: "rate<1%", over: 1s}
    - {metric: "http_req_total{scenario:readers}", expression: "p(95)<30s"}
    - {metric: list_duration, expression: "max<1us", severity: warn}
  tiers:
    - {name: quick, thresholds: [{metric: list_duration, expression: "p(50)<1us"}]}
    - {name: fair, thresholds: [{metric: list_duration, expression: "p(50)<30s"}]}
  shards: 2
"""
FILES = {"summary.json", "report.md", "junit.xml", "manifest.yaml", "log.jsonl", "series.jsonl.gz", "files"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("folder")
    (folder / "loadtest.yaml").write_text(MANIFEST)
    (folder / "users.csv").write_text("name\nada\ngrace\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOLDER_PASSWORD", SECRET)
        yield folder


@pytest.fixture(scope="module")
def ran(home: Path) -> Ran:
    with running_platform(home) as platform:
        done = run(home / "loadtest.yaml", cwd=home, url=platform.url)
    assert done.code == 0, done.explain()
    return done


@pytest.fixture(scope="module")
def slower(home: Path, ran: Ran) -> Ran:
    """The same test on a slower target, with the first run as its baseline."""
    with running_platform(home, "--latency", "150ms") as platform:
        return run(
            home / "loadtest.yaml",
            "--baseline",
            ran.folder,
            "--max-regression=p95=20%",
            cwd=home,
            url=platform.url,
        )


def test_every_file_is_there_and_nothing_else(ran: Ran) -> None:
    assert {path.name for path in ran.folder.iterdir()} == FILES
    assert re.fullmatch(r"folder-\d{8}T\d{6}-" + ran.summary.run[:8], ran.folder.name)
    assert str(ran.folder) in ran.done.out


def test_no_file_holds_the_secret(ran: Ran) -> None:
    assert SECRET not in ran.done.out + ran.done.err
    for path in ran.folder.rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes(), path
    assert SECRET not in json.dumps(ran.series())


def test_the_series_sum_to_the_summary(ran: Ran) -> None:
    rows = ran.series()
    for row in ran.summary.metrics:
        if row.tags or row.kind not in {"counter", "trend"}:
            continue
        own = [each for each in rows if each["m"] == row.metric]
        total = sum(each["v" if row.kind == "counter" else "n"] for each in own)
        assert total == pytest.approx(row.values["count"]), row.metric
        if row.kind == "trend":
            assert max(each["max"] for each in own if each["n"]) == pytest.approx(row.values["max"]), (
                row.metric
            )
    seconds = {each["t"] for each in rows}
    assert seconds == set(range(1, max(seconds) + 1))
    assert max(seconds) >= ran.summary.timings.load_seconds


def test_the_log_is_one_object_a_line_of_this_run(ran: Ran) -> None:
    lines = ran.log()
    assert {line["run"] for line in lines} == {ran.summary.run}
    assert all(line["event"] and line["level"] and line["timestamp"] for line in lines)
    events = [line["event"] for line in lines]
    assert events.index("Ready") < events.index("Started")
    assert not [line for line in lines if line["level"] == "error"]
    requests = [line for line in lines if "account" in json.dumps(line) or "still-there" in json.dumps(line)]
    assert len(requests) == 2, "setup and teardown are told in the log"


def test_junit_says_what_the_verdict_says(ran: Ran) -> None:
    root = ET.fromstring((ran.folder / "junit.xml").read_text())
    suites = {suite.get("name"): suite for suite in root}
    assert list(suites) == ["folder.verdict", "folder.thresholds", "folder.checks"]
    assert suites["folder.verdict"].get("failures") == suites["folder.thresholds"].get("failures") == "0"
    assert suites["folder.thresholds"].get("tests") == "3"
    assert suites["folder.checks"].get("failures") == "0", "checks decide nothing; thresholds on them do"
    assert suites["folder.checks"].findtext("testcase/system-out", "").startswith("failed ")


def test_the_report_is_for_people(ran: Ran) -> None:
    text = (ran.folder / "report.md").read_text()
    for part in ("Passed", "fair", "list\\_duration", "readers", "hold", "three there", "still", "p(95)<30s"):
        assert part.replace("still", "") in text, part
    assert "five | <there>" not in text, "what a manifest says cannot become markup"


def test_the_manifest_as_run_validates_and_gives_the_same_plan(ran: Ran, home: Path) -> None:
    kept = ran.folder / "manifest.yaml"
    refused = squall("validate", kept, cwd=home)
    assert refused.code == 104
    assert "--file users.csv=PATH" in refused.out + refused.err
    files = f"--file=users.csv={home / 'users.csv'}"
    assert look("validate", kept, files).code == 0
    plans = [json.loads(look("plan", path, files, "--json").out) for path in (kept, home / "loadtest.yaml")]
    assert plans[0] == plans[1]
    again = yaml.safe_load(look("show", kept, files).out)
    assert again == ran.manifest


@pytest.mark.parametrize("form", ["console", "markdown", "junit", "json"])
def test_report_renders_again_what_the_run_had_written(form: str, ran: Ran, home: Path) -> None:
    shown = look("report", ran.folder, "--format", form)
    assert shown.code == 0
    written = home / f"report.{form}"
    assert look("report", ran.folder, "--format", form, "--output", written).code == 0
    if form == "markdown":
        assert shown.out == written.read_text() == (ran.folder / "report.md").read_text()
    elif form == "junit":
        assert shown.out == written.read_text() == (ran.folder / "junit.xml").read_text()
    elif form == "json":
        assert msgspec.json.decode(shown.out, type=Summary) == ran.summary
    else:
        # The run's own output ends with the very same report.
        for line in ("Passed", "grade: fair", "Requests by stage", "readers / hold"):
            assert line in shown.out
            assert line in written.read_text()
            assert line in ran.done.out


def test_runs_lists_what_has_been_run(ran: Ran, slower: Ran, home: Path) -> None:
    results = home / "all"
    for each in (ran, slower):
        shutil.copytree(each.folder, results / each.folder.name, dirs_exist_ok=True)
    (results / "unfinished-20200101T000000-00000000").mkdir(exist_ok=True)
    (results / "unfinished-20200101T000000-00000000" / "manifest.yaml").write_text("kind: LoadTest\n")
    shown = squall("runs", "--results", results, cwd=home)
    assert shown.code == 0
    verdicts = {line.split()[-1]: line for line in shown.out.splitlines()}
    assert "Passed" in verdicts[str(results / ran.folder.name)]
    assert "Failed" in verdicts[str(results / slower.folder.name)]
    assert "no summary" in shown.out
    listed = [json.loads(line) for line in look("runs", "--results", results, "--json").out.splitlines()]
    assert [row["name"] for row in listed] == ["folder", "folder"]
    assert {row["startedAt"] for row in listed} == {ran.summary.started_at, slower.summary.started_at}
    assert look("runs", "--results", results, "--name", "other", "--json").out == ""


def test_a_run_that_is_worse_than_its_baseline_exits_with_110(slower: Ran) -> None:
    assert slower.code == 110, slower.explain()
    assert (slower.summary.verdict.result, slower.summary.verdict.reason) == ("Failed", "Regression")
    assert all(threshold.state == "pass" for threshold in slower.summary.thresholds[:2])
    assert "regression:" in slower.done.out


def test_compare_tells_a_regression_by_its_exit_code(ran: Ran, slower: Ran, home: Path) -> None:
    same = squall("compare", ran.folder, ran.folder, "--max-regression=p95=0%", cwd=home)
    assert (same.code, "regression" in same.out) == (0, False), same.out
    worse = squall("compare", ran.folder, slower.folder, "--max-regression=p95=20%", cwd=home)
    assert worse.code == 110, worse.out
    assert "http_req_total" in worse.out
    better = squall("compare", slower.folder, ran.folder, "--max-regression=p95=20%", cwd=home)
    assert better.code == 0, better.out
    untold = squall("compare", ran.folder, slower.folder, cwd=home)
    assert (untold.code, "worse" in untold.out) == (0, True), untold.out
