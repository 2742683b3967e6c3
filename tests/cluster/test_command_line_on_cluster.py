"""`squall run --cluster` for real: an operator, a hub and runner pods behind it."""

import json
import random
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cluster.operated import Installation, manifest
from support.playedoperator import Stage

from squall.errors import ExitCode

pytestmark = [pytest.mark.node, pytest.mark.matrix, pytest.mark.timeout(300)]


LETTERS = string.ascii_letters + string.digits + "!#$%&()*+-./:;<=>?@^_`{|}~"


@pytest.fixture
def stage(squall: Installation, tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(squall.kube, squall.access.kubeconfig, tmp_path, squall.namespace)
    yield stage
    stage.close()


def test_a_run_with_a_file_and_a_secret_from_here(stage: Stage) -> None:
    (stage.folder / "users.csv").write_text("name\nann\nbob\n")
    test = manifest(
        "sent",
        ttlSecondsAfterFinished=120,
        variables=[{"name": "token", "secret": {"name": "elsewhere", "key": "t"}, "env": "SENT_TOKEN"}],
        files=[{"name": "users.csv", "path": "users.csv"}],
        data=[{"name": "people", "csv": "users.csv"}],
    )
    http = {"url": "/", "headers": {"X-Token": "${var.token}", "X-Who": "${data.people.name}"}}
    test["spec"]["scenarios"][0]["steps"][0]["http"] = http
    file = stage.write(test)
    command = stage.squall("run", "--cluster", file, SENT_TOKEN="s3cret")
    assert command.end(150) == ExitCode.PASSED, command.output
    (folder,) = (stage.folder / "results").iterdir()
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["verdict"]["result"], summary["shards"]) == ("Passed", 2)
    assert not summary["errors"]
    logs = stage.squall("logs", "sent")
    assert logs.end() == 0, logs.output
    assert "s3cret" not in logs.output
    report = stage.squall("report", "loadtest/sent", "--format", "json")
    assert report.end() == 0
    assert json.loads(report.output)["run"] == summary["run"]


def test_a_large_file_is_the_data_of_a_run(stage: Stage) -> None:
    """Three MiB that compression hardly makes smaller; every row that a pod takes from it is whole."""
    chance = random.Random(1)
    rows = (f"200,{number},{''.join(chance.choices(LETTERS, k=80))}" for number in range(36_000))
    content = "\n".join(("code,number,noise", *rows))
    assert len(content) > 3 * 1024 * 1024
    (stage.folder / "rows.csv").write_text(content)
    test = manifest(
        "large",
        files=[{"name": "rows.csv", "path": "rows.csv"}],
        data=[{"name": "rows", "csv": "rows.csv", "order": "random"}],
        thresholds=[{"metric": "checks", "expression": "rate==1"}],
    )
    step = test["spec"]["scenarios"][0]["steps"][0]
    step["http"] = {"url": "/${data.rows.code}"}
    step["checks"] = {"read": "status == 200 and len(data.rows.noise) == 80"}
    command = stage.squall("run", "--cluster", stage.write(test))
    assert command.end(150) == ExitCode.PASSED, command.output
    reference = stage.kube.get(stage.path("large"))["spec"]["files"][0]["configMap"]
    assert (reference["pieces"], reference["sizeBytes"]) == (3, len(content))


def test_ctrl_c_stops_the_pods_and_waits_for_the_verdict(stage: Stage) -> None:
    test = manifest("cut", shards=1)
    test["spec"]["scenarios"][0]["duration"] = "5m"
    command = stage.squall("run", "--cluster", stage.write(test))
    command.says("Running", 90)
    command.interrupt()
    assert command.end() == ExitCode.USER, command.output
    (folder,) = (stage.folder / "results").iterdir()
    verdict = json.loads((folder / "summary.json").read_text())["verdict"]
    assert (verdict["result"], verdict["reason"]) == ("Aborted", "Suspended")
