"""Keeps a row per second and series beside the results, so that every chart can be drawn later.

A row is a JSON object: `t` (end of the slot in seconds since the start), `m` (metric), `g` (tags; absent without any), and the figures of
that second: `v` for what a counter grew by, `h` and `n` for a rate's hits and total, `v`, `min`, `max` for a gauge, and
for a trend `n`, `sum`, `min`, `max`, `p50`, `p90`, `p95`, `p99`. All in base units.

Rows are written some seconds at a time, each time as a gzip member of its own: what was written stays readable however the
process ends, and gzip readers read members one after the other as one stream. Until then they are kept compressed: thousands of series
are megabytes a second. A disk that is full costs rows, never the run.
"""

from __future__ import annotations

import errno
import os
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from squall.metrics.series import Counter, Gauge, Rate

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from squall.metrics.series import Aggregate, SeriesKey

NAME: Final = "series.jsonl.gz"
SLOTS_PER_WRITE: Final = 10
_QUANTILES: Final = (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99))
_LEVEL: Final = 3
"""Of compression: twice as fast as the default for a tenth more bytes."""
_GZIP: Final = 16 + zlib.MAX_WBITS
"""Asks zlib for the format of gzip."""


class SeriesFile:
    """The series file of one run, which is appended to.

    Args:
        path: The file.
        written: The last slot that an earlier hub process has written; such slots are left out. -1 for none.
    """

    def __init__(self, path: Path, written: int = -1) -> None:
        self.path = path
        self.written = written
        """The last slot that is in the file."""
        self.problem = ""
        """Why rows are missing; empty while none are."""
        self._encoder = msgspec.json.Encoder()
        self._member = _gzip_member()
        self._data = bytearray()
        self._rows = 0
        self._slot = written

    def add(self, slot: int, series: Iterable[tuple[SeriesKey, Aggregate]]) -> None:
        """Take in a slot; every few of them are written."""
        if slot <= self._slot:
            return
        self._slot = slot
        for key, aggregate in series:
            self._data += self._member.compress(self._encoder.encode(row(slot, key, aggregate)) + b"\n")
            self._rows += 1
        if slot - self.written >= SLOTS_PER_WRITE:
            self.flush()

    def flush(self) -> None:
        """Write what has been taken in. What cannot be written is dropped, see `problem`."""
        if self._rows:
            data = bytes(self._data) + self._member.flush()
            self._member, self._data, self._rows = _gzip_member(), bytearray(), 0
            try:
                _append(self.path, data)
            except OSError as error:
                self.problem = f"{self.path} could not be written: {error.strerror}; its rows have gaps"
                return
        self.written = self._slot


def _gzip_member() -> zlib._Compress:
    return zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)


def _append(path: Path, data: bytes) -> None:
    """Append all of it or nothing: half a gzip member would hide all that comes after it."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        before = os.fstat(fd).st_size
        complete = False
        try:
            complete = os.write(fd, data) == len(data)
        finally:
            if not complete:
                with suppress(OSError):  # what the disk refused is what is worth telling
                    os.ftruncate(fd, before)
        if not complete:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(fd)


def row(slot: int, key: SeriesKey, aggregate: Aggregate) -> dict[str, Any]:
    """The row of one series in one slot."""
    made: dict[str, Any] = {"t": slot + 1, "m": key.metric}
    if key.tags:
        made["g"] = dict(key.tags)
    if isinstance(aggregate, Counter):
        made["v"] = aggregate.value
    elif isinstance(aggregate, Rate):
        made["h"], made["n"] = aggregate.hits, aggregate.total
    elif isinstance(aggregate, Gauge):
        made["v"], made["min"], made["max"] = aggregate.last, aggregate.min, aggregate.max
    else:
        made |= {"n": aggregate.count, "sum": aggregate.sum}
        if aggregate.count:
            made |= {"min": aggregate.min, "max": aggregate.max}
            values = aggregate.quantiles([q for _, q in _QUANTILES])
            made |= {name: value for (name, _), value in zip(_QUANTILES, values, strict=True)}
    return made
