"""Signed messages beside the example of EIP-712 and beside eth-account."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ethaccount import Account, encode_defunct, encode_typed_data

from squall_runner.evm.contracts.abi import AbiError
from squall_runner.evm.signing.hexes import to_hex
from squall_runner.evm.signing.keccak import keccak256
from squall_runner.evm.signing.keys import Key, WrongKeyError
from squall_runner.evm.signing.messages import personal_digest, recover, sign_message, typed_data_digest
from squall_runner.evm.signing.typeddata import type_text

SECRET = b"\x46" * 32
KEY = Key(SECRET)

# https://eips.ethereum.org/EIPS/eip-712, its example "Mail", signed with the key keccak256("cow")
DOMAIN = {
    "name": "Ether Mail",
    "version": "1",
    "chainId": 1,
    "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC",
}
TYPES = {
    "Person": [{"name": "name", "type": "string"}, {"name": "wallet", "type": "address"}],
    "Mail": [
        {"name": "from", "type": "Person"},
        {"name": "to", "type": "Person"},
        {"name": "contents", "type": "string"},
    ],
}
MAIL = {
    "from": {"name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"},
    "to": {"name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB"},
    "contents": "Hello, Bob!",
}


@given(st.text() | st.binary())
def test_personal_messages_are_eth_accounts(message: str | bytes) -> None:
    whole = encode_defunct(message) if isinstance(message, bytes) else encode_defunct(text=message)
    theirs = Account.sign_message(whole, SECRET)
    signature = sign_message(KEY, personal_digest(message))
    assert signature == to_hex(bytes(theirs.signature))
    assert recover(personal_digest(message), signature) == KEY.address


def test_the_example_of_eip_712() -> None:
    assert (
        type_text("Mail", TYPES)
        == "Mail(Person from,Person to,string contents)Person(string name,address wallet)"
    )
    digest = typed_data_digest(DOMAIN, TYPES, MAIL)
    assert digest.hex() == "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"
    assert sign_message(Key(keccak256(b"cow")), digest) == (
        "0x4355c47d63924e8a72e509b65029052eb6c299d53a04e167c5775fd466751c9d"
        "07299936d304c153f6443dfa05f40ff007d72911b6f72307f996231605b915621c"
    )


words = st.text(max_size=20)
numbers = st.integers(-(2**31), 2**31 - 1)
orders = st.fixed_dictionaries(
    {
        "id": st.integers(0, 2**256 - 1),
        "delta": numbers,
        "open": st.booleans(),
        "mark": st.binary(min_size=4, max_size=4).map(to_hex),
        "data": st.binary(max_size=40).map(to_hex),
        "tags": st.lists(words, max_size=3),
        "grid": st.lists(st.lists(numbers, min_size=2, max_size=2), max_size=3),
        "parts": st.lists(
            st.fixed_dictionaries({"name": words, "owner": st.just("0x" + "ab" * 20)}), max_size=3
        ),
    }
)
ORDER_TYPES = {
    "Order": [
        {"name": "id", "type": "uint256"},
        {"name": "delta", "type": "int32"},
        {"name": "open", "type": "bool"},
        {"name": "mark", "type": "bytes4"},
        {"name": "data", "type": "bytes"},
        {"name": "tags", "type": "string[]"},
        {"name": "grid", "type": "int32[2][]"},
        {"name": "parts", "type": "Part[]"},
    ],
    "Part": [{"name": "name", "type": "string"}, {"name": "owner", "type": "address"}],
}


@given(
    orders,
    st.fixed_dictionaries({}, optional={"name": words, "version": words, "chainId": st.integers(0, 2**64)}),
)
def test_typed_data_is_eth_accounts(order: dict[str, Any], domain: dict[str, Any]) -> None:
    theirs = Account.sign_message(encode_typed_data(domain, ORDER_TYPES, order), SECRET)
    assert typed_data_digest(domain, ORDER_TYPES, order, "Order") == bytes(theirs.message_hash)


def test_a_domain_may_have_a_type_of_its_own() -> None:
    types = TYPES | {
        "EIP712Domain": [
            {"name": "name", "type": "string"},
            {"name": "version", "type": "string"},
            {"name": "chainId", "type": "uint256"},
            {"name": "verifyingContract", "type": "address"},
        ]
    }
    assert typed_data_digest(DOMAIN, types, MAIL) == typed_data_digest(DOMAIN, TYPES, MAIL)


@pytest.mark.parametrize(
    ("domain", "types", "message", "said"),
    [
        (DOMAIN, TYPES, MAIL | {"contents": 5}, r"Mail.contents \(string\) is 5"),
        (DOMAIN, TYPES, MAIL | {"to": {"name": "Bob"}}, r"Mail.to \(Person\) has no wallet"),
        (DOMAIN, TYPES, MAIL | {"cc": "Eve"}, r"Mail \(Mail\) has an unknown cc"),
        (DOMAIN, TYPES, MAIL | {"from": "Cow"}, r"Mail.from \(Person\) is 'Cow'"),
        (DOMAIN | {"chain": 1}, TYPES, MAIL, "the domain has an unknown chain"),
        ("Ether Mail", TYPES, MAIL, "the domain is 'Ether Mail'"),
        (DOMAIN, {}, MAIL, "the types are {}"),
        (DOMAIN, {"Mail": [{"name": "contents"}]}, MAIL, "the type 'Mail' is "),
        (DOMAIN, {"Mail": "string"}, MAIL, "the type 'Mail' is 'string'"),
        (DOMAIN, TYPES | {"Other": []}, MAIL, "the types have 2 that no other one holds"),
        (DOMAIN, {"Mail": [{"name": "a", "type": "Nobody"}]}, {"a": 1}, "'Nobody' is not a type"),
        (DOMAIN, {"Mail": [{"name": "a", "type": "uint8[2]"}]}, {"a": [1]}, r"Mail.a \(uint8\[2\]\)"),
        (DOMAIN, {"Mail": [{"name": "a", "type": "uint8[x]"}]}, {"a": [1]}, "Mail.a has the type"),
        (DOMAIN, {"Mail": [{"name": "a", "type": "uint8"}]}, {"a": 256}, r"Mail.a \(uint8\) is 256"),
    ],
)
def test_wrong_typed_data_says_what_is_wrong(
    domain: dict[str, Any], types: dict[str, Any], message: dict[str, Any], said: str
) -> None:
    with pytest.raises(AbiError, match=said) as caught:
        typed_data_digest(domain, types, message)
    assert caught.value.hint


def test_who_signed_is_found_with_any_v_and_refused_otherwise() -> None:
    digest = personal_digest("hello")
    signature = bytes.fromhex(sign_message(KEY, digest)[2:])
    assert recover(digest, signature[:64] + bytes([signature[64] - 27])) == KEY.address
    assert recover(personal_digest("other"), signature) != KEY.address
    for wrong in (
        b"",
        signature[:64],
        signature + b"\0",
        signature[:64] + b"\x02",
        bytes(64) + b"\x1b",
        "0xzz",
    ):
        with pytest.raises(WrongKeyError, match="signature"):
            recover(digest, wrong)
