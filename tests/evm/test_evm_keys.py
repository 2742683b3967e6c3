"""Keys: derived the same everywhere, never shown, and signing as the standards say."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ethaccount import Account

from squall.errors import InfrastructureError
from squall.spec import eip55
from squall_runner.evm.signing import keys
from squall_runner.evm.signing.keys import (
    ORDER,
    Key,
    WrongKeyError,
    checksummed,
    funder_key,
    mistyped,
    parse_key,
    verify_crypto,
    wallet_key,
)

SEED = b"a seed of these tests"
secrets = st.integers(1, ORDER - 1).map(lambda number: number.to_bytes(32, "big"))

# https://eips.ethereum.org/EIPS/eip-55#test-cases
CHECKSUMMED = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


@pytest.mark.parametrize("address", CHECKSUMMED)
def test_the_capitals_of_eip_55(address: str) -> None:
    assert checksummed(bytes.fromhex(address[2:])) == address


@given(st.binary(min_size=20, max_size=20), st.integers(0, 39))
def test_manifests_are_checked_for_the_same_capitals(address: bytes, place: int) -> None:
    right = checksummed(address)
    assert eip55.checksummed(right.lower()) == right
    wrong = right[: 2 + place] + right[2 + place :].swapcase()
    for text in (right, right.lower(), f"0x{right[2:].upper()}", wrong):
        assert (
            eip55.mistyped(text)
            == mistyped(text, address)
            == (text == wrong and checksum_shows(right, wrong))
        )


def checksum_shows(right: str, wrong: str) -> bool:
    """Whether an address is written neither right nor in letters of one case."""
    return wrong != right and wrong[2:] not in {wrong[2:].lower(), wrong[2:].upper()}


@given(secrets, st.binary(min_size=32, max_size=32))
def test_address_and_signature_are_eth_accounts(secret: bytes, digest: bytes) -> None:
    key, account = Key(secret), Account.from_key(secret)
    theirs = account.unsafe_sign_hash(digest)
    assert key.address == account.address
    assert key.sign(digest) == (theirs.v - 27, theirs.r, theirs.s)
    assert key.sign(digest)[2] <= ORDER // 2
    assert keys.recovered_address(digest, key.sign_compact(digest)) == key.address_bytes


def test_wallets_are_those_of_any_run_with_this_seed() -> None:
    """Were these to change, the money of wallets that were funded before would be lost."""
    assert wallet_key(SEED, 0).address == "0x432f36E095EEd87ecD539253D6e5E4f8ceEf6F98"
    assert wallet_key(SEED, 12_499).address == "0xD2CeCFfce1121982Dbaa05D5883322b046812c61"
    assert funder_key(SEED, 0).address == "0x70B9096D886393F6342C90E2Fa517389F91609f3"


def test_wallets_and_funders_are_all_different() -> None:
    addresses = {wallet_key(SEED, index).address for index in range(200)}
    addresses |= {funder_key(SEED, shard).address for shard in range(200)}
    addresses.add(wallet_key(SEED + b"!", 0).address)
    assert len(addresses) == 401


def test_an_empty_seed_is_refused() -> None:
    with pytest.raises(WrongKeyError, match="empty"):
        wallet_key(b"", 0)


@pytest.mark.parametrize("text", ["46" * 32, "0x" + "46" * 32, f"  0x{'46' * 32}\n"])
def test_a_key_is_read_from_hexadecimal_digits(text: str) -> None:
    assert parse_key(text).address == "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F"


@pytest.mark.parametrize(
    "text",
    ["", "0x", "46" * 31, "46" * 33, "00" * 32, f"{ORDER:064x}", "ff" * 32, "4_" * 32, "zz" * 32, "4" * 63],
)
def test_what_is_no_key_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(WrongKeyError) as caught:
        parse_key(text)
    assert not text.strip("0x") or text not in f"{caught.value} {caught.value.hint}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_key_shows_its_address_only() -> None:
    key = Key(b"\x46" * 32)
    assert repr(key) == str(key) == "Key(0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F)"
    assert not hasattr(key, "__dict__")
    for way in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not written"):
            way(key)


def test_two_keys_have_one_secret_in_common() -> None:
    one, other = wallet_key(SEED, 1), wallet_key(SEED, 2)
    assert one.shared_secret(other.public_key) == other.shared_secret(one.public_key)
    with pytest.raises(WrongKeyError, match="public key"):
        one.shared_secret(b"\x04" + b"\x01" * 64)


def test_a_broken_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    verify_crypto()
    monkeypatch.setattr(keys, "keccak256", lambda data: bytes(32))
    with pytest.raises(InfrastructureError, match="wrong results"):
        verify_crypto()
