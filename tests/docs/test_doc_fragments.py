"""Every piece of a manifest that the documentation shows is right, as `squall validate` sees it."""

from typing import Any

import pytest
import yaml
from support.documentation import Block, blocks
from support.manifests import ROOT

from squall.spec.base import API_VERSION
from squall.spec.loadtest import LoadTestSpec
from squall.validation import ManifestError, Options, load_text

SCENARIOS = ROOT / "docs" / "scenarios.md"
GITOPS = ROOT / "docs" / "gitops.md"
SHOWN = [
    each
    for each in blocks("yaml")
    if each.page.parent.name != "reference"
    # What that page shows of other people's resources, its own test looks at.
    and (each.page != GITOPS or each.text.startswith(f"apiVersion: {API_VERSION}\n"))
]
FRAME = next(each for each in SHOWN if each.page == SCENARIOS)
KEYS = {field.alias or name for name, field in LoadTestSpec.model_fields.items()} | {"steps"}


def complete(text: str) -> str:
    """A manifest: the text itself, or the test at the top of the page on scenarios with the fragment put in."""
    found: Any = yaml.safe_load(text)
    if "kind" in found:
        return text
    assert set(found) <= KEYS, f"neither a manifest nor parts of a spec: {sorted(set(found) - KEYS)}"
    manifest = yaml.safe_load(FRAME.text)
    steps = found.pop("steps", None)
    own = {each["name"]: each for each in found.pop("variables", ())}
    manifest["spec"]["variables"] = [
        *({each["name"]: each for each in manifest["spec"]["variables"]} | own).values()
    ]
    manifest["spec"].update(found)
    if steps is not None:
        manifest["spec"]["scenarios"][0]["steps"] = steps
    return yaml.safe_dump(manifest, sort_keys=False)


@pytest.mark.parametrize("block", SHOWN, ids=[each.place for each in SHOWN])
def test_a_manifest_in_the_documentation_is_valid(block: Block) -> None:
    if all(not line or line.startswith("#") for line in block.text.splitlines()):
        return  # a comment for the editor
    try:
        (resource,) = load_text(
            complete(block.text), Options(complete=False, all_variants=True), file=block.place
        )
    except ManifestError as error:
        pytest.fail(error.message)
    if resource.kind != "LoadTest":
        return  # it is right, and no plan belongs to it that could be warned about
    assert resource.test is not None
    # What a part of a manifest leaves out are values, files of a cluster, and steps that send to its hosts.
    left_out = ("has no value here", "is not here", "no URL of this test leads to")
    assert [text for text in resource.test.warnings if not any(each in text for each in left_out)] == []


def test_every_page_for_users_shows_some() -> None:
    pages = {each.page.name for each in SHOWN}
    assert {"README.md", "running.md", "scenarios.md", "verdict.md"} <= pages


@pytest.mark.parametrize(
    ("fragment", "said"),
    [
        ("steps: [{http: {ulr: /health}}]", "ulr"),
        ("steps: [{http: {url: /health}, checks: {a: statsu == 200}}]", "statsu"),
        ('thresholds: [{metric: http_req_fialed, expression: "rate<1%"}]', "http_req_fialed"),
    ],
)
def test_a_wrong_fragment_would_be_found(fragment: str, said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        load_text(complete(fragment), Options(complete=False))
