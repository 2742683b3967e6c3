"""Which iterations are in a sample: a share of them, the same everywhere, and more of them where the share is larger."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall_runner.engine.sampling import Sample
from squall_runner.engine.traffic import lines_of

RUNS = st.text(min_size=1, max_size=40)
NUMBERS = st.integers(0, 2**40)


@given(run=RUNS, vu=NUMBERS, iteration=NUMBERS, small=st.fractions(0, 1), large=st.fractions(0, 1))
def test_a_larger_sample_holds_the_smaller_one(
    run: str, vu: int, iteration: int, small: Fraction, large: Fraction
) -> None:
    small, large = sorted((small, large))
    held = Sample(run, small).holds(vu, iteration)
    assert held == Sample(run, small).holds(vu, iteration)
    assert not held or Sample(run, large).holds(vu, iteration)


@given(run=RUNS, vu=NUMBERS, iteration=NUMBERS)
def test_nothing_and_everything(run: str, vu: int, iteration: int) -> None:
    assert not Sample(run, Fraction(0)).holds(vu, iteration)
    assert Sample(run, Fraction(1)).holds(vu, iteration)


@pytest.mark.parametrize("share", [Fraction(1, 100), Fraction(1, 4)])
@pytest.mark.parametrize(("vus", "iterations"), [(1, 100_000), (100_000, 1), (300, 333)])
def test_the_share_is_right_however_iterations_are_spread(share: Fraction, vus: int, iterations: int) -> None:
    sample = Sample("run-1", share)
    held = sum(sample.holds(vu, number) for vu in range(1, vus + 1) for number in range(iterations))
    expected = share * vus * iterations
    assert (
        abs(held - expected) < 4 * float(expected * (1 - share)) ** 0.5
    )  # of a binomial: once in 16,000; here always the same


def test_runs_have_samples_of_their_own() -> None:
    held = sum(Sample(f"run-{number}", Fraction(1, 10)).holds(1, 0) for number in range(1000))
    assert 60 < held < 140


@pytest.mark.parametrize("period", [2, 10, 34, 55, 100])
def test_a_sample_is_never_in_step_with_the_data(period: int) -> None:
    """Whatever row an iteration has, rows of each kind are in the sample, and about as often."""
    sample = Sample("run-1", Fraction(1, 100))
    met = Counter(number % period for number in range(1_000_000) if sample.holds(1, number))
    fair = 10_000 / period
    assert len(met) == period
    assert 0.5 * fair < min(met.values())
    assert max(met.values()) < 2 * fair


@given(most=st.integers(1, 10_000), shards=st.integers(1, 200), hands=st.integers(1, 20))
def test_the_lines_of_all_shards_are_those_of_the_run(most: int, shards: int, hands: int) -> None:
    dealt = [lines_of(most, shards, range(hand, shards, hands)) for hand in range(hands)]
    assert sum(dealt) == most
    assert min(lines_of(most, shards, [shard]) for shard in range(shards)) >= most // shards
