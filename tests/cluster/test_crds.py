"""The CRDs on a real API server: it takes them without complaint, and keeps of a manifest what its author wrote."""

import copy
import json

import pytest
from support.kubeclient import ApiError, Json, KubeClient
from support.manifests import collection, committed_crds, good_manifests

from squall.spec.kinds import KINDS

pytestmark = pytest.mark.control_plane

MANIFESTS = good_manifests()
LAST_APPLIED_LIMIT = 256 * 1024
"""Of all annotations of an object together (k8s.io/apimachinery, TotalAnnotationSizeLimitB)."""


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_crd_is_established_and_structural(crds: dict[str, Json], kind: str) -> None:
    conditions = {each["type"]: each["status"] for each in crds[kind]["status"]["conditions"]}
    assert conditions == {
        "NamesAccepted": "True",
        "Established": "True",
    }  # no NonStructuralSchema, nothing else


def test_the_crd_fits_into_the_annotation_that_kubectl_apply_writes() -> None:
    sizes = {crd["metadata"]["name"]: len(json.dumps(crd, separators=(",", ":"))) for crd in committed_crds()}
    assert max(sizes.values()) < 0.9 * LAST_APPLIED_LIMIT, sizes


@pytest.mark.parametrize("name", list(MANIFESTS))
def test_a_manifest_goes_in_and_comes_back_the_same(
    crds: dict[str, Json], kube: KubeClient, name: str
) -> None:
    manifest = MANIFESTS[name]
    path = f"{collection(manifest)}/{manifest['metadata']['name']}"
    try:
        first = kube.apply(path, copy.deepcopy(manifest))
        stored = kube.get(path)
        assert stored["spec"] == manifest["spec"]
        model = KINDS[manifest["kind"]]
        assert model.model_validate(stored).spec == model.model_validate(manifest).spec
        again = kube.apply(path, copy.deepcopy(manifest))
        assert _without_times(again) == _without_times(first)
        assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        assert again["metadata"]["generation"] == 1
    finally:
        _delete(kube, path)


def test_a_named_item_is_changed_by_whoever_applies_it_alone(crds: dict[str, Json], kube: KubeClient) -> None:
    """List-maps: a second manager may own one variable without knowing the others."""
    manifest = MANIFESTS["tests/manifests/everything.yaml"]
    path = f"{collection(manifest)}/everything"
    part = {key: manifest[key] for key in ("apiVersion", "kind")} | {"metadata": {"name": "everything"}}
    try:
        kube.apply(path, manifest)
        part["spec"] = {"variables": [{"name": "users", "value": 99}]}
        query = "fieldManager=somebody-else&force=true"
        merged = kube.request("PATCH", f"{path}?{query}", part, content_type="application/apply-patch+yaml")
    finally:
        _delete(kube, path)
    values = {each["name"]: each.get("value") for each in merged["spec"]["variables"]}
    assert values == {"baseUrl": "http://127.0.0.1:8080", "users": 99, "password": None}


def test_status_is_written_apart_from_the_spec(crds: dict[str, Json], kube: KubeClient) -> None:
    manifest = MANIFESTS["tests/manifests/everything.yaml"]
    path = f"{collection(manifest)}/everything"
    status = {"phase": "Running", "verdict": {"result": "Passed"}}
    try:
        kube.apply(path, {**manifest, "status": {"phase": "Invented"}})
        assert "status" not in kube.get(path)
        kube.merge_patch(f"{path}/status", {"status": status, "spec": {"shards": 9}})
        stored = kube.get(path)
        row = _table_row(kube, path)
    finally:
        _delete(kube, path)
    assert (stored["status"], stored["spec"]["shards"], stored["metadata"]["generation"]) == (status, 4, 1)
    assert row["Name"] == "everything"
    assert (row["Phase"], row["Verdict"], row["Shards"]) == ("Running", "Passed", "4")


def test_kubectl_finds_the_short_names(crds: dict[str, Json], kube: KubeClient) -> None:
    resources = {each["name"]: each for each in kube.get("/apis/squall.dev/v1alpha1")["resources"]}
    found = {
        name: (each.get("shortNames"), each["namespaced"])
        for name, each in resources.items()
        if "/" not in name
    }
    assert found == {
        "loadtests": (["lt"], True),
        "loadtestschedules": (["lts"], True),
        "loadtestpolicies": (["ltp"], False),
    }
    assert "loadtests/status" in resources


def _table_row(kube: KubeClient, path: str) -> Json:
    """What `kubectl get` prints: the server makes the table."""
    table = kube.get_table(path)
    names = [column["name"] for column in table["columnDefinitions"]]
    return dict(zip(names, table["rows"][0]["cells"], strict=True))


def _without_times(stored: Json) -> Json:
    result = copy.deepcopy(stored)
    for entry in result["metadata"]["managedFields"]:
        entry.pop("time")
    return result


def _delete(kube: KubeClient, path: str) -> None:
    try:
        kube.delete(path)
    except ApiError as error:
        if error.status != 404:
            raise
