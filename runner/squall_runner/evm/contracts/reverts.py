"""Why a call reverted, from the data that it reverted with.

Solidity reverts with `Error(string)` for `require` and `revert` with a text, with `Panic(uint256)` where the code itself is wrong, and
with the errors that a contract declares. Formats: https://docs.soliditylang.org/en/latest/control-structures.html#revert.
"""

from __future__ import annotations

from typing import Final

from squall.printable import printable
from squall_runner.evm.signing.hexes import to_hex

PANICS: Final = {
    0x00: "a panic that the compiler inserted",
    0x01: "an assertion failed",
    0x11: "an arithmetic operation overflowed",
    0x12: "division by zero",
    0x21: "a number is no value of its enum",
    0x22: "a byte array in storage is encoded wrongly",
    0x31: "pop() of an empty array",
    0x32: "an index is out of bounds",
    0x41: "too much memory was asked for, or an array is too large",
    0x51: "a function that was never set was called",
}
"""Meaning of the codes of `Panic(uint256)`."""

_SHOWN: Final = 36
_LONGEST: Final = 256
_ERROR: Final = bytes.fromhex("08c379a0")
_PANIC: Final = bytes.fromhex("4e487b71")


def standard_text(data: bytes) -> str:
    """The reason in data that Solidity itself defines, or what can be said of others.

    Read leniently and without a codec: whoever reverts may have written anything.
    """
    if not data:
        return "it reverted without a reason"
    if data[:4] == _PANIC and len(data) >= 36:
        code = int.from_bytes(data[4:36], "big")
        return f"panic 0x{code:02x}: {PANICS.get(code, 'of an unknown code')}"
    if data[:4] == _ERROR and len(data) >= 68:
        size = int.from_bytes(data[36:68], "big")
        reason = data[68:][: min(size, _LONGEST)].decode(errors="replace")
        return printable(reason) or "it reverted with an empty reason"
    shown = to_hex(data[:_SHOWN]) + ("..." if len(data) > _SHOWN else "")
    return f"it reverted with {shown}, which no error of the ABI explains"
