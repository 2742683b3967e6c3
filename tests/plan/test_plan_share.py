"""Shares are exact: every number belongs to exactly one shard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.plan.share import WHOLE, Share, parse_shard_ranges

COUNTS = st.integers(1, 64)


@given(total=st.integers(0, 10_000), count=COUNTS)
def test_shares_sum_to_the_whole_and_differ_by_at_most_one(total, count):
    parts = [Share(i, count).of(total) for i in range(count)]
    assert sum(parts) == total
    assert max(parts) - min(parts) <= 1


@given(total=st.integers(0, 300), count=COUNTS, data=st.data())
def test_of_counts_what_owns_says_and_nth_lists_it(total, count, data):
    share = Share(data.draw(st.integers(0, count - 1)), count)
    owned = [i for i in range(total) if share.owns(i)]
    assert share.of(total) == len(owned)
    assert [share.nth(k) for k in range(len(owned))] == owned


@given(number=st.integers(0, 10_000), count=COUNTS, data=st.data())
def test_first_from_is_the_next_owned_number(number, count, data):
    share = Share(data.draw(st.integers(0, count - 1)), count)
    first = share.first_from(number)
    assert number <= first < number + count
    assert share.owns(first)


@given(total=st.integers(0, 2000), width=st.integers(1, 100), count=COUNTS)
def test_dealing_in_rounds_sums_to_the_whole_and_follows_the_owners(total, width, count):
    dealt = [Share(i, count).of_rounds(total, width) for i in range(count)]
    assert sum(dealt) == total
    for i, got in enumerate(dealt):
        assert got == sum(1 for thing in range(total) if (thing % width) % count == i)


def test_a_single_shard_owns_everything():
    assert WHOLE.of(7) == 7
    assert all(WHOLE.owns(i) for i in range(7))


@pytest.mark.parametrize(("index", "count"), [(0, 0), (3, 3), (-1, 2)])
def test_impossible_places_are_refused(index, count):
    with pytest.raises(ValueError, match="no place"):
        Share(index, count)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3", (2,)), ("1-3", (0, 1, 2)), ("1-2,5", (0, 1, 4)), ("4, 2-3,3", (1, 2, 3))],
)
def test_shard_ranges_are_inclusive_and_start_at_one(text, expected):
    assert parse_shard_ranges(text) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [("0", "numbered from 1"), ("3-1", "backwards"), ("a", "not a shard number"), ("1,,2", "not a shard")],
)
def test_wrong_shard_ranges_say_what_is_wrong(text, why):
    with pytest.raises(ValueError, match=why):
        parse_shard_ranges(text)
