"""The function library: values against the standard's vectors or Python's own, and its catalogue."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import sys
import uuid

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.views import CHECK, View, environment

from squall.expr import EvaluationError, ExpressionError, catalogue, compile_expression, load_libraries
from squall.expr.functions import encoding, fake

SCOPE = CHECK.with_names(["x"])


def call(text: str, x: object = None, seed: int = 1) -> object:
    env = environment(x=x, rng=random.Random(seed))
    return compile_expression(text, SCOPE).evaluate(env, View())


@pytest.mark.parametrize(
    ("text", "x", "expected"),
    [
        ("len(x)", "abc", 3),
        ("int(x)", "42", 42),
        ("int(x, 16)", "0xff", 255),
        ("int(x)", 3.9, 3),
        ("float(x)", "2.5", 2.5),
        ("str(x)", True, "true"),
        ("str(x)", None, "null"),
        ("str(x)", [1, "a"], '[1,"a"]'),
        ("str(x)", 1.5, "1.5"),
        ("bool(x)", "", False),
        ("abs(x)", -3, 3),
        ("min(x)", [3, 1, 2], 1),
        ("max(x, 5, 2)", 1, 5),
        ("sum(x)", [1, 2.5], 3.5),
        ("round(x, 1)", 2.26, 2.3),
        ("round(x)", 2.6, 3),
        ("lower(x)", "AbC", "abc"),
        ("upper(x)", "AbC", "ABC"),
        ("trim(x)", "  a ", "a"),
        ("split(x, ',')", "a,b", ["a", "b"]),
        ("join(x, '-')", [1, "a", None], "1-a-null"),
        ("replace(x, 'a', 'bb')", "aca", "bbcbb"),
        ("contains(x, 'b')", ["a", "b"], True),
        ("startsWith(x, 'ab')", "abc", True),
        ("endsWith(x, 'bc')", "abc", True),
        ("matches(x, '^[a-z]+$')", "abc", True),
        ("matches(x, r'\\d{3}')", "abc", False),
        ("json(x)", {"a": [1, None, 2**70]}, '{"a":[1,null,1180591620717411303424]}'),
        ("parseJson(x)", '{"a": [1]}', {"a": [1]}),
        ("base64(x)", "hällo", base64.b64encode("hällo".encode()).decode()),
        ("base64decode(x)", "aGk", "hi"),
        ("base64decode(x)", "Pz8_", "???"),
        ("urlencode(x)", "a b/ü&", "a%20b%2F%C3%BC%26"),
        ("urldecode(x)", "a%20b%2F", "a b/"),
        ("hex(x)", "hi", "6869"),
        ("hex(x)", 255, "ff"),
        ("sha256(x)", "abc", hashlib.sha256(b"abc").hexdigest()),
        ("sha1(x)", "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ("md5(x)", "abc", "900150983cd24fb0d6963f7d28e17f72"),
        ("sha256(x, 'base64')", "abc", base64.b64encode(hashlib.sha256(b"abc").digest()).decode()),
        # RFC 4231, test case 2.
        (
            "hmac('sha256', 'Jefe', x)",
            "what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        ("now()", None, 1_700_000_000.5),
        ("timestamp()", None, 1_700_000_000_500),
        ("isoTime()", None, "2023-11-14T22:13:20.500Z"),
        ("isoTime(x)", 0, "1970-01-01T00:00:00.000Z"),
        ("formatTime(x, '%Y-%m-%d')", 86400, "1970-01-02"),
    ],
)
def test_function(text: str, x: object, expected: object) -> None:
    assert call(text, x) == expected


@pytest.mark.parametrize(
    ("text", "x", "message"),
    [
        ("min(x)", 5, "expected a list"),
        ("sum(x)", ["a"], "only numbers"),
        ("lower(x)", 5, "expected text, not number"),
        ("join(x)", 5, "expected a list"),
        ("sha256(x, 'hexx')", "a", "encoding is one of"),
        ("hmac(x, 'k', 't')", "crc32", "alg is one of"),
        ("jwt(x, 'k')", 5, "must be a mapping"),
        ("jwt({'a': vu}, 'k', x)", "none", "alg is one of"),
        ("jwt({'a': vu}, 'not a key', x)", "RS256", "does not fit RS256"),
        ("round(x, 1000000000)", 5, "digits"),
        ("int(x)", "9" * 2000, "is no number"),
        ("matches(x, 'a')", "a" * 70_000, "65536 characters at most"),
        ("random.string(x)", 1 << 30, "longer than"),
        ("random.int(1, x)", 2.5, "whole numbers"),
        ("fake.text(x)", 10**9, "between 1 and"),
        ("split(x, '')", "abc", "empty separator"),
    ],
)
def test_function_refuses(text: str, x: object, message: str) -> None:
    with pytest.raises(EvaluationError, match=re.escape(message)):
        call(text, x)


def test_jwt_verifies_with_the_library() -> None:
    token = call("jwt({'sub': x, 'exp': 4000000000}, 'k' * 32)", "ann")
    assert jwt.decode(str(token), "k" * 32, algorithms=["HS256"]) == {"sub": "ann", "exp": 4_000_000_000}


def test_jwt_with_a_short_or_asymmetric_key() -> None:
    assert str(call("jwt({'sub': vu}, 'k')")).count(".") == 2
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    token = call("jwt({'n': 1}, x, alg='ES256')", pem.decode())
    assert jwt.decode(str(token), key.public_key(), algorithms=["ES256"]) == {"n": 1}


def test_random_values_keep_to_their_range() -> None:
    drawn = {call("random.int(1, 3)", seed=seed) for seed in range(50)}
    assert drawn == {1, 2, 3}
    assert all(0 <= float(str(call("random.float()", seed=seed))) < 1 for seed in range(20))
    assert {call("random.choice(['a', 'b'])", seed=seed) for seed in range(20)} == {"a", "b"}
    assert re.fullmatch(r"[A-Za-z0-9]{12}", str(call("random.string(12)")))
    assert re.fullmatch(r"[01]{8}", str(call("random.string(8, '01')")))
    assert 1 <= int(str(call("random.int(1, x)", 2**80))) <= 2**80


def test_uuid_is_of_version_four() -> None:
    for seed in range(20):
        text = str(call("uuid()", seed=seed))
        parsed = uuid.UUID(text)
        assert (parsed.version, parsed.variant, str(parsed)) == (4, uuid.RFC_4122, text)


RANDOM = [
    "random.int(1, 1000000)",
    "random.float()",
    "random.string(9)",
    "uuid()",
    "fake.email()",
    "fake.name()",
]


@pytest.mark.parametrize("text", RANDOM)
def test_the_seed_decides(text: str) -> None:
    assert call(text, seed=5) == call(text, seed=5)
    assert call(text, seed=5) != call(text, seed=6)


def test_catalogue_lists_every_function_once_with_a_line() -> None:
    rows = catalogue()
    names = [row.name for row in rows]
    assert len(names) == len(set(names))
    assert {"len", "hmac", "jwt", "uuid", "now", "random.int", "fake.email", "matches"} <= set(names)
    assert all(row.doc.endswith(".") and "\n" not in row.doc for row in rows)
    assert {row.name: row.usage for row in rows}["jwt"] == "jwt(payload, key, alg='HS256')"
    assert {row.name: row.usage for row in rows}["random.int"] == "random.int(low, high)"
    assert {row.name: row.usage for row in rows}["get"] == "get(value, path, default=null)"


@pytest.mark.parametrize(
    ("text", "module", "message"),
    [("fake.email()", "faker", "Faker"), ("jwt({'a': vu}, 'k')", "jwt", "PyJWT")],
)
def test_a_missing_library_is_told_before_the_load(
    text: str, module: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_libraries()
    fake._generator.cache_clear()
    encoding._signer.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    compiled = compile_expression(text, SCOPE)
    with pytest.raises(EvaluationError, match=f"needs {message}"):
        compiled.evaluate(environment())
    with pytest.raises(EvaluationError, match=f"needs {message}") as caught:
        load_libraries()
    assert "squall[runner]" in caught.value.hint
    monkeypatch.undo()
    compile_expression(text, SCOPE)
    load_libraries()
    assert compiled.evaluate(environment())


FAKES = [row.name for row in catalogue() if row.name.startswith("fake.")]


@pytest.mark.parametrize("name", FAKES)
def test_every_fake_gives_plain_data(name: str) -> None:
    value = call(f"{name}()")
    assert json.loads(json.dumps(value)) == value
    assert value == call(f"{name}()")


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "(a*)*",
        "(a|a)*b",
        "(a|ab)*c",
        r"(\d+)*x",
        "(a?){30}b",
        "(.*a){20}",
        r"(\w+\s?)*$",
        r"a*a*b",
        r"(.)\1",
        "((ab)*c?)*",
        "(x+x+)+y",
        "a" * 2000,
        "(",
    ],
)
def test_dangerous_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(ExpressionError):
        compile_expression(f"matches(text, {pattern!r})", CHECK)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r'name="csrf" value="([^"]+)"', '<input name="csrf" value="x1">'),
        (r"^[\w.]+@([\w-]+\.)+[a-z]{2,4}$", "a.b@mail.example.com"),
        (r"(\d{1,3}\.){3}\d{1,3}", "10.0.0.1"),
        (r'"(?:\\.|[^"\\])*"', '"a\\"b"'),
        (r"(?i)hello\s+world", "Hello  World"),
        (r"^(?:/[a-z]+)*$", "/a/bc/d"),
        (r"a(b|c)?d", "ad"),
        (r"<id>(?P<id>\d+)</id>", "<id>5</id>"),
    ],
)
def test_useful_patterns_pass(pattern: str, text: str) -> None:
    assert call(f"matches(x, {pattern!r})", text) is True
