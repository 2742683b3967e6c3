"""Rules across keys are said twice, in CEL and in Python: for every choice of keys both must say the same.

The table of wrong manifests holds the mistakes one thinks of. Here an object is given every choice of the keys that its rules
speak of (of many keys, every pair), each with a value that is right for it, so that nothing but the choice can be wrong.
"""

import copy
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from support.kubeclient import ApiError, Json, KubeClient
from support.manifests import EVERYTHING, collection
from support.wrongmanifests import base_manifests

from squall.spec.base import Model, cel_name
from squall.spec.kinds import KINDS
from squall.spec.scenarios import EXECUTOR_FIELDS
from squall.spec.schema import schema_of

pytestmark = pytest.mark.control_plane

STEP = ("spec", "scenarios", 0, "steps", 0)
PLACES: dict[str, tuple[str | int, ...]] = {
    "Variable": ("spec", "variables", 0),
    "File": ("spec", "files", 0),
    "FileRef": ("spec", "files", 0, "configMap"),
    "Data": ("spec", "data", 0),
    "HttpDefaults": ("spec", "http"),
    "RateLimit": ("spec", "http", "rateLimits", 0),
    "Threshold": ("spec", "thresholds", 0),
    "Scenario": ("spec", "scenarios", 0),
    "Step": STEP,
    "Http": (*STEP, "http"),
    "Auth": (*STEP, "http", "auth"),
    "Part": (*STEP, "http", "multipart", 0),
    "Think": (*STEP, "think"),
    "Repeat": (*STEP, "repeat"),
    "Python": (*STEP, "python"),
    "EvmStep": (*STEP, "evm"),
    "EvmCall": (*STEP, "evm", "call"),
    "EvmTransaction": (*STEP, "evm", "transaction"),
    "EvmWaitEvent": (*STEP, "evm", "waitEvent"),
    "EvmSign": (*STEP, "evm", "sign"),
    "EvmPace": (*STEP, "evm", "pace"),
    "Encrypt": (*STEP, "encrypt"),
    "Decrypt": (*STEP, "decrypt"),
    "Extractor": (*STEP, "extract", "x"),
    "Record": (*STEP, "record"),
    "Contract": ("spec", "evm", "contracts", 0),
    "Wallets": ("spec", "evm", "wallets"),
    "Gas": ("spec", "evm", "gas"),
    "Fees": ("spec", "evm", "fees"),
    "ReceiverAuth": ("spec", "outputs", "prometheus", "auth"),
}
"""Where in a manifest an object of each model that has rules is put."""
ALL_CHOICES_UP_TO = 6
"""Of more keys than this only pairs are tried."""


def test_every_model_with_rules_has_a_place() -> None:
    schema = schema_of("LoadTest")
    assert {name for name, cls in schema.classes.items() if cls.rules} == set(PLACES)


@pytest.mark.parametrize("name", list(PLACES))
def test_they_agree(crds: dict[str, Json], kube: KubeClient, name: str) -> None:
    taken = refused = 0
    for keys in _choices(name):
        value = {key: copy.deepcopy(SAMPLES[name][key]) for key in sorted(keys - EXECUTOR_FIELDS.keys())}
        if name == "Scenario":
            value["executor"] = next(each for each in EXECUTOR_FIELDS if each in keys)
        manifest = _manifest_with(PLACES[name], value)
        by_server, by_models = _refused_by_server(kube, manifest), _refused_by_models(manifest)
        assert (by_server is None) == (by_models is None), (
            f"{value}\nserver: {by_server}\nmodels: {by_models}"
        )
        taken, refused = taken + (by_server is None), refused + (by_server is not None)
    assert taken, "there is no right choice of keys among these"
    assert refused, "there is no wrong choice of keys among these"


def _choices(name: str) -> Iterator[set[str]]:
    required = set(schema_of("LoadTest").models[name].get("required", []))
    others = sorted(_in_rules(name) - required)
    if name == "Scenario":
        yield from _choices_of_executors(required)
        return
    most = len(others) if len(others) <= ALL_CHOICES_UP_TO else 2
    for size in range(most + 1):
        for chosen in combinations(others, size):
            yield required | set(chosen)


def _in_rules(name: str) -> set[str]:
    """The keys that the rules of a model speak of."""
    rules = schema_of("LoadTest").classes[name].rules
    return {key for key in SAMPLES[name] for rule in rules if f"self.{cel_name(key)})" in rule.cel}


def _choices_of_executors(required: set[str]) -> Iterator[set[str]]:
    """What each executor needs, with one key less, and with one key more."""
    for executor, fields in EXECUTOR_FIELDS.items():
        right = required | fields.required | {executor}
        yield right
        yield from (right - {key} for key in fields.required)
        yield from (right | {key} for key in _in_rules("Scenario") - right)


def _manifest_with(place: tuple[str | int, ...], value: Json) -> Json:
    manifest = copy.deepcopy(base_manifests()["LoadTest"])
    if place[: len(STEP)] == STEP and len(place) > len(STEP):
        # The step then is of the kind that the place asks for; an extraction or a record stays beside a request.
        kind = str(place[len(STEP)])
        step: Json = {"http": {"url": "/"}} if kind in ("http", "extract", "record") else {}
        manifest["spec"]["scenarios"][0]["steps"] = [step]
    if place[:2] == ("spec", "outputs"):
        manifest["spec"]["outputs"] = {"prometheus": {"remoteWriteUrl": "http://a/"}}
    if place[:2] == ("spec", "evm"):
        manifest["spec"]["evm"] = {"endpoints": [{"name": "a", "url": "http://a/"}]}
    if place[:2] == ("spec", "files") and len(place) > len(("spec", "files", 0)):
        manifest["spec"]["files"] = [{"name": "a"}]
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


def _samples() -> dict[str, Json]:
    """A right value for every key of every model, taken from the manifest that uses them all."""
    found: dict[str, Json] = {}
    manifest = yaml.safe_load(EVERYTHING.read_text(encoding="utf-8"))
    _collect(KINDS["LoadTest"].model_validate(manifest), found)
    found["HttpDefaults"]["baseUrl"] = "http://127.0.0.1:8080"
    found["Wallets"]["keys"] = "keys.txt"
    found["Gas"]["policy"] = "fixed"
    return found


def _collect(value: Any, found: dict[str, Json]) -> None:
    if isinstance(value, Model):
        dumped = value.model_dump(by_alias=True, exclude_unset=True)
        for key in value.given_keys():
            found.setdefault(type(value).__name__, {}).setdefault(key, dumped[key])
        value = {field: getattr(value, field) for field in type(value).model_fields}
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            _collect(each, found)


SAMPLES = _samples()
