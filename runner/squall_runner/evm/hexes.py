"""Hexadecimal text as JSON-RPC writes it: bytes as `0x` and two digits each, numbers as `0x` without leading zeros.

Format: https://ethereum.org/en/developers/docs/apis/json-rpc/#conventions.
"""

from __future__ import annotations


def to_hex(data: bytes) -> str:
    """Bytes as JSON-RPC writes data: `0x` and two digits for each."""
    return "0x" + data.hex()


def from_hex(text: str) -> bytes:
    """The bytes of hexadecimal text, with or without `0x`.

    Raises:
        ValueError: It is no such text; the message does not repeat it, since it may be a secret.
    """
    digits = text[2:] if text[:2] in ("0x", "0X") else text
    if len(digits) % 2 or not digits.isascii() or not (digits.isalnum() or not digits):
        raise ValueError("it is not hexadecimal text with two digits for each byte")
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise ValueError("it is not hexadecimal text with two digits for each byte") from None


def quantity(number: int) -> str:
    """A number of zero or more as JSON-RPC writes it: `0x0`, `0x1f`."""
    return hex(number)


def from_quantity(text: str) -> int:
    """The number of a JSON-RPC quantity; leading zeros are borne, as some nodes write them.

    Raises:
        ValueError: It is not `0x` and hexadecimal digits.
    """
    if text[:2] not in ("0x", "0X") or not text[2:].isalnum():
        raise ValueError(f"{text[:80]!r} is not a number as JSON-RPC writes it, such as 0x1f")
    try:
        return int(text[2:], 16)
    except ValueError:
        raise ValueError(f"{text[:80]!r} is not a number as JSON-RPC writes it, such as 0x1f") from None
