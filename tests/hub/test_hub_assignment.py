"""Who carries what in pods, and contents that are cut into pieces."""

from __future__ import annotations

import random
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from squall.hub import assignment
from squall.hub.assignment import pack, pods, unfold, unpack

COUNTS = {
    "shards": st.integers(1, 300),
    "shards_per_pod": st.integers(1, 20),
    "processes_per_pod": st.integers(1, 8),
}


@given(**COUNTS)
def test_every_shard_is_carried_by_one_process(shards, shards_per_pod, processes_per_pod):
    made = pods(shards, shards_per_pod, processes_per_pod)
    carried = [shard for pod in made for process in pod for shard in process]
    assert sorted(carried) == list(range(shards))
    assert all(process for pod in made for process in pod)


@given(**COUNTS)
def test_pods_are_few_and_even_and_within_their_limits(shards, shards_per_pod, processes_per_pod):
    made = pods(shards, shards_per_pod, processes_per_pod)
    assert (len(made) - 1) * shards_per_pod < shards <= len(made) * shards_per_pod
    sizes = [sum(len(process) for process in pod) for pod in made]
    assert max(sizes) <= shards_per_pod
    assert max(sizes) - min(sizes) <= 1
    assert [len(pod) for pod in made] == [min(processes_per_pod, size) for size in sizes]


def test_neighbours_go_to_different_pods():
    assert pods(5, 2, 2) == (((0,), (3,)), ((1,), (4,)), ((2,),))
    assert pods(4, 4, 2) == (((0, 2), (1, 3)),)


@given(content=st.binary(max_size=5000), piece=st.integers(1, 700))
def test_what_was_packed_comes_out_again(content, piece):
    pieces = pack(content, piece)
    assert all(len(each) <= piece for each in pieces)
    assert pieces == pack(content, piece)
    assert unpack(pieces, len(content)) == content


@given(
    content=st.binary(min_size=1, max_size=60),
    times=st.integers(1, 60),
    piece=st.integers(1, 50),
    part=st.integers(1, 40),
)
def test_it_comes_out_part_by_part(content, times, piece, part):
    with patch.object(assignment, "_PART_BYTES", part):
        parts = list(unfold(pack(content * times, piece), len(content) * times))
    assert b"".join(parts) == content * times
    assert max(map(len, parts)) <= part


def test_nothing_is_read_beyond_what_is_too_much():
    pieces = pack(random.Random(1).randbytes(5_000_000), 1_000_000)
    read = []

    def reading():
        for number, piece in enumerate(pieces):
            read.append(number)
            yield piece

    with pytest.raises(ValueError, match="more than the 10 bytes"):
        list(unfold(reading(), 10))
    assert read == [0]


@given(content=st.binary(min_size=1, max_size=3000), place=st.integers(0, 10_000), change=st.integers(1, 255))
@example(content=b"\0\0\0\0\1", place=16, change=4)
def test_no_byte_of_the_content_can_be_changed_unnoticed(content, place, change):
    whole = bytearray(b"".join(pack(content)))
    whole[place % len(whole)] ^= change
    # Some bits mean nothing: a time in gzip's head, and what fills up the last byte of the deflated part.
    try:
        assert unpack((bytes(whole),), len(content)) == content
    except ValueError as error:
        assert str(error).startswith(("it ", "something follows"))  # noqa: PT017 - both outcomes are right


def test_a_changed_byte_is_noticed():
    whole = bytearray(b"".join(pack(b"what matters" * 20)))
    whole[len(whole) // 2] ^= 1
    with pytest.raises(ValueError, match="it "):
        unpack((bytes(whole),), 240)


@pytest.mark.parametrize(
    ("pieces", "size", "why"),
    [
        (pack(b"x" * 1000 + bytes(range(256)), 50)[:-1], 1256, "ends after"),
        (pack(b"abc"), 2, "more than the 2 bytes"),
        (pack(b"abc"), 4, "ends after 3 of 4"),
        ((*pack(b"abc"), b"more"), 3, "something follows"),
        ((*pack(b"abc")[:-1], pack(b"abc")[-1] + b"more"), 3, "something follows"),
        ((b"no gzip",), 7, "damaged"),
        ((), 0, "ends after 0 of 0"),
    ],
)
def test_what_is_wrong_is_said(pieces, size, why):
    with pytest.raises(ValueError, match=why):
        unpack(pieces, size)


def test_a_bomb_is_not_unpacked():
    with pytest.raises(ValueError, match="more than the 10 bytes"):
        unpack(pack(bytes(50_000_000)), 10)
