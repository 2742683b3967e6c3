"""What `squall run` logs: a sample of iterations over all runners, levels that hold, nothing that the catalogue does not know."""

from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

from support.countingtarget import CountingTarget
from support.squallrun import Squall, manifest, step

from squall.logs import events
from squall_runner.engine.sampling import Sample

PASSWORD = "hunter2-and-more"
CALM = {"saturation": {"loopLag": "2s"}}


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_sample_of_all_runners_iterations_is_logged(squall: Squall, target: CountingTarget) -> None:
    test = manifest(
        target.url,
        steps=[step("get", url="/?p=${var.password}"), {"think": {"duration": "50ms"}}],
        outputs={"logs": {"iterations": {"sample": "30%", "maxPerSecond": 10_000}}},
        variables=[{"name": "password", "secret": {"name": "s", "key": "k"}, "env": "PW"}],
        safety=CALM,
    )
    ended = squall(test, processes=2, environ={"PW": PASSWORD}).ended()
    assert ended.code == 0, ended.out
    lines = read(ended.results / "runners.jsonl")
    run = ended.summary.run
    assert {(line["run"], line["loadtest"], line["process"]) for line in lines} == {(run, "fault", "runner")}
    assert {line["runner"] for line in lines} == {0, 1}
    begun = {(line["vu"], line["iteration"]) for line in lines if line["event"] == "flow_start"}
    last = {vu: max(number for each, number in begun if each == vu) for vu, _ in begun}
    sample = Sample(run, Fraction(3, 10))
    assert len(last) == 4
    assert begun == {(vu, n) for vu, most in last.items() for n in range(most + 1) if sample.holds(vu, n)}
    sent = Counter((line["vu"], line["iteration"]) for line in lines if line["event"] == "request")
    assert set(sent) <= begun
    assert set(sent.values()) == {1}
    for name in ("runners.jsonl", "log.jsonl"):
        for line in read(ended.results / name):
            assert set(line) <= {*events.CATALOGUE[line["event"]].fields, *events.COMMON}, line
    assert PASSWORD not in "".join(path.read_text() for path in ended.results.glob("*.*l"))


def test_nothing_but_the_runs_own_log_is_there_by_default(squall: Squall, target: CountingTarget) -> None:
    ended = squall(manifest(target.url, safety=CALM)).ended()
    assert not (ended.results / "runners.jsonl").exists()
    assert not (ended.results / "runners.log").exists()
    assert [line["event"] for line in ended.log] == ["Ready", "Started"]


def test_the_level_holds_for_all_lines_and_the_command_line_has_the_last_word(
    squall: Squall, target: CountingTarget
) -> None:
    test = manifest(
        target.url,
        steps=[
            step("get", url="/"),
            step("refused", url="http://127.0.0.1:1/") | {"onError": "continue"},
            {"think": {"duration": "50ms"}},
        ],
        outputs={"logs": {"level": "info", "iterations": {"sample": "100%"}}},
        safety=CALM,
    )
    environ = {"SQUALL_LOG_LEVEL": "error"}
    ended = squall(test, "--log-level", "warning", environ=environ).ended()
    lines = read(ended.results / "runners.jsonl")
    assert {line["level"] for line in lines} == {"warning"}
    assert {line["step"] for line in lines if line["event"] == "request"} == {"refused"}
    assert {line["event"] for line in ended.log} == {"step_failed"}
