"""Lines get out without anybody waiting for whoever takes them, and what is missing is counted and said."""

from __future__ import annotations

import fcntl
import os
import re
import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from squall.logs.writer import LineWriter

SECONDS = 20.0
LINE = b"x" * 99 + b"\n"


def told(count: int) -> bytes:
    return b"lost %d\n" % count


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe of one page."""
    out, into = os.pipe()
    fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, 4096)
    try:
        yield out, into
    finally:
        for end in (out, into):
            os.close(end)


def read_until(out: int, enough: Callable[[bytes], bool]) -> bytes:
    """What comes out of a pipe, until it is enough."""
    found, deadline = b"", time.monotonic() + SECONDS
    while not enough(found):
        assert time.monotonic() < deadline, found[-200:]
        if select.select([out], [], [], 0.1)[0]:
            found += os.read(out, 65536)
    return found


def missing(read: bytes) -> int:
    """How many lines are said to be lost."""
    return sum(int(number) for number in re.findall(rb"lost (\d+)\n", read))


def test_a_reader_that_stands_still_holds_nobody_up_and_hears_how_much_it_missed() -> None:
    with pipe() as (out, into):
        writer = LineWriter(into, told, most_bytes=50 * len(LINE))
        for _ in range(1000):
            writer.write(LINE)  # a pipe of one page and a queue of fifty lines are full long before
        lost = writer.lost
        assert 1000 - 50 - 4096 // len(LINE) - 1 <= lost < 1000
        read = read_until(out, lambda read: missing(read) == lost and read.count(LINE) == 1000 - lost)
        assert len(read) == (1000 - lost) * len(LINE) + len(b"".join(re.findall(rb"lost \d+\n", read)))
        writer.write(b"again\n")
        assert read_until(out, lambda read: read.endswith(b"again\n")) == b"again\n"
        writer.close()
        assert writer.problem == ""


def test_closing_waits_for_what_is_left_but_not_for_ever() -> None:
    with pipe() as (out, into):
        writer = LineWriter(into, told)
        for _ in range(100):
            writer.write(LINE)
        writer.close(seconds=0.05)  # nobody reads
        assert read_until(out, lambda read: len(read) >= 100 * len(LINE)) == LINE * 100
        writer.close(SECONDS)  # now somebody has
        assert writer.lost == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_a_full_disk_costs_lines_and_says_why() -> None:
    file = os.open("/dev/full", os.O_WRONLY)
    writer = LineWriter(file, told)
    writer.write(LINE)
    writer.write(LINE)
    writer.close(SECONDS)
    os.close(file)
    assert (writer.lost, writer.problem) == (2, "No space left on device")


def test_a_reader_that_is_gone_costs_lines() -> None:
    out, into = os.pipe()
    os.close(out)
    writer = LineWriter(into, told)
    writer.write(LINE)
    writer.close(SECONDS)
    os.close(into)
    assert (writer.lost, writer.problem) == (1, "Broken pipe")


def test_a_descriptor_that_others_have_made_non_blocking_loses_nothing() -> None:
    with pipe() as (out, into):
        os.set_blocking(into, False)
        writer = LineWriter(into, told)
        for _ in range(200):
            writer.write(LINE)
        writer.write(b"end\n")
        assert read_until(out, lambda read: read.endswith(b"end\n")) == LINE * 200 + b"end\n"
        writer.close()


def test_lines_of_several_writers_on_one_pipe_stay_whole() -> None:
    with pipe() as (out, into):
        writers = [LineWriter(into, told) for _ in range(4)]
        for number, writer in enumerate(writers):
            for _ in range(300):
                writer.write(b"%d" % number * (50 + 300 * number) + b"\n")
        found = b""
        deadline = time.monotonic() + SECONDS
        while found.count(b"\n") < 1200:
            assert time.monotonic() < deadline
            found += os.read(out, 65536)
        assert all(len(set(line)) == 1 for line in found.splitlines())
        for writer in writers:
            writer.close()
