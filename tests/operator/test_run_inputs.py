"""What is put into ConfigMaps and a Secret comes out again in a pod, byte for byte, however large it is."""

from __future__ import annotations

import random
import tempfile
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squall.hub.assignment import INDEX_VARIABLE, pack
from squall.hub.protocol import Assignment
from squall.spec.loadtest import LoadTest
from squall_operator.manifests import inputs as made_by
from squall_operator.manifests.inputs import Inputs, RunInputs, build_inputs
from squall_operator.manifests.owned import Owner
from squall_runner.pod import PodError, read

OWNER = Owner(namespace="default", name="shop", uid="u1")
SCENARIO = {
    "name": "s",
    "executor": "shared-iterations",
    "iterations": 1,
    "vus": 1,
    "steps": [{"http": {"url": "/"}}],
}
LARGE = random.Random(7).randbytes(3000)
PIECES = pack(LARGE, 1000)
OTHERS = {
    "m": {"k": b"from a ConfigMap"},
    "s": {"k": b"from a Secret", "t": b"hunter2"},
    **{f"large-{number}": {"k": piece} for number, piece in enumerate(PIECES)},
}
"""Objects that others have made."""
_OBJECT_BYTES = 1024 * 1024


def manifest(files: dict[str, str], shards: int = 1, *, claims: bool = False) -> dict[str, Any]:
    own = [{"name": name, "inline": text} for name, text in files.items()]
    references: list[dict[str, Any]] = [
        {"name": "of-map.csv", "configMap": {"name": "m", "key": "k"}},
        {"name": "of-secret.csv", "secret": {"name": "s", "key": "k"}},
    ]
    if claims:
        claim = {"claimName": "c", "path": "/deep/data.csv"}
        references += [{"name": f"of-claim-{number}.csv", "volumeClaim": claim} for number in range(2)]
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": "shop"},
        "spec": {
            "shards": shards,
            "runner": {"shardsPerPod": 2},
            "variables": [{"name": "password", "secret": {"name": "s", "key": "t"}}],
            "files": [*own, *references],
            "scenarios": [SCENARIO],
        },
    }


def built(document: dict[str, Any], **changes: Any) -> Inputs:
    given: dict[str, Any] = {
        "run": "shop-1",
        "hub": "https://hub:4180",
        "hub_ca": "-----BEGIN CERTIFICATE-----\n",
        "token": "run-token",
        "manifest": document,
        "spec": LoadTest.model_validate(document).spec,
        "variables": {"user": "ü"},
        "processes": 1,
        "allowed_hosts": (("*.example",), ()),
    }
    return build_inputs(OWNER, RunInputs(**(given | changes)))


def mounted(folder: Path, inputs: Inputs) -> None:
    """Do what the kubelet does: lay the projected volume out."""
    own = {
        each["metadata"]["name"]: {key: b64decode(text) for key, text in each["binaryData"].items()}
        for each in inputs.objects
        if each["kind"] == "ConfigMap"
    }
    secrets = {
        each["metadata"]["name"]: {key: text.encode() for key, text in each["stringData"].items()}
        for each in (inputs.token,)
    }
    (projected,) = [each["projected"] for each in inputs.volumes if "projected" in each]
    for source in projected["sources"]:
        ((kind, reference),) = source.items()
        found = ((own if kind == "configMap" else secrets) | OTHERS)[reference["name"]]
        for item in reference["items"]:
            path = folder / item["path"]
            assert not path.exists(), "two sources claim one place"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(found[item["key"]])


def assigned(inputs: Inputs, folder: Path, index: int = 0) -> tuple[Assignment, ...]:
    mounted(folder, inputs)
    return read(folder, {INDEX_VARIABLE: str(index)})


@settings(max_examples=40, deadline=None)
@given(
    files=st.dictionaries(st.from_regex(r"[a-z][a-z0-9-]{0,20}\.txt", fullmatch=True), st.text(), max_size=4),
    shards=st.integers(1, 5),
    piece=st.sampled_from([64, 1000, 700 * 1024]),
)
def test_everything_comes_out_again(files: dict[str, str], shards: int, piece: int) -> None:
    document = manifest(files, shards)
    before = made_by._CONFIG_BYTES
    made_by._CONFIG_BYTES = piece  # type: ignore[misc]
    try:
        inputs = built(document)
    finally:
        made_by._CONFIG_BYTES = before  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (assignment,) = assigned(inputs, folder)
        assert assignment.manifest == document
        assert assignment.token == "run-token"
        assert assignment.secrets == {"password": "hunter2"}
        assert assignment.variables == {"user": "ü"}
        assert assignment.allowed_hosts == (("*.example",), ())
        assert Path(assignment.hub_ca).read_text() == "-----BEGIN CERTIFICATE-----\n"
        assert {each: Path(assignment.files[each]).read_bytes() for each in files} == {
            each: text.encode() for each, text in files.items()
        }
        assert Path(assignment.files["of-map.csv"]).read_bytes() == b"from a ConfigMap"
        assert Path(assignment.files["of-secret.csv"]).read_bytes() == b"from a Secret"


def test_what_is_larger_than_an_object_is_cut_into_pieces() -> None:
    chance = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJ"
    large = {f"large-{number}.txt": "".join(chance.choices(letters, k=60_000)) for number in range(50)}
    inputs = built(manifest(large))
    maps = [each for each in inputs.objects if each["kind"] == "ConfigMap"]
    assert len(maps) > 2
    assert len({each["metadata"]["name"] for each in maps}) == len(maps)
    for each in maps:
        assert sum(len(text) for text in each["binaryData"].values()) < _OBJECT_BYTES
        assert each["immutable"] is True
    with tempfile.TemporaryDirectory() as name:
        (assignment,) = assigned(inputs, Path(name))
        assert {each: Path(assignment.files[each]).read_text() for each in large} == large


@pytest.mark.parametrize("kind", ["configMap", "secret"])
def test_pieces_that_others_have_made_are_mounted_and_put_together(tmp_path: Path, kind: str) -> None:
    reference = {"name": "large", "key": "k", "pieces": len(PIECES), "sizeBytes": len(LARGE)}
    document = manifest({})
    document["spec"]["files"] = [
        {"name": "a.bin", kind: reference},
        {"name": "a.bin.0", "configMap": {"name": "m", "key": "k"}},
        {"name": "a.bin.1", "inline": "is no piece of the first"},
    ]
    inputs = built(document)
    (projected,) = [each["projected"] for each in inputs.volumes if "projected" in each]
    named = [each[kind]["name"] for each in projected["sources"] if kind in each]
    assert [name for name in named if name.startswith("large")] == [f"large-{n}" for n in range(len(PIECES))]
    (assignment,) = assigned(inputs, tmp_path)
    assert Path(assignment.files["a.bin"]).read_bytes() == LARGE
    assert Path(assignment.files["a.bin.0"]).read_bytes() == b"from a ConfigMap"
    assert Path(assignment.files["a.bin.1"]).read_text() == "is no piece of the first"


def test_pieces_that_are_not_what_the_manifest_says_are_refused(tmp_path: Path) -> None:
    reference = {"name": "large", "key": "k", "pieces": len(PIECES), "sizeBytes": len(LARGE) - 1}
    document = manifest({})
    document["spec"]["files"] = [{"name": "a.bin", "configMap": reference}]
    with pytest.raises(PodError, match="cannot be put together: it has more than the 2999 bytes"):
        assigned(built(document), tmp_path)


def test_a_claim_is_mounted_once_and_no_value_of_a_secret_is_copied() -> None:
    inputs = built(manifest({}, claims=True))
    assert [each["name"] for each in inputs.volumes if "persistentVolumeClaim" in each] == ["claim-0"]
    assert "hunter2" not in str(inputs)
    assert all(each["metadata"]["ownerReferences"][0]["uid"] == "u1" for each in inputs.objects)
