"""`values.yaml` describes itself: what is read out of its comments, and what is said where one is missing."""

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.manifests import ROOT

from squall.cli.chart import CHART, chart_files
from squall.cli.chartvalues import ValuesError, read, reference, schema

TEXT = """\
# Not about a key.

# -- What holds others.
outer:
  # -- (int >= 1 <= 6) How many.
  count: 2
  inner:
    # -- ("" | "a|b") Which.
    word: ""
# -- ([{string}]) Many (or none).
list: []
"""


def valid(kind: str, value: Any) -> bool:
    """Whether the schema of a key of this type takes a value."""
    made = schema(read(f"# -- ({kind}) It.\nkey: null\n"), {"Named": {"const": "named"}})
    return jsonschema.Draft7Validator(made).is_valid({"key": value})


def test_keys_are_read_with_what_stands_above_them() -> None:
    outer, many = read(TEXT)
    assert (outer.kind, outer.text, many.default, many.text) == (
        "",
        "What holds others.",
        [],
        "Many (or none).",
    )
    count, inner = outer.below
    assert (count.path, count.kind, count.default) == (("outer", "count"), "int >= 1 <= 6", 2)
    assert inner.below[0].kind == '"" | "a|b"'


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        ("string", ["", "x"], [1, None]),
        ("string, not empty", ["x"], ["", 1]),
        ("string /^a+$/", ["aa"], ["", "b"]),
        ("bool", [True], ["true", 1]),
        ("number > 0", [0.1, 3], [0, "1"]),
        ('"a" | "b"', ["a", "b"], ["", "c", None]),
        ("object", [{}, {"x": 1}], [[], "x"]),
        ("[string]", [[], ["x"]], ["x", [1]]),
        ("{string}", [{}, {"x": "y"}], [{"x": 1}, []]),
        ("[int >= 1]", [[1]], [[0], [1.5]]),
        ("Named", ["named"], ["other"]),
    ],
)
def test_a_type_takes_what_it_says(kind: str, right: list[Any], wrong: list[Any]) -> None:
    assert all(valid(kind, value) for value in right)
    assert not any(valid(kind, value) for value in wrong)


@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(-20, 20))
def test_a_number_is_taken_within_its_limits_only(least: int, most: int, value: int) -> None:
    assert valid(f"int >= {least} <= {most}", value) == (least <= value <= most)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("key: 1\n", "key: write what it may be above it"),
        ("# -- It.\nkey: []\n", "key: write what it may be above it"),
        ("outer:\n  key: {}\n", "outer.key: write what it may be above it"),
        ("# -- (text) It.\nkey: 1\n", "key: `text` is no type"),
        ("# -- (int about 3) It.\nkey: 1\n", "key: `about 3` limits nothing"),
        ("# -- ([nothing]) It.\nkey: []\n", "key: `nothing` is no type"),
    ],
)
def test_a_key_that_is_not_described_is_named(text: str, message: str) -> None:
    with pytest.raises(ValuesError, match=message.replace("[", r"\[")):
        schema(read(text), {})


def test_the_page_has_every_key() -> None:
    page = reference(read(TEXT))
    assert "### outer\n\nWhat holds others.\n" in page
    assert '| `outer.inner.word` | "" \\| "a\\|b" | `""` | Which. |' in page
    assert "| `list` | [{string}] | `[]` | Many (or none). |" in page


def test_the_charts_defaults_are_what_its_keys_may_be() -> None:
    import json

    import yaml

    made = json.loads(chart_files()[CHART / "values.schema.json"])
    jsonschema.Draft7Validator.check_schema(made)
    values = yaml.safe_load((ROOT / CHART / "values.yaml").read_text(encoding="utf-8"))
    assert [error.message for error in jsonschema.Draft7Validator(made).iter_errors(values)] == []
