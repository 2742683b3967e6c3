"""Rules across keys are said twice, in CEL and in Python: for any choice of keys both must say the same.

The table of wrong manifests holds the mistakes one thinks of. Here the keys of an object are drawn at random, each with a value
that is right for it, so that nothing but the choice of keys can be wrong.
"""

import copy
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from support.kubeclient import ApiError, Json, KubeClient
from support.manifests import EVERYTHING, collection
from support.wrongmanifests import base_manifests

from squall.spec import KINDS
from squall.spec.base import Model
from squall.spec.schema import schema_of

pytestmark = pytest.mark.control_plane

STEP = ("spec", "scenarios", 0, "steps", 0)
PLACES: dict[str, tuple[str | int, ...]] = {
    "Variable": ("spec", "variables", 0),
    "File": ("spec", "files", 0),
    "Data": ("spec", "data", 0),
    "HttpDefaults": ("spec", "http"),
    "Threshold": ("spec", "thresholds", 0),
    "Scenario": ("spec", "scenarios", 0),
    "Step": STEP,
    "Http": (*STEP, "http"),
    "Auth": (*STEP, "http", "auth"),
    "Part": (*STEP, "http", "multipart", 0),
    "Think": (*STEP, "think"),
    "Repeat": (*STEP, "repeat"),
    "Python": (*STEP, "python"),
    "Extractor": (*STEP, "extract", "x"),
    "Record": (*STEP, "record"),
}
"""Where in a manifest an object of each model that has rules is put."""


def test_every_model_with_rules_has_a_place() -> None:
    schema = schema_of("LoadTest")
    assert {name for name, cls in schema.classes.items() if cls.rules} == set(PLACES)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_they_agree(crds: dict[str, Json], kube: KubeClient, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(PLACES)), label="model")
    manifest = _manifest_with(PLACES[name], _any_keys(data, name))
    by_server, by_models = _refused_by_server(kube, manifest), _refused_by_models(manifest)
    assert (by_server is None) == (by_models is None), f"server: {by_server}\nmodels: {by_models}"


def _any_keys(data: st.DataObject, name: str) -> Json:
    """An object with all keys it must have, and any few of the others."""
    required = set(schema_of("LoadTest").models[name].get("required", []))
    others = sorted(SAMPLES[name].keys() - required)
    chosen = required | set(
        data.draw(st.lists(st.sampled_from(others), unique=True, max_size=4), label="keys")
    )
    return {key: copy.deepcopy(data.draw(st.sampled_from(SAMPLES[name][key]))) for key in sorted(chosen)}


def _manifest_with(place: tuple[str | int, ...], value: Json) -> Json:
    manifest = copy.deepcopy(base_manifests()["LoadTest"])
    if place[: len(STEP)] == STEP and len(place) > len(STEP):
        # The step then is of the kind that the place asks for; an extraction or a record stays beside a request.
        kind = str(place[len(STEP)])
        step: Json = {"http": {"url": "/"}} if kind in ("http", "extract", "record") else {}
        manifest["spec"]["scenarios"][0]["steps"] = [step]
    here: Any = manifest
    for part, following in zip(place, [*place[1:], None], strict=True):
        new = value if following is None else [] if isinstance(following, int) else {}
        if isinstance(here, list):
            if not here or following is None:
                here[:] = [new]
        elif following is None or part not in here:
            here[part] = new
        here = here[part]
    return manifest


def _refused_by_server(kube: KubeClient, manifest: Json) -> str | None:
    try:
        kube.apply(f"{collection(manifest)}/agree", {**manifest, "metadata": {"name": "agree"}}, dry_run=True)
    except ApiError as error:
        return str(error)
    return None


def _refused_by_models(manifest: Json) -> str | None:
    try:
        KINDS[manifest["kind"]].model_validate(manifest)
    except ValidationError as error:
        return str(error)
    return None


def _samples() -> dict[str, dict[str, list[Any]]]:
    """Right values for every key of every model, taken from the manifest that uses them all."""
    found: dict[str, dict[str, list[Any]]] = {}
    manifest = yaml.safe_load(EVERYTHING.read_text(encoding="utf-8"))
    _collect(KINDS["LoadTest"].model_validate(manifest), found)
    found["HttpDefaults"]["baseUrls"] = [["http://127.0.0.1:8080"]]
    return found


def _collect(value: Any, found: dict[str, dict[str, list[Any]]]) -> None:
    if isinstance(value, Model):
        dumped = value.model_dump(by_alias=True, exclude_unset=True)
        for key in value.given_keys():
            found.setdefault(type(value).__name__, {}).setdefault(key, []).append(dumped[key])
        value = {field: getattr(value, field) for field in type(value).model_fields}
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            _collect(each, found)


SAMPLES = _samples()
