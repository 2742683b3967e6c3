# ruff: noqa: RUF001 - look-alike characters are what is tested
"""Nothing but plain data comes out of an expression, whatever is written into it, and nothing takes for ever."""

from __future__ import annotations

import ast
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.views import CHECK, View, environment

from squall.expr import (
    EvaluationError,
    ExpressionError,
    compile_expression,
    compile_json,
    compile_pattern,
    compile_template,
)
from squall.expr.limits import MAX_BITS, MAX_DEPTH, MAX_TEXT, MAX_WEIGHT
from squall.expr.parsing import parse
from squall.expr.rewrite import GLOBALS, Rewriter
from squall.expr.source import prepare

ESCAPES = [
    "__import__('os').system('true')",
    "().__class__.__bases__[0].__subclasses__()",
    "''.__class__.__mro__[1]",
    "[].__class__",
    "vu.__class__",
    "token.__class__.__base__",
    "body.__init__.__globals__",
    "len.__globals__",
    "len.__self__",
    "text.format(vu)",
    "'{0.__class__}'.format(vu)",
    "f'{vu.__class__}'",
    "f'{vu!r:{vu}}'",
    "(lambda: 0)()",
    "(lambda: 0).__code__",
    "[x for x in (1,)]",
    "(x for x in (1,)).gi_frame",
    "{x: 1 for x in (1,)}",
    "{*body}",
    "[*body]",
    "len(*body)",
    "len(**body)",
    "{**body}",
    "(y := 5)",
    "await vu",
    "(yield)",
    "globals()",
    "locals()",
    "vars()",
    "dir()",
    "type(vu)",
    "getattr(vu, 'real')",
    "setattr(vu, 'x', 1)",
    "eval('1')",
    "exec('1')",
    "compile('1', '', 'eval')",
    "open('/etc/passwd')",
    "input()",
    "breakpoint()",
    "print(1)",
    "object()",
    "__builtins__",
    "__builtins__['open']",
    "env",
    "response",
    "env['rng']",
    "rng",
    "rng.seed(1)",
    "clock()",
    "evaluate",
    "translate",
    "member(vu, 'x', '')",
    "f_len('x')",
    "Exception",
    "Exception()",
    "to_text",
    "random.__class__",
    "random.seed(1)",
    "random._inst",
    "random['int'](1, 2)",
    "fake.__class__",
    "fake.binary(1000)",
    "fake.json()",
    "fake.unique.email()",
    "fake.add_provider(1)",
    "fake.seed_instance(1)",
    "headers.get('a')",
    "body.keys()",
    "status.__add__(1)",
    "vu if vu else vu.__class__",
    "vu and vu.__class__",
    "(vu, vu.__class__)[1]",
    "{'a': vu.__class__}",
    "len(vu.__class__.__name__)",
    "body[vu.__class__]",
    "body[().__class__:]",
    "b'abc'",
    "1j",
    "...",
    "print",
    "not print",
    "vu @ vu",
    "~vu",
    "vu is vu",
    "{1, 2}",
    "import os",
    "vu; iter",
    "del vu",
    "lambda: (yield)",
    "𝐥𝐞𝐧.__class__",
    "vu.＿_class__",
    "vu.__cl\\\nass__",
    "len(vu).__class__",
    "'a'.__class__",
    "uuid.__globals__",
    "uuid().__class__",
    "json.loads",
    "hmac.digest('a')",
]


@pytest.mark.parametrize("text", ESCAPES)
def test_known_escapes_are_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        compile_expression(text, CHECK)
    with pytest.raises(ExpressionError):
        compile_template("${" + text + "}", CHECK)


@pytest.mark.parametrize(
    "text", ["'{0.__class__}' % vu", "vu.real", "token.upper", "body.nfts.append", "headers.get"]
)
def test_attributes_of_objects_are_never_read(text: str) -> None:
    with pytest.raises(EvaluationError):
        compile_expression(text, CHECK).evaluate(environment(), View())


def test_dunder_keys_of_data_are_data() -> None:
    assert (
        compile_expression("body['__class__']", CHECK).evaluate(environment(), View(text='{"__class__": 1}'))
        == 1
    )


def test_no_python_builtin_is_named() -> None:
    assert GLOBALS["__builtins__"] == {}
    assert not [name for name in ("open", "eval", "exec", "getattr", "type", "print") if name in GLOBALS]


@pytest.mark.parametrize(
    "text",
    [
        "2 ** 1000000",
        "10 ** 10 ** 10",
        "(2 ** 4000) * (2 ** 4000)",
        "1 << 1000000",
        "1 << (1 << 60)",
        "'a' * 100000000",
        "100000000 * 'a'",
        "('a' * 1000000) + ('a' * 1000000)",
        "[" + ", ".join(["'a' * 1000000"] * 3) + "]",
        "replace('a' * 100000, 'a', 'b' * 100000)",
        "join(split('a' * 100000, 'a'), 'b' * 100)",
        "json('\\n' * 1000000)",
        "hex('a' * 600000)",
        "urlencode('ü' * 900000)",
        "base64('a' * 1000000)",
        "(" * 100 + "1" + ")" * 100,
        "-" * 2000 + "1",
        "not " * 1000 + "1",
        "1" + " + 1" * 500,
        "vu" + ".a" * 500,
        "9" * 5000,
        "9" * 4000,
        "0x" + "f" * 3000,
        "9" * 3000 + "s",
        "9" * 3000 + "%",
        "(2 ** 4000) / 1.5 ** 9000",
        "int('f' * 1200, 16) * int('f' * 1200, 16)",
        "round(5, -1000000000)",
        "[1] * 1000000",
    ],
)
def test_unbounded_work_is_refused(text: str) -> None:
    with pytest.raises((ExpressionError, EvaluationError)):
        compile_expression(text, CHECK).evaluate(environment(), View())


@pytest.mark.parametrize(
    ("text", "start"),
    [("x + x", "ab"), ("x * x", 3), ("[x, x]", 1), ("x + x", [1]), ("{'a': x, 'b': x}", 1), ("x * 2", "ab")],
)
def test_growing_from_step_to_step_ends(text: str, start: object) -> None:
    step = compile_expression(text, CHECK.with_names(["x"]))
    env = environment(x=start)
    with pytest.raises(EvaluationError, match=r"longer than|larger than"):  # noqa: PT012 - some round raises
        for _ in range(100):
            env["x"] = step.evaluate(env)


@pytest.mark.parametrize("text", ["[x]", "{'a': x}", "parseJson('[' + json(x) + ']')"])
def test_nesting_from_step_to_step_ends(text: str) -> None:
    step = compile_expression(text, CHECK.with_names(["x"]))
    env = environment(x=1)
    with pytest.raises(EvaluationError, match="nested deeper than 500 levels"):  # noqa: PT012 - some round raises
        for _ in range(MAX_DEPTH + 1):
            env["x"] = step.evaluate(env)


@pytest.mark.parametrize("text", ["${x}${x}", "a${x}b${x}"])
def test_growing_templates_end(text: str) -> None:
    scope = CHECK.with_names(["x"])
    env = environment(x="ab")
    template = compile_template(text, scope)
    with pytest.raises(EvaluationError, match="longer than"):  # noqa: PT012 - some round raises
        for _ in range(100):
            env["x"] = template.render(env)
    body = compile_json({"a": text}, scope)
    with pytest.raises(EvaluationError, match="longer than"):
        body.render(environment(x="ab" * (MAX_TEXT // 2)))


NAMES = [
    "vu",
    "iter",
    "token",
    "status",
    "body",
    "text",
    "headers",
    "var",
    "data",
    "run",
    "true",
    "null",
    "rng",
    "env",
]
ATOMS = [
    *NAMES, "__class__", "_", "len", "int", "str", "json", "parseJson", "join", "split", "replace", "round", "get",
    "min", "sum", "random.int", "random.string", "random.choice", "uuid", "hmac", "lambda", "for", "in", "if", "else",
    "not", "and", "or", "is", "print", "1", "0", "9999999999", "-1", "2s", "10KiB", "50%", "1e308", "'a'", '"b"', "f'{vu}'",
    "b'x'", "'%s'", "(", ")", "[", "]", "{", "}", ",", ":", ".", "+", "-", "*", "**", "/", "//", "%", "<<", ">>", "|",
    "&", "^", "~", "==", "!=", "<", ">=", ":=", "=", "@", "\\", "\n", "#", "ß", "’", "\x00", "\ud800",
]  # fmt: skip
SOUP = st.lists(st.sampled_from(ATOMS), max_size=14).flatmap(
    lambda atoms: st.sampled_from([" ", ""]).map(lambda glue: glue.join(atoms))
)


def leaves(depth: int) -> st.SearchStrategy[str]:
    simple = st.sampled_from(
        [
            "vu",
            "iter",
            "token",
            "body",
            "body.nfts",
            "text",
            "headers",
            "1",
            "0",
            "2s",
            "'ab'",
            "null",
            "[1, 'a']",
            "3.5",
        ]
    )
    if depth == 0:
        return simple
    inner = leaves(depth - 1)
    binary = st.sampled_from(
        ["+", "-", "*", "/", "//", "%", "**", "<<", ">>", "&", "|", "^", "<", "==", "in", "and", "or"]
    )
    call = st.sampled_from(
        ["len", "int", "float", "str", "abs", "min", "max", "sum", "round", "lower", "split", "join", "json", "hex",
         "parseJson", "base64", "base64decode", "urlencode", "sha256", "hmac", "get", "random.int", "random.string",
         "random.choice", "isoTime", "replace", "contains", "bool", "jwt"]
    )  # fmt: skip
    return st.one_of(
        simple,
        st.tuples(inner, binary, inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(call, st.lists(inner, max_size=3)).map(lambda t: f"{t[0]}({', '.join(t[1])})"),
        st.tuples(inner, inner).map(lambda t: f"{t[0]}[{t[1]}]"),
        st.tuples(inner, inner, inner).map(lambda t: f"{t[0]}[{t[1]}:{t[2]}]"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
        st.tuples(inner, inner).map(lambda t: f"{{'k': {t[0]}, {t[1]}: 1}}"),
    )


def plain(value: object, budget: int = 100_000) -> None:
    """Fail on anything but data, and on more of it than the limits allow."""
    stack = [value]
    while stack:
        item = stack.pop()
        budget -= 1
        assert budget > 0
        assert type(item) in (type(None), bool, int, float, str, list, tuple, dict), type(item)
        if isinstance(item, str):
            assert len(item) <= MAX_TEXT
        elif isinstance(item, int):
            assert item.bit_length() <= MAX_BITS
        elif isinstance(item, dict):
            stack += [*item, *item.values()]
        elif isinstance(item, (list, tuple)):
            assert len(item) <= MAX_WEIGHT
            stack += item


def run(text: str) -> None:
    try:
        compiled = compile_expression(text, CHECK)
    except ExpressionError as error:
        assert 0 <= error.offset <= max(len(text), 1)  # noqa: PT017
        return
    try:
        value = compiled.evaluate(environment(), View())
    except EvaluationError:
        return
    plain(value)


@given(st.one_of(SOUP, st.text(max_size=40), st.text(alphabet="()[]{}.,_'\"\\ \nabvu0159%*sm$", max_size=30)))
@example("1_000%")
@example("0x1%")
@example("٣s")
@example("²")
@example("'\ud800'")
@example("1\x0c+1")
@example("vu\u2028+1")
def test_any_text_is_refused_or_harmless(text: str) -> None:
    run(text)


@given(leaves(3))
def test_well_formed_expressions_give_plain_data_or_an_explanation(text: str) -> None:
    run(text)


@given(leaves(2))
def test_only_known_names_and_response_members_remain_after_rewriting(text: str) -> None:
    try:
        source = prepare(text)
        tree = Rewriter(CHECK, source).visit(parse(source)).node
    except ExpressionError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            assert node.id in GLOBALS or node.id in ("env", "response")
        if isinstance(node, ast.Attribute):
            assert isinstance(node.value, ast.Name)
            assert node.value.id == "response"


@given(st.text(alphabet="ab(|)*+?.{}[]\\d^$1,2 ", max_size=14))
def test_accepted_patterns_search_quickly(pattern: str) -> None:
    try:
        compiled = compile_pattern(pattern)
    except ValueError:
        return
    # An exponential search would never come back from these (the test's own time limit would end it).
    for text in ("a" * 300, "ab" * 150, "1" * 300 + "x", "aab " * 80):
        compiled.search(text)


def test_compiling_does_not_touch_the_random_generator() -> None:
    env = environment(rng=random.Random(3))
    compiled = compile_expression("random.int(1, 1000000)", CHECK)
    assert compiled.evaluate(env) == compile_expression("random.int(1, 1000000)", CHECK).evaluate(
        environment(rng=random.Random(3))
    )
