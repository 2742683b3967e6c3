"""A data file's rows by number: mapped, never loaded, each parsed when an iteration asks for it."""

from __future__ import annotations

import mmap
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from squall.errors import ExitCode, SquallError
from squall.spec.csvcheck import header_of, parse_object, parse_record
from squall.spec.rowscan import line_of, scan_csv, scan_lines
from squall_runner.data.index import default_cache, load_index

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from squall.spec.rowscan import Scan

Kind = Literal["csv", "jsonl"]


class RowsError(SquallError):
    """A data file is missing, empty or malformed; the message names the file and the line."""

    exit_code = ExitCode.MANIFEST


class Rows:
    """The rows of a file. Its length is their number, a CSV file's header not counted.

    Attributes:
        path: The file.
        columns: Column names of a CSV file; empty for JSON lines, where each row has its own.
    """

    def __init__(
        self, path: Path, buffer: mmap.mmap, offsets: memoryview, kind: Kind, delimiter: str
    ) -> None:
        self.path = path
        self._buffer = buffer
        self._offsets = offsets
        self._delimiter = delimiter
        self._first = 1 if kind == "csv" else 0
        self.columns: tuple[str, ...] = ()
        if kind == "csv" and len(offsets) > 1:
            try:
                self.columns = tuple(header_of(self._record(0), delimiter))
            except ValueError as error:
                raise self._error(0, str(error)) from None

    def __len__(self) -> int:
        return max(len(self._offsets) - 1 - self._first, 0)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """A row, from 0; texts by column for CSV, the object itself for JSON lines.

        Raises:
            RowsError: When the row is malformed.
        """
        number = index + self._first
        record = self._record(number)
        try:
            if not self._first:
                return parse_object(record)
            return dict(zip(self.columns, parse_record(record, self._delimiter), strict=True))
        except ValueError as error:
            raise self._error(number, str(error)) from None

    def _record(self, number: int) -> bytes:
        return self._buffer[self._offsets[number] : self._offsets[number + 1]]

    def _error(self, number: int, message: str) -> RowsError:
        return _at(self.path, line_of(self._buffer, self._offsets[number]), message)


def open_rows(path: str | Path, kind: Kind, *, delimiter: str = ",", cache: Path | None = None) -> Rows:
    """Open a data file; its index is built if this is the machine's first use of it.

    Args:
        path: The file.
        kind: `csv` (RFC 4180 with a header row) or `jsonl` (one JSON object a line).
        delimiter: Of CSV fields, one ASCII character.
        cache: Directory for indexes; by default one per user in the system's temporary directory.

    Raises:
        RowsError: When the file is missing, empty, has no rows, or is malformed as a whole.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                raise _at(path, 1, "the file is empty")
            buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        offsets = load_index(
            path,
            f"{kind}{delimiter}",
            partial(_offsets, path, buffer, kind, delimiter),
            cache or default_cache(),
        )
    except OSError as error:
        raise RowsError(f"{path}: {error.strerror or error}", "check the path under `files`") from None
    rows = Rows(path, buffer, offsets, kind, delimiter)
    if not len(rows):
        raise _at(path, 1, "the file has no rows")
    return rows


def _offsets(path: Path, buffer: mmap.mmap, kind: Kind, delimiter: str) -> NDArray[np.uint64]:
    scan: Scan = scan_csv(buffer, delimiter) if kind == "csv" else scan_lines(buffer)
    if scan.problems:
        first = scan.problems[0]
        raise _at(path, line_of(buffer, first.offset), first.message)
    return scan.offsets


def _at(path: Path, line: int, message: str) -> RowsError:
    return RowsError(f"{path}:{line}: {message}", "`squall validate` lists every mistake in the file")
