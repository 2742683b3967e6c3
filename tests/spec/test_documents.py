"""YAML as text: what it means, where things stand, and that no text does harm."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.problems import manifest, marked, problem_of, problems_of

from squall.spec.document import MAX_DEPTH, MAX_MANIFEST_BYTES, read_documents
from squall.spec.printing import to_yaml
from squall.spec.tree import origin_of, plain
from squall.validation import ManifestError, Options, load_text


def value(text: str) -> object:
    documents, problems = read_documents(text, "f.yaml")
    assert not problems
    return plain(documents[0].root)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("1:30", "1:30"),
        ("on", "on"),
        ("yes", "yes"),
        ("No", "No"),
        ("y", "y"),
        ("2024-01-01", "2024-01-01"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("1_000", 1000),
        ("0644", 0o644),
        ("0o17", 15),
        ("0x1F", 31),
        ("-5", -5),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("1e999", "1e999"),
        ("9" * 50, "9" * 50),
        ("1.2.3", "1.2.3"),
        ("'5'", "5"),
        ("!!str 5", "5"),
        ("!!float 5", 5.0),
    ],
)
def test_plain_scalars(text: str, meaning: object) -> None:
    assert value(f"a: {text}") == {"a": meaning}
    assert type(value(f"a: {text}")["a"]) is type(meaning)  # type: ignore[index]


def test_json_is_yaml() -> None:
    data = {"a": [1, 2.5, None, True, {"b": "x: y"}], "c": "\t"}
    assert value(json.dumps(data)) == data
    assert value(json.dumps(data, indent="\t")) == data


def test_merge_keys_and_aliases() -> None:
    text = "base: &b {a: 1, c: [2]}\nmore:\n  <<: *b\n  a: 5\nagain: *b"
    assert value(text) == {
        "base": {"a": 1, "c": [2]},
        "more": {"a": 5, "c": [2]},
        "again": {"a": 1, "c": [2]},
    }


def test_positions_of_keys_and_values() -> None:
    root = read_documents("a:\n  b: [x,\n    {c: d}]\n", "f.yaml")[0][0].root
    places = [
        (o.line, o.column) for o in (origin_of(root, ("a", "b", 1, "c")), origin_of(root, ("a", "b", 1)))
    ]
    assert places == [(3, 9), (3, 5)]
    assert origin_of(root, ("a", "b", 1, "c"), key=True).column == 6
    assert origin_of(root, ("a", "nothing")).line == 1


def test_several_documents_and_empty_ones() -> None:
    documents, problems = read_documents("---\na: 1\n---\n# nothing\n---\nb: 2\n---\n", "f.yaml")
    assert [plain(document.root) for document in documents] == [{"a": 1}, {"b": 2}]
    assert not problems


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("a:\n»\t- b\n", "a tab is used for indentation", "replace the tab"),
        ("a: b»: c\n", 'a ": " stands where none can', "quote a value that holds a colon"),
        (
            "key:value\nfoo»: 1\n",
            'a ": " stands where none can',
            "a missing space after a colon in the line above",
        ),
        ("a: »'x\nb: 1\n", "a quotation mark is not closed", "close it"),
        ("a: »@x\n", "a value cannot begin with @", "in quotes"),
        ("a: »[1, 2\n", "a list in [ ] is not closed", "close it with ]"),
        ("a: »{b: 1\n", "a mapping in { } is not closed", "close it with }"),
        ("a:\n  b: 1\n »c: 2\n", "does not fit in with the lines above", "indent"),
        ("- a\n»b: 1\n", "a list ends here", "- "),
        ('a: "»\\d"\n', "a backslash in double quotes", "single quotes"),
        ("a: »\x07\n", "control character U+0007", "remove it"),
        ("a: »*x\n", "there is no anchor &x above", "define it"),
        ("a: &x [1, »*x]\n", "the alias *x contains itself", "write out"),
        ("a: 1\nb: 2\n»a: 3\n", 'the key "a" stands here twice; the first is in line 1', "keep one"),
        ("a: »!!python/object:os.system {}\n", "means nothing here", "leave the tag out"),
        ("? »[1]\n: 2\n", "a key has to be text", "key: value"),
        ("»", "the file is empty", "apiVersion"),
        ("»# only a comment\n", "the file is empty", "apiVersion"),
    ],
)
def test_text_that_is_no_yaml(text: str, message: str, hint: str) -> None:
    text, place = marked(text)
    _, problems = read_documents(text, "f.yaml")
    assert len(problems) == 1
    problem = problems[0]
    assert (problem.line, problem.column) == place
    assert message in problem.message
    assert hint in problem.hint


def test_an_alias_bomb_is_refused_before_it_is_built() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 40)]
    problem = problem_of("\n".join(lines))
    assert "aliases expand to more than 100,000 values" in problem.message
    assert "alias bomb" in problem.hint
    assert problem.line == 5


@pytest.mark.parametrize("text", ["[" * 5000, "{a: " * 5000, "- " * 5000])
def test_nesting_is_bounded(text: str) -> None:
    assert problem_of(text).message == f"nested deeper than {MAX_DEPTH} levels"


def test_aliases_cannot_get_around_the_bound_on_nesting() -> None:
    lines = ["a0: &a0 [x]", *(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 80))]
    assert "nested deeper" in problem_of("\n".join(lines)).message


def test_a_manifest_that_is_too_large_says_why() -> None:
    problem = problem_of(manifest(f"files: [{{name: a, inline: {'x' * MAX_MANIFEST_BYTES}}}]"))
    assert (problem.line, problem.column) == (1, 1)
    assert "at most 128 KiB are possible" in problem.message
    assert "annotations keep a copy" in problem.message
    assert "spec.files with path" in problem.hint


def test_size_is_counted_for_each_document() -> None:
    filler = "x" * (MAX_MANIFEST_BYTES // 2)
    one = manifest(f"files: [{{name: a, inline: {filler}}}]")
    texts = "---\n".join(one.replace("shop", f"shop-{i}") for i in range(4))
    assert len(load_text(texts)) == 4


TEXTS = st.text(st.characters(codec="utf-8"), max_size=200)
YAMLISH = st.lists(
    st.sampled_from(
        [
            "a: ",
            "- ",
            "\n",
            "  ",
            "[",
            "]",
            "{",
            "}",
            "&x ",
            "*x ",
            "!t ",
            "'",
            '"',
            "|\n",
            "---\n",
            "<<: ",
            "? ",
            "#",
            "\t",
            "1",
            "${var.x}",
        ]
    ),
    max_size=40,
).map("".join)


@given(TEXTS | YAMLISH)
@example("\ud800")
@example("%YAML 9.9\n---\na")
@settings(max_examples=300)
def test_any_text_is_read_or_refused(text: str) -> None:
    documents, problems = read_documents(text, "f.yaml")
    for document in documents:
        plain(document.root)
    for problem in problems:
        assert problem.line >= 1
        assert problem.column >= 1


HEADED = YAMLISH.map(
    lambda text: "apiVersion: squall.dev/v1alpha1\nkind: LoadTest\nmetadata: {name: a}\nspec:\n  " + text
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "scenarios",
                    "name",
                    "steps",
                    "http",
                    "url",
                    "stages",
                    "variables",
                    "value",
                    "if",
                    "then",
                    "set",
                    "checks",
                    "thresholds",
                    "metric",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


def refusal(text: str, options: Options) -> ManifestError | None:
    try:
        load_text(text, options)
    except ManifestError as error:
        return error
    return None


@given(TEXTS | YAMLISH | HEADED)
@settings(max_examples=200)
def test_any_manifest_raises_nothing_but_a_manifest_error(text: str) -> None:
    refused = refusal(text, Options(all_variants=True))
    assert refused is None or (refused.problems and refused.exit_code == 104)


@given(JSON, st.sampled_from(["LoadTest", "LoadTestSchedule", "LoadTestPolicy"]))
@settings(max_examples=200)
def test_any_spec_raises_nothing_but_a_manifest_error(spec: object, kind: str) -> None:
    document = {"apiVersion": "squall.dev/v1alpha1", "kind": kind, "metadata": {"name": "a"}, "spec": spec}
    refused = refusal(json.dumps(document), Options(all_variants=True, vus=3, time_scale=0.5))
    assert refused is None or refused.problems


@given(
    st.dictionaries(
        st.text(max_size=6),
        st.text(max_size=12) | st.integers() | st.booleans() | st.none() | st.lists(st.text(max_size=5)),
        max_size=5,
    )
)
@settings(max_examples=200)
def test_what_is_printed_reads_back_the_same(data: dict[str, object]) -> None:
    text = to_yaml([data])
    documents, problems = read_documents(text, "f.yaml")
    assert not problems
    assert (plain(documents[0].root) if documents else {}) == data
    assert yaml.safe_load(text) == data


def test_problems_of_all_documents_come_together() -> None:
    broken = manifest("shards: 0") + "---\n" + manifest("http: {x: 1}").replace("shop", "shop2")
    assert [problem.path for problem in problems_of(broken)] == ["spec.shards", "spec.http.x"]
