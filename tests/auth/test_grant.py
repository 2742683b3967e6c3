"""What is asked of a token server, and what its answers mean."""

import base64
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall_runner.auth import Grant, TokenError, parse_token
from squall_runner.auth.grant import lifetime_left
from squall_runner.http import BodyError, Response, parse_url

ORIGIN, TARGET = parse_url("https://login.example/t?tenant=1")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def answer(body: Any, status: int = 200) -> Response:
    """A response as far as `parse_token` looks at it."""

    def parsed() -> Any:
        if isinstance(body, bytes):
            raise BodyError("decode", "the body is not JSON: no")
        return body

    request = SimpleNamespace(method="POST", url="https://login.example/t")
    seen = SimpleNamespace(
        error="", error_message="", status=status, reason="Said", request=request, json=parsed
    )
    return cast("Response", seen)


@given(TEXT, TEXT)
def test_id_and_secret_survive_the_header(client_id: str, secret: str) -> None:
    head = Grant(ORIGIN, TARGET, client_id, secret).request().headers.decode()
    line = next(line for line in head.split("\r\n") if line.startswith("Authorization: Basic "))
    name, colon, proof = base64.b64decode(line.removeprefix("Authorization: Basic ")).decode().partition(":")
    assert (unquote_plus(name), colon, unquote_plus(proof)) == (client_id, ":", secret)


@given(TEXT, TEXT)
def test_id_and_secret_survive_the_form(client_id: str, secret: str) -> None:
    grant = Grant(ORIGIN, TARGET, client_id, secret, ("a", "b:c"), "shop", "body")
    request = grant.request()
    assert b"Authorization" not in request.headers
    assert isinstance(request.body, bytes)
    assert parse_qs(request.body.decode(), strict_parsing=True) == {
        "grant_type": ["client_credentials"],
        "scope": ["a b:c"],
        "audience": ["shop"],
        "client_id": [client_id],
        "client_secret": [secret],
    }


def test_the_request_is_a_form_to_the_token_endpoint() -> None:
    request = Grant(ORIGIN, TARGET, "a", "b").request()
    assert request.method == "POST"
    assert request.url == "https://login.example/t?tenant=1"
    assert request.body == b"grant_type=client_credentials"
    assert b"\r\nContent-Type: application/x-www-form-urlencoded\r\n" in request.headers
    assert b"\r\nAccept: application/json\r\n" in request.headers


@pytest.mark.parametrize(("expires_in", "lifetime"), [(3600, 3600.0), ("60", 60.0), (1.5, 1.5), (None, None)])
def test_a_token_and_its_lifetime(expires_in: Any, lifetime: float | None) -> None:
    token = parse_token(answer({"access_token": "a.b-c=", "token_type": "BEARER", "expires_in": expires_in}))
    assert (token.value, token.lifetime) == ("a.b-c=", lifetime)
    assert token.line == b"Authorization: Bearer a.b-c=\r\n"


GOOD = {"access_token": "hidden", "token_type": "Bearer"}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ([], "no JSON object"),
        ("hidden", "no JSON object"),
        (b"<html>", "was answered with no token: the body is not JSON"),
        ({}, "no access_token"),
        ({**GOOD, "access_token": ""}, "no access_token"),
        ({**GOOD, "access_token": 7}, "no access_token"),
        ({**GOOD, "access_token": "hidden\r\nX-Evil: 1"}, "no token may have"),
        ({**GOOD, "access_token": "hiddén"}, "no token may have"),
        ({**GOOD, "access_token": "hid den"}, "no token may have"),
        ({"access_token": "hidden"}, "no token_type"),
        ({**GOOD, "token_type": "mac"}, "token_type is 'mac', and only Bearer tokens can be sent"),
        ({**GOOD, "expires_in": "soon"}, "expires_in is no number"),
        ({**GOOD, "expires_in": True}, "expires_in is no number"),
        ({**GOOD, "expires_in": 0}, "expired already"),
        ({**GOOD, "expires_in": -1}, "expired already"),
        ({"error": "invalid_scope"}, "the error invalid_scope, in spite of its status"),
    ],
)
def test_an_answer_that_is_no_token(body: Any, says: str) -> None:
    with pytest.raises(TokenError) as caught:
        parse_token(answer(body))
    assert caught.value.error == "decode"
    assert says in caught.value.message
    assert "hid" not in caught.value.message
    assert caught.value.message.startswith("POST https://login.example/t ")


@pytest.mark.parametrize(
    ("status", "body", "error", "says"),
    [
        (
            400,
            {"error": "invalid_client", "error_description": "who are\r\n\x1b[31myou?"},
            "http_4xx",
            "400 Said: invalid_client (who are [31myou?)",
        ),
        (401, {"error": "invalid_client"}, "http_4xx", "401 Said: invalid_client"),
        (400, {"error": 7}, "http_4xx", "400 Said"),
        (503, b"<html>", "http_5xx", "503 Said"),
        (302, b"", "http_4xx", "302 Said"),
        (204, b"", "http_4xx", "204 Said"),
        (400, {"error": "x" * 1000}, "http_4xx", f"400 Said: {'x' * 200}..."),
    ],
)
def test_a_refusal_is_told_in_the_servers_words(status: int, body: Any, error: str, says: str) -> None:
    with pytest.raises(TokenError) as caught:
        parse_token(answer(body, status))
    assert caught.value.error == error
    assert caught.value.message == f"POST https://login.example/t was answered with {says}"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["access_token", "token_type", "expires_in", "error", "error_description"]),
                inner,
            )
        ),
        max_leaves=8,
    ),
    st.sampled_from([200, 201, 400, 401, 500]),
)
def test_any_answer_is_a_token_or_a_sentence(body: Any, status: int) -> None:
    token, error = None, None
    try:
        token = parse_token(answer(body, status))
    except TokenError as caught:
        error = caught
    if error is not None:
        assert error.error in {"decode", "http_4xx", "http_5xx"}
        assert error.message.isprintable()
        assert len(error.message) < 600
    else:
        assert token is not None
        assert token.line.count(b"\r\n") == 1
        assert token.lifetime is None or token.lifetime > 0


@given(st.floats(0.001, 1e9), st.floats(0, 1e9))
def test_a_token_is_renewed_in_the_second_half_of_its_life(lifetime: float, before: float) -> None:
    left = lifetime_left(lifetime, before)
    assert lifetime / 2 <= left <= lifetime
    assert left == lifetime / 2 or left == lifetime - before
