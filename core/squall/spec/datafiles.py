"""Data files, read once before the run: a malformed row must not surface as row 740,000 of a load test.

CSV is RFC 4180 with a header row: quoted fields may hold delimiters and line breaks, and every row has as many
fields as the header. JSON lines hold one object each. Empty lines are passed over in both.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from squall.spec.problems import Problem, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from squall.spec.files import LocalFile

MAX_REPORTED = 10
"""Problems told per file; a wrong delimiter breaks every row."""
_JSON_COLUMNS_FROM = 1000


@dataclass(slots=True)
class DataFile:
    """What is known of a data file.

    Attributes:
        columns: Names that `${data.name.column}` may use; for JSON lines those of the first thousand rows.
        rows: Number of rows.
        problems: What is wrong, with lines of the data file.
        untold: Problems beyond the first ten.
    """

    columns: frozenset[str] = frozenset()
    rows: int = 0
    problems: list[Problem] = field(default_factory=list)
    untold: int = 0

    def report(self, file: str, line: int, message: str, hint: str = "") -> None:
        """Note a problem in a line of the file."""
        if len(self.problems) < MAX_REPORTED:
            self.problems.append(Problem(file, line, 1, "", message, hint))
        else:
            self.untold += 1


def check_data(file: LocalFile, *, kind: str, delimiter: str = ",") -> DataFile:
    """Read a data file through.

    Args:
        file: The file.
        kind: `csv` or `jsonl`.
        delimiter: Between the fields of a CSV row.
    """
    data = DataFile()
    name = str(file.path) if file.path else file.name
    try:
        with _open(file) as stream:
            if kind == "csv":
                _check_csv(data, name, stream, delimiter)
            else:
                _check_json_lines(data, name, stream)
    except UnicodeDecodeError:
        data.report(name, 1, "the file is not UTF-8", "save it as UTF-8")
    except OSError as error:
        data.report(name, 0, f"the file cannot be read: {error.strerror}")
    if data.untold:
        last = data.problems[-1]
        data.problems.append(
            Problem(last.file, last.line, last.column + 1, "", f"and {plural(data.untold, 'more problem')}")
        )
    return data


def _open(file: LocalFile) -> TextIO:
    if file.path is not None:
        return file.path.open(encoding="utf-8-sig", newline="")
    return io.StringIO((file.inline or b"").decode("utf-8-sig"), newline="")


def _check_csv(data: DataFile, name: str, stream: TextIO, delimiter: str) -> None:
    reader = csv.reader(stream, delimiter=delimiter, strict=True)
    header: list[str] | None = None
    for line, row, error in _rows(reader):
        if error:
            data.report(
                name, line, f"the row cannot be read: {error}", 'a " inside a quoted field is written ""'
            )
        elif header is None:
            header = row
            _check_header(data, name, line, header)
        elif len(row) != len(header):
            message = f"the row has {plural(len(row), 'field')}, but the header has {len(header)}"
            data.report(name, line, message, f'put fields that hold "{delimiter}" in double quotes')
        else:
            data.rows += 1
    if header is None:
        data.report(name, 1, "the file is empty", "begin it with a header row that names the columns")
    elif not data.rows and not data.problems:
        data.report(name, 1, "the file has a header but no rows", "add a row for each user")


def _rows(reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str], str]]:
    """Rows that are not empty, with the line in which each begins; a row that cannot be read as an error."""
    begins = 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield begins, [], str(error)
        else:
            if row:
                yield begins, row, ""
        begins = reader.line_num + 1  # type: ignore[attr-defined]


def _check_header(data: DataFile, name: str, line: int, header: list[str]) -> None:
    data.columns = frozenset(header)
    for column, count in Counter(header).items():
        if not column.strip():
            data.report(name, line, "a column has no name", "the first row names the columns")
        elif count > 1:
            data.report(name, line, f'two columns are named "{column}"', "rename one of them")


def _check_json_lines(data: DataFile, name: str, stream: TextIO) -> None:
    columns: set[str] = set()
    for line, text in enumerate(stream, 1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", "nested too deeply")
            data.report(name, line, f"the line is not valid JSON: {reason}", "one whole JSON object per line")
            continue
        if not isinstance(row, dict):
            data.report(name, line, "the line is not a JSON object", 'write {"column": value, ...}')
            continue
        data.rows += 1
        if data.rows <= _JSON_COLUMNS_FROM:
            columns.update(row)
    data.columns = frozenset(columns)
    if not data.rows and not data.problems:
        data.report(name, 1, "the file is empty", "write one JSON object per line")
