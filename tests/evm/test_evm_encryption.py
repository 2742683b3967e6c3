"""Envelopes open for whom they are meant, and for nobody once a byte of them has changed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall_runner.evm.signing.encryption import (
    EncryptionError,
    decrypt_with_key,
    decrypt_with_password,
    decrypt_with_signature,
    encrypt_for,
    encrypt_with_password,
    encrypt_with_signature,
    wallet_signature,
)
from squall_runner.evm.signing.keys import WrongKeyError, wallet_key

KEY, OTHER = wallet_key(b"seed", 1), wallet_key(b"seed", 2)
TEXT = "Sign this to unlock the data that you stored"
SIGNATURE = wallet_signature(KEY, TEXT)
DATA = b"what a user has"

Way = tuple[Callable[[bytes], bytes], Callable[[bytes], bytes], Callable[[bytes], bytes]]
WAYS: dict[str, Way] = {
    "signature": (
        lambda data: encrypt_with_signature(data, SIGNATURE),
        lambda envelope: decrypt_with_signature(envelope, SIGNATURE),
        lambda envelope: decrypt_with_signature(envelope, wallet_signature(OTHER, TEXT)),
    ),
    "password": (
        lambda data: encrypt_with_password(data, "secret", rounds=3),
        lambda envelope: decrypt_with_password(envelope, "secret"),
        lambda envelope: decrypt_with_password(envelope, "Secret"),
    ),
    "key": (
        lambda data: encrypt_for(data, KEY.public_key),
        lambda envelope: decrypt_with_key(envelope, KEY),
        lambda envelope: decrypt_with_key(envelope, OTHER),
    ),
}
ways = pytest.mark.parametrize("way", WAYS)


@ways
@given(data=st.binary(max_size=300))
def test_what_was_encrypted_comes_back(way: str, data: bytes) -> None:
    encrypt, decrypt, _ = WAYS[way]
    envelope = encrypt(data)
    assert decrypt(envelope) == data
    assert encrypt(data) != envelope


@ways
def test_another_wallet_password_or_key_is_refused(way: str) -> None:
    encrypt, _, decrypt_with_another = WAYS[way]
    with pytest.raises(EncryptionError, match="cannot be decrypted"):
        decrypt_with_another(encrypt(DATA))


@ways
def test_an_envelope_is_refused_when_any_byte_has_changed(way: str) -> None:
    encrypt, decrypt, _ = WAYS[way]
    envelope = encrypt(DATA)
    for position in range(len(envelope)):
        for flipped in (0x01, 0x80):
            changed = bytearray(envelope)
            changed[position] ^= flipped
            with pytest.raises(EncryptionError):
                decrypt(bytes(changed))


@ways
def test_an_envelope_is_refused_when_it_is_cut_or_has_grown(way: str) -> None:
    encrypt, decrypt, _ = WAYS[way]
    envelope = encrypt(DATA)
    for size in range(len(envelope)):
        with pytest.raises(EncryptionError):
            decrypt(envelope[:size])
    with pytest.raises(EncryptionError):
        decrypt(envelope + b"\0")


@ways
def test_an_envelope_of_another_way_is_refused(way: str) -> None:
    for other in WAYS.keys() - {way}:
        with pytest.raises(EncryptionError, match="in this way"):
            WAYS[way][1](WAYS[other][0](DATA))


def test_the_form_of_envelopes_stays() -> None:
    """Were it to change, what runs before had stored could not be read: seeded, they are always these bytes."""
    assert (
        encrypt_with_signature(b"x", SIGNATURE, random=Random(1).randbytes).hex()
        == "53510101f5b165224a58b791df6af1d8303e61cdc4bb86c3d1c427103c344c4196bae90a60d2e6240ee647252c9fbfbfc0"
    )
    assert (
        encrypt_with_password(b"x", "pw", rounds=2, random=Random(1).randbytes).hex()
        == "5351010200000002f5b165224a58b791df6af1d8303e61cdc4bb86c3d1c427103c344c41746e3fca71beba8de3aa366b8355bc61d3"
    )
    assert (
        encrypt_for(b"x", KEY.public_key, random=Random(1).randbytes).hex()
        == "53510103049c8c082430be4c27c3180f84d0d629c2af974f26d0dd3f4004ba83b646921abda38bf719b41619b4ae63a7b8c8249f167304ef157a0f680978a142af8a0fe4e07bd5d47e446fcec2a3d811736110e5781bcccea696762e6116c6e9c9e72f58cf4504976781e013eed7bb847b64"
    )


def test_another_text_gives_another_key() -> None:
    envelope = encrypt_with_signature(DATA, wallet_signature(KEY, "a text"))
    assert decrypt_with_signature(envelope, wallet_signature(KEY, "a text")) == DATA
    with pytest.raises(EncryptionError):
        decrypt_with_signature(envelope, SIGNATURE)


def test_a_compressed_public_key_will_do() -> None:
    whole = KEY.public_key
    compressed = bytes([2 + whole[64] % 2]) + whole[1:33]
    assert decrypt_with_key(encrypt_for(DATA, compressed), KEY) == DATA


def test_what_cannot_be_a_secret_is_refused() -> None:
    with pytest.raises(EncryptionError, match="64 bytes"):
        encrypt_with_signature(DATA, SIGNATURE[:64])
    with pytest.raises(EncryptionError, match="empty"):
        encrypt_with_password(DATA, "")
    with pytest.raises(EncryptionError, match="0 rounds"):
        encrypt_with_password(DATA, "secret", rounds=0)
    with pytest.raises(WrongKeyError, match="public key"):
        encrypt_for(DATA, b"\x02" * 20)
