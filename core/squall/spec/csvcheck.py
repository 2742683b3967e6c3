"""Is a data file fit for a run? Asked before anything is sent, answered with lines and reasons.

Also holds how a single record is read, so that what the check accepts and what the runner reads cannot differ.
"""

from __future__ import annotations

import csv
import itertools
import mmap
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from squall.spec.rowscan import line_of, scan_csv, scan_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAX_PROBLEMS = 20

# The module's default of 128 KiB a field would refuse records that the scan has found sound.
csv.field_size_limit(sys.maxsize)


@contextmanager
def mapped(path: Path) -> Iterator[bytes | mmap.mmap]:
    """The content of a file, mapped and not copied; empty bytes for an empty file, which cannot be mapped."""
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            yield b""
            return
        # Closed with its last reference: a numpy view may outlive this block.
        yield mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def parse_record(record: bytes, delimiter: str = ",") -> list[str]:
    """The fields of one CSV record that the scan has found.

    Raises:
        ValueError: When it is malformed.
    """
    text = record.rstrip(b"\r\n").decode()
    if '"' not in text:
        return text.split(delimiter)
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ValueError(str(error)) from None


def parse_object(line: bytes) -> dict[str, Any]:
    """The object that one line of a JSON lines file holds.

    Raises:
        ValueError: When it is no JSON object.
    """
    try:
        value = msgspec.json.decode(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - wrong content of a file, not a wrong type of argument
    return value


def header_of(record: bytes, delimiter: str = ",") -> list[str]:
    """The column names of a CSV file, without the white space around them.

    Raises:
        ValueError: For a name that is empty or stands twice.
    """
    columns = [name.strip() for name in parse_record(record, delimiter)]
    for index, name in enumerate(columns):
        if not name:
            raise ValueError(f"column {index + 1} has no name")
        if name in columns[:index]:
            raise ValueError(f"column {name!r} stands twice")
    return columns


def csv_problems(buffer: bytes | mmap.mmap, delimiter: str = ",") -> list[tuple[int, str]]:
    """Find what is wrong with a CSV file: line (from 1) and message, at most 20, none for a good file.

    Checked are UTF-8, quoting, line ends, the header, the number of fields in each row, and that there is a row.
    """
    scan = scan_csv(buffer, delimiter)
    problems = [(line_of(buffer, problem.offset), problem.message) for problem in scan.problems]
    if len(scan.offsets) < 2:
        return problems or [(1, "the file is empty; its first line names the columns")]
    if not problems:
        first = int(scan.offsets[0])
        try:
            header_of(bytes(buffer[first : int(scan.offsets[1])]), delimiter)
        except ValueError as error:
            problems.append((line_of(buffer, first), str(error)))
    if len(scan.offsets) == 2 and not problems:
        problems.append((1, "the file has a header but no rows"))
    return problems


def jsonl_problems(buffer: bytes | mmap.mmap) -> list[tuple[int, str]]:
    """Find what is wrong with a JSON lines file, in the same form as `csv_problems`: each line must be an object."""
    scan = scan_lines(buffer)
    if len(scan.offsets) < 2:
        return [(1, "the file is empty; each line is a JSON object")]
    problems = [(line_of(buffer, problem.offset), problem.message) for problem in scan.problems]
    for begin, end in itertools.pairwise(map(int, scan.offsets)):
        if len(problems) >= _MAX_PROBLEMS:
            break
        try:
            parse_object(bytes(buffer[begin:end]))
        except ValueError as error:
            problems.append((line_of(buffer, begin), str(error)))
    return problems
