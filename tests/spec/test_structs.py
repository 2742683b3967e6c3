"""What a runner takes says the same as the models, key by key, and is as strict about keys and types."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from support.manifests import Json, good_manifests

from squall.spec.base import Model, Nullable
from squall.spec.loadtest import LoadTest
from squall.spec.received import received

MANIFESTS = {name: each for name, each in good_manifests().items() if each["kind"] == "LoadTest"}
ANY = next(iter(MANIFESTS.values()))


@pytest.mark.parametrize("name", list(MANIFESTS))
def test_structs_hold_what_the_models_hold(name: str) -> None:
    assert _plain(received(MANIFESTS[name])) == _plain(LoadTest.model_validate(MANIFESTS[name]))


def test_a_value_of_null_is_not_the_same_as_none_given() -> None:
    manifest = _changed(
        lambda spec: spec["scenarios"][0].update(steps=[_extracting(default=None), _extracting()])
    )
    given, absent = received(manifest).spec.scenarios[0].steps
    assert (given.extract or {})["x"].default is None
    assert (absent.extract or {})["x"].default is msgspec.UNSET


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda spec: spec.update(shard=1), "unknown field `shard` - at `$.spec`"),
        (lambda spec: spec.update(shards=1.5), "Expected `int | str`, got `float` - at `$.spec.shards`"),
        (lambda spec: spec.pop("scenarios"), "missing required field `scenarios` - at `$.spec`"),
        (lambda spec: spec["scenarios"][0].update(executor="no"), "Invalid enum value 'no'"),
    ],
)
def test_what_has_another_form_is_refused_with_its_place(
    change: Callable[[Json], object], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        received(_changed(change))


def _changed(change: Callable[[Json], object]) -> Json:
    manifest = copy.deepcopy(ANY)
    change(manifest["spec"])
    return manifest


def _extracting(**more: Any) -> Json:
    return {"http": {"url": "/"}, "extract": {"x": {"jsonPath": "$.x", **more}}}


def _plain(value: Any) -> Any:
    """The value with each object as a dict of its attributes."""
    if isinstance(value, Model):
        fields = type(value).model_fields
        return {
            name: msgspec.UNSET
            if Nullable in info.metadata and name not in value.model_fields_set
            else _plain(getattr(value, name))
            for name, info in fields.items()
        }
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value
