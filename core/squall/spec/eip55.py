"""The capitals of an address, which let a mistyped one be found before money goes there (EIP-55).

They follow from the Keccak-256 hash of its digits. That is no hash that Python has, since SHA3-256 pads differently, and a package that
has it would be needed for this alone: only runners hash in numbers. So here is the little of it that one address takes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

_RATE: Final = 136
_LANES: Final = 25
_ROUNDS: Final = 24
_MASK: Final = (1 << 64) - 1


def mistyped(address: str) -> bool:
    """Whether the capitals of `0x` and 40 hexadecimal digits show a typing error; digits that are all small or all capital show none."""
    digits = address[2:]
    return digits not in {digits.lower(), digits.upper()} and checksummed(address) != address


@lru_cache(maxsize=1024)
def checksummed(address: str) -> str:
    """`0x` and 40 hexadecimal digits with the capitals of EIP-55."""
    digits = address[2:].lower()
    marks = _hash(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if mark > "7" else digit for digit, mark in zip(digits, marks, strict=False)
    )


def _hash(data: bytes) -> bytes:
    """Keccak-256 of less than one block of 136 bytes (The Keccak reference 3.0, with the padding that Ethereum has kept)."""
    block = bytearray(data.ljust(_RATE, b"\0").ljust(8 * _LANES, b"\0"))
    block[len(data)] ^= 0x01
    block[_RATE - 1] ^= 0x80
    lanes = [int.from_bytes(block[8 * place : 8 * place + 8], "little") for place in range(_LANES)]
    return b"".join(lane.to_bytes(8, "little") for lane in _permuted(lanes)[:4])


def _permuted(lanes: list[int]) -> list[int]:
    """Keccak-f[1600]; the lane of x and y is at x + 5 y."""
    register = 1
    for _ in range(_ROUNDS):
        lanes = _mixed(_moved(_spread(lanes)))
        for bit in range(7):
            register = (register << 1 ^ (register >> 7) * 0x71) & 0xFF
            if register & 2:
                lanes[0] ^= 1 << ((1 << bit) - 1)
    return lanes


def _spread(lanes: list[int]) -> list[int]:
    """Theta: each bit takes the parities of two columns."""
    parity = [lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20] for x in range(5)]
    taken = [parity[x - 1] ^ _turned(parity[(x + 1) % 5], 1) for x in range(5)]
    return [lane ^ taken[place % 5] for place, lane in enumerate(lanes)]


def _moved(lanes: list[int]) -> list[int]:
    """Rho and pi: lanes are turned, and change their places."""
    moved = list(lanes)
    x, y = 1, 0
    for step in range(_ROUNDS):
        lane = lanes[x + 5 * y]
        x, y = y, (2 * x + 3 * y) % 5
        moved[x + 5 * y] = _turned(lane, (step + 1) * (step + 2) // 2 % 64)
    return moved


def _mixed(lanes: list[int]) -> list[int]:
    """Chi: the only step that is not linear."""
    return [
        lane ^ (~lanes[row + (x + 1) % 5] & lanes[row + (x + 2) % 5])
        for row in range(0, _LANES, 5)
        for x, lane in enumerate(lanes[row : row + 5])
    ]


def _turned(lane: int, by: int) -> int:
    return (lane << by | lane >> (64 - by)) & _MASK
