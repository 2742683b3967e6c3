"""Encryption as users of a data network do it before they upload: with what their wallet signs, a password, or for somebody's key.

All three end in AES-256-GCM under a key from HKDF-SHA256 (RFC 5869) and differ in where that key comes from:

    signature   what a wallet signs with `personal_sign` over a fixed text; it is always the same, so nothing has to be stored
    password    PBKDF2-HMAC-SHA256 (RFC 8018)
    public key  ECDH on secp256k1 between a key made for this one message and the receiver's

An envelope tells how it was made, so that who opens it needs nothing but the secret:

    "SQ", version (1), way (1, 2 or 3) | password: 4 bytes of rounds; public key: 65 bytes of the sender's key
    | 16 bytes of salt | 12 bytes of nonce | ciphertext and 16 bytes of tag

Everything before the ciphertext is authenticated with it: an envelope of which any bit has changed is refused.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from squall.errors import SquallError
from squall_runner.evm.signing.keys import ORDER, Key
from squall_runner.evm.signing.messages import personal_digest, sign_message

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS: Final = 10_000
"""Rounds of PBKDF2 unless others are given. Few on purpose, some 3 ms of the generator's time: what is protected is made up. Who measures a
system that takes more (600,000 is usual for real secrets) gives as many."""
_MOST_ROUNDS: Final = 2_000_000

_SIGNATURE: Final = b"SQ\x01\x01"
_PASSWORD: Final = b"SQ\x01\x02"
_PUBLIC_KEY: Final = b"SQ\x01\x03"
_MARK: Final = 4
_SALT: Final = 16
_NONCE: Final = 12
_TAG: Final = 16
_POINT: Final = 65
_COUNT: Final = 4


class EncryptionError(SquallError):
    """Something cannot be encrypted or decrypted as asked."""


def wallet_signature(key: Key, text: str) -> bytes:
    """The 65 bytes that a wallet signs for a text with `personal_sign`; the same each time (RFC 6979)."""
    return bytes.fromhex(sign_message(key, personal_digest(text))[2:])


def encrypt_with_signature(
    plaintext: bytes, signature: bytes, *, random: Callable[[int], bytes] = os.urandom
) -> bytes:
    """Encrypt with what a wallet signed.

    Args:
        plaintext: What to encrypt.
        signature: 65 bytes, as of `wallet_signature`.
        random: Gives so many random bytes.

    Raises:
        EncryptionError: The signature has another length.
    """
    return _sealed(_SIGNATURE, _checked(signature), plaintext, random)


def decrypt_with_signature(envelope: bytes, signature: bytes) -> bytes:
    """What was encrypted with that signature. Raises EncryptionError when it was not, or has been changed."""
    _expect(envelope, _SIGNATURE, _MARK)
    return _opened(envelope, _MARK, _checked(signature))


def encrypt_with_password(
    plaintext: bytes, password: str, *, rounds: int = ROUNDS, random: Callable[[int], bytes] = os.urandom
) -> bytes:
    """Encrypt with a password.

    Args:
        plaintext: What to encrypt.
        password: Any text but an empty one.
        rounds: Of PBKDF2, 1 to 2,000,000.
        random: Gives so many random bytes.

    Raises:
        EncryptionError: The password is empty, or the rounds are too few or too many.
    """
    if not 1 <= rounds <= _MOST_ROUNDS:
        raise EncryptionError(f"a password cannot take {rounds} rounds", f"write 1 to {_MOST_ROUNDS}")
    salt = random(_SALT)
    return _sealed(
        _PASSWORD + rounds.to_bytes(_COUNT, "big"),
        _stretched(password, salt, rounds),
        plaintext,
        random,
        salt,
    )


def decrypt_with_password(envelope: bytes, password: str) -> bytes:
    """What was encrypted with that password. Raises EncryptionError when it was not, or has been changed."""
    start = _MARK + _COUNT
    _expect(envelope, _PASSWORD, start)
    rounds = int.from_bytes(envelope[_MARK:start], "big")
    if not 1 <= rounds <= _MOST_ROUNDS:
        raise _refused()
    return _opened(envelope, start, _stretched(password, envelope[start : start + _SALT], rounds))


def encrypt_for(plaintext: bytes, public_key: bytes, *, random: Callable[[int], bytes] = os.urandom) -> bytes:
    """Encrypt so that only the owner of a key of secp256k1 can read it.

    Args:
        plaintext: What to encrypt.
        public_key: The receiver's, compressed (33 bytes) or not (65).
        random: Gives so many random bytes.

    Raises:
        WrongKeyError: `public_key` is none.
    """
    sender = Key((int.from_bytes(random(32), "big") % (ORDER - 1) + 1).to_bytes(32, "big"))
    return _sealed(_PUBLIC_KEY + sender.public_key, sender.shared_secret(public_key), plaintext, random)


def decrypt_with_key(envelope: bytes, key: Key) -> bytes:
    """What was encrypted for that key. Raises EncryptionError when it was not, or has been changed."""
    start = _MARK + _POINT
    _expect(envelope, _PUBLIC_KEY, start)
    try:
        shared = key.shared_secret(envelope[_MARK:start])
    except SquallError:
        raise _refused() from None
    return _opened(envelope, start, shared)


def _sealed(
    head: bytes, secret: bytes, plaintext: bytes, random: Callable[[int], bytes], salt: bytes | None = None
) -> bytes:
    head += salt or random(_SALT)
    nonce = random(_NONCE)
    return head + nonce + AESGCM(_key(secret, head)).encrypt(nonce, plaintext, head + nonce)


def _opened(envelope: bytes, start: int, secret: bytes) -> bytes:
    after_salt = start + _SALT
    after_nonce = after_salt + _NONCE
    cipher = AESGCM(_key(secret, envelope[:after_salt]))
    try:
        return cipher.decrypt(
            envelope[after_salt:after_nonce], envelope[after_nonce:], envelope[:after_nonce]
        )
    except InvalidTag:
        raise _refused() from None


def _key(secret: bytes, head: bytes) -> bytes:
    """The key of AES; what it is derived for says by which way it came about."""
    return HKDF(SHA256(), length=32, salt=head[-_SALT:], info=b"squall/encryption/" + head[:_MARK]).derive(
        secret
    )


def _expect(envelope: bytes, mark: bytes, start: int) -> None:
    if envelope[:_MARK] != mark or len(envelope) < start + _SALT + _NONCE + _TAG:
        raise EncryptionError(
            "this is not an envelope that was encrypted in this way",
            "decrypt with the same way (signature, password, key) as it was encrypted, and give it as bytes",
        )


def _refused() -> EncryptionError:
    return EncryptionError(
        "it cannot be decrypted",
        "either the wallet, password or key is another one, or the envelope has been changed",
    )


def _checked(signature: bytes) -> bytes:
    if len(signature) != 65:
        raise EncryptionError(
            f"a signature of {len(signature)} bytes was given", "give the 65 bytes that a wallet signed"
        )
    return signature


def _stretched(password: str, salt: bytes, rounds: int) -> bytes:
    if not password:
        raise EncryptionError("the password is empty", "give one")
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
