"""Feeders: every row reaches exactly one shard, and a million rows cost nothing."""

from __future__ import annotations

import csv
import multiprocessing
import os
import resource
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall_runner.data import DataError, DataExhausted, Feeder, Rows, RowsError, open_rows
from squall_runner.data import index as index_module

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Rows]:
    """Opens a file with so many rows, numbered from 0; each is made once."""
    folder = tmp_path_factory.mktemp("rows")

    def make(count: int) -> Rows:
        path = folder / f"{count}.csv"
        if not path.exists():
            path.write_text("n\n" + "".join(f"{number}\n" for number in range(count)))
        return open_rows(path, "csv", cache=folder / "cache")

    return make


def drain(feeder: Feeder) -> list[int]:
    found: list[int] = []
    try:
        while len(found) < 10_000:
            found.append(int(feeder.next(1)["n"]))
    except DataExhausted:
        return found
    raise AssertionError("never exhausted")


@given(count=st.integers(1, 40), shards=st.integers(1, 12))
def test_unique_rows_reach_exactly_one_shard(
    numbered: Callable[[int], Rows], count: int, shards: int
) -> None:
    rows = numbered(count)
    shares = [drain(Feeder("d", rows, order="unique", shard=shard, shards=shards)) for shard in range(shards)]
    assert sorted(number for share in shares for number in share) == list(range(count))
    assert all(share == sorted(share) for share in shares)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(count=st.integers(1, 40), shards=st.integers(1, 12), rounds=st.integers(1, 3))
def test_sequential_shards_repeat_their_own_rows_in_order(
    numbered: Callable[[int], Rows], count: int, shards: int, rounds: int
) -> None:
    rows = numbered(count)
    for shard in range(shards):
        feeder = Feeder("d", rows, shard=shard, shards=shards)
        own = list(range(shard, count, shards)) or [shard % count]
        assert [int(feeder.next(1)["n"]) for _ in range(rounds * len(own))] == own * rounds


def test_a_row_serves_one_iteration_of_any_vu(numbered: Callable[[int], Rows]) -> None:
    feeder = Feeder("d", numbered(10), shard=0, shards=1)
    assert [feeder.next(vu)["n"] for vu in (5, 1, 5, 9)] == ["0", "1", "2", "3"]


def test_exhausted_data_fails_the_run_when_asked_to(numbered: Callable[[int], Rows]) -> None:
    feeder = Feeder("users", numbered(3), order="sequential", when_exhausted="fail", shard=1, shards=2)
    assert feeder.next(1)["n"] == "1"
    for _ in range(2):
        with pytest.raises(DataError, match="data users: a shard has used all its 1 rows"):
            feeder.next(1)


def test_exhausted_data_stops_again_and_again(numbered: Callable[[int], Rows]) -> None:
    feeder = Feeder("users", numbered(1), order="unique")
    feeder.next(1)
    for _ in range(2):
        with pytest.raises(DataExhausted):
            feeder.next(1)
    with pytest.raises(ValueError, match="cannot be recycled"):
        Feeder("users", numbered(1), order="unique", when_exhausted="recycle")


def test_random_rows_depend_on_seed_and_vu_only(numbered: Callable[[int], Rows]) -> None:
    rows = numbered(1000)

    def drawn(vu: int, *, seed: int = 1, shard: int = 0, shards: int = 1, between: int = 0) -> list[str]:
        feeder = Feeder("d", rows, order="random", seed=seed, shard=shard, shards=shards)
        found = []
        for _ in range(20):
            found.append(feeder.next(vu)["n"])
            for other in range(between):
                feeder.next(1000 + other)
        return found

    assert drawn(1) == drawn(1, shard=3, shards=5) == drawn(1, between=3)
    assert drawn(1) != drawn(2)
    assert drawn(1) != drawn(1, seed=2)


def test_random_rows_are_even(numbered: Callable[[int], Rows]) -> None:
    feeder = Feeder("d", numbered(10), order="random")
    counts = Counter(feeder.next(vu)["n"] for vu in range(100) for _ in range(100))
    # Ten thousand draws of ten rows: the standard deviation of each count is 30.
    assert len(counts) == 10
    assert all(abs(count - 1000) < 180 for count in counts.values())


def test_csv_rows_of_all_kinds(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b'\xef\xbb\xbf email ;name\r\na@x;"Ann; ""A""\r\nB"\r\n\r\nb@x;\r\n')
    rows = open_rows(path, "csv", delimiter=";", cache=tmp_path / "cache")
    assert rows.columns == ("email", "name")
    assert [rows[number] for number in range(len(rows))] == [
        {"email": "a@x", "name": 'Ann; "A"\r\nB'},
        {"email": "b@x", "name": ""},
    ]


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1, "b": {"c": [1]}}\n\n{"a": "é"}\n[1]')
    rows = open_rows(path, "jsonl", cache=tmp_path / "cache")
    assert len(rows) == 3
    assert rows[0] == {"a": 1, "b": {"c": [1]}}
    assert rows[1] == {"a": "é"}
    with pytest.raises(RowsError, match=r"x.jsonl:4: not a JSON object"):
        rows[2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", ":1: the file is empty"),
        ("a,b\n", "the file has no rows"),
        ("a,b\n1,2\n3\n", ":3: 1 fields, but the header has 2"),
        ('a,b\n1,"2\n', ":2: the quoted field"),
        ("a,a\n1,2\n", ":1: column 'a' stands twice"),
    ],
)
def test_malformed_files_are_refused_with_their_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(content)
    for _ in range(2):
        with pytest.raises(RowsError) as caught:
            open_rows(path, "csv", cache=tmp_path / "cache")
        assert message in caught.value.message
        assert str(path) in caught.value.message


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(RowsError, match="No such file"):
        open_rows(tmp_path / "none.csv", "csv", cache=tmp_path / "cache")


def indexes(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.idx"))


def test_index_is_built_once_and_again_for_a_changed_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cache = tmp_path / "x.csv", tmp_path / "cache"
    path.write_text("n\n1\n")
    open_rows(path, "csv", cache=cache)
    assert len(indexes(cache)) == 1
    with monkeypatch.context() as patch:
        patch.setattr("squall_runner.data.rows.scan_csv", lambda *_: pytest.fail("scanned again"))
        assert open_rows(path, "csv", cache=cache)[0] == {"n": "1"}
    path.write_text("n\n1\n2\n")
    assert len(open_rows(path, "csv", cache=cache)) == 2
    assert len(indexes(cache)) == 2
    assert not list(cache.glob("*.part"))


def test_old_indexes_are_dropped_and_open_ones_still_work(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    opened = []
    for number in range(20):
        path = tmp_path / f"{number}.csv"
        path.write_text(f"n\n{number}\n")
        opened.append(open_rows(path, "csv", cache=cache))
        os.utime(max(indexes(cache), key=lambda index: index.stat().st_mtime_ns), (number, number))
    assert len(indexes(cache)) <= 17
    assert [rows[0]["n"] for rows in opened] == [str(number) for number in range(20)]


def test_a_cache_that_cannot_be_used_is_done_without(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("n\n7\n")
    (tmp_path / "file").write_text("")
    assert open_rows(path, "csv", cache=tmp_path / "file")[0] == {"n": "7"}
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    assert open_rows(path, "csv", cache=shared)[0] == {"n": "7"}
    assert indexes(shared) == []
    assert index_module.default_cache().name == f"squall-index-{os.getuid()}"


def _open_in_process(path: Path, cache: Path, results: multiprocessing.Queue[int]) -> None:
    rows = open_rows(path, "csv", cache=cache)
    results.put(sum(int(rows[number]["n"]) for number in range(len(rows))))


def test_processes_that_start_together_share_one_index(tmp_path: Path) -> None:
    path, cache = tmp_path / "x.csv", tmp_path / "cache"
    path.write_text("n\n" + "".join(f"{number}\n" for number in range(5000)))
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[int] = context.Queue()
    processes = [context.Process(target=_open_in_process, args=(path, cache, results)) for _ in range(2)]
    for process in processes:
        process.start()
    sums = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert sums == [sum(range(5000))] * 2
    assert len(indexes(cache)) == 1


def test_a_million_rows_cost_no_memory(tmp_path: Path) -> None:
    path, cache = tmp_path / "big.csv", tmp_path / "cache"
    count = 1_000_000
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["email", "password", "n"])
        writer.writerows([f"user{number}@example.com", "s3cret, really", number] for number in range(count))
    open_rows(path, "csv", cache=cache)  # builds the index
    tracemalloc.start()
    rows = open_rows(path, "csv", cache=cache)
    feeders = [Feeder("users", rows, order="unique", shard=shard, shards=4) for shard in range(4)]
    for vu in range(2000):
        feeders[vu % 4].next(vu)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(rows) == count
    assert rows[count - 1] == {"email": "user999999@example.com", "password": "s3cret, really", "n": "999999"}
    assert held < 100_000
    assert peak < 500_000


def test_building_the_index_takes_a_bounded_amount(tmp_path: Path) -> None:
    path = tmp_path / "big.csv"
    count = 300_000
    path.write_text("a,b\n" + "value,another value\n" * count)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert len(open_rows(path, "csv", cache=tmp_path / "cache")) == count
    # KiB: the file's own pages, the arrays of the scan, and room for the allocator.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 120_000
