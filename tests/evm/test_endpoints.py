"""Which endpoint is asked next, decided without a network and with a clock of our own."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.plan.share import WHOLE, Share
from squall.spec import structs
from squall_runner.evm.node.endpoints import Pool, agreed_head
from squall_runner.evm.node.failures import Kind, RpcError
from squall_runner.evm.node.networks import wrong_chain
from squall_runner.evm.node.rpcsettings import EndpointError, EndpointSettings, RpcSettings


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def pool_of(count, *, rate=None, share=WHOLE, changed=lambda _: None, clock=None):
    settings = [
        EndpointSettings.make(f"e{n}", f"http://127.0.0.1:{8000 + n}/key{n}", rate=rate) for n in range(count)
    ]
    pool = Pool(settings, RpcSettings.of(), share, clock=clock or Clock(), rng=Random(1), changed=changed)
    for each in pool.all:
        each.chain_ok = True
        each.latency = 0.01
        each.judge()
    return pool


def fail(endpoint, now, times=20):
    for _ in range(times):
        endpoint.breaker.leave(endpoint.breaker.enter(now), now, failed=True)


# -- rotation, stickiness ---------------------------------------------------------------------------------------


def test_calls_rotate_over_all_that_are_up():
    pool = pool_of(3)
    assert [pool.pick("", 0.0).name for _ in range(6)] == ["e1", "e2", "e0"] * 2


def test_a_much_slower_endpoint_gets_fewer_calls_and_one_with_calls_in_flight_too():
    pool = pool_of(2)
    pool.all[0].latency = 1.0
    assert {pool.pick("", 0.0).name for _ in range(4)} == {"e1"}
    pool.all[1].in_flight = 100  # it has become the one where one would wait for longer
    assert {pool.pick("", 0.0).name for _ in range(4)} == {"e0", "e1"}


def test_who_is_sticky_keeps_to_one_endpoint_while_that_is_up_and_does_not_come_back():
    pool = pool_of(3)
    first = pool.pick("wallet", 0.0)
    assert all(pool.pick("wallet", 0.0) is first for _ in range(5))
    first.answers = False
    first.judge("it does not answer")
    second = pool.pick("wallet", 0.0)
    assert second is not first
    first.answers = True
    first.judge()
    assert pool.pick("wallet", 0.0) is second


def test_one_failed_call_is_made_elsewhere_and_the_next_one_goes_where_it_always_goes():
    pool = pool_of(2)
    own = pool.pick("wallet", 0.0)
    assert pool.pick("wallet", 0.0, [own]) is not own
    assert pool.pick("wallet", 0.0) is own


def test_sticky_names_are_spread_over_endpoints():
    pool = pool_of(4)
    chosen = [pool.pick(f"wallet{n}", 0.0).name for n in range(40)]
    assert {name: chosen.count(name) for name in set(chosen)} == {"e0": 10, "e1": 10, "e2": 10, "e3": 10}


def test_who_asks_for_a_pause_is_left_alone_unless_there_is_nobody_else():
    pool = pool_of(2)
    pool.all[0].pause(5.0, 100.0)
    assert {pool.pick("", 101.0).name for _ in range(4)} == {"e1"}
    pool.all[1].pause(2.0, 100.0)
    assert {pool.pick("", 101.0).name for _ in range(4)} == {"e1"}, "the one whose pause ends first"
    assert {pool.pick("", 106.0).name for _ in range(4)} == {"e0", "e1"}


# -- circuits ---------------------------------------------------------------------------------------------------


def test_an_endpoint_that_fails_is_left_out_and_tells_so_and_comes_back_by_probes():
    told = []
    pool = pool_of(2, changed=lambda each: told.append((each.name, each.up)))
    bad = pool.all[0]
    fail(bad, 10.0)
    assert told[-1] == ("e0", False)
    assert {pool.pick("", 10.0).name for _ in range(4)} == {"e1"}
    assert {pool.pick("", 1000.0).name for _ in range(4)} == {"e1"}, (
        "a caller is no probe where another one is up"
    )
    for _ in range(3):
        bad.breaker.leave(bad.breaker.enter(1000.0), 1000.0, failed=False)
    assert told[-1] == ("e0", True)


def test_circuits_of_different_runners_are_open_for_different_times():
    pool = pool_of(2)
    lengths = []
    for each in pool.all:
        fail(each, 10.0)
        lengths.append(next(t / 100 for t in range(1000, 2000) if not each.breaker.rejects(t / 100)))
    assert lengths[0] != lengths[1]
    assert all(10 + 5 * 0.75 <= length <= 10 + 5 * 1.25 + 0.02 for length in lengths)


def test_when_all_circuits_are_open_it_says_why_and_shows_no_key():
    pool = pool_of(2)
    for each in pool.all:
        fail(each, 10.0)
    with pytest.raises(RpcError) as caught:
        pool.pick("", 10.0)
    assert caught.value.kind is Kind.UNREACHABLE
    assert "e0 (http://127.0.0.1:8000): too many calls have failed" in caught.value.message
    assert "key" not in caught.value.message


def test_one_that_is_behind_is_better_than_none():
    pool = pool_of(2)
    pool.all[0].in_place = pool.all[1].answers = False
    for each in pool.all:
        each.judge("not well")
    assert {pool.pick("", 0.0).name for _ in range(4)} == {"e0", "e1"}


def test_one_on_another_chain_is_never_asked():
    pool = pool_of(2)
    pool.all[0].chain_ok = False
    pool.all[0].judge("another chain")
    fail(pool.all[1], 10.0)
    with pytest.raises(RpcError) as caught:
        pool.pick("", 10.0)
    assert caught.value.kind is Kind.UNREACHABLE
    pool.all[1].chain_ok = False
    with pytest.raises(RpcError) as caught:
        pool.pick("", 1000.0)
    assert caught.value.kind is Kind.CHAIN_MISMATCH


# -- heads ------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 10**6), min_size=3, max_size=9), st.integers(0, 10**9))
def test_one_that_runs_ahead_of_three_or_more_changes_nothing_that_half_of_the_others_do_not_say(heads, lie):
    told = agreed_head([*heads, max(heads) + lie])
    assert told <= max(heads)
    assert sum(each >= told for each in [*heads, max(heads) + lie]) * 2 >= len(heads) + 1


def test_of_two_the_higher_one_counts():
    assert agreed_head([5, 9]) == 9


def _heads(pool, *numbers, now=1000.0):
    for each, number in zip(pool.all, numbers, strict=True):
        pool.saw(each, number, now)
    pool.compare()


def test_who_is_behind_is_left_out_until_it_has_caught_up():
    pool = pool_of(3)
    _heads(pool, 100, 100, 94)
    assert [each.up for each in pool.all] == [True, True, False]
    assert "6 blocks behind" in pool.all[2].why
    _heads(pool, 100, 100, 95)
    assert all(each.up for each in pool.all)


def test_who_is_far_ahead_of_two_others_lies_and_of_one_other_nobody_knows():
    pool = pool_of(3)
    _heads(pool, 100, 1100, 100)
    assert [each.up for each in pool.all] == [True, False, True]
    assert not pool.believable(1100)
    assert pool.believable(105)
    pool = pool_of(2)
    _heads(pool, 100, 1100)
    assert [each.up for each in pool.all] == [False, True]


def test_the_lag_is_the_time_since_the_others_were_further():
    clock = Clock()
    pool = pool_of(2, clock=clock)
    _heads(pool, 10, 10, now=1000.0)
    for number, at in ((11, 1002.0), (12, 1004.0), (13, 1006.0)):
        pool.saw(pool.all[0], number, at)
    assert pool.lag(pool.all[0], 1007.0) == 0
    assert pool.lag(pool.all[1], 1007.0) == 5.0
    pool.saw(pool.all[1], 12, 1007.0)
    assert pool.lag(pool.all[1], 1007.0) == 1.0


# -- rates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "shards"), [(100, 1), (100, 3), (7, 4), (1000, 7)])
def test_the_shares_of_all_shards_are_the_rate(rate, shards):
    # Each shard sends whenever its pace lets it, for ten seconds after its burst.
    sent = 0
    for index in range(shards):
        line = pool_of(1, rate=rate, share=Share(index, shards)).all[0].line
        start = 1000.0
        while line.free(start):
            pass
        for tick in range(10_000):
            sent += line.free(start + (tick + 1) / 1000)
    assert abs(sent - rate * 10) <= shards


# -- manifests --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "socket"),
    [
        ("secret-key", ""),
        ("ftp://h/secret-key", ""),
        ("http://user:secret-key@h/", ""),
        ("http://h:99999/secret-key", ""),
        ("http://h/", "http://h/secret-key"),
        ("http://h/", "ws://user:secret-key@h/"),
    ],
)
def test_a_wrong_url_is_named_and_never_shown(url, socket):
    with pytest.raises(EndpointError) as caught:
        EndpointSettings.make("alpha", url, web_socket=socket)
    assert "alpha" in caught.value.message
    assert "secret-key" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__!r}"


def test_nothing_of_an_endpoint_shows_its_key():
    settings = EndpointSettings.of(
        structs.Endpoint(
            name="a",
            url="https://rpc.example/v3/secret-key?k=secret-key",
            web_socket="wss://rpc.example/secret-key",
            headers={"Authorization": "Bearer secret-key"},
            rate=5,
        )
    )
    assert "secret-key" not in repr(settings)
    assert settings.shown == "a (https://rpc.example:443)"
    assert settings.rate == 5


@pytest.mark.parametrize(
    ("found", "wanted", "right"),
    [
        (31337, 31337, True),
        (1, 1, True),
        (31337, None, True),
        (1, None, False),
        (1480, None, False),
        (5, 31337, False),
    ],
)
def test_only_the_chain_that_was_named_or_one_without_value_will_do(found, wanted, right):
    assert (wrong_chain(found, wanted) == "") is right
