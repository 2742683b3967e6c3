"""Values that must never be printed, logged or kept with results.

They are collected apart from the manifest, in which only their references (`${var.password}`) remain, and
travel to the place where requests are made in an object that cannot be printed by accident.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator, Mapping

MASK = "***"
_SHORTEST = 3
"""Shorter values would mask every other character of a log and hide nothing."""

_SHORTEST_ENCODED = 8
"""Characters of base64; fewer would be found in any text that happens to be encoded."""


class Secrets(Mapping[str, str]):
    """Secret variables by name. Its `repr` and `str` show names only."""

    __slots__ = ("_encoded", "_pattern", "_values")

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})
        shown = {value for value in self._values.values() if len(value) >= _SHORTEST}
        longest_first = sorted(shown, key=len, reverse=True)
        self._pattern = re.compile("|".join(_spellings(value) for value in longest_first)) if shown else None
        encoded = sorted({part for value in shown for part in _in_base64(value)}, key=len, reverse=True)
        self._encoded = re.compile("|".join(map(re.escape, encoded))) if encoded else None

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(f'{name}={MASK}' for name in self._values)})"

    def mask(self, text: str) -> str:
        """`text` with every secret value replaced by `***`, longer values first.

        A value is also found as it is written within a URL, within JSON, or within the `repr` of bytes; and one that is not
        short also within whatever is encoded in base64, such as user and password of Basic authentication.
        """
        if self._pattern is None:
            return text
        masked = self._pattern.sub(MASK, text)
        return masked if self._encoded is None else self._encoded.sub(MASK, masked)


def _in_base64(value: str) -> Iterator[str]:
    """What of the base64 of anything that contains a value follows from the value alone, for each place where it may begin."""
    raw = value.encode(errors="surrogatepass")
    for before in range(3):
        first = -(-before * 8 // 6)  # the character that also holds bits of what stands before
        last = (before + len(raw)) * 8 // 6
        for encode in (b64encode, urlsafe_b64encode):
            part = encode(bytes(before) + raw).decode("ascii")[first:last]
            if len(part) >= _SHORTEST_ENCODED:
                yield part


def _spellings(value: str) -> str:
    """A pattern of all the ways to write a value, each character for itself: URLs quote some and not others."""
    return "".join(_spelled(char) for char in value)


def _spelled(char: str) -> str:
    raw = char.encode(errors="surrogatepass")
    ways = {
        char,
        "".join(f"%{byte:02X}" for byte in raw),
        "".join(f"%{byte:02x}" for byte in raw),
        json.dumps(char)[1:-1],
        json.dumps(char, ensure_ascii=False)[1:-1],
        repr(raw)[2:-1],
    }
    if char == " ":
        ways.add("+")
    if char in "'\"":
        ways.add(f"\\{char}")
    # The longest first: a backslash stands for itself, and begins the other ways to write it.
    return f"(?:{'|'.join(re.escape(way) for way in sorted(ways, key=len, reverse=True))})"
