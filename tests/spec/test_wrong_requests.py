"""Requests that could never be sent, and steps at any depth: told before the run, each mistake of a text, with what to write."""

from __future__ import annotations

import pytest
from support.problems import SCENARIOS, load, manifest, marked, problem_of, problems_of

STEPS = "scenarios: [{{name: a, executor: constant-vus, vus: 1, duration: 1m, steps: [{}]}}]"
GET = "http: {url: http://h/}"

# spec, step, path below the step or the spec, a part of the message, a part of the hint; » marks the place
CASES = {
    "a header with a space": (
        "http: {headers: {»Content Type: a}}",
        GET,
        "spec.http.headers",
        '"Content Type" is not a header name',
        "as in Content-Type",
    ),
    "a header that is not ASCII": (
        "",
        "http: {url: http://h/, headers: {»Höhe: a}}",
        "steps[0].http.headers",
        "is not a header name",
        "letters",
    ),
    "a header that follows from the body": (
        "",
        "http: {url: http://h/, headers: {»content-length: '3'}}",
        "steps[0].http.headers",
        "follows from the body",
        "leave it out",
    ),
    "a header of two lines": (
        "",
        'http: {url: http://h/, headers: {X-A: »"a\\nX-B: b"}}',
        "steps[0].http.headers.X-A",
        "holds a line break",
        "one line",
    ),
    "a header of a poll": (
        "",
        "poll: {until: 'true', http: {url: http://h/, headers: {»a b: c}}}",
        "steps[0].poll.http.headers",
        "is not a header name",
        "letters",
    ),
    "no time to connect": (
        "http: {connectTimeout: »0s}",
        GET,
        "spec.http.connectTimeout",
        "cannot be 0",
        "1s",
    ),
    "no time for requests": ("http: {timeout: »0s}", GET, "spec.http.timeout", "cannot be 0", "1s"),
    "no time for a request": (
        "",
        "http: {url: http://h/, timeout: »0ms}",
        "steps[0].http.timeout",
        "cannot be 0",
        "1s",
    ),
    "a port that no host has": (
        "",
        "http: {url: »'http://h:99999/x'}",
        "steps[0].http.url",
        '"h:99999" is neither',
        "65535",
    ),
    "no host": ("", "http: {url: »'http:///x'}", "steps[0].http.url", "has no host", "http://shop.example"),
    "a base URL without a host": (
        "http: {baseUrl: »'http://:80'}",
        "http: {url: /}",
        "spec.http.baseUrl",
        "neither a host",
        "http://shop",
    ),
    "no regular expression": (
        "",
        "{" + GET + ", extract: {token: {regex: »'(('}}}",
        "steps[0].extract.token.regex",
        "not a regular expression: missing )",
        "",
    ),
    "a regular expression that may take for ever": (
        "",
        "{" + GET + ", extract: {token: {regex: »'(a+)+$'}}}",
        "steps[0].extract.token.regex",
        "may take exponential time",
        "",
    ),
    "a query that ends too early": (
        "",
        "{" + GET + ", extract: {token: {jsonPath: »'$..['}}}",
        "steps[0].extract.token.jsonPath",
        '"$..[" is not a JSONPath: unexpected end of query',
        "$.token",
    ),
    "a pause as k6 writes it": (
        "",
        "think: »1s",
        "steps[0].think",
        "needs a mapping",
        "write {duration: 1s}",
    ),
    "a lone URL": ("", "http: »http://h/", "steps[0].http", "needs a mapping", 'write {url: "http://h/"}'),
    "a misspelt kind within a step": (
        "",
        "group: {steps: [{»htp: {url: http://h/}}]}",
        "steps[0].group.steps[0].htp",
        'unknown key "htp"; did you mean "http"?',
        "valid here: check",
    ),
    "a step of two kinds, two levels down": (
        "",
        "group: {steps: [{group: {steps: [{http: {url: http://h/}, »think: {duration: 1s}}]}}]}",
        "steps[0].group.steps[0].group.steps[0].think",
        "has http and think, but can have only one of them",
        "keep one of",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_can_never_be_sent_is_told_before_the_run(name: str) -> None:
    spec, step, path, message, hint = CASES[name]
    text, place = marked(manifest(spec, STEPS.format(step if step.startswith("{") else "{" + step + "}")))
    problem = problem_of(text)
    assert (problem.line, problem.column) == place
    assert path in problem.path
    assert message in problem.message
    assert "\n" not in problem.message
    assert hint in problem.hint


@pytest.mark.parametrize(
    "url",
    ["http://${host}:80/", "http://h:${port}/x", "http://[::1]:8080/", "https://h?a=b", "http://h:65535#x"],
)
def test_urls_that_may_be_right_are_taken(url: str) -> None:
    first = "{set: {host: h, port: 80}}, "
    step = f"{{http: {{url: '{url}', headers: {{'X-${{host}}': a, X_1: 'b c'}}}}}}"
    load(manifest("", STEPS.format(first + step)))


def test_every_mistake_of_a_text_is_told() -> None:
    scenarios = SCENARIOS.replace(
        '"http://127.0.0.1/join"', '"http://h/${one}/${var.two}/${data.three.x}/${one}"'
    )
    told = {problem.message for problem in problems_of(manifest("", scenarios))}
    assert told == {
        "there is no 'one' here",
        'there is no variable "two"',
        "there is no data named 'three'",
    }


def test_every_mistake_of_a_body_is_told() -> None:
    step = "{http: {method: POST, url: http://h/, json: {a: '${one} ${two}', '${three}': 1}}}"
    told = {problem.message for problem in problems_of(manifest("", STEPS.format(step)))}
    assert told == {f"there is no '{name}' here" for name in ("one", "two", "three")}


@pytest.mark.parametrize(
    ("function", "args", "message", "hint"),
    [
        ("sign(vu, *, text)", "»txt: 1", "sign has no argument txt", "it takes text"),
        ("sign(vu)", "»text: 1", "sign has no argument text", "none but the VU"),
        ("sign(vu, text, more, last=1)", "text: 1", "sign needs more", "write args: {more: ...}"),
        ("sign(vu, *, text, last=1)", "", "sign needs text", "args"),
    ],
)
def test_arguments_that_a_function_does_not_take_or_lacks(
    function: str, args: str, message: str, hint: str
) -> None:
    text = _calls(function, args if "»" in args else args + "»")
    problem = problem_of(marked(text)[0])
    if "»" in args:
        assert (problem.line, problem.column) == marked(text)[1]
    assert message in problem.message
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("function", "args"),
    [
        ("sign(vu, text)", "text: 1"),
        ("sign(vu, text=1, *, more=2)", ""),
        ("sign(vu, **given)", "text: 1"),
        ("sign(*both, text)", "text: 1"),
    ],
)
def test_arguments_that_a_function_takes(function: str, args: str) -> None:
    load(_calls(function, args))


def _calls(function: str, args: str) -> str:
    code = f"async def {function}: return {{}}"
    step = f"{{python: {{file: a.py, function: sign, args: {{{args}}}}}}}"
    return manifest(f'files: [{{name: a.py, inline: "{code}"}}]', STEPS.format(step))
