"""Signed transactions, byte by byte as EIP-155 shows them and as eth-account makes them."""

from __future__ import annotations

from typing import Any

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st
from support.ethaccount import Account

from squall_runner.evm.signing.keys import ORDER, Key
from squall_runner.evm.signing.transactions import Signed, Transaction, sign

EXAMPLE = Key(b"\x46" * 32)


def edges(bits: int) -> st.SearchStrategy[int]:
    """Numbers of up to so many bits, those at which an encoding changes among them."""
    most = 2**bits - 1
    around = [edge for power in range(0, bits, 8) for edge in (2**power - 1, 2**power)]
    return st.sampled_from([0, 0x7F, 0x80, most, *(edge for edge in around if edge <= most)]) | st.integers(
        0, most
    )


secrets = st.integers(1, ORDER - 1).map(lambda number: number.to_bytes(32, "big"))
addresses = st.binary(min_size=20, max_size=20) | st.just(bytes(20))
calldata = st.binary(max_size=80) | st.sampled_from([0, 1, 54, 55, 56, 255, 256, 70_000]).map(bytes)
slots = st.lists(st.binary(min_size=32, max_size=32), max_size=3).map(tuple)
access_lists = st.lists(st.tuples(addresses, slots), max_size=3).map(tuple)
transactions = st.builds(
    Transaction,
    chain_id=st.integers(1, 2**32),
    nonce=edges(64),
    to=st.none() | addresses,
    value=edges(256),
    data=calldata,
    gas=edges(64),
    max_fee=edges(64),
    priority_fee=edges(64),
    access_list=access_lists,
)


def theirs(transaction: Transaction, secret: bytes) -> Signed:
    fields: dict[str, Any] = {
        "chainId": transaction.chain_id,
        "nonce": transaction.nonce,
        "to": transaction.to or b"",
        "value": transaction.value,
        "data": transaction.data,
        "gas": transaction.gas,
    }
    if transaction.legacy:
        fields["gasPrice"] = transaction.max_fee
    else:
        access = [
            {"address": "0x" + address.hex(), "storageKeys": ["0x" + slot.hex() for slot in keys]}
            for address, keys in transaction.access_list
        ]
        fields |= {"type": 2, "maxFeePerGas": transaction.max_fee, "accessList": access}
        fields["maxPriorityFeePerGas"] = transaction.priority_fee
    signed = Account.from_key(secret).sign_transaction(fields)
    return Signed(bytes(signed.raw_transaction), "0x" + bytes(signed.hash).hex())


@given(transactions, secrets)
def test_a_transaction_of_type_2_is_eth_accounts_byte_by_byte(
    transaction: Transaction, secret: bytes
) -> None:
    assert sign(transaction, Key(secret)) == theirs(transaction, secret)


@given(transactions, secrets)
def test_a_legacy_transaction_is_eth_accounts_byte_by_byte(transaction: Transaction, secret: bytes) -> None:
    legacy = Transaction(
        transaction.chain_id,
        transaction.nonce,
        transaction.to,
        transaction.value,
        transaction.data,
        transaction.gas,
        transaction.max_fee,
        legacy=True,
    )
    assert sign(legacy, Key(secret)) == theirs(legacy, secret)


def test_signatures_with_leading_zeros_are_written_without_them() -> None:
    """r or s is shorter than 32 bytes once in 128 transactions, so among these there are some, always the same ones."""
    short = 0
    for nonce in range(600):
        transaction = Transaction(1, nonce, bytes(20), 0, b"", 21000, 10**9)
        signed = sign(transaction, EXAMPLE)
        *_, r, s = rlp.decode(signed.raw[1:])
        if len(r) + len(s) < 64:
            short += 1
            assert signed == theirs(transaction, b"\x46" * 32)
    assert short


def test_the_example_of_eip_155() -> None:
    transaction = Transaction(1, 9, b"\x35" * 20, 10**18, b"", 21000, 20 * 10**9, legacy=True)
    assert sign(transaction, EXAMPLE).hex == (
        "0xf86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080"
        "25a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276"
        "a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83"
    )


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(OverflowError):
        sign(Transaction(1, 0, bytes(20), -1, b"", 21000, 1), EXAMPLE)
