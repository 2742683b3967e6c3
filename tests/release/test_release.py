"""What a release is made of: the workflow asks for what is there, and the lists of what is in the images are true."""

import json
import re
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator
from referencing import Registry, Resource
from support.documentation import blocks
from support.manifests import ROOT

WORKFLOW = ROOT / ".github" / "workflows" / "release.yaml"
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SCHEMAS = ("bom-1.5", "spdx", "jsf-0.82")
TARGETS = ("operator", "runner", "runner-evm")
RUN = "\n".join(
    step["run"]
    for job in yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"].values()
    for step in job["steps"]
    if "run" in step
)


def test_the_workflow_asks_for_targets_that_are_there() -> None:
    made = set(re.findall(r"^make ([a-z-]+)$", RUN, re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert made == {"setup", "sbom"}
    assert all(f"\n{name}: " in makefile for name in made)
    (built,) = re.findall(r"for target in ([a-z -]+);", RUN)
    assert tuple(built.split()) == TARGETS
    stages = re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE)
    assert set(TARGETS) <= set(stages)
    arguments = set(re.findall(r"--build-arg \"([A-Z]+)=", RUN))
    assert arguments == set(re.findall(r"^ARG (VERSION|REVISION|SOURCE)=", DOCKERFILE, re.MULTILINE))


def test_the_chart_of_a_release_takes_its_images(tmp_path: Path) -> None:
    (command,) = re.findall(r"^sed -i (\"s\|.*\") helm/squall/values.yaml$", RUN, re.MULTILINE)
    values = tmp_path / "values.yaml"
    values.write_bytes((ROOT / "helm" / "squall" / "values.yaml").read_bytes())
    before = yaml.safe_load(values.read_text(encoding="utf-8"))
    script = f"IMAGES=registry.example/owner; sed -i {command} {values}"
    subprocess.run(["bash", "-c", script], check=True)
    after = yaml.safe_load(values.read_text(encoding="utf-8"))
    assert after["images"].pop("registry") == "registry.example/owner"
    assert before["images"].pop("registry") == ""
    assert after == before


def test_nothing_is_written_into_a_script_before_a_shell_reads_it() -> None:
    """A name or a secret with a quote in it would be another command, and a secret would be seen among the processes."""
    assert "${{" not in RUN


def test_images_that_are_built_by_hand_are_targets() -> None:
    lines = [
        line
        for block in blocks("console")
        for line in block.text.splitlines()
        if line.startswith("docker build")
    ]
    targets = {re.sub(r".*--target (\S+) .*", r"\1", line) for line in lines}
    assert targets == {"operator", "runner"}


@pytest.fixture(scope="module")
def lists() -> dict[str, dict[str, Any]]:
    """What `make sbom` writes, by target."""
    subprocess.run(["make", "sbom"], cwd=ROOT, check=True, capture_output=True, timeout=100)
    folder = ROOT / "build" / "sbom"
    return {
        target: json.loads((folder / f"squall-{target}.cdx.json").read_text("utf-8")) for target in TARGETS
    }


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_in_an_image_is_told_by_the_rules(lists: dict[str, dict[str, Any]], target: str) -> None:
    folder = files("cyclonedx.schema") / "_res"
    schemas = {
        name: json.loads((folder / f"{name}.SNAPSHOT.schema.json").read_text("utf-8")) for name in SCHEMAS
    }
    registry: Registry[Any] = Registry().with_resources(
        [(each["$id"], Resource.from_contents(each)) for each in schemas.values()]
    )
    # Without formats: whether each of thousands of URLs is an IRI takes minutes, and uv has made them all.
    validator = Draft7Validator(schemas["bom-1.5"], registry=registry)
    assert lists[target]["specVersion"] == "1.5"
    assert [error.message for error in validator.iter_errors(lists[target])] == []
    assert list(validator.iter_errors({**lists[target], "components": [{"name": "of no type"}]}))


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_told_is_what_is_installed(lists: dict[str, dict[str, Any]], target: str) -> None:
    """By the same lock and the same words as the Dockerfile has."""
    (options,) = re.findall(rf"\$\{{export\}} (.*) --output-file {target}\.txt", DOCKERFILE)
    (unseen,) = re.findall(r'^ENV UNSEEN="(.*)"', DOCKERFILE, re.MULTILINE)
    options = options.replace("${UNSEEN}", unseen)
    command = [
        "build/uv/bin/uv",
        "export",
        "--quiet",
        "--frozen",
        "--no-emit-project",
        "--no-hashes",
        "--no-header",
    ]
    done = subprocess.run([*command, *options.split()], cwd=ROOT, check=True, capture_output=True, text=True)
    installed = set(re.findall(r"^([\w.-]+==\S+)", done.stdout, re.MULTILINE))
    told = {f"{each['name']}=={each['version']}" for each in lists[target]["components"] if "version" in each}
    assert len(installed) > 20
    assert told == installed
    assert all(
        each["purl"].startswith("pkg:pypi/") for each in lists[target]["components"] if "version" in each
    )
