"""Whose wallet a user gets: disjoint over shards, the same for any number of them, and what happens when they run out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall_runner.data import DataError, DataExhausted
from squall_runner.evm.money.wallets import ListedKeys, SeededKeys, WalletPool
from squall_runner.evm.signing.keys import WrongKeyError, wallet_key

SEED = SeededKeys(b"test")
ORDERS = st.sampled_from(["sequential", "random", "fewestPending"])


def pool(**more):
    return WalletPool(SEED, **{"count": 10, "per": "iteration", **more})


@given(shards=st.integers(1, 12), more=st.integers(0, 40), order=ORDERS)
def test_shards_never_meet_and_have_together_what_one_has(shards, more, order):
    count = shards + more
    pools = [pool(count=count, shard=shard, shards=shards, order=order) for shard in range(shards)]
    taken = [[own.acquire(vu) for vu in range(len(own))] for own in pools]
    assert sorted(index for part in taken for index in part) == list(range(count))
    assert max(map(len, taken)) - min(map(len, taken)) <= 1


@given(count=st.integers(1, 30), takes=st.integers(0, 70), ahead=st.integers(0, 40), order=ORDERS)
def test_what_is_said_to_come_next_does(count, takes, ahead, order):
    own = pool(count=count, order=order)
    for vu in range(takes):
        own.acquire(vu)
    coming = list(own.upcoming(ahead))
    assert [own.acquire(vu) for vu in range(len(coming))] == coming
    if order != "fewestPending":
        assert len(coming) == min(ahead, count)


def test_a_vu_keeps_its_wallet_and_an_iteration_takes_another():
    assert [pool(per="vu").acquire(vu) for vu in (7, 7)] == [0, 0]
    keeping = pool(per="vu")
    assert [keeping.acquire(vu) for vu in (7, 8, 7, 8, 9)] == [0, 1, 0, 1, 2]
    own = pool()
    assert [own.acquire(7) for _ in range(3)] == [0, 1, 2]


def test_chance_is_the_same_again_for_the_same_seed():
    orders = [[own.acquire(0) for _ in range(10)] for own in (pool(order="random", seed=s) for s in "aab")]
    assert orders[0] == orders[1] != orders[2]


def test_the_wallet_with_the_fewest_transactions_on_their_way_is_taken():
    own = pool(count=3, order="fewestPending")
    assert [own.acquire(0) for _ in range(3)] == [0, 1, 2]
    for index, by in ((0, 2), (1, 1), (2, 2), (2, -2)):
        own.changed(index, by)
    assert own.acquire(0) == 2
    own.changed(2, 5)
    assert [own.acquire(0) for _ in range(2)] == [1, 1]
    own.changed(0, -2)
    assert own.acquire(0) == 0


def test_of_several_with_as_few_the_one_taken_longest_ago():
    own = pool(count=3, order="fewestPending")
    assert [own.acquire(0) for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize(
    ("when", "outcome"), [("recycle", None), ("stop", DataExhausted), ("fail", DataError)]
)
@pytest.mark.parametrize("order", ["sequential", "random", "fewestPending"])
def test_after_the_last_wallet(when, outcome, order):
    own = pool(count=5, shard=1, shards=2, when_exhausted=when, order=order)
    first = [own.acquire(0) for _ in range(2)]
    if outcome is None:
        assert sorted(own.acquire(0) for _ in range(2)) == sorted(first)
        return
    assert list(own.upcoming(5)) == []
    with pytest.raises(outcome, match="wallets"):
        own.acquire(0)


def test_a_shard_without_a_wallet_is_refused():
    with pytest.raises(WrongKeyError, match="2 wallets are too few for 3 shards"):
        pool(count=2, shards=3)


KEYS = ["0x" + f"{number:064x}" for number in range(1, 5)]


def test_keys_of_a_file_are_wallets_in_its_order():
    keys = ListedKeys(["# mine", KEYS[0], "", f"  {KEYS[1][2:].upper()}  "])
    assert len(keys) == 2
    assert keys.key(1).address == ListedKeys([KEYS[1]]).key(0).address


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([KEYS[0], "0x12"], "line 2 is no private key: it has 1 bytes"),
        (["", "hello"], "line 2 is no private key: it is not hexadecimal"),
        ([KEYS[0], "#", KEYS[0].upper().replace("0X", "")], "line 3 repeats the key of line 1"),
        (["0" * 64], "line 1 is no private key: it is zero"),
        (["f" * 64], "line 1 is no private key: it is not below the order"),
    ],
)
def test_a_line_that_is_no_key_is_named_and_not_repeated(lines, message):
    with pytest.raises(WrongKeyError) as caught:
        ListedKeys(lines)
    text = f"{caught.value.message} {caught.value.hint}"
    assert message in text
    assert not any(line.strip("#") and line.strip() in text for line in lines)


def test_wallets_are_those_of_the_seed_and_are_derived_once():
    own = pool(shard=1, shards=2)
    first = own.key(own.acquire(0))
    assert first.address == wallet_key(b"test", 1).address
    assert own.key(1) is first
    assert all(a != b for a, b in pairwise(own.key(index).address for index in (1, 3, 5)))
