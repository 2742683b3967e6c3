from __future__ import annotations

import json
from base64 import b64encode
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from squall.spec.secrets import Secrets, shortened

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


@pytest.mark.parametrize("way", WAYS)
@given(
    secret=st.text(st.characters(exclude_categories=["Cs"]), min_size=8, max_size=20),
    where=st.floats(0, 1, exclude_max=True),
)
@example(secret="000.00000000", where=0.0)
@example(secret="😀" * 8, where=0.7)
def test_what_is_left_of_a_secret_where_a_text_was_cut_is_masked(way: str, secret: str, where: float) -> None:
    written = f"<{WAYS[way](secret)}"
    # Fewer than three characters of it may be left. What quotes do to the others only the whole tells.
    least = 1 + len(WAYS[way](secret[:3])) + 3
    most = least + int(where * max(0, len(written) - least))
    text = shortened(written, most)
    assert Secrets({"password": secret}).mask(text) in ("<***...", "<***")
    assert Secrets({"password": secret}).mask(f"{text}, and more") in ("<***..., and more", "<***, and more")


def test_a_text_that_ends_as_a_secret_begins_is_masked_where_that_is_no_chance() -> None:
    hidden = Secrets({"password": "correct horse battery staple"})
    quoted = f"invalid literal: '{'.' * 100}"
    assert hidden.mask(f"{quoted}correct ho") == f"{quoted}***"
    assert hidden.mask(f"{quoted}correct") == f"{quoted}correct"
    assert hidden.mask("that is correct ho") == "that is correct ho"
    assert hidden.mask("correct horses") == "correct horses"
    assert hidden.mask("cor... correct horse ba...") == "***... ***..."


def test_user_and_password_of_basic_authentication_are_hidden_where_they_were_cut() -> None:
    shown = b64encode(b"squall:correct horse battery staple").decode()
    masked = Secrets({"password": "correct horse battery staple"}).mask(shortened(f"Basic {shown}", 40))
    assert masked.endswith("***...")
    assert shown[14:] not in masked
