"""Hexadecimal text of JSON-RPC, and Keccak-256 itself."""

from __future__ import annotations

import pytest
from Crypto.Hash import keccak
from hypothesis import given
from hypothesis import strategies as st

from squall_runner.evm.signing.hexes import from_hex, from_quantity, quantity, to_hex
from squall_runner.evm.signing.keccak import keccak256


@given(st.binary())
def test_bytes_come_back(data: bytes) -> None:
    assert from_hex(to_hex(data)) == from_hex(data.hex()) == from_hex(to_hex(data).upper()) == data


@given(st.integers(0, 2**256))
def test_numbers_come_back(number: int) -> None:
    assert from_quantity(quantity(number)) == from_quantity("0x00" + quantity(number)[2:]) == number


@pytest.mark.parametrize("text", ["0", "0x1", "0xzz", "12 34", "1_1_", "0x0x12", "\u0661\u0661"])
def test_what_is_no_hexadecimal_text_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"it is not hexadecimal text with two digits for each byte$"):
        from_hex(text)


@pytest.mark.parametrize("text", ["", "0x", "12", "0xg", "0x1_0", "-0x1", "0x 1"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a number as JSON-RPC writes it"):
        from_quantity(text)


@given(st.binary(max_size=300))
def test_keccak_is_that_of_another_library(data: bytes) -> None:
    assert keccak256(data) == keccak.new(digest_bits=256, data=data).digest()
