"""Scanning CSV files: the records are those of the csv module, and each mistake is told with its line."""

from __future__ import annotations

import csv
import io
import itertools
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.spec import rowscan
from squall.spec.csvcheck import csv_problems, header_of, jsonl_problems, parse_object, parse_record


def records(content: bytes, delimiter: str = ",") -> list[list[str]]:
    scan = rowscan.scan_csv(content, delimiter)
    assert scan.problems == []
    offsets = [int(offset) for offset in scan.offsets]
    return [parse_record(content[begin:end], delimiter) for begin, end in itertools.pairwise(offsets)]


FIELD = st.text(alphabet='ab",;\n\r é', max_size=6)


@given(
    st.integers(2, 4).flatmap(
        lambda width: st.lists(st.lists(FIELD, min_size=width, max_size=width), max_size=8)
    ),
    st.sampled_from([",", ";"]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.integers(1, 7),
)
def test_records_are_what_the_csv_module_wrote(  # noqa: PLR0917 - hypothesis passes them by name
    rows: list[list[str]], delimiter: str, end: str, finished: bool, bom: bytes, block: int
) -> None:
    out = io.StringIO()
    # The module forgets to quote a carriage return when lines end otherwise.
    returns = any("\r" in field for row in rows for field in row)
    quoting: Literal[0, 1] = csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerows(rows)
    text = out.getvalue() if finished else out.getvalue().removesuffix(end)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rowscan, "_BLOCK", block)
        assert records(bom + text.encode(), delimiter) == rows


@given(st.lists(st.sampled_from(["a,b", "", "c,d"])), st.sampled_from(["\n", "\r\n"]))
def test_blank_lines_are_no_records(lines: list[str], end: str) -> None:
    found = records(end.join(lines).encode())
    assert found == [line.split(",") for line in lines if line]


@given(st.binary(max_size=60), st.integers(1, 9))
def test_any_bytes_are_scanned_and_the_block_size_does_not_matter(content: bytes, block: int) -> None:
    whole = rowscan.scan_csv(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rowscan, "_BLOCK", block)
        cut = rowscan.scan_csv(content)
    assert [p.offset for p in whole.problems if "UTF-8" not in p.message][:1] == [
        p.offset for p in cut.problems if "UTF-8" not in p.message
    ][:1]
    assert whole.offsets.tolist() == cut.offsets.tolist()
    assert whole.offsets[-1] == len(content)


@given(st.text(alphabet='ab",\n\r', max_size=30))
def test_files_without_structural_problems_are_read_by_the_strict_csv_module(text: str) -> None:
    if rowscan.scan_csv(text.encode()).problems:
        return
    expected = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    assert records(text.encode()) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", [(1, "the file is empty")]),
        (b"\n\n", [(1, "the file is empty")]),
        (b"\xef\xbb\xbf", [(1, "the file is empty")]),
        (b"a,b\n", [(1, "a header but no rows")]),
        (
            b"a,b\n1,2\n3\n4,5,6\n",
            [(3, "1 fields, but the header has 2"), (4, "3 fields, but the header has 2")],
        ),
        (b'a,b\n1,"x\ny"\n1\n', [(4, "1 fields")]),
        (b'a,b\n1,"x\n3,4\n', [(2, "never closed")]),
        (b'a,b\n1,5" disk\n3,4" x\n', [(2, "quote inside an unquoted field"), (3, "behind a closing quote")]),
        (b'a,b\n"x"y,2\n', [(2, "behind a closing quote")]),
        (b"a,b\r1,2\r3,4\r", [(1, "carriage return"), (1, "carriage return"), (1, "carriage return")]),
        (b"a,b\n1,\xff\n", [(2, "not UTF-8")]),
        (b"a,,c\n1,2,3\n", [(1, "column 2 has no name")]),
        (b"a, a\n1,2\n", [(1, "column 'a' stands twice")]),
        (b"a,b\n1,2\n", []),
        (b'\xef\xbb\xbfa,b\r\n"1\r\n1",2\r\n\r\n', []),
    ],
)
def test_what_is_wrong_with_csv(content: bytes, expected: list[tuple[int, str]]) -> None:
    found = csv_problems(content)
    assert [line for line, _ in found] == [line for line, _ in expected]
    for (_, message), (_, part) in zip(found, expected, strict=True):
        assert part in message


def test_problems_are_limited() -> None:
    assert len(csv_problems(b"a,b\n" + b"1\n" * 1000)) == 20


def test_csv_with_another_delimiter() -> None:
    assert csv_problems(b"a;b\n1,5;2\n", ";") == []
    assert header_of(b"a;b\n", ";") == ["a", "b"]


def test_names_of_columns_are_read_like_any_field() -> None:
    assert header_of(b' email ,"first\nname"\n') == ["email", "first\nname"]


@pytest.mark.parametrize("delimiter", ['"', "\n", "é", "", ",,"])
def test_impossible_delimiters(delimiter: str) -> None:
    [(line, message)] = csv_problems(b"a,b\n1,2\n", delimiter)
    assert line == 1
    assert "cannot be the delimiter" in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", [(1, "empty")]),
        (b'{"a":1}\n\n{"a":2}', []),
        (b'{"a":1}\n[1]\n{"a"\n', [(2, "not a JSON object"), (3, "not JSON")]),
        (b'{"a":"\xff"}\n', [(1, "not UTF-8"), (1, "not JSON")]),
    ],
)
def test_what_is_wrong_with_json_lines(content: bytes, expected: list[tuple[int, str]]) -> None:
    found = jsonl_problems(content)
    assert [line for line, _ in found] == [line for line, _ in expected]
    for (_, message), (_, part) in zip(found, expected, strict=True):
        assert part in message


def test_a_line_that_is_nested_beyond_all_reason_is_told() -> None:
    found = jsonl_problems(b'{"a": 1}\n' + b'{"a":' * 100_000 + b"\n")
    assert [line for line, _ in found] == [2]


def test_large_quoted_field_is_read() -> None:
    value = "x\n" * 200_000
    assert records(f'a,b\n1,"{value}"\n'.encode())[1] == ["1", value]


def test_header_and_object() -> None:
    assert header_of(b' a ,"b"\r\n') == ["a", "b"]
    assert parse_object(b'{"a": {"b": [1]}}\r\n') == {"a": {"b": [1]}}
