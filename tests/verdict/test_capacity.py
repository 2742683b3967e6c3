"""The search for the highest load that holds, against targets that are a number."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from squall.verdict.capacity import (
    BLAMES,
    REOPENINGS,
    RETREATS,
    UNKNOWNS,
    Bounds,
    End,
    Outcome,
    Purpose,
    Search,
)

HELD, FAILED, LIMITED, UNKNOWN = Outcome.HELD, Outcome.FAILED, Outcome.LIMITED, Outcome.UNKNOWN


@st.composite
def bounds(draw: st.DrawFn) -> Bounds:
    maximum = draw(st.integers(1, 10**6))
    return Bounds(
        start=draw(st.integers(1, maximum)),
        maximum=maximum,
        growth=Fraction(draw(st.integers(1, 300)), 100),
        precision=Fraction(draw(st.integers(0, 20)), 100),
        confirmations=draw(st.integers(0, 2)),
    )


def plain(**changes: object) -> Bounds:
    given: dict[str, object] = {
        "start": 100,
        "maximum": 10_000,
        "growth": Fraction(1, 2),
        "precision": Fraction(5, 100),
        "confirmations": 1,
    }
    return Bounds(**(given | changes))  # type: ignore[arg-type]


def carry_out(search: Search, target: Callable[[int], Outcome]) -> list[int]:
    """Search to the end; returns the levels that were tried."""
    tried: list[int] = []
    while search.end is None:
        tried.append(search.level)
        assert len(tried) < 10_000, "it does not end"
        search.take(target(search.level))
    return tried


def most_levels(b: Bounds) -> float:
    """How many levels a search may take that meets no contradiction."""
    ups = 1 / b.growth + math.log(b.maximum) / math.log(1 + b.growth / 2) if b.maximum > b.start else 1
    return (ups + math.log2(b.maximum) + 3) * (1 + b.confirmations)


@given(bounds(), st.integers(0, 2 * 10**6))
def test_it_finds_the_limit_of_a_target_that_has_one(b: Bounds, limit: int) -> None:
    search = Search(b)
    tried = carry_out(search, lambda level: HELD if level <= limit else FAILED)
    assert all(1 <= level <= b.maximum for level in tried)
    assert len(tried) <= most_levels(b)
    if limit >= b.maximum:
        assert (search.end, search.low, search.high) == (End.MAXIMUM, b.maximum, None)
    elif limit == 0:
        assert (search.end, search.low, search.high) == (End.NOTHING, 0, 1)
    else:
        assert search.end is End.FOUND
        assert search.high is not None
        assert search.low <= limit < search.high <= search.low + max(1, b.precision * search.low)
        assert tried.count(search.low) == 1 + b.confirmations
    assert search.confirmed == (search.low > 0)


@given(bounds(), st.lists(st.sampled_from([HELD, FAILED, LIMITED, UNKNOWN]), min_size=1), st.randoms())
def test_it_ends_whatever_it_is_told(b: Bounds, pool: list[Outcome], chance: object) -> None:
    search = Search(b)
    tried = carry_out(search, lambda _: chance.choice(pool))  # type: ignore[attr-defined]
    repeats = 1 + b.confirmations + BLAMES + UNKNOWNS
    assert len(tried) <= repeats * (RETREATS + REOPENINGS + 3) * most_levels(b)
    assert search.low < (search.high or math.inf)
    assert search.low in {0, *tried}


@given(bounds(), st.integers(0, 10**6), st.integers(1, 99), st.randoms())
def test_noise_around_the_limit_moves_the_knee_no_further_than_the_noise(
    b: Bounds, limit: int, noise: int, chance: object
) -> None:
    def target(level: int) -> Outcome:
        if abs(level - limit) * 100 < noise * limit:
            return chance.choice([HELD, FAILED])  # type: ignore[attr-defined]
        return HELD if level <= limit else FAILED

    search = Search(b)
    carry_out(search, target)
    assert search.low <= limit * (1 + noise / 100)


def test_the_levels_of_a_search() -> None:
    search = Search(plain())
    assert carry_out(search, lambda level: HELD if level <= 260 else FAILED) == [
        *(100, 150, 225, 337),
        *(337, 281, 281, 253, 267, 267, 260, 260, 267),
    ]
    assert (search.low, search.high, search.end) == (260, 267, End.FOUND)


def test_a_failure_that_does_not_repeat_is_forgotten() -> None:
    search = Search(plain())
    for outcome, level, purpose in (
        (FAILED, 100, Purpose.CONFIRM),
        (HELD, 150, Purpose.GROW),
        (FAILED, 150, Purpose.CONFIRM),
        (FAILED, 125, Purpose.BISECT),
        (FAILED, 125, Purpose.CONFIRM),
        (HELD, 137, Purpose.BISECT),
    ):
        search.take(outcome)
        assert (search.level, search.purpose) == (level, purpose)


@given(bounds(), st.integers(1, 10**6), st.integers(0, 40))
def test_an_outage_as_long_as_one_level_is_not_taken_for_the_capacity(
    b: Bounds, limit: int, victim: int
) -> None:
    """All tries of a level, the `victim`th that is tried for the first time, fall into it."""
    if b.confirmations == 0 or (b.start == 1 and victim == 0):
        return
    search, seen, away = Search(b), 0, 0

    def target(level: int) -> Outcome:
        nonlocal seen, away
        if search.purpose is not Purpose.CONFIRM:
            away = 1 + b.confirmations if seen == victim else 0
            seen += 1
        away -= 1
        return HELD if level <= limit and away < 0 else FAILED

    tried = carry_out(search, target)
    assert len(tried) <= 3 * most_levels(b)
    if limit >= b.maximum:
        assert (search.end, search.low) == (End.MAXIMUM, b.maximum)
    elif search.end is End.NOTHING:
        assert 1 in tried
    else:
        assert search.end is End.FOUND
        assert search.high is not None
        assert search.low <= limit < search.high <= search.low + max(1, b.precision * search.low)


def test_a_search_goes_on_when_the_level_that_ended_it_holds_after_all() -> None:
    search = Search(plain(start=20, maximum=2000))
    tries = 0

    def target(level: int) -> Outcome:
        nonlocal tries
        tries += 1
        return HELD if level <= 190 and tries not in {5, 6} else FAILED

    tried = carry_out(search, target)
    assert tried[4:6] == [100, 100]
    assert search.end is End.FOUND
    assert search.low <= 190 < (search.high or 0) <= search.low * 1.05
    assert search.confirmed


def test_a_search_goes_on_only_so_often() -> None:
    search = Search(plain())
    outcomes = {Purpose.GROW: FAILED, Purpose.BISECT: FAILED}
    reopened = 0
    while search.end is None:
        again = search.level == search.high
        first_fails = search.purpose in outcomes and search.low > 0
        failed_before = search.purpose is Purpose.CONFIRM and search.level > search.low and not again
        reopened += again
        search.take(FAILED if first_fails or failed_before else HELD)
    assert (search.end, reopened) == (End.FOUND, REOPENINGS)


def test_a_generator_that_is_busy_at_the_last_try_does_not_spoil_what_was_found() -> None:
    search = Search(plain())
    carry_out(search, lambda level: LIMITED if level == search.high else HELD if level <= 260 else FAILED)
    assert (search.low, search.high, search.end, search.confirmed) == (260, 267, End.FOUND, True)


def test_without_time_for_the_last_try_the_capacity_is_found_all_the_same() -> None:
    search = Search(plain())
    while search.level != search.high:
        search.take(HELD if search.level <= 260 else FAILED)
    search.give_up(End.TIME)
    assert (search.low, search.high, search.end) == (260, 267, End.FOUND)


def test_without_confirmations_nothing_is_repeated() -> None:
    tried = carry_out(Search(plain(confirmations=0)), lambda level: HELD if level <= 260 else FAILED)
    assert len(tried) == len(set(tried))


def test_a_first_level_that_fails_leads_downwards() -> None:
    search = Search(plain(precision=Fraction(0)))
    assert carry_out(search, lambda level: HELD if level <= 7 else FAILED)[:6] == [100, 100, 50, 50, 25, 25]
    assert search.low == 7


def test_a_knee_that_fails_its_confirmation_is_given_up() -> None:
    outcomes = [HELD, HELD, FAILED, FAILED, HELD, HELD, HELD, FAILED]
    search = Search(plain())
    tried = []
    for outcome in outcomes:
        tried.append(search.level)
        search.take(outcome)
    assert tried[-1] == tried[-2] == search.high
    assert search.low < tried[-1]
    carry_out(search, lambda level: HELD if level < 215 else FAILED)
    assert (search.low, search.high, search.end) == (206, 215, End.FOUND)


def test_where_the_generator_is_to_blame_the_search_ends_below() -> None:
    search = Search(plain())
    assert carry_out(search, lambda level: HELD if level <= 200 else LIMITED) == [
        *(100, 150, 225, 225, 225),
    ]
    assert (search.end, search.low, search.high) == (End.GENERATOR, 150, None)
    assert not search.confirmed


def test_a_failure_is_not_confirmed_by_one_that_says_nothing() -> None:
    search = Search(plain())
    for outcome in (FAILED, LIMITED, LIMITED):
        search.take(outcome)
        assert (search.level, search.purpose, search.high) == (100, Purpose.CONFIRM, None)
    search.take(FAILED)
    assert (search.high, search.level) == (100, 50)


def test_a_busy_moment_of_the_generator_passes() -> None:
    search = Search(plain(confirmations=0))
    search.take(LIMITED)
    search.take(HELD)
    assert (search.low, search.level, search.end) == (100, 150, None)


def test_a_level_that_nobody_saw_is_repeated_but_not_for_ever() -> None:
    search = Search(plain())
    search.take(UNKNOWN)
    assert (search.level, search.end) == (100, None)
    search.take(HELD)
    assert carry_out(search, lambda _: UNKNOWN) == [150] * UNKNOWNS
    assert (search.end, search.low) == (End.NOISE, 100)


def test_giving_up_keeps_what_is_known() -> None:
    search = Search(plain())
    search.take(HELD)
    search.give_up(End.TIME)
    search.give_up(End.STOPPED)
    assert (search.end, search.low, search.confirmed) == (End.TIME, 100, False)
