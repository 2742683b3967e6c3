"""Data files as a manifest sees them: their columns, their rows, and their mistakes as problems.

A malformed row must not surface as row 740,000 of a load test, and `${data.users.emial}` not at run time at all.
How rows are read is the business of `csvcheck`, which the runner uses too.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from squall.spec.csvcheck import csv_problems, header_of, jsonl_problems, mapped, parse_object
from squall.spec.problems import Problem
from squall.spec.rowscan import scan_csv, scan_lines

if TYPE_CHECKING:
    from mmap import mmap

    from squall.spec.files import LocalFile

_COLUMNS_FROM = 1000
_HINTS = {
    "csv": "every row has as many fields as the header; a field that holds the delimiter stands in double quotes",
    "jsonl": 'each line is one JSON object: {"column": value, ...}',
}


@dataclass(frozen=True, slots=True)
class DataFile:
    """What is known of a data file.

    Attributes:
        columns: Names that `${data.name.column}` may use; for JSON lines those of the first thousand rows.
        rows: Number of rows.
        problems: What is wrong, with lines of the data file.
    """

    columns: frozenset[str] = frozenset()
    rows: int = 0
    problems: list[Problem] = field(default_factory=list)


def check_data(file: LocalFile, *, kind: str, path: str, delimiter: str = ",") -> DataFile:
    """Read a data file through.

    Args:
        file: The file.
        kind: `csv` or `jsonl`.
        path: Where the manifest names it (`spec.data[0]`), for its problems.
        delimiter: Between the fields of a CSV row.
    """
    name = str(file.path) if file.path else file.name
    if not delimiter.isascii():
        return DataFile()
    try:
        with mapped(file.path) if file.path else nullcontext(file.inline or b"") as buffer:
            found = csv_problems(buffer, delimiter) if kind == "csv" else jsonl_problems(buffer)
            problems = [Problem(name, line, 1, path, said, _HINTS[kind]) for line, said in found]
            if problems:
                return DataFile(problems=problems)
            return _csv(buffer, delimiter) if kind == "csv" else _json_lines(buffer)
    except OSError as error:
        reason = f"the file cannot be read: {error.strerror}"
        return DataFile(problems=[Problem(name, 0, 0, path, reason, "check its permissions")])


def _csv(buffer: bytes | mmap, delimiter: str) -> DataFile:
    offsets = scan_csv(buffer, delimiter).offsets
    header = header_of(bytes(buffer[int(offsets[0]) : int(offsets[1])]), delimiter)
    return DataFile(frozenset(header), len(offsets) - 2)


def _json_lines(buffer: bytes | mmap) -> DataFile:
    offsets = scan_lines(buffer).offsets
    columns: set[str] = set()
    for index in range(min(len(offsets) - 1, _COLUMNS_FROM)):
        columns.update(parse_object(bytes(buffer[int(offsets[index]) : int(offsets[index + 1])])))
    return DataFile(frozenset(columns), len(offsets) - 1)
