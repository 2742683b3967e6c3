"""Values that must never be printed, logged or kept with results.

They are collected apart from the manifest, in which only their references (`${var.password}`) remain, and
travel to the place where requests are made in an object that cannot be printed by accident.
"""

from __future__ import annotations

import functools
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence

MASK = "***"
_SHORTEST = 3
"""Shorter values would mask every other character of a log and hide nothing."""

_SHORTEST_ENCODED = 8
"""Characters of base64; fewer would be found in any text that happens to be encoded."""

_CUT = "..."
"""What stands where a text was cut."""

_SHORTEST_AT_END = 8
"""Characters with which a text may end as a value begins; where nothing says that it was cut, fewer are chance."""

_LONG = 100
"""Characters of a text that may have been cut without a mark, as Python cuts what it quotes."""


def shortened(text: str, most: int) -> str:
    """At most so many characters of a text, cut where `Secrets.mask` sees it: what is cut is masked afterwards."""
    return text if len(text) <= most else f"{text[:most]}{_CUT}"


def mask_beginning(text: str, value: str) -> str:
    """`text` with `***` where it was cut in the middle of a value, as it is written plainly."""
    return _Beginning([(char,) for char in value], _SHORTEST).mask(text) if _may_be_cut(text) else text


def _may_be_cut(text: str) -> bool:
    return _CUT in text or len(text) >= _LONG


class Secrets(Mapping[str, str]):
    """Secret variables by name. Its `repr` and `str` show names only."""

    __slots__ = ("_beginnings", "_encoded", "_pattern", "_values")

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})
        shown = {value for value in self._values.values() if len(value) >= _SHORTEST}
        longest_first = sorted(shown, key=len, reverse=True)
        self._pattern = re.compile("|".join(_spellings(value) for value in longest_first)) if shown else None
        encoded = sorted({part for value in shown for part in _in_base64(value)}, key=len, reverse=True)
        self._encoded = re.compile("|".join(map(re.escape, encoded))) if encoded else None
        self._beginnings = tuple(
            [_Beginning([_ways(char) for char in value], _SHORTEST) for value in longest_first]
            + [_Beginning([(char,) for char in part], _SHORTEST_ENCODED) for part in encoded]
        )

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
        short also within whatever is encoded in base64, such as user and password of Basic authentication. The beginning of
        a value is found where the text was cut in the middle of it: before `...`, and at the end of what is long.
        """
        if self._pattern is None:
            return text
        masked = self._pattern.sub(MASK, text)
        masked = masked if self._encoded is None else self._encoded.sub(MASK, masked)
        if _may_be_cut(masked):
            for beginning in self._beginnings:
                masked = beginning.mask(masked)
        return masked


class _Beginning:
    """Finds what is left of a value where a text was cut in the middle of it.

    Args:
        value: By character: the ways to write it.
        shortest: Characters of it that are left at least.
    """

    __slots__ = ("_begins", "_rest", "_shortest")

    def __init__(self, value: Sequence[tuple[str, ...]], shortest: int) -> None:
        self._shortest = shortest
        self._begins = re.compile("".join(map(_one_of, value[:shortest])))
        self._rest = value[shortest:]

    def mask(self, text: str) -> str:
        """`text` with `***` in the place of each."""
        kept, done, at = [], 0, 0
        while found := self._begins.search(text, at):
            at = found.start() + 1
            if end := self._end(text, found.end()):
                kept += [text[done : found.start()], MASK]
                done = at = end
        return "".join([*kept, text[done:]]) if kept else text

    def _end(self, text: str, at: int) -> int:
        """Where the text was cut, having gone on as the value does from its beginning to there; 0 when it was not."""
        end = 0
        for count, ways in enumerate(self._rest, self._shortest):
            end = at if text.startswith(_CUT, at) else end
            way = next((way for way in ways if text.startswith(way, at)), "")
            if not way:
                at += _half(text, at, ways)
                at_end = at == len(text) and count >= _SHORTEST_AT_END
                return at if at_end or text.startswith(_CUT, at) else end
            at += len(way)
        return end


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
    return "".join(_one_of(_ways(char)) for char in value)


@functools.lru_cache(maxsize=1024)
def _one_of(ways: tuple[str, ...]) -> str:
    escaped = [re.escape(way) for way in ways]
    return escaped[0] if len(escaped) == 1 else f"(?:{'|'.join(escaped)})"


def _half(text: str, at: int, ways: Sequence[str]) -> int:
    """Characters of a text up to where it was cut, when they are a part of one of the ways to write a character."""
    for end in range(at + 1, min(at + max(map(len, ways)), len(text) + 1)):
        if end == len(text) or text.startswith(_CUT, end):
            return end - at if any(way.startswith(text[at:end]) for way in ways) else 0
    return 0


@functools.lru_cache(maxsize=1024)
def _ways(char: str) -> tuple[str, ...]:
    """All the ways to write a character, the longest first: a backslash stands for itself, and begins others."""
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
    return tuple(sorted(ways, key=len, reverse=True))
