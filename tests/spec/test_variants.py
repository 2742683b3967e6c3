"""Merging: maps by key, named lists by name, everything else whole; variants in their order."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.problems import SCENARIOS, load, manifest, marked, problem_of

from squall.spec.tree import Origin, from_plain, plain
from squall.spec.variants import merge

BASE, PATCH = Origin("base.yaml", 1, 1), Origin("patch.yaml", 1, 1)


def merged(base: Any, *patches: Any) -> Any:
    tree = from_plain(base, BASE)
    for patch in patches:
        tree = merge(tree, from_plain(patch, PATCH))
    return plain(tree)


def test_mappings_merge_by_key_and_null_removes() -> None:
    base = {"http": {"timeout": "1s", "baseUrl": "x"}, "shards": 2}
    assert merged(base, {"http": {"timeout": None, "cookies": False}}) == {
        "http": {"baseUrl": "x", "cookies": False},
        "shards": 2,
    }


def test_named_lists_merge_by_name() -> None:
    base = {"scenarios": [{"name": "a", "vus": 1}, {"name": "b", "vus": 2}]}
    patch = {"scenarios": [{"name": "b", "vus": 5}, {"name": "c", "vus": 3}]}
    assert merged(base, patch) == {
        "scenarios": [{"name": "a", "vus": 1}, {"name": "b", "vus": 5}, {"name": "c", "vus": 3}]
    }


def test_an_item_can_be_removed() -> None:
    base = {"scenarios": [{"name": "a"}, {"name": "b"}]}
    assert merged(base, {"scenarios": [{"name": "a", "$patch": "delete"}]}) == {"scenarios": [{"name": "b"}]}
    assert merged(base, {"scenarios": [{"name": "x", "$patch": "delete"}]}) == base


def test_unnamed_items_of_a_named_list_are_appended() -> None:
    base = {"thresholds": [{"metric": "a"}]}
    assert merged(base, {"thresholds": [{"metric": "b"}]}) == {
        "thresholds": [{"metric": "a"}, {"metric": "b"}]
    }


def test_stages_are_replaced_whole() -> None:
    base = {"stages": [{"name": "up", "target": 1}, {"name": "hold", "target": 1}]}
    assert merged(base, {"stages": [{"name": "hold", "target": 5}]}) == {
        "stages": [{"name": "hold", "target": 5}]
    }


def test_steps_change_by_name_or_are_replaced() -> None:
    base = {"steps": [{"name": "a", "http": {"url": "x", "timeout": "1s"}}, {"think": {"duration": "1s"}}]}
    changed = merged(base, {"steps": [{"name": "a", "http": {"timeout": "2s"}}]})
    assert changed["steps"] == [
        {"name": "a", "http": {"url": "x", "timeout": "2s"}},
        {"think": {"duration": "1s"}},
    ]
    other = {"steps": [{"name": "b", "http": {"url": "y"}}]}
    assert merged(base, other) == other


def test_a_null_in_new_content_is_content() -> None:
    step = {"steps": [{"http": {"url": "x", "json": {"a": None}}}]}
    assert merged({"steps": []}, step) == step


KEYS = st.sampled_from(["scenarios", "thresholds", "steps", "http", "a", "b"])
TREES = st.recursive(
    st.integers() | st.text(max_size=3) | st.booleans(),
    lambda inner: (
        st.lists(
            st.dictionaries(st.sampled_from(["vus", "b"]), inner, max_size=2).flatmap(
                lambda d: st.sampled_from([{"name": "x", **d}, {"name": "y", **d}])
            ),
            max_size=2,
            unique_by=lambda item: item["name"],
        )
        | st.lists(inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=12,
)
MAPS = st.dictionaries(KEYS, TREES, max_size=4)


def named(value: Any) -> bool:
    """Whether no list that merges by name holds something without one."""
    if isinstance(value, dict):
        lists = [v for k, v in value.items() if k in ("scenarios", "thresholds") and isinstance(v, list)]
        fine = all(isinstance(item, dict) and "name" in item for items in lists for item in items)
        return fine and all(named(item) for item in value.values())
    return all(named(item) for item in value) if isinstance(value, list) else True


@given(MAPS, MAPS.filter(named))
def test_applying_a_variant_twice_changes_nothing_more(base: Any, patch: Any) -> None:
    assert merged(base, patch, patch) == merged(base, patch)


@given(MAPS)
def test_an_empty_variant_changes_nothing(base: Any) -> None:
    assert merged(base, {}) == base


@given(MAPS, MAPS, MAPS)
def test_the_last_variant_wins_for_scalars(base: Any, first: Any, second: Any) -> None:
    result = merged(base, first, second)
    for key, value in second.items():
        if not isinstance(value, dict | list):
            assert result[key] == value
    assert set(result) == {*base, *first, *second}


@given(MAPS, MAPS)
def test_merging_leaves_its_sources_alone(base: Any, patch: Any) -> None:
    before = json.dumps([base, patch])
    merged(base, patch)
    assert json.dumps([base, patch]) == before


VARIANTS = """
variants:
  - {name: smoke, spec: {shards: 1, scenarios: [{name: signup, stages: [{duration: 10s, target: 1}]}]}}
  - {name: long, spec: {scenarios: [{name: signup, stages: [{duration: 2h, target: 7}]}]}}
  - {name: wrong, spec: {shards: 0}}
"""


def test_variants_apply_in_the_order_given() -> None:
    text = manifest("shards: 4" + VARIANTS)
    smoke = load(text, variants=("long", "smoke")).model.spec
    assert (smoke.shards, smoke.scenarios[0].stages[0].target) == (1, 1)  # type: ignore[index]
    long = load(text, variants=("smoke", "long")).model.spec
    assert (long.shards, long.scenarios[0].stages[0].target) == (1, 7)  # type: ignore[index]
    assert long.variants == []
    assert "variants" not in load(text).data["spec"]


def test_an_unknown_variant_names_the_nearest() -> None:
    problem = problem_of(manifest(VARIANTS), variants=("smok",))
    assert problem.render().startswith('--variant smok: there is no variant "smok"; did you mean "smoke"?')
    assert problem.hint == "variants of this manifest: long, smoke, wrong"


def test_a_problem_of_a_variant_is_placed_in_the_variant() -> None:
    text, place = marked(manifest(VARIANTS.replace("{shards: 0", "{shards: »0")))
    assert load(text).name == "shop"
    for options in ({"variants": ("wrong",)}, {"all_variants": True}):
        problem = problem_of(text, **options)
        assert (problem.line, problem.column, problem.path) == (*place, "spec.shards")
    assert problem_of(text, all_variants=True).where == "variant wrong"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{»variants: []}", "a variant cannot hold variants"),
        ("{http: {»$patch: delete}}", "$patch can only be delete"),
        ("{scenarios: [{name: signup, »$patch: remove}]}", "$patch can only be delete"),
    ],
)
def test_words_of_variants_in_wrong_places(spec: str, message: str) -> None:
    text, place = marked(manifest(f"variants: [{{name: v, spec: {spec}}}]"))
    problem = problem_of(text, variants=("v",))
    assert (problem.line, problem.column) == place
    assert message in problem.message


def test_thresholds_on_what_a_variant_removed_are_left_out_with_a_warning() -> None:
    spec = """
thresholds:
  - {name: whole, metric: http_req_failed, expression: rate<1%}
  - {metric: "http_req_failed{stage:hold}", expression: rate<1%}
"""
    test = load(manifest(spec + VARIANTS, SCENARIOS), variants=("smoke",))
    assert [threshold.name for threshold in test.model.spec.thresholds] == ["whole"]
    assert test.warnings == (
        "threshold http_req_failed{stage:hold} rate<1% is left out: stage hold is not in this run",
    )


def test_a_tier_that_asks_for_nothing_any_more_is_left_out_with_its_thresholds() -> None:
    spec = """
tiers:
  - name: good
    thresholds: [{metric: http_req_failed, expression: rate<1%}, {metric: "http_reqs{stage:hold}", expression: count>1}]
  - {name: held, group: hold, thresholds: [{metric: "http_req_failed{stage:hold}", expression: rate<1%}]}
"""
    test = load(manifest(spec + VARIANTS, SCENARIOS), variants=("smoke",))
    assert [(tier.name, len(tier.thresholds)) for tier in test.model.spec.tiers] == [("good", 1)]
    assert len(test.warnings) == 2
