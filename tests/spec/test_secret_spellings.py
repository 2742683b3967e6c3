from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from squall.spec.secrets import Secrets

WAYS = {
    "plain": str,
    "quoted": lambda text: quote(text, safe=""),
    "partly quoted": lambda text: quote(text, safe="/&=+"),
    "lower-case hex": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "form": quote_plus,
    "json": lambda text: json.dumps(text)[1:-1],
    "json of letters": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "bytes": lambda text: repr(text.encode())[2:-1],
}


@pytest.mark.parametrize("way", WAYS)
@given(secret=st.text(st.characters(exclude_categories=["Cs"]), min_size=3, max_size=12))
@example(secret='p/"w" höhe&\\n')
@example(secret="😀\n\t'")
def test_a_secret_is_masked_however_it_is_written(way: str, secret: str) -> None:
    assert Secrets({"password": secret}).mask(f"<{WAYS[way](secret)}>") == "<***>"


def test_of_two_secrets_the_longer_is_masked_whole() -> None:
    assert Secrets({"a": "abc", "b": "abcdef"}).mask("abcdef abc abcd") == "*** *** ***d"


def test_what_is_too_short_to_be_one_masks_nothing() -> None:
    assert Secrets({"a": "ab", "b": ""}).mask("ab") == "ab"
    assert Secrets().mask("anything") == "anything"
