"""What accounts sign to be recognised, rather than to send a transaction: texts (EIP-191) and typed data (EIP-712).

Both begin with bytes that no transaction begins with, so that nobody can be made to sign one unawares. Signatures are as wallets give
them: r, s and v with 27 or 28, as hexadecimal text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from squall_runner.evm.signing import typeddata
from squall_runner.evm.signing.hexes import from_hex, to_hex
from squall_runner.evm.signing.keccak import keccak256
from squall_runner.evm.signing.keys import WrongKeyError, checksummed, recovered_address

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from squall_runner.evm.signing.keys import Key

_V_OFFSET: Final = 27


def personal_digest(message: str | bytes) -> bytes:
    """The hash that `personal_sign` signs for a message; a text counts as UTF-8 (EIP-191, version 0x45)."""
    data = message.encode() if isinstance(message, str) else message
    return keccak256(b"\x19Ethereum Signed Message:\n" + str(len(data)).encode() + data)


def typed_data_digest(
    domain: Mapping[str, Any],
    types: Mapping[str, Sequence[Mapping[str, str]]],
    message: Mapping[str, Any],
    primary_type: str = "",
) -> bytes:
    """The hash that `eth_signTypedData_v4` signs (EIP-712).

    Args:
        domain: What the signature is for: any of name, version, chainId, verifyingContract, salt.
        types: Each struct's members, as objects with `name` and `type`; `EIP712Domain` may be left out.
        message: The data, by the names of the primary type's members.
        primary_type: The type of `message`; without one, the only type that no other type holds.

    Raises:
        AbiError: Types or values are wrong; the message names which.
    """
    typeddata.check(domain, types)
    separator = typeddata.domain_hash(domain, types)
    struct = typeddata.struct_hash(primary_type or typeddata.primary_of(types), types, message)
    return keccak256(b"\x19\x01" + separator + struct)


def sign_message(key: Key, digest: bytes) -> str:
    """The signature over a digest: `0x`, then r, s and v with 65 bytes."""
    signature = key.sign_compact(digest)
    return to_hex(signature[:64] + bytes([_V_OFFSET + signature[64]]))


def recover(digest: bytes, signature: str | bytes) -> str:
    """The address whose key signed a digest.

    Args:
        digest: 32 bytes.
        signature: 65 bytes, or hexadecimal text of them; v may be 0, 1, 27 or 28.

    Raises:
        WrongKeyError: It is no signature over this digest.
    """
    try:
        return checksummed(recovered_address(digest, _compact(signature)))
    except ValueError:
        raise WrongKeyError(
            "a signature is none of an account over this message",
            "write r, s and v with 65 bytes, v being 27 or 28",
        ) from None


def _compact(signature: str | bytes) -> bytes:
    """As `Key.sign_compact` writes it; raises ValueError where it is no signature."""
    data = from_hex(signature) if isinstance(signature, str) else signature
    parity = {0: 0, 1: 1, _V_OFFSET: 0, _V_OFFSET + 1: 1}.get(data[64] if len(data) == 65 else -1)
    if parity is None:
        raise ValueError("a signature has 65 bytes, the last of which is 0, 1, 27 or 28")
    return data[:64] + bytes([parity])
