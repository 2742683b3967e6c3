"""Extraction: what is found, what is missing, and how the user learns of it."""

from __future__ import annotations

import json
from typing import Any

import jsonpath
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.views import View

from squall.expr import ExpressionError
from squall_runner.steps.extract import ExtractionError, compile_extractor

BODY = View(
    text=json.dumps(
        {
            "token": "abc",
            "null": None,
            "data": [{"id": 1, "tags": ["a"]}, {"id": 2, "tags": []}],
            "a b": {"c.d": 5},
        }
    ),
    headers={"location": "/x/1", "content-type": "application/json"},
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$.token", "abc"),
        ("$", "everything"),
        ("$.null", None),
        ("$.data[1].id", 2),
        ("$['a b']['c.d']", 5),
        ('$["a b"]["c.d"]', 5),
        ("$.data[-1].id", 2),
        ("$.data[?@.id > 1].id", 2),
        ("$..id", 1),
        ("$.data[*].tags[0]", "a"),
        ("$.data[0:1]", {"id": 1, "tags": ["a"]}),
    ],
)
def test_json_path(path: str, expected: Any) -> None:
    value = compile_extractor("x", json_path=path)(BODY)
    assert value == (BODY.json() if expected == "everything" else expected)


def test_all_matches() -> None:
    assert compile_extractor("x", json_path="$..id", all_matches=True)(BODY) == [1, 2]
    assert compile_extractor("x", json_path="$.token", all_matches=True)(BODY) == ["abc"]
    assert compile_extractor("x", regex=r'"id": (\d)', all_matches=True)(BODY) == ["1", "2"]


@pytest.mark.parametrize(
    "path", ["$.nope", "$.data[7].id", "$.token.x", "$.token[0]", "$.data.id", "$..nope", "$.data[?@.id > 5]"]
)
@pytest.mark.parametrize("every", [False, True])
def test_json_path_that_finds_nothing(path: str, every: bool) -> None:
    with pytest.raises(ExtractionError) as caught:
        compile_extractor("user", json_path=path, all_matches=every)(BODY)
    assert f"extract user: jsonPath {path}: nothing found" in caught.value.message
    assert '"token": "abc"' in caught.value.hint
    assert compile_extractor("user", json_path=path, all_matches=every, default=None)(BODY) is None


KEYS = st.sampled_from(["a", "b", "c d", "_x1"])
TREES = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)


@given(TREES, st.lists(st.one_of(KEYS, st.integers(0, 2)), max_size=4))
def test_plain_paths_find_what_the_library_finds(tree: Any, steps: list[str | int]) -> None:
    path = "$" + "".join(f"[{step!r}]" for step in steps)
    found = jsonpath.findall(path, tree) if isinstance(tree, (dict, list)) else [tree] if not steps else []
    extractor = compile_extractor("x", json_path=path, default="nothing")
    assert extractor(View(text=json.dumps(tree))) == (found[0] if found else "nothing")


@pytest.mark.parametrize("text", ['"abc"', "5", '"$"', '"[1]"'])
def test_a_scalar_body_is_no_document_to_parse_again(text: str) -> None:
    assert compile_extractor("x", json_path="$..*", default="none")(View(text=text)) == "none"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("<html>oops</html>", "<html>oops</html>"), ("", "empty"), ("x" * 5000, "xxx... (5000 characters)")],
)
@pytest.mark.parametrize("path", ["$.token", "$..token"])
def test_body_that_is_not_json(text: str, shown: str, path: str) -> None:
    with pytest.raises(ExtractionError, match="Expecting value") as caught:
        compile_extractor("x", json_path=path)(View(text=text))
    assert caught.value.hint.endswith(shown)
    assert len(caught.value.hint) < 300
    assert compile_extractor("x", json_path=path, default=7)(View(text=text)) == 7


def test_header_and_cookie() -> None:
    assert compile_extractor("x", header="location")(BODY) == "/x/1"
    assert compile_extractor("x", cookie="session")(BODY) == "s1"
    places: list[tuple[dict[str, Any], str]] = [
        ({"header": "nope"}, "location"),
        ({"cookie": "nope"}, "session"),
    ]
    for place, shown in places:
        with pytest.raises(ExtractionError, match="nothing found") as caught:
            compile_extractor("x", **place)(BODY)
        assert shown in caught.value.hint
        assert compile_extractor("x", **place, default="d")(BODY) == "d"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [(r'"token": "([^"]+)"', "abc"), ("tok[a-z]+", "token"), (r'(x)?"token"', "none"), ("nope", "none")],
)
def test_regex(pattern: str, expected: str) -> None:
    assert compile_extractor("x", regex=pattern, default="none")(BODY) == expected


@pytest.mark.parametrize(
    "place",
    [
        {"json_path": "token"},
        {"json_path": "$.["},
        {"json_path": ""},
        {"regex": "("},
        {"regex": "(a+)+$"},
        {},
    ],
)
def test_wrong_places_are_refused_when_compiling(place: dict[str, Any]) -> None:
    with pytest.raises(ExpressionError):
        compile_extractor("x", **place)
