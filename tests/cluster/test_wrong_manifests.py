"""Every wrong manifest of the table is refused by whom the table says, for the reason it says, and taken by the other."""

import copy
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError
from support.kubeclient import ApiError, Json, KubeClient
from support.manifests import collection
from support.wrongmanifests import Case, base_manifests, wrong_manifests

from squall.spec.document import read_documents
from squall.spec.effective import make_effective
from squall.spec.kinds import KINDS
from squall.spec.options import Options

CASES = wrong_manifests()
LOAD_TESTS = [case for case in CASES if case.manifest["kind"] == "LoadTest"]
each_case = pytest.mark.parametrize("case", CASES, ids=[case.what for case in CASES])


@pytest.mark.control_plane
@each_case
def test_the_api_server(crds: dict[str, Json], kube: KubeClient, case: Case) -> None:
    message = _refusal_of_server(kube, case.manifest)
    if case.refused_by_the("server"):
        assert message is not None, "the API server took it"
        assert case.messages["server"] in message
    else:
        assert message is None


@each_case
def test_the_models(case: Case) -> None:
    message = _refusal_of_models(case.manifest)
    if case.refused_by_the("models"):
        assert message is not None, "the models took it"
        assert case.messages["models"] in message
    else:
        assert message is None


@pytest.mark.parametrize("case", LOAD_TESTS, ids=[case.what for case in LOAD_TESTS])
def test_squall_validate(case: Case) -> None:
    assert bool(_problems(case.manifest)) is not case.validated


@pytest.mark.control_plane
@pytest.mark.parametrize("kind", list(KINDS))
def test_the_bases_are_right(crds: dict[str, Json], kube: KubeClient, kind: str) -> None:
    base = base_manifests()[kind]
    assert _refusal_of_server(kube, base) is None
    assert _refusal_of_models(base) is None
    assert kind != "LoadTest" or _problems(base) == []


def _refusal_of_server(kube: KubeClient, manifest: Json) -> str | None:
    name = manifest["metadata"].get("name", "nameless")
    # The path is that of the version that is served, whatever the manifest says.
    path = collection({**manifest, "apiVersion": "squall.dev/v1alpha1"})
    try:
        if "name" in manifest["metadata"]:
            kube.apply(f"{path}/{name}", copy.deepcopy(manifest), dry_run=True)
        else:
            kube.create(path, copy.deepcopy(manifest))
    except ApiError as error:
        return str(error)
    return None


def _refusal_of_models(manifest: Json) -> str | None:
    try:
        KINDS[manifest["kind"]].model_validate(manifest)
    except ValidationError as error:
        return str([(each["type"], each["loc"], each["msg"]) for each in error.errors()])
    return None


def _problems(manifest: Json) -> list[str]:
    documents, problems = read_documents(yaml.safe_dump(manifest), "wrong.yaml")
    options = Options(complete=False, read_files=False)
    effective = make_effective(documents[0].root, Path(), options)
    return [problem.render() for problem in (*problems, *effective.problems)]
