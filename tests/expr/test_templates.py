"""Templates and JSON bodies: what is constant stays as it is, what is inserted is escaped."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.views import CHECK, REQUEST, SCOPE, View, environment

from squall.expr import CLOCK, RNG, EvaluationError, ExpressionError, Scope, compile_json, compile_template

X = REQUEST.with_names(["x", "y"])


def render(text: str, **env: Any) -> str:
    return compile_template(text, X).render(environment(**env))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("test${vu}_${iter}@example.com", "test3_7@example.com"),
        ("${var.baseUrl}/a", "http://x/a"),
        ("a$${vu}b", "a${vu}b"),
        ("$$", "$$"),
        ("$5 {x}", "$5 {x}"),
        ("$$${vu}", "$${vu}"),
        ("$${${vu}}", "${3}"),
        ("${'}'}", "}"),
        ("${ {'a': 1}['a'] }", "1"),
        ("${get({'a': 5}, 'a')}${vu}", "53"),
        ("${x}", "null"),
        ("${x == null}", "true"),
        ("-${[1, 'a']}-", '-[1,"a"]-'),
        ("${1.5}", "1.5"),
        ("${'${vu}'}", "${vu}"),
        ("", ""),
    ],
)
def test_rendering(text: str, expected: str) -> None:
    assert render(text, x=None) == expected


@given(st.text(max_size=60).filter(lambda text: "${" not in text))
def test_text_without_expressions_is_constant(text: str) -> None:
    template = compile_template(text, SCOPE)
    assert template.constant == template.render({}) == template.value({}) == text
    assert not template.names


@given(st.text(max_size=40))
def test_escaped_text_is_literal(text: str) -> None:
    escaped = text.replace("${", "$${")
    assert compile_template(escaped, SCOPE).constant == text


@given(
    st.lists(
        st.one_of(st.text(max_size=10).filter(lambda text: "$" not in text), st.integers(-9, 9)), max_size=8
    )
)
def test_literals_and_expressions_are_joined_in_order(parts: list[str | int]) -> None:
    text = "".join(part if isinstance(part, str) else "${x + " + f"({part})" + "}" for part in parts)
    assert render(text, x=100) == "".join(
        part if isinstance(part, str) else str(100 + part) for part in parts
    )


def test_constant_expressions_are_folded() -> None:
    assert compile_template("a${1 + 1}b${lower('X')}", SCOPE).constant == "a2bx"
    only = compile_template("${50%}", SCOPE)
    assert (only.constant, only.value({})) == ("0.5", 0.5)


def test_a_single_expression_keeps_its_type() -> None:
    template = compile_template("${x}", X)
    for value in (5, 1.5, None, True, "a", [1], {"a": 1}):
        assert template.value(environment(x=value)) is value
    assert compile_template(" ${x}", X).value(environment(x=5)) == " 5"


def test_names_and_paths() -> None:
    template = compile_template("${vu}${var.baseUrl}${data.users.email}${token}", SCOPE)
    assert template.names == {"vu", "var", "data", "token"}
    assert template.paths == {"var.baseUrl", "data.users", "data.users.email"}
    assert template.constant is None


def test_response_in_a_template() -> None:
    assert compile_template("${status}:${body.token}", CHECK).render(environment(), View()) == "200:abc"


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("ab${tokn}", 4, "there is no 'tokn'"),
        ("${vu}-${ tokn}", 9, "there is no 'tokn'"),
        ("a${vu", 1, "never closed"),
        ("a${}", 1, "is empty"),
        ("a${ }", 1, "is empty"),
        ("a${'x}", 3, "never closed"),
        ("a${vu +}", 7, "not an expression"),
    ],
)
def test_wrong_template_is_explained(text: str, offset: int, message: str) -> None:
    with pytest.raises(ExpressionError, match=message) as caught:
        compile_template(text, SCOPE)
    assert caught.value.offset == offset


def test_failing_template_names_itself() -> None:
    with pytest.raises(EvaluationError, match=r"in `a\$\{x.b\}`: x.b: null has no members"):
        render("a${x.b}", x=None)


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=12,
)


def escaped(tree: Any) -> Any:
    """The tree in which no text is a template."""
    if isinstance(tree, str):
        return tree.replace("${", "$${")
    if isinstance(tree, list):
        return [escaped(item) for item in tree]
    if isinstance(tree, dict):
        return {escaped(key): escaped(item) for key, item in tree.items()}
    return tree


@given(JSON)
def test_constant_json_is_what_json_reads_back(tree: Any) -> None:
    template = compile_json(escaped(tree), SCOPE)
    assert template.constant is not None
    assert template.render({}) is template.constant
    assert json.loads(template.constant) == tree


@given(JSON, st.text(), st.one_of(st.integers(), st.text(), JSON))
def test_inserted_values_equal_the_substituted_tree(tree: Any, text: str, value: Any) -> None:
    template = compile_json(
        {
            "fixed": escaped(tree),
            "inside": 'a"${x}\n${vu}ü',
            "whole": "${y}",
            "list": ["${vu}", "${x}"],
            "k${x}": 1,
        },
        X,
    )
    expected = {"fixed": tree, "inside": f'a"{text}\n3ü', "whole": value, "list": [3, text], f"k{text}": 1}
    rendered = template.render(environment(x=text, y=value))
    assert json.loads(rendered) == json.loads(json.dumps(expected))
    assert template.constant is None
    assert template.names == {"x", "y", "vu"}


def test_numbers_stay_numbers() -> None:
    body = compile_json(
        {"n": "${iter}", "s": "n${iter}", "c": "${1 + 1}", "f": "${1 / 4}", "b": "${vu > 1}"}, SCOPE
    )
    assert body.render(environment()) == b'{"n":7,"s":"n7","c":2,"f":0.25,"b":true}'


def test_wrong_json_names_the_path() -> None:
    with pytest.raises(ExpressionError, match="no 'tokn'") as caught:
        compile_json({"a": [1, {"b": "x${tokn}"}]}, SCOPE)
    assert caught.value.path == ("a", 1, "b")
    assert caught.value.offset == 3
    with pytest.raises(ExpressionError, match="no 'tokn'") as caught:
        compile_json({"${tokn}": 1}, SCOPE)
    assert caught.value.path == ("${tokn}",)


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(ExpressionError, match="not a JSON value"):
        compile_json({"a": {1, 2}}, SCOPE)
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    with pytest.raises(ExpressionError, match="nested deeper"):
        compile_json(deep, SCOPE)
    with pytest.raises(ExpressionError, match="UTF-8"):
        compile_json("\ud800", SCOPE)
    with pytest.raises(EvaluationError, match="UTF-8"):
        compile_json("a${x}", X).render(environment(x="\ud800"))


@pytest.mark.parametrize(
    ("text", "uses"),
    [("${random.int(1, 9)}", RNG), ("${uuid()}", RNG), ("${now()}", CLOCK), ("${sha256('a')}", None)],
)
def test_what_differs_from_call_to_call_is_no_constant(text, uses):
    found = compile_template(text, Scope())
    assert found.names == ({uses} if uses else set())
    assert compile_json({"a": text}, Scope()).names == found.names
