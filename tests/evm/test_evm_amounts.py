"""Amounts of the native token, exact both ways."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.spec.amounts import amount_wei, native_text


@pytest.mark.parametrize(
    ("amount", "wei"),
    [
        ("0.1", 10**17),
        ("0.1 ether", 10**17),
        ("1", 10**18),
        (0.1, 10**17),
        (1e-7, 10**11),
        ("2 gwei", 2 * 10**9),
        ("2gwei", 2 * 10**9),
        ("0.000000001 gwei", 1),
        ("1000 wei", 1000),
        ("1.0 wei", 1),
        (" 0 ", 0),
        (5, 5),
        ("0.000000000000000001", 1),
        ("0.0000000000000000010", 1),
    ],
)
def test_what_amounts_mean(amount: Any, wei: int) -> None:
    assert amount_wei(amount) == wei


@pytest.mark.parametrize(
    "amount",
    ["", "-1", "1.", ".5", "1,5", "1 eth", "${var.amount}", "1e3", True, -1, -0.5, float("nan"), "0x10"],
)
def test_what_is_no_amount_is_refused(amount: Any) -> None:
    with pytest.raises(ValueError, match="write"):
        amount_wei(amount)


@pytest.mark.parametrize("amount", ["0.0000000000000000001", "0.5 wei", "0.0000000001 gwei"])
def test_what_is_finer_than_a_wei_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match="finer than a wei"):
        amount_wei(amount)


@given(st.integers(0, 2**256))
def test_an_amount_that_is_shown_can_be_written(wei: int) -> None:
    assert amount_wei(native_text(wei)) == amount_wei(f"{native_text(wei)} ether") == wei
    assert native_text(-wei) == ("-" if wei else "") + native_text(wei)


@pytest.mark.parametrize(
    ("wei", "text"), [(0, "0"), (1, "0.000000000000000001"), (10**17, "0.1"), (10**20, "100")]
)
def test_amounts_are_shown_as_short_as_can_be(wei: int, text: str) -> None:
    assert native_text(wei) == text
