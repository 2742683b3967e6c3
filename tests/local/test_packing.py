from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from squall.local.packing import pack


@given(shards=st.integers(1, 500), processes=st.integers(1, 64))
def test_every_shard_is_dealt_once_and_hands_are_even(shards: int, processes: int) -> None:
    hands = pack(shards, processes)
    assert sorted(shard for hand in hands for shard in hand) == list(range(shards))
    assert len(hands) == min(shards, processes)
    sizes = {len(hand) for hand in hands}
    assert max(sizes) - min(sizes) <= 1


def test_neighbours_go_to_different_processes() -> None:
    assert pack(5, 2) == ((0, 2, 4), (1, 3))
