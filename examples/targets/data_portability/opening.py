"""Personal servers: each user has one, with a key of its own, and it can open the files that the user has shared with it.

What users encrypt is opened here, so a load test that encrypts wrongly, uploads half, or grants the wrong key is told so.

A file is in an envelope whose key follows from what the owner's wallet has signed; that signature, as the text `0x...`, is what
the permission holds, in an envelope that only the personal server opens, in base64. Both are AES-256-GCM:

    "SQ", version 1, way | way 3: 65 bytes, public key of the sender | salt, 16 bytes | nonce, 12 bytes | ciphertext and tag

and everything before the ciphertext is authenticated. The key of AES is HKDF-SHA256 of a secret, with the salt, and with
"squall/encryption/" and the first four bytes as the context. The secret is the signature (way 1), or what the ECDH of
libsecp256k1 makes of the sender's key and the personal server's (way 3).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

import aiohttp
from coincurve import PrivateKey
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from data_portability.limits import RefusedError
from data_portability.storage import Storage

SIGNED, FOR_A_KEY = b"SQ\x01\x01", b"SQ\x01\x03"
POINT, SALT, NONCE = 65, 16, 12
TRIES = 3


class CannotOpenError(ValueError):
    """An envelope is none, or is meant for somebody else."""


@dataclass(frozen=True, slots=True)
class PersonalServers:
    """The personal servers of all users.

    Args:
        seed: Makes their keys.
        storage: Where the files are.
        session: For fetching them.
    """

    seed: str
    storage: Storage
    session: aiohttp.ClientSession

    def public_key(self, owner: str) -> str:
        """The public key of an owner's server (secp256k1, compressed), as `0x...`."""
        return "0x" + self._key(owner).public_key.format(compressed=True).hex()

    async def opened(self, owner: str, url: str, key: str) -> dict[str, Any]:
        """The data in a file.

        Args:
            owner: The address of the user.
            url: Where the file is, such as `s3://bucket/name`.
            key: What the permission holds.

        Raises:
            RefusedError: The file is not there, or cannot be opened.
        """
        content = await self._fetched(url)
        try:
            signature = open_for(self._key(owner), base64.b64decode(key, validate=True)).decode()
            loaded = json.loads(open_signed(bytes.fromhex(signature.removeprefix("0x")), content))
        except ValueError as error:
            raise RefusedError(422, f"the file cannot be opened: {error}", code="CannotOpen") from error
        if not isinstance(loaded, dict):
            raise RefusedError(422, "the file holds no JSON object", code="CannotOpen")
        return loaded

    def _key(self, owner: str) -> PrivateKey:
        return PrivateKey(hmac.digest(self.seed.encode(), owner.lower().encode(), hashlib.sha256))

    async def _fetched(self, url: str) -> bytes:
        bucket, _, name = url.removeprefix("s3://").partition("/")
        accounts = {each.bucket: each for each in self.storage.accounts.values()}
        if bucket not in accounts:
            raise RefusedError(422, f"{url} is in no bucket of the network", code="NoSuchObject")
        for _ in range(TRIES):
            async with self.session.get(self.storage.url(accounts[bucket], "GET", name)) as answer:
                if answer.status == 200:
                    return await answer.read()
                if answer.status < 500:
                    raise RefusedError(422, f"{url} is not in storage", code="NoSuchObject")
        raise RefusedError(502, "storage does not answer", retry_after=1.0)


def open_signed(signature: bytes, envelope: bytes) -> bytes:
    """What is in an envelope that a wallet's signature opens. Raises CannotOpenError."""
    if envelope[:4] != SIGNED:
        raise CannotOpenError("it is no envelope that a signature opens")
    return _opened(signature, envelope, 4)


def open_for(key: PrivateKey, envelope: bytes) -> bytes:
    """What is in an envelope that was made for a key. Raises CannotOpenError."""
    sender = envelope[4 : 4 + POINT]
    if envelope[:4] != FOR_A_KEY or len(sender) != POINT:
        raise CannotOpenError("the permission's key is no envelope for a personal server")
    return _opened(key.ecdh(sender), envelope, 4 + POINT)


def _opened(secret: bytes, envelope: bytes, start: int) -> bytes:
    salt_end, nonce_end = start + SALT, start + SALT + NONCE
    context = b"squall/encryption/" + envelope[:4]
    key = HKDF(SHA256(), length=32, salt=envelope[start:salt_end], info=context).derive(secret)
    try:
        return AESGCM(key).decrypt(envelope[salt_end:nonce_end], envelope[nonce_end:], envelope[:nonce_end])
    except InvalidTag:
        raise CannotOpenError("the key is another one, or the envelope has been changed") from None
