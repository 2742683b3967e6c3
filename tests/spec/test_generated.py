"""What is generated from the models is up to date, and says the same as the models."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from support.manifests import EVERYTHING, ROOT, Json, good_manifests
from support.wrongmanifests import DOCUMENT, Case, with_table, wrong_manifests

from squall.spec.base import Model
from squall.spec.crd import RESOURCES, crd
from squall.spec.generate import generated_files, main, stale
from squall.spec.kinds import KINDS
from squall.spec.schema import model_name, schema_of

MANIFESTS = good_manifests()
WRONG = [case for case in wrong_manifests() if case.refused_by_the("models")]
REGENERATE = "run `python -m squall.spec.generate`"


def test_generated_files_are_up_to_date() -> None:
    assert stale(ROOT) == "", REGENERATE


def test_the_table_in_the_documentation_is_up_to_date() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == with_table(text), (
        "from tests/: python -c 'from support.wrongmanifests import *; update_documentation()'"
    )


def test_check_shows_what_is_stale_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--root", str(tmp_path), "--check"]) == 0
    page = tmp_path / "docs" / "reference" / "loadtest.md"
    page.write_text(page.read_text().replace("# LoadTest\n", "# Loadtest\n", 1))
    capsys.readouterr()
    assert main(["--root", str(tmp_path), "--check"]) == 1
    shown = capsys.readouterr().out
    assert "-# Loadtest\n" in shown
    assert "+# LoadTest\n" in shown
    assert page.read_text().startswith("# Loadtest\n")
    assert main(["--root", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "wrote docs/reference/loadtest.md\n"


def test_no_file_is_left_over_from_a_kind_that_is_gone() -> None:
    folders = {path.parent for path in generated_files() if path.parent.name in ("crds", "schema")}
    there = {path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).iterdir()}
    assert there <= {*generated_files(), Path("crds/Kustomization")}


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_json_schema_is_one(kind: str) -> None:
    jsonschema.Draft202012Validator.check_schema(_json_schema(kind))


@pytest.mark.parametrize("name", list(MANIFESTS))
def test_the_json_schema_takes_what_is_right(name: str) -> None:
    assert _complaints(MANIFESTS[name]) == []


@pytest.mark.parametrize("case", WRONG, ids=[case.what for case in WRONG])
def test_the_json_schema_refuses_what_the_models_refuse(case: Case) -> None:
    assert _complaints(case.manifest) != []


def test_one_manifest_uses_every_key() -> None:
    """So that what it proves (stored whole, same model) holds for all of them."""
    schema = schema_of("LoadTest")
    manifest = yaml.safe_load(EVERYTHING.read_text(encoding="utf-8"))
    used = set(_used(KINDS["LoadTest"].model_validate(manifest)))
    for variant in manifest["spec"]["variants"]:
        used |= {("HttpDefaults", key) for key in variant["spec"].get("http", {})}
        output = variant["spec"].get("outputs", {}).get("prometheus", {})
        used |= {("ReceiverAuth", key) for key in output.get("auth", {})}
        used |= {("Wallets", key) for key in variant["spec"].get("evm", {}).get("wallets", {})}
    every = {(name, key) for name, model in schema.models.items() for key in model["properties"]}
    assert every - used == set()


@pytest.mark.parametrize("kind", list(KINDS))
def test_everything_in_a_crd_is_bounded(kind: str) -> None:
    (version,) = crd(kind)["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert list(_unbounded(spec, "spec")) == []


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_key_is_described(kind: str) -> None:
    schema = schema_of(kind)
    page = (ROOT / "docs" / "reference" / f"{kind.lower()}.md").read_text(encoding="utf-8")
    assert "|  |\n" not in page, "a key without a description"
    for name, model in schema.models.items():
        assert model["description"] != Model.__doc__, f"{name} has no docstring"


def test_every_kind_has_a_crd() -> None:
    assert set(RESOURCES) == set(KINDS)


def test_a_union_that_a_crd_cannot_express_is_refused_at_once() -> None:
    class Bad(Model):
        value: str | list[str]

    raw = Bad.model_json_schema()
    from squall.spec.schema import _normal

    with pytest.raises(TypeError, match="only a whole number or a text"):
        _normal(raw)
    assert model_name(raw) is None


def _json_schema(kind: str) -> Json:
    schema: Json = json.loads(
        (ROOT / "docs" / "schema" / f"{kind.lower()}.schema.json").read_text(encoding="utf-8")
    )
    return schema


def _complaints(manifest: Json) -> list[str]:
    validator = jsonschema.Draft202012Validator(_json_schema(manifest["kind"]))
    return [error.message for error in validator.iter_errors(manifest)]


def _used(value: Any) -> Iterator[tuple[str, str]]:
    """Every key that has a value somewhere, with the model it belongs to."""
    if isinstance(value, Model):
        for key in value.given_keys():
            yield type(value).__name__, key
        for field in type(value).model_fields:
            yield from _used(getattr(value, field))
    elif isinstance(value, dict):
        for each in value.values():
            yield from _used(each)
    elif isinstance(value, list):
        for each in value:
            yield from _used(each)


def _unbounded(node: Json, path: str) -> Iterator[str]:
    kept = node.get("x-kubernetes-preserve-unknown-fields")
    if node.get("type") == "array":
        if "maxItems" not in node:
            yield path
        yield from _unbounded(node["items"], f"{path}[]")
    elif (
        (node.get("type") == "string" and not {"maxLength", "enum"} & node.keys())
        or (node.get("x-kubernetes-int-or-string") and "maxLength" not in node)
        or (node.get("type") == "integer" and "maximum" not in node)
    ):
        yield path
    elif "additionalProperties" in node:
        if "maxProperties" not in node:
            yield path
        yield from _unbounded(node["additionalProperties"], f"{path}{{}}")
    elif node.get("type") == "object" and "properties" not in node and not kept:
        yield path
    for key, below in node.get("properties", {}).items():
        yield from _unbounded(below, f"{path}.{key}")
