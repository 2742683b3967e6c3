"""Keys of accounts: where a run's wallets come from, and signing with them.

A wallet is a pure function of the run's seed and its number, so nothing has to be stored to find the money again, and every runner
knows its own wallets without being told. Signing is libsecp256k1's through coincurve: nonces by RFC 6979, s always the lower one.
A key is never shown: not by `repr`, not in a message of an error.
"""

from __future__ import annotations

import hmac
from typing import Final

from coincurve import PrivateKey, PublicKey

from squall.errors import InfrastructureError, SquallError
from squall_runner.evm.signing.hexes import from_hex
from squall_runner.evm.signing.keccak import keccak256

ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of the group of secp256k1 (SEC 2, section 2.4.1); secrets are 1 to one less."""

# The example of EIP-155: key, hash that is signed, and the signature over it.
_KNOWN_SECRET: Final = b"\x46" * 32
_KNOWN_ADDRESS: Final = "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F"
_KNOWN_DIGEST: Final = bytes.fromhex("daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53")
_KNOWN_SIGNATURE: Final = bytes.fromhex(
    "28ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa63627667cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d8300"
)


class WrongKeyError(SquallError):
    """A key or seed cannot be used; the message says why and never repeats it."""


class Key:
    """A private key and the address of its account.

    Args:
        secret: 32 bytes, big-endian, from 1 to the group's order less one.

    Raises:
        WrongKeyError: `secret` is none.
    """

    __slots__ = ("_private", "address", "address_bytes")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != 32 or not 0 < int.from_bytes(secret, "big") < ORDER:
            raise WrongKeyError(
                "a private key is not one of secp256k1",
                "write 32 bytes, as 64 hexadecimal digits, below the curve's order",
            )
        self._private = PrivateKey(secret)
        self.address_bytes = _address_of(self._private.public_key)
        """The 20 bytes of the address."""
        self.address = checksummed(self.address_bytes)
        """The address with the capitals of EIP-55."""

    def sign(self, digest: bytes) -> tuple[int, int, int]:
        """Sign a hash of 32 bytes: parity of y (0 or 1), r, s."""
        signature = self.sign_compact(digest)
        return signature[64], int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")

    def sign_compact(self, digest: bytes) -> bytes:
        """Sign a hash of 32 bytes: r and s with 32 bytes each, then one for the parity of y."""
        return self._private.sign_recoverable(digest, hasher=None)

    @property
    def public_key(self) -> bytes:
        """The uncompressed public key, 65 bytes that begin with 4."""
        return self._private.public_key.format(compressed=False)

    def shared_secret(self, public_key: bytes) -> bytes:
        """What this key and another one have in common: SHA-256 over the compressed point, as libsecp256k1's ECDH gives it.

        Args:
            public_key: Of the other one, compressed or not.

        Raises:
            WrongKeyError: `public_key` is none.
        """
        try:
            return self._private.ecdh(public_key)
        except ValueError:
            raise WrongKeyError("a public key is not a point of secp256k1", _PUBLIC_HINT) from None

    def __repr__(self) -> str:
        return f"Key({self.address})"

    def __reduce__(self) -> str:
        raise TypeError("a key is not written anywhere, so it cannot be pickled or copied")


_PUBLIC_HINT: Final = (
    "write 33 bytes that begin with 02 or 03, or 65 that begin with 04, as hexadecimal digits"
)


def wallet_key(seed: bytes, index: int) -> Key:
    """The key of wallet `index`, from 0: HMAC-SHA256 of `squall/wallet/INDEX` under the seed, modulo the group's order.

    Raises:
        WrongKeyError: The seed is empty, so that everybody would have these keys.
    """
    return _derived(seed, f"squall/wallet/{index}")


def funder_key(seed: bytes, shard: int) -> Key:
    """The key of the account from which the wallets of a shard are funded; derived like that of a wallet."""
    return _derived(seed, f"squall/funder/{shard}")


def parse_key(text: str) -> Key:
    """A key from 64 hexadecimal digits, with or without `0x`.

    Raises:
        WrongKeyError: It is none; what was given is not repeated.
    """
    try:
        return Key(from_hex(text.strip()))
    except ValueError:
        raise WrongKeyError(
            "a private key is not hexadecimal", "write 64 hexadecimal digits, with or without 0x"
        ) from None


def checksummed(address: bytes) -> str:
    """An address with the capitals that let typing errors be found (EIP-55)."""
    digits = address.hex()
    marks = keccak256(digits.encode()).hex()
    return "0x" + "".join(
        [digit.upper() if mark > "7" else digit for digit, mark in zip(digits, marks, strict=False)]
    )


def mistyped(text: str, address: bytes) -> bool:
    """Whether the capitals of an address as it was written show a typing error (EIP-55).

    Args:
        text: With `0x`. All small or all capital digits show none.
        address: Its 20 bytes.
    """
    digits = text[2:]
    return digits not in {digits.lower(), digits.upper()} and checksummed(address) != text


def recovered_address(digest: bytes, signature: bytes) -> bytes:
    """The 20 bytes of the address whose key signed `digest`.

    Args:
        digest: 32 bytes.
        signature: 65 bytes as of `Key.sign_compact`.

    Raises:
        ValueError: Nobody can have signed so.
    """
    return _address_of(PublicKey.from_signature_and_message(signature, digest, hasher=None))


def verify_crypto() -> None:
    """Check that hashing and signing give what they must: a broken build of either would lose money on a chain.

    Raises:
        InfrastructureError: They do not.
    """
    key = Key(_KNOWN_SECRET)
    if key.address != _KNOWN_ADDRESS or key.sign_compact(_KNOWN_DIGEST) != _KNOWN_SIGNATURE:
        raise InfrastructureError(
            "the libraries for signing give wrong results on this machine",
            "install coincurve and safe-pysha3 anew, as wheels for this platform",
        )


def _derived(seed: bytes, name: str) -> Key:
    if not seed:
        raise WrongKeyError(
            "the seed of the wallets is empty", "give a seed that nobody else can guess, from a Secret"
        )
    number = int.from_bytes(hmac.digest(seed, name.encode(), "sha256"), "big") % ORDER or 1
    return Key(number.to_bytes(32, "big"))


def _address_of(public_key: PublicKey) -> bytes:
    return keccak256(public_key.format(compressed=False)[1:])[12:]
