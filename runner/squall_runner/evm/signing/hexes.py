"""Hexadecimal text as JSON-RPC writes it: bytes as `0x` and two digits each, numbers as `0x` without leading zeros.

Format: https://ethereum.org/en/developers/docs/apis/json-rpc/#conventions.
"""

from __future__ import annotations

import re

from squall.spec.secrets import shortened

_QUANTITY = re.compile(r"0[xX][0-9a-fA-F]+")
_DATA = re.compile(r"(?:0[xX])?((?:[0-9a-fA-F]{2})*)")


def to_hex(data: bytes) -> str:
    """Bytes as JSON-RPC writes data: `0x` and two digits for each."""
    return "0x" + data.hex()


def from_hex(text: str) -> bytes:
    """The bytes of hexadecimal text, with or without `0x`.

    Raises:
        ValueError: It is no such text; the message does not repeat it, since it may be a secret.
    """
    match = _DATA.fullmatch(text)
    if match is None:
        raise ValueError("it is not hexadecimal text with two digits for each byte")
    return bytes.fromhex(match.group(1))


def quantity(number: int) -> str:
    """A number of zero or more as JSON-RPC writes it: `0x0`, `0x1f`."""
    return hex(number)


def from_quantity(text: str) -> int:
    """The number of a JSON-RPC quantity; leading zeros are borne, as some nodes write them.

    Raises:
        ValueError: It is not `0x` and hexadecimal digits.
    """
    if not _QUANTITY.fullmatch(text):
        raise ValueError(f"{shortened(text, 80)!r} is not a number as JSON-RPC writes it, such as 0x1f")
    return int(text, 0)
