"""The command line against a real API server; what an operator would write into the status, each test writes when it wants to."""

import json
import os
from base64 import b64decode
from typing import Any

import pytest
import yaml
from support.kubeclient import Json
from support.playedoperator import Stage, until
from support.summaries import summary

from squall.errors import ExitCode
from squall.kube.runs import AGAIN
from squall.remote.seen import key_of

pytestmark = pytest.mark.control_plane


def manifest(name: str = "shop", **spec: Any) -> Json:
    scenario = {
        "name": "look",
        "executor": "constant-vus",
        "vus": "${var.users}",
        "duration": "5s",
        "steps": [{"http": {"url": "/"}}],
    }
    base = {
        "http": {"baseUrl": "http://127.0.0.1:8080"},
        "variables": [{"name": "users", "value": 2}],
        "scenarios": [scenario],
    }
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": name},
        "spec": {**base, **spec},
    }


PASSED = {"result": "Passed", "reason": "ThresholdsHeld"}


def test_a_run_from_the_file_to_the_results_folder(stage: Stage) -> None:
    command = stage.squall("run", "--cluster", stage.write(manifest()), "--var", "users=3")
    body = stage.applied("shop")
    assert body["spec"]["scenarios"][0]["vus"] == 3
    (manager,) = {each["manager"] for each in body["metadata"]["managedFields"]}
    assert manager == "squall-cli"
    run = stage.runs("shop")
    command.says("20.5 req/s")
    stage.ends("shop", run, summary(), result="Failed", reason="ThresholdsFailed", exitCode=99)
    assert command.end() == ExitCode.THRESHOLDS, command.output
    assert "1 of 2 thresholds failed" in command.output
    (folder,) = (stage.folder / "results").iterdir()
    assert json.loads((folder / "summary.json").read_text())["options"] == {"variables": "users"}
    assert yaml.safe_load((folder / "manifest.yaml").read_text())["spec"]["scenarios"][0]["vus"] == 3
    assert {path.name for path in folder.iterdir()} == {
        "summary.json",
        "report.md",
        "junit.xml",
        "manifest.yaml",
    }


def test_files_and_secrets_go_along_and_belong_to_the_load_test(stage: Stage) -> None:
    (stage.folder / "users.csv").write_bytes(b"name\nann\n")
    test = manifest(
        variables=[
            {"name": "users", "value": 2},
            {"name": "token", "secret": {"name": "elsewhere", "key": "t"}, "env": "SHOP_TOKEN"},
            {"name": "other", "secret": {"name": "there", "key": "o"}},
        ],
        files=[{"name": "users.csv", "path": "users.csv"}],
        data=[{"name": "people", "csv": "users.csv"}],
    )
    command = stage.squall("run", "--cluster", stage.write(test), SHOP_TOKEN="s3cret")
    body = stage.applied("shop")
    (file,) = body["spec"]["files"]
    reference = file["configMap"]
    assert "path" not in file
    sent = stage.kube.get(stage.core("configmaps", reference["name"]))
    assert b64decode(sent["binaryData"][reference["key"]]) == b"name\nann\n"
    by_name = {each["name"]: each for each in body["spec"]["variables"]}
    assert by_name["other"]["secret"] == {"name": "there", "key": "o"}
    reference = by_name["token"]["secret"]
    secret = stage.kube.get(stage.core("secrets", reference["name"]))
    assert b64decode(secret["data"][reference["key"]]) == b"s3cret"
    assert "s3cret" not in json.dumps(body)
    command.says("is applied")
    for each in (sent, secret):
        path = stage.core(f"{each['kind'].lower()}s", each["metadata"]["name"])
        (owner,) = stage.kube.get(path)["metadata"]["ownerReferences"]
        assert owner["uid"] == body["metadata"]["uid"]


def test_a_file_that_is_more_than_a_cluster_takes_is_refused_with_what_to_do(stage: Stage) -> None:
    (stage.folder / "large.bin").write_bytes(os.urandom(32 * 900 * 1024))
    test = manifest(files=[{"name": "large.bin", "path": "large.bin"}])
    command = stage.squall("run", "--cluster", stage.write(test))
    assert command.end() == ExitCode.MANIFEST
    assert "large.bin" in command.output
    assert "volumeClaim" in command.output
    assert not stage.kube.exists(stage.path("shop"))
    maps = stage.kube.get(stage.core("configmaps"))["items"]
    assert [each["metadata"]["name"] for each in maps if "labels" in each["metadata"]] == []


def test_the_same_once_more_asks_for_another_run_and_says_so(stage: Stage) -> None:
    file = stage.write(manifest())
    keys: list[str] = []
    for number in range(3):
        command = stage.squall("run", "--cluster", file)
        body = stage.applied("shop", keys[-1] if keys else "")
        keys.append(key_of(body))
        stage.ends("shop", stage.runs("shop"), summary(), **PASSED)
        command.end()
        assert ("has been run like this before" in command.output) is (number > 0), command.output
        assert command.output.count("shop: Passed") == 0, "the run before is shown as if it were this one"
    assert len(set(keys)) == 3
    assert body["metadata"]["annotations"][AGAIN]
    another = stage.squall("run", "--cluster", file, "--var", "users=7")
    assert (
        stage.applied("shop", keys[-1])["metadata"]["annotations"][AGAIN]
        == body["metadata"]["annotations"][AGAIN]
    )
    another.says("is applied")
    assert "before" not in another.output


def test_a_run_that_is_already_on_is_followed(stage: Stage) -> None:
    file = stage.write(manifest())
    first = stage.squall("run", "--cluster", file)
    stage.applied("shop")
    run = stage.runs("shop")
    second = stage.squall("run", "--cluster", file)
    second.says("following run")
    second.says("is applied")
    stage.ends("shop", run, None, **PASSED)
    assert (first.end(), second.end()) == (0, 0)
    assert "there is no report" in first.output


def test_interrupting_once_stops_the_run_and_twice_leaves_it(stage: Stage) -> None:
    command = stage.squall("run", "--cluster", stage.write(manifest()))
    stage.applied("shop")
    run = stage.runs("shop")
    command.says("Running")
    command.interrupt()
    until(lambda: stage.kube.get(stage.path("shop"))["spec"].get("suspend"), lambda: command.output)
    stage.ends("shop", run, None, result="Aborted", cause="user", reason="Suspended", exitCode=105)
    assert command.end() == ExitCode.USER
    again = stage.squall("run", "--cluster", stage.write(manifest()))
    body = stage.applied("shop", run["key"])
    until(lambda: stage.kube.get(stage.path("shop"))["spec"].get("suspend") is False, lambda: again.output)
    assert key_of(body) != run["key"]
    stage.runs("shop")
    again.says("Running")
    again.interrupt()
    again.says("once more leaves at once")
    again.interrupt()
    assert again.end() == ExitCode.USER
    assert "squall watch shop" in again.output


def test_what_ends_a_run_before_it_begins(stage: Stage) -> None:
    command = stage.squall("run", "--cluster", stage.write(manifest()))
    stage.applied("shop")
    conditions = [
        {
            "type": "Ready",
            "status": "False",
            "reason": "PolicyViolated",
            "message": "no",
            "lastTransitionTime": "2030-01-01T00:00:00Z",
        }
    ]
    stage.status("shop", phase="Rejected", message="too many VUs", conditions=conditions)
    assert command.end() == ExitCode.POLICY
    assert "too many VUs" in command.output


def test_a_load_test_that_is_deleted_ends_the_command(stage: Stage) -> None:
    command = stage.squall("run", "--cluster", stage.write(manifest()))
    stage.applied("shop")
    stage.runs("shop")
    command.says("Running")
    stage.kube.delete(stage.path("shop"))
    assert command.end() == ExitCode.USER
    assert "deleted" in command.output


def test_giving_up_leaves_the_run_alone(stage: Stage) -> None:
    command = stage.squall("run", "--cluster", stage.write(manifest()), "--timeout", "1s")
    assert command.end() == ExitCode.ERROR
    assert "it goes on" in command.output
    assert "suspend" not in stage.kube.get(stage.path("shop"))["spec"]


def test_fields_that_others_manage_are_not_taken_over_unasked(stage: Stage) -> None:
    theirs = manifest()
    theirs["metadata"]["namespace"] = stage.namespace
    theirs["spec"]["scenarios"][0]["vus"] = 9
    stage.kube.apply(stage.path("shop"), theirs)
    command = stage.squall("run", "--cluster", stage.write(manifest()))
    assert command.end() == ExitCode.USAGE
    assert "--force-conflicts" in command.output
    assert stage.kube.get(stage.path("shop"))["spec"]["scenarios"][0]["vus"] == 9
    assert not (stage.folder / "results").exists()


def test_a_wrong_manifest_never_reaches_the_cluster(stage: Stage) -> None:
    command = stage.squall("run", "--cluster", stage.write(manifest()), "--set", "scenarios[0].vus=many")
    assert command.end() == ExitCode.MANIFEST
    assert not stage.kube.exists(stage.path("shop"))


def test_a_table_of_load_tests(stage: Stage) -> None:
    for name in ("bread", "cake"):
        body = manifest(name, variables=[{"name": "users", "value": 1}])
        body["spec"]["scenarios"][0]["vus"] = 1
        body["metadata"]["namespace"] = stage.namespace
        stage.kube.apply(stage.path(name), body)
    stage.runs("bread", shards={"desired": 4, "running": 3})
    listed = stage.squall("get")
    assert listed.end() == 0
    head, bread, cake = listed.output.splitlines()
    assert head.split() == ["NAME", "PHASE", "VERDICT", "SHARDS", "REQ/S", "P95", "FAILED", "AGE"]
    assert bread.split()[:7] == ["bread", "Running", "-", "3/4", "20.5", "20", "ms"]
    assert cake.split()[:3] == ["cake", "-", "-"]
    one = stage.squall("get", "cake")
    assert (one.end(), len(one.output.splitlines())) == (0, 2)
    nobody = stage.squall("get", "nobody")
    assert nobody.end() == ExitCode.USAGE
    assert 'no LoadTest "nobody"' in nobody.output


def test_watching_and_stopping_from_another_terminal(stage: Stage) -> None:
    body = manifest(variables=[{"name": "users", "value": 1}])
    body["spec"]["scenarios"][0]["vus"] = 1
    body["metadata"]["namespace"] = stage.namespace
    stage.kube.apply(stage.path("shop"), body)
    run = stage.runs("shop")
    watching = stage.squall("watch", "shop")
    watching.says("Running")
    left = stage.squall("watch", "shop")
    left.says("Running")
    left.interrupt()
    assert left.end() == ExitCode.USER
    assert "the run goes on" in left.output
    stopping = stage.squall("stop", "shop")
    until(lambda: stage.kube.get(stage.path("shop"))["spec"].get("suspend"), lambda: stopping.output)
    stage.ends("shop", run, summary(), result="Aborted", reason="Suspended", exitCode=105)
    assert (stopping.end(), watching.end()) == (0, ExitCode.USER)
    again = stage.squall("stop", "shop")
    assert again.end() == 0
    assert "is not running" in again.output


def test_a_verdict_stands_without_its_report(stage: Stage) -> None:
    command = stage.squall("run", "--cluster", stage.write(manifest()))
    stage.applied("shop")
    run = stage.runs("shop")
    path = stage.core("configmaps", f"{run['id']}-report")
    broken: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": path.rpartition("/")[2]}}
    stage.kube.create(stage.core("configmaps"), broken)
    past = {"id": run["id"], "key": run["key"], "result": "Failed", "report": broken["metadata"]["name"]}
    verdict = {"result": "Failed", "exitCode": 99}
    stage.status("shop", phase="Failed", run={**run, "phase": "Finished"}, verdict=verdict, history=[past])
    assert command.end() == ExitCode.THRESHOLDS
    assert "holds no report" in command.output


def test_reports_of_past_runs(stage: Stage) -> None:
    body = manifest(variables=[{"name": "users", "value": 1}])
    body["spec"]["scenarios"][0]["vus"] = 1
    body["metadata"]["namespace"] = stage.namespace
    stage.kube.apply(stage.path("shop"), body)
    none = stage.squall("report", "loadtest/shop")
    assert none.end() == ExitCode.USAGE
    first = stage.runs("shop")
    stage.ends("shop", first, summary(run="first"), **PASSED)
    body["metadata"]["annotations"] = {AGAIN: "2"}
    stage.kube.apply(stage.path("shop"), body)
    stage.ends(
        "shop",
        stage.runs("shop", history=stage.kube.get(stage.path("shop"))["status"]["history"]),
        summary(run="second"),
        **PASSED,
    )
    last = stage.squall("report", "loadtest/shop", "--format", "json")
    assert last.end() == 0
    assert json.loads(last.output)["run"] == "second"
    past = stage.squall("report", "loadtest/shop", "--format", "json", "--run", first["id"])
    assert past.end() == 0
    assert json.loads(past.output)["run"] == "first"
    unknown = stage.squall("report", "loadtest/shop", "--run", "nothing")
    assert unknown.end() == ExitCode.USAGE
    assert first["id"] in unknown.output


def test_logs_without_pods_say_where_they_went(stage: Stage) -> None:
    command = stage.squall("run", "--cluster", stage.write(manifest()))
    stage.applied("shop")
    stage.runs("shop")
    logs = stage.squall("logs", "shop")
    assert logs.end() == ExitCode.USAGE
    assert "ttlSecondsAfterFinished" in logs.output
    command.kill()


def test_a_context_that_is_not_there(stage: Stage) -> None:
    command = stage.squall("get", "--context", "nowhere")
    assert command.end() == ExitCode.ERROR
    assert "no context 'nowhere'" in command.output
