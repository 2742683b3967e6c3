"""RLP, the encoding of transactions: byte strings and lists of them, each behind a prefix that tells its length.

Own code because half of the time of signing would else go into a general library. Format: Ethereum Yellow Paper, appendix B;
https://ethereum.org/en/developers/docs/data-structures-and-encoding/rlp/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

Item: TypeAlias = "bytes | int | Sequence[Item]"
"""What can be encoded; a number stands for its shortest big-endian bytes."""

_LONGEST_SHORT: Final = 55
EMPTY: Final = b"\x80"
"""The empty byte string, which is also the number 0."""
EMPTY_LIST: Final = b"\xc0"
_BYTE: Final = [bytes([number]) for number in range(256)]


def byte_string(data: bytes) -> bytes:
    """One byte string."""
    size = len(data)
    if size == 1 and data[0] < 0x80:
        return data
    if size <= _LONGEST_SHORT:
        return _BYTE[0x80 + size] + data
    return _long(0xB7, size) + data


def number(value: int) -> bytes:
    """A number of zero or more, without leading zeros.

    Raises:
        OverflowError: It is negative.
    """
    if 0 < value < 0x80:
        return _BYTE[value]
    size = (value.bit_length() + 7) >> 3
    if size <= _LONGEST_SHORT:
        return _BYTE[0x80 + size] + value.to_bytes(size, "big")
    return byte_string(value.to_bytes(size, "big"))


def list_of(payload: bytes) -> bytes:
    """A list whose items are encoded already and stand one after the other in `payload`."""
    size = len(payload)
    return (_BYTE[0xC0 + size] if size <= _LONGEST_SHORT else _long(0xF7, size)) + payload


def encode(item: Item) -> bytes:
    """Anything: byte strings, numbers, and lists of items.

    Raises:
        OverflowError: A number is negative.
        TypeError: There is something that RLP does not know, such as a text.
    """
    if isinstance(item, bytes):
        return byte_string(item)
    if isinstance(item, int) and not isinstance(item, bool):
        return number(item)
    if isinstance(item, (list, tuple)):
        return list_of(b"".join(map(encode, item)))
    raise TypeError(f"RLP knows bytes, whole numbers and lists of them, not {type(item).__name__}")


def _long(base: int, size: int) -> bytes:
    width = (size.bit_length() + 7) >> 3
    return _BYTE[base + width] + size.to_bytes(width, "big")
