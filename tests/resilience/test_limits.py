"""Which limit holds for which host, and what a shard's part of it is."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.spec.http import RateLimit
from squall_runner.http import Origin
from squall_runner.resilience.hosts import MANY, Known
from squall_runner.resilience.limits import RateLimits, host_name


def limits(*declared: dict[str, object], shards: int = 1) -> RateLimits:
    return RateLimits([RateLimit.model_validate(each) for each in declared], shards)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Shop.Example", "shop.example"),
        ("shop.example:8443", "shop.example:8443"),
        ("10.0.0.1", "10.0.0.1"),
        ("::1", "[::1]"),
        ("[::1]:80", "[::1]:80"),
        ("münchen.example", "xn--mnchen-3ya.example"),
    ],
)
def test_a_host_as_it_is_written_in_a_manifest(text, name):
    assert host_name(text) == name


@pytest.mark.parametrize(
    "text", ["http://shop", "shop/path", "a b", ":80", "shop:port", "me@shop", "shop:99999"]
)
def test_what_is_no_host(text):
    with pytest.raises(ValueError, match=r"host|port|Port|neither"):
        host_name(text)


def test_the_most_precise_limit_holds():
    known = limits({"host": "shop", "rate": 1}, {"host": "shop:8443", "rate": 2}, {"spacing": "1s"})
    assert known.name(Origin("https", "shop", 8443)) == "shop:8443"
    assert known.name(Origin("https", "shop")) == known.name(Origin("http", "shop", 81)) == "shop"
    assert known.name(Origin("http", "other", 81)) == "other"
    assert limits({"host": "shop", "rate": 1}).name(Origin("http", "other")) is None


def moments(known: RateLimits, name: str, shard: int, count: int) -> list[float]:
    pace = known.pace(name, shard)
    found = []
    for _ in range(count):
        found.append(max(0.0, pace.turn()))
        pace.take(found[-1], found[-1])
    return found


@given(st.integers(1, 20), st.integers(1, 10_000), st.none() | st.integers(1, 100))
def test_the_shards_together_have_the_rate_and_the_burst(shards, rate, burst):
    declared = {"rate": rate, "timeUnit": "10s"} | ({"burst": burst} if burst else {})
    known = limits(declared, shards=shards)
    bursts = 0
    throughput = 0.0
    for shard in range(shards):
        found = moments(known, "any", shard, 110)
        bursts += found.count(0.0)
        throughput += 1 / (found[-1] - found[-2])
    assert throughput == pytest.approx(rate / 10, rel=1e-3)
    assert bursts == max(burst or shards, shards)


def test_spacing_is_each_shards_own_and_equally_precise_limits_hold_together():
    known = limits({"rate": 100, "burst": 4}, {"rate": 1, "spacing": "10ms"}, shards=2)
    gaps = [later - earlier for earlier, later in pairwise(moments(known, "any", 1, 4))]
    assert gaps == pytest.approx([2.0, 2.0, 2.0], abs=1e-5)
    spaced = limits({"spacing": "10ms"}, shards=2)
    assert moments(spaced, "any", 0, 3) == pytest.approx([0, 0.01, 0.02], abs=1e-5)


def test_what_is_of_no_use_is_forgotten_when_there_is_much():
    known: Known[int, list[int]] = Known(lambda key: [key], lambda thing: thing[0] % 2 == 0)
    for key in range(3 * MANY):
        assert known.get(key) == [key]
    assert known.get(1) is known.get(1)
    assert len(known.all()) < 2 * MANY
    assert all(known.get(key)[0] == key for key in range(1, MANY, 2))
