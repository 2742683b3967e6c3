"""Where the records of a data file begin, found in one pass over the bytes.

A million rows must cost neither a million Python objects nor seconds at the start. RFC 4180 makes the structure of
a CSV file decidable by arithmetic: a line break ends a record exactly when an even number of quotes precedes it. So
the scan is done by numpy on blocks of bytes, and the same pass finds every structural mistake.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from mmap import mmap

    from numpy.typing import NDArray

_BLOCK = 1 << 22
_MAX_PROBLEMS = 20
_BOM = b"\xef\xbb\xbf"
_QUOTE, _LF, _CR = 34, 10, 13


@dataclass(frozen=True, slots=True)
class Problem:
    """A mistake in a data file.

    Attributes:
        offset: Byte at which it is found.
        message: What is wrong.
    """

    offset: int
    message: str


@dataclass(frozen=True, slots=True)
class Scan:
    """Result of a scan.

    Attributes:
        offsets: Where each record begins, blank lines left out, and last the end of the file. The record `i` lies
            between `offsets[i]` and `offsets[i + 1]`, perhaps followed by line breaks.
        problems: The first mistakes, in the order of the file.
    """

    offsets: NDArray[np.uint64]
    problems: list[Problem]


def line_of(buffer: bytes | mmap, offset: int) -> int:
    """The line, from 1, in which the byte at `offset` stands."""
    line = 1
    for begin in range(0, offset, _BLOCK):
        line += bytes(buffer[begin : min(begin + _BLOCK, offset)]).count(b"\n")
    return line


def scan_lines(buffer: bytes | mmap) -> Scan:
    """Find the lines of a JSON lines file that hold anything."""
    start = _content_start(buffer)
    problems = list(_encoding_problems(buffer, start))
    data = np.frombuffer(buffer, np.uint8)
    ends = [
        np.flatnonzero(data[at : at + _BLOCK] == _LF) + (at + 1) for at in range(start, len(data), _BLOCK)
    ]
    return Scan(_records(data, _joined(ends), start)[0], problems)


def scan_csv(buffer: bytes | mmap, delimiter: str = ",") -> Scan:
    """Find the records of a CSV file (RFC 4180; LF or CRLF) and its structural mistakes.

    Args:
        buffer: The file's content.
        delimiter: One ASCII character, no quote and no line break; another one is a problem at the first byte.
    """
    start = _content_start(buffer)
    data = np.frombuffer(buffer, np.uint8)
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n':
        whole = np.array([0, len(data)], np.uint64)
        return Scan(whole, [Problem(0, f"{delimiter!r} cannot be the delimiter; use one ASCII character")])
    state = _CsvState(data, ord(delimiter), start)
    for at in range(start, len(data), _BLOCK):
        state.block(at, min(at + _BLOCK, len(data)))
    offsets, kept = _records(data, _joined(state.ends), start)
    problems = [*_encoding_problems(buffer, start), *state.problems]
    if state.inside:
        problems.append(Problem(state.last_quote, "the quoted field that begins here is never closed"))
    elif len(offsets) > 1:
        problems += _ragged(offsets, _joined(state.delimiters), state.total_delimiters, kept)
    return Scan(offsets, sorted(problems, key=lambda problem: problem.offset)[:_MAX_PROBLEMS])


class _CsvState:
    """What is carried from one block of bytes to the next."""

    def __init__(self, data: NDArray[np.uint8], delimiter: int, start: int) -> None:
        self._data = data
        self._delimiter = delimiter
        self._start = start
        self.inside = 0
        self.last_quote = start
        self.total_delimiters = 0
        self.ends: list[NDArray[np.int64]] = []
        self.delimiters: list[NDArray[np.int64]] = []
        self.problems: list[Problem] = []

    def block(self, begin: int, end: int) -> None:
        """Take in the bytes from `begin` to `end`."""
        block = self._data[begin:end]
        outside = self._outside(block, begin)
        ends = np.flatnonzero((block == _LF) & outside)
        fields = np.flatnonzero((block == self._delimiter) & outside)
        self.ends.append(ends + (begin + 1))
        self.delimiters.append(np.searchsorted(fields, ends) + self.total_delimiters)
        self.total_delimiters += len(fields)
        returns = np.flatnonzero((block == _CR) & outside) + begin
        self._report(
            returns[~self._followed_by(returns, (_LF,))],
            "a carriage return stands without a line feed; use LF or CRLF",
        )

    def _outside(self, block: NDArray[np.uint8], begin: int) -> NDArray[np.bool_]:
        """For each byte, whether it stands outside of quotes; checks the quotes on the way."""
        quotes = block == _QUOTE
        places = np.flatnonzero(quotes) + begin
        if not len(places):
            return np.full(len(block), not self.inside)
        inside: NDArray[np.int64] = (np.cumsum(quotes) + self.inside) & 1
        opens = inside[places - begin] == 1
        self._check_quotes(places[opens], places[~opens])
        self.inside = int(inside[-1])
        if opens.any():
            self.last_quote = int(places[opens][-1])
        outside: NDArray[np.bool_] = inside == 0
        return outside

    def _check_quotes(self, opening: NDArray[np.int64], closing: NDArray[np.int64]) -> None:
        before = self._data[np.maximum(opening - 1, 0)]
        allowed = (opening == self._start) | np.isin(before, (self._delimiter, _LF, _QUOTE))
        self._report(
            opening[~allowed], "a quote inside an unquoted field; quote the field and double the quote"
        )
        followed = self._followed_by(closing, (self._delimiter, _LF, _CR, _QUOTE)) | (
            closing + 1 == len(self._data)
        )
        self._report(
            closing[~followed], "text behind a closing quote; double a quote that belongs to the value"
        )

    def _followed_by(self, places: NDArray[np.int64], values: tuple[int, ...]) -> NDArray[np.bool_]:
        after = np.minimum(places + 1, len(self._data) - 1)
        found: NDArray[np.bool_] = np.isin(self._data[after], values) & (places + 1 < len(self._data))
        return found

    def _report(self, places: NDArray[np.int64], message: str) -> None:
        room = _MAX_PROBLEMS - len(self.problems)
        self.problems += [Problem(int(place), message) for place in places[: max(room, 0)]]


def _content_start(buffer: bytes | mmap) -> int:
    return len(_BOM) if bytes(buffer[: len(_BOM)]) == _BOM else 0


def _joined(blocks: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(blocks) if blocks else np.empty(0, np.int64)


def _records(
    data: NDArray[np.uint8], ends: NDArray[np.int64], start: int
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Offsets as in Scan, and which of all lines were kept."""
    size = len(data)
    if size > start and (not len(ends) or ends[-1] != size):
        ends = np.append(ends, size)
    starts = np.concatenate((np.array([start], np.int64), ends[:-1])) if len(ends) else np.empty(0, np.int64)
    first = data[starts]
    second = data[np.minimum(starts + 1, size - 1)] if size else first
    kept = (first != _LF) & ~((first == _CR) & (second == _LF))
    return np.append(starts[kept], size).astype(np.uint64), kept


def _ragged(
    offsets: NDArray[np.uint64], before: NDArray[np.int64], total: int, kept: NDArray[np.bool_]
) -> Iterator[Problem]:
    """Records whose number of fields differs from the header's; `before` counts delimiters up to each line's end."""
    if len(before) < len(kept):
        before = np.append(before, total)
    fields = (np.diff(before, prepend=0) + 1)[kept]
    for index in np.flatnonzero(fields != fields[0])[:_MAX_PROBLEMS]:
        message = f"{fields[index]} fields, but the header has {fields[0]}"
        yield Problem(int(offsets[index]), message)


def _encoding_problems(buffer: bytes | mmap, start: int) -> Iterator[Problem]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    pending = 0
    for at in range(start, len(buffer), _BLOCK):
        block = bytes(buffer[at : at + _BLOCK])
        try:
            decoder.decode(block, final=at + _BLOCK >= len(buffer))
        except UnicodeDecodeError as error:
            yield Problem(at - pending + error.start, "not UTF-8 text; save the file as UTF-8")
            return
        pending = len(decoder.getstate()[0])
