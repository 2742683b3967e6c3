"""What expressions mean, and what a user is told about wrong ones."""

from __future__ import annotations

import pytest
from support.views import CHECK, REQUEST, SCOPE, View, environment

from squall.expr import EvaluationError, ExpressionError, Scope, compile_expression, name_problem


def value(text: str, **env: object) -> object:
    return compile_expression(text, CHECK.with_names(env)).evaluate(environment(**env), View())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("status == 200", True),
        ("200 <= status < 300", True),
        ("duration < 2s", True),
        ("duration < 100ms", False),
        ("duration<250ms or duration>=0.25s", True),
        ("size > 1KiB and size < 1MB", True),
        ("1m30s", 90),
        ("1h2m3s", 3723),
        ("500ms", 0.5),
        ("1.5s", 1.5),
        ("250us", 0.00025),
        ("10KiB", 10240),
        ("2kB", 2000),
        ("50%", 0.5),
        ("1% + 1%", 0.02),
        ("50% < 0.6", True),
        ("10%3", 1),
        ("10 % 3", 1),
        ("iter % 2 == 1", True),
        ("vu%2", 1),
        ("'10KiB 5s 50%'", "10KiB 5s 50%"),
        ("0x1f", 31),
        ("1e3", 1000.0),
        ("len(body.nfts) > 0", True),
        ("body.nfts[1].id", 2),
        ("body['nfts'][-1]['id']", 2),
        ("body.nfts[:1]", [{"id": 1}]),
        ("'token' in body", True),
        ("body.nothing == null", True),
        ("get(body, 'nfts.0.id')", 1),
        ("get(body, 'nfts.9.id', 'none')", "none"),
        ("get(body, 'nfts.x', 5)", 5),
        ("headers['content-type']", "application/json"),
        ("cookies.session", "s1"),
        ("error == ''", True),
        ("status in [200, 201]", True),
        ("status not in (200, 201)", False),
        ("not true", False),
        ("'a' if vu > 2 else 'b'", "a"),
        ("token + '-' + str(vu)", "abc-3"),
        ("'ab' * 2", "abab"),
        ("2 ** 10", 1024),
        ("2 ** -1", 0.5),
        ("7 // 2", 3),
        ("1 << 4 | 1", 17),
        ("[1] + [vu]", [1, 3]),
        ("{'a': vu, 'b': [1, (2, 3)]}", {"a": 3, "b": [1, (2, 3)]}),
        ("run.id + scenario", "r1signup"),
        ("data.users.email", "a@example.com"),
        ('data["users"]["email"]', "a@example.com"),
        ("var.baseUrl", "http://x"),
        ("1 +\n 2", 3),
        (" (\n1\n) ", 1),
    ],
)
def test_value(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "offset", "message", "hint"),
    [
        ("", 0, "empty", ""),
        ("tokn == 1", 0, "there is no 'tokn'", "did you mean 'token'?"),
        ("1 + tokn", 4, "there is no 'tokn'", "'token'"),
        ("'ä' + tokn", 6, "there is no 'tokn'", "'token'"),
        ("1m30s < 5s and tokn", 15, "there is no 'tokn'", "'token'"),
        ("status = 200", 7, "not an expression", "'==' compares"),
        ("vu && iter", 4, "not an expression", "'and'"),
        ("!vu", 0, "not an expression", "'not'"),
        ("vu ? 1 : 2", 3, "not an expression", "if condition else"),
        ("var.baseUri", 0, "no variable 'baseUri'", "'baseUrl'"),
        ("var", 0, "'var' is no value", "var.<name>"),
        ("data.user.email", 0, "no data named 'user'", "'users'"),
        ("data.users.mail", 0, "no column 'mail'", "'email'"),
        ("run.nam", 0, "'run' has no 'nam'", "'name'"),
        ("var.password", 0, "is a secret", "inside requests"),
        ("len", 0, "is a function", "len(value)"),
        ("random.int", 0, "is a function", "random.int()"),
        ("lenn(vu)", 0, "no function 'lenn'", "'len'"),
        ("len(1, 2)", 0, "too many positional", "usage: len(value)"),
        ("fake.emial()", 0, "no function 'fake.emial'", "fake.email"),
        ("text.lower()", 0, "no methods", "lower(text)"),
        ("5parsecs", 1, "'parsecs' is no unit", "KiB"),
        ("1 / 0", 0, "division by zero", ""),
        ("vu is null", 0, "'is' is not allowed", "'=='"),
        ("(1", 2, "'(' is never closed", ""),
        ("1)", 1, "closes nothing", ""),
        ("'abc", 0, "never closed", ""),
        ("1 # one", 2, "'#' has no meaning", ""),
        ("${vu}", 0, "by itself", "leave out"),
        ("matches(text, token)", 0, "must be written as a constant", ""),
        ("matches(text, '[')", 0, "not a regular expression", ""),
        ("formatTime(now(), '%c')", 0, "use only", ""),
    ],
)
def test_wrong_expression_is_explained(text: str, offset: int, message: str, hint: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text, CHECK)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.offset == offset


def test_response_names_need_a_response() -> None:
    with pytest.raises(ExpressionError, match="part of a response"):
        compile_expression("status == 200", SCOPE)


def test_unknown_members_pass_when_the_scope_does_not_know_them() -> None:
    found = compile_expression("var.anything + data.rows.col", Scope())
    assert found.paths == {"var.anything", "data.rows", "data.rows.col"}
    assert found.names == {"var", "data"}


def test_secrets_are_allowed_in_requests_but_not_in_their_checks() -> None:
    assert compile_expression("var.password", REQUEST).evaluate(environment()) == "s3cret"
    for text in ("var.password", "var['password']"):
        with pytest.raises(ExpressionError, match="secret"):
            compile_expression(text, REQUEST.with_response())
    with pytest.raises(ExpressionError):
        compile_expression("var['pass' + 'word']", REQUEST.with_response())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("body.nfts.id", "body.nfts.id: list has no members"),
        ("body.tokn", "body.tokn: there is no 'tokn'"),
        ("body.nfts[5]", "there are only 2 items"),
        ("body.nfts['x']", "has no members"),
        ("body.nothing.x", "null has no members"),
        ("body.token < 5", "'<' not supported between text and number"),
        ("token + 1", "'+' has no meaning between text and number"),
        ("int(token)", "invalid literal"),
        ("token % 5", "'%' has no meaning"),
        ("vu / (vu - 3)", "division by zero"),
        ("random.int(5, vu)", "5 is larger than 3"),
        ("random.choice([token][1:])", "the list is empty"),
    ],
)
def test_failure_at_run_time_is_explained(text: str, message: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        value(text)
    assert message in caught.value.message
    assert text in caught.value.message


def test_name_that_nothing_has_set_yet() -> None:
    env = environment()
    del env["token"]
    with pytest.raises(EvaluationError, match="'token' has no value"):
        compile_expression("token", SCOPE).evaluate(env)


def test_body_that_is_no_json_and_no_response() -> None:
    check = compile_expression("body.x", CHECK)
    with pytest.raises(EvaluationError, match="Expecting value"):
        check.evaluate(environment(), View(text="<html>"))
    with pytest.raises(EvaluationError, match="there is no response"):
        check.evaluate(environment())


def test_nearest_key_of_a_response_is_named() -> None:
    with pytest.raises(EvaluationError) as caught:
        value("body.tokn")
    assert caught.value.hint == "did you mean 'token'?"


@pytest.mark.parametrize(
    "name", ["vu", "var", "status", "body", "rng", "clock", "true", "random", "if", "a-b", "__x", "1a", ""]
)
def test_names_that_cannot_be_given(name: str) -> None:
    assert name_problem(name)


@pytest.mark.parametrize("name", ["token", "userId", "_id", "len", "x1"])
def test_names_that_can_be_given(name: str) -> None:
    assert name_problem(name) == ""
