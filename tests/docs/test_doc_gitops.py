"""What the page on GitOps shows of other people's resources is what they take, and what it says of Flux's `${...}` is what Flux does."""

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.documentation import blocks, section, tables
from support.gitops import ARGO_APPLICATION, FLUX_KUSTOMIZATION, Json
from support.leftout import missing, skip_if_left_out
from support.manifests import ROOT

from squall.spec.base import API_GROUP, API_VERSION

PAGE = ROOT / "docs" / "gitops.md"
TOOL = Path(__file__).parent / "envsubst"
PART = "go"
BUILD_SECONDS = 300

FOREIGN: dict[str, tuple[str, set[str], set[str]]] = {
    "Application": (
        "argoproj.io/v1alpha1",
        {"project", "source", "destination"},
        {"syncPolicy"},
    ),
    "Kustomization": (
        "kustomize.toolkit.fluxcd.io/v1",
        {"interval", "prune", "sourceRef"},
        {
            "path",
            "targetNamespace",
            "dependsOn",
            "wait",
            "timeout",
            "healthCheckExprs",
            "patches",
        },
    ),
}
"""Other people's kinds: API version, the keys that a spec must have, and those of the others that are used here."""


def _documents() -> dict[str, Json]:
    """Every YAML document of the page and of `deploy/` that is for a GitOps controller, by its place."""
    shown = {each.place: each.text for each in blocks("yaml") if each.page == PAGE}
    files = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in _files()}
    return {place: yaml.safe_load(text) for place, text in (shown | files).items()}


def _files() -> list[Path]:
    return [ARGO_APPLICATION, FLUX_KUSTOMIZATION]


DOCUMENTS = _documents()
THEIRS = {place: each for place, each in DOCUMENTS.items() if each["apiVersion"] != API_VERSION}


def test_there_are_some_of_both() -> None:
    assert {each["kind"] for each in DOCUMENTS.values()} == {*FOREIGN, "LoadTest"}


@pytest.mark.parametrize("place", list(THEIRS))
def test_a_resource_of_a_controller_has_what_it_needs(place: str) -> None:
    document = THEIRS[place]
    version, needed, others = FOREIGN[document["kind"]]
    assert set(document) == {"apiVersion", "kind", "metadata", "spec"}
    assert document["apiVersion"] == version
    assert set(document["metadata"]) == {"name", "namespace"}
    assert needed <= set(document["spec"]) <= needed | others


def test_the_kustomizations_depend_on_one_another() -> None:
    named = {each["metadata"]["name"]: each["spec"] for each in THEIRS.values()}
    assert named["release"]["dependsOn"] == [{"name": "load-tests"}]
    assert named["load-tests"]["wait"] is True
    assert [set(each) for each in named["load-tests"]["dependsOn"]] == [{"name"}]


def test_a_patch_of_kustomize_meets_what_it_is_for() -> None:
    ours = {each["metadata"]["name"]: each for each in DOCUMENTS.values() if each["kind"] == "LoadTest"}
    patches = [patch for each in THEIRS.values() for patch in each["spec"].get("patches", [])]
    assert patches
    for patch in patches:
        assert patch["target"]["group"] == API_GROUP
        for operation in yaml.safe_load(patch["patch"]):
            *way, last = operation["path"].strip("/").split("/")
            found: Any = ours[patch["target"]["name"]]
            for step in way:
                found = found[int(step) if isinstance(found, list) else step]
            assert operation["op"] == "replace"
            assert last in found


# -- what Flux does to `${...}` -------------------------------------------------------------------------------


@cache
def substituted(*texts: str) -> tuple[Json, ...]:
    """What becomes of texts, or the error, with one variable that none of them means."""
    skip_if_left_out(PART)
    go = shutil.which("go")
    if go is None:
        missing(PART, "there is no `go` on the PATH, and Flux's own code is run")
    asked = {"variables": {"cluster": "west"}, "texts": texts}
    ran = subprocess.run(
        [go, "run", "."],
        cwd=TOOL,
        input=json.dumps(asked),
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        missing(PART, ran.stderr)
    return tuple(json.loads(ran.stdout))


def _row(start: str) -> tuple[list[str], str]:
    """The texts of a row of the table, and what is said to become of them."""
    table = next(
        each for each in tables(section(PAGE, "Flux's variables and Squall's")) if each[0][0] == "in Git"
    )
    found = next(row for row in table if row[0].startswith(start))
    return found[0].replace(", ${", ",\0${").replace(", $$", ",\0$$").replace(", $5", ",\0$5").split(
        ",\0"
    ), found[1]


@pytest.mark.timeout(BUILD_SECONDS)
@pytest.mark.parametrize("start", ["${var.baseUrl}", "${now()}"])
def test_what_flux_cannot_read_fails_the_build(start: str) -> None:
    texts, told = _row(start)
    assert len(texts) == 3
    assert all(answer["error"] == "missing closing brace" for answer in substituted(*texts))
    assert "missing closing brace" in told


@pytest.mark.timeout(BUILD_SECONDS)
def test_what_looks_like_a_variable_is_lost_without_a_word() -> None:
    texts, told = _row("${vu}")
    assert texts == ["${vu}", "${iter}", "${shard}"]
    assert substituted(*texts) == ({"text": ""},) * 3
    assert "empty" in told


@pytest.mark.timeout(BUILD_SECONDS)
def test_a_doubled_sign_is_what_keeps_it() -> None:
    texts, told = _row("$${vu}")
    assert [answer["text"] for answer in substituted(*texts)] == [text[1:] for text in texts]
    assert told.startswith(", ".join(text[1:] for text in texts))


@pytest.mark.timeout(BUILD_SECONDS)
def test_what_is_escaped_for_squall_takes_twice_as_many() -> None:
    assert _row("$$${vu}")[1].startswith("$,")
    assert substituted("$$${vu}", "$$$${vu}") == ({"text": "$"}, {"text": "$${vu}"})


@pytest.mark.timeout(BUILD_SECONDS)
def test_other_signs_stay() -> None:
    texts, told = _row("$.token")
    assert told == "the same"
    assert [answer["text"] for answer in substituted(*texts)] == texts


@pytest.mark.timeout(BUILD_SECONDS)
def test_a_whole_example_survives_doubled() -> None:
    text = (ROOT / "examples" / "login-flow" / "loadtest.yaml").read_text(encoding="utf-8")
    plain = yaml.safe_dump(yaml.safe_load(text), sort_keys=False)
    assert plain.count("${") > 3
    as_it_is, doubled = substituted(plain, plain.replace("$", "$$"))
    assert "error" in as_it_is
    assert doubled == {"text": plain}
