"""The pipelines that people copy are what their products take, and each line of them does what it is there for."""

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from support.documentation import section, tables
from support.examples import LoggingTarget, logging_target
from support.manifests import ROOT

from squall.cli.main import cli
from squall.errors import ExitCode

FOLDER = ROOT / "deploy" / "pipelines"
GITHUB = FOLDER / "github-actions.yaml"
GITLAB = FOLDER / "gitlab-ci.yaml"
PAGE = ROOT / "docs" / "pipelines.md"

MANIFEST = """
apiVersion: squall.dev/v1alpha1
kind: LoadTest
metadata: {name: shop}
spec:
  variables: [{name: baseUrl, value: "http://127.0.0.1:1", env: BASE_URL}]
  http: {baseUrl: "${var.baseUrl}"}
  safety: {saturation: {tolerated: 100%}}
  scenarios:
    - {name: look, executor: shared-iterations, vus: 1, iterations: 3, steps: [{http: {url: /}}]}
  thresholds: [{metric: http_reqs, expression: "count>=3"}]
"""


def load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def github(job: str) -> list[str]:
    """The commands of a job for GitHub Actions, one for each step that has some."""
    return [step["run"] for step in load(GITHUB)["jobs"][job]["steps"] if "run" in step]


def gitlab(job: str) -> list[str]:
    """The commands of a job for GitLab CI."""
    found = load(GITLAB)[job]
    return [*found["before_script"], *found["script"]]


LOCAL = {"github": github("on-this-machine"), "gitlab": gitlab("on this machine")}
CLUSTER = {"github": github("on-the-cluster"), "gitlab": gitlab("on the cluster")}


@pytest.mark.parametrize(
    "arguments",
    [
        ("vendor.github-workflows", str(GITHUB)),
        ("vendor.gitlab-ci", "--data-transform", "gitlab-ci", str(GITLAB)),
    ],
    ids=["github", "gitlab"],
)
def test_a_pipeline_is_what_its_product_takes(arguments: tuple[str, ...]) -> None:
    command = [str(Path(sys.executable).with_name("check-jsonschema")), "--builtin-schema", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("commands", [*LOCAL.values(), *CLUSTER.values()])
def test_what_is_installed_exists(commands: list[str]) -> None:
    """The distribution has the extra; whether the registry has it is not for tests to say."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (install,) = (shlex.split(each) for each in commands if each.startswith("pip "))
    found = re.fullmatch(r"(\w+)\[(\w+)\]", install[-1])
    assert found is not None
    assert found[1] == project["name"]
    assert found[2] in project["optional-dependencies"]


@pytest.fixture
def target() -> Iterator[LoggingTarget]:
    with logging_target() as target:
        yield target


def steps(commands: list[str], folder: Path, **environment: str) -> list[int]:
    """Run a job's commands in a folder, but for the installation, as a pipeline's shell does; returns their exit codes."""
    (folder / "loadtest.yaml").write_text(MANIFEST, encoding="utf-8")
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    return [
        subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", each],
            cwd=folder,
            env={"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", **environment},
            capture_output=True,
            timeout=100,
            check=False,
        ).returncode
        for each in commands
        if not each.startswith("pip ")
    ]


@pytest.mark.parametrize("name", LOCAL)
def test_a_pipeline_runs_and_leaves_what_it_keeps(name: str, tmp_path: Path, target: LoggingTarget) -> None:
    summary = tmp_path / "summary.md"
    codes = steps(LOCAL[name], tmp_path, BASE_URL=target.url, GITHUB_STEP_SUMMARY=str(summary))
    assert set(codes) == {0}
    (junit,) = tmp_path.glob(load(GITLAB)[".load-test"]["artifacts"]["reports"]["junit"])
    assert "<testsuite" in junit.read_text(encoding="utf-8")
    assert len(target.seen) == 3
    if name == "github":
        assert "Passed" in summary.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", LOCAL)
def test_a_broken_threshold_fails_the_pipeline(name: str, tmp_path: Path, target: LoggingTarget) -> None:
    commands = [each.replace("loadtest.yaml", "worse.yaml") for each in LOCAL[name]]
    (tmp_path / "worse.yaml").write_text(MANIFEST.replace(">=3", ">=4"), encoding="utf-8")
    summary = str(tmp_path / "summary.md")
    codes = steps(commands, tmp_path, BASE_URL=target.url, GITHUB_STEP_SUMMARY=summary)
    assert codes[:2] == [0, ExitCode.THRESHOLDS]
    assert set(codes[2:]) <= {0}


@pytest.mark.parametrize("commands", CLUSTER.values(), ids=CLUSTER)
def test_a_command_for_a_cluster_could_be_run(commands: list[str]) -> None:
    ours = [shlex.split(each) for each in commands if each.startswith("squall ")]
    assert [each[:3] for each in ours] == [["squall", "run", "--cluster"]]
    context = click.Context(cli, info_name="squall")
    for _, name, *arguments in ours:
        command = cli.get_command(context, name)
        assert command is not None
        command.make_context(name, arguments, parent=context)


def test_the_way_to_the_cluster_is_for_nobody_else_to_read(tmp_path: Path) -> None:
    (reach,) = (each for each in CLUSTER["github"] if "KUBECONFIG" in each)
    file = tmp_path / "kubeconfig"
    assert steps([reach], tmp_path, CONTENT="a: 'b'\n", KUBECONFIG=str(file)) == [0]
    assert file.read_text(encoding="utf-8") == "a: 'b'\n"
    assert file.stat().st_mode & 0o077 == 0


def test_the_page_says_what_to_make_of_each_exit_code() -> None:
    (table,) = tables(section(PAGE, "What to make of the exit code"))
    told = [int(code) for row in table[1:] for code in row[0].split(",")]
    assert sorted(told) == sorted(int(code) for code in ExitCode)
    assert load(GITLAB)[".load-test"]["retry"]["exit_codes"] == [ExitCode.ERROR]
