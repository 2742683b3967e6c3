"""Who waits for what: finding it by index is the same as asking everybody, and whoever has gone is forgotten."""

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall_runner.evm.following.heads import Block, Head, LogKey, Receipt, Window, whole_logs
from squall_runner.evm.following.watching import DATA, Logs, LogWatch, Transactions


def head(number, parent=""):
    return Head(
        number, f"0xb{number}", parent or f"0xb{number - 1}", 1000 + 2 * number, 7, 30_000_000, 21_000, 5.0
    )


def receipt(tx_hash, block=1, logs=b"[]"):
    return Receipt(tx_hash, f"0xb{block}", hex(block), "0x5208", "0x1", "0x9", None, msgspec.Raw(logs))


# -- transactions -----------------------------------------------------------------------------------------------


async def test_a_transaction_is_told_of_with_all_that_its_receipt_says():
    waiting = Transactions()
    future = waiting.add("0xaa", 0)
    assert waiting.wanted({"0xaa": 1, "0xbb": 2}) == ["0xaa"]
    assert waiting.include(receipt("0xaa", logs=b'[{"address":"0x1"}]'), head(3), 8.5)
    found = await future
    assert (found.hash, found.status, found.gas_used, found.gas_price) == ("0xaa", 1, 21_000, 9)
    assert (found.block, found.block_timestamp, found.seen, found.confirmed) == (3, 1006, 8.5, 8.5)
    assert found.logs == [{"address": "0x1"}]
    await asyncio.sleep(0)
    assert len(waiting) == 0


async def test_several_may_wait_for_the_same_with_different_confirmations():
    waiting = Transactions()
    futures = [waiting.add("0xaa", confirmations) for confirmations in (0, 1, 3)]
    waiting.include(receipt("0xaa"), head(5), 1.0)
    assert [each.done() for each in futures] == [True, False, False]
    waiting.confirm(6, 2.0)
    waiting.confirm(7, 3.0)
    assert [each.done() for each in futures] == [True, True, False]
    waiting.confirm(9, 4.0)
    assert [each.result().confirmed for each in futures] == [1.0, 2.0, 4.0]
    assert waiting.confirming == 0


async def test_what_was_taken_back_before_it_was_confirmed_is_waited_for_again():
    waiting = Transactions()
    early, late = waiting.add("0xaa", 5), waiting.add("0xbb", 5)
    waiting.include(receipt("0xaa"), head(5), 1.0)
    waiting.include(receipt("0xbb"), head(6), 1.0)
    waiting.take_back(6)
    assert waiting.hashes == ["0xbb"]
    waiting.include(receipt("0xbb"), head(7), 2.0)
    waiting.confirm(11, 3.0)
    assert (early.done(), late.done()) == (True, False)
    waiting.confirm(12, 4.0)
    assert late.result().block == 7


async def test_who_gives_up_is_forgotten_wherever_it_waits():
    waiting = Transactions()
    first, second, third = (waiting.add("0xaa", confirmations) for confirmations in (0, 0, 4))
    other = waiting.add("0xbb", 4)
    first.cancel()
    await asyncio.sleep(0)
    waiting.include(receipt("0xaa"), head(1), 1.0)
    assert second.done()
    assert waiting.confirming == 1
    third.cancel()
    waiting.include(receipt("0xbb"), head(1), 1.0)
    await asyncio.sleep(0)
    assert waiting.confirming == 1
    other.cancel()
    await asyncio.sleep(0)
    assert (waiting.confirming, len(waiting)) == (0, 0)


# -- events -----------------------------------------------------------------------------------------------------

SMALL = st.sampled_from([f"0x{n:064x}" for n in range(3)])
ADDRESS = st.sampled_from(["0xa", "0xb"])
KEYS = st.builds(
    lambda address, topics, words: LogKey(address, topics, "0x" + "".join(word[2:] for word in words)),
    ADDRESS,
    st.lists(SMALL, max_size=4),
    st.lists(SMALL, max_size=2),
)
WATCHES = st.tuples(
    st.none() | ADDRESS, SMALL, st.dictionaries(st.sampled_from([1, 2, 3, DATA, DATA + 1]), SMALL, max_size=2)
)


@given(st.lists(WATCHES, max_size=8), KEYS)
def test_the_index_finds_just_those_to_whom_an_event_fits(wanted, key):
    async def compare():
        logs, watches = Logs(), [LogWatch.of(address, topic, fixed) for address, topic, fixed in wanted]
        for each in watches:
            logs.add(each)
        assert set(logs.find(key)) == {each for each in watches if each.fits(key)}
        logs.cancel()
        await asyncio.sleep(0)
        assert (len(logs), logs.filters, logs.find(key)) == (0, ([], []), [])

    asyncio.run(compare())


async def test_a_thousand_who_wait_for_events_of_their_own_cost_a_log_one_look():
    asked = []
    logs = Logs()
    watches = [
        LogWatch.of("0xA", f"0x{7:064x}", {2: f"0x{n:064X}"}, lambda log, n=n: asked.append(n) or True)
        for n in range(1000)
    ]
    for each in watches:
        logs.add(each)
    key = LogKey("0xa", [f"0x{7:064x}", f"0x{1:064x}", f"0x{500:064x}"])
    for watch in logs.find(key):
        assert watch.offer({"topics": key.topics}, head(9), 1.0)
    assert asked == [500]
    assert watches[500].future.result().block == 9


async def test_what_accept_raises_is_raised_where_the_event_is_awaited():
    watch = LogWatch.of(None, "0x1", None, lambda log: log["missing"])
    assert watch.offer({}, head(1), 1.0)
    with pytest.raises(KeyError, match="missing"):
        await watch.future
    assert not watch.offer({}, head(1), 1.0)


# -- the newest blocks ------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3)), max_size=40))
def test_the_window_is_always_a_run_of_blocks_and_bounded(steps):
    window, expected, next_number = Window(), [], 100
    for count, wanted in steps:
        for _ in range(count):
            window.add(Block(head(next_number), {f"0x{next_number}": receipt("0x1")}))
            expected.append(next_number)
            next_number += 1
        expected = expected[-64:]
        back = min(wanted, len(expected))
        gone = window.cut(next_number - back) if back else []
        assert [block.head.number for block in gone] == expected[len(expected) - back :]
        expected = expected[: len(expected) - back]
        next_number -= back
        assert [window.at(number).head.number for number in expected] == expected
        assert window.at(next_number) is None
        assert (window.head.number if expected else -1) == (expected[-1] if expected else -1)


def test_a_block_that_does_not_follow_begins_a_new_window():
    window = Window()
    window.add(Block(head(5)))
    window.add(Block(head(100)))
    assert (len(window), window.oldest) == (1, 100)


def test_a_chain_is_regular_when_its_blocks_come_at_even_times():
    window = Window()
    for number in range(1, 20):
        window.add(Block(head(number)))
    assert window.block_seconds() == 2.0
    window.add(Block(Head(20, "0xb20", "0xb19", 1100, 7, 1, 1, 5.0)))
    assert window.block_seconds() == 0.0


def test_logs_are_read_from_what_nodes_write():
    assert whole_logs(msgspec.Raw(b"[]")) == whole_logs(msgspec.Raw(b"null")) == []
