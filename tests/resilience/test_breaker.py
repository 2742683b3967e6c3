"""The circuit breaker against a plain model of what is written about it."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from squall_runner.resilience.breaker import REJECTED, Breaker, BreakerRules, State

RULES = BreakerRules(error_rate=0.5, window=10.0, min_requests=4, open_for=5.0, probes=2)


class Told:
    """A breaker at a moment that a test sets, and its transitions."""

    def __init__(self, rules: BreakerRules = RULES, at: float = 1_000.0) -> None:
        self.now = at
        self.states: list[tuple[State, float]] = []
        self.breaker = Breaker(rules, lambda state, _, length: self.states.append((state, length)))

    def ask(self, *failed: bool) -> None:
        for each in failed:
            ticket = self.breaker.enter(self.now)
            assert ticket != REJECTED
            self.breaker.leave(ticket, self.now, failed=each)

    def rejected(self) -> bool:
        rejects = self.breaker.rejects(self.now)
        assert rejects == (self.breaker.enter(self.now) == REJECTED)
        return rejects


def test_it_opens_at_the_share_and_not_before_there_are_enough():
    told = Told()
    told.ask(True, True, True)
    assert told.breaker.state is State.CLOSED
    told.ask(True)
    assert told.breaker.state is State.OPEN
    assert told.rejected()


def test_a_share_below_the_limit_keeps_it_closed():
    told = Told()
    told.ask(*[False, False, True] * 20)
    assert told.breaker.state is State.CLOSED
    told.ask(*[True] * 20)
    assert told.states == [(State.OPEN, 5.0)]


def test_what_is_older_than_the_window_is_forgotten():
    told = Told()
    told.ask(True, True, True)
    told.now += 10.5
    told.ask(True)
    assert told.breaker.state is State.CLOSED
    told.ask(True, True, True)
    assert told.breaker.state is State.OPEN


def test_it_closes_when_all_probes_succeed_and_begins_anew():
    told = Told()
    told.ask(True, True, True, True)
    told.now += 4.9
    assert told.rejected()
    told.now += 0.2
    told.ask(False)
    assert told.breaker.state is State.HALF_OPEN
    told.ask(False)
    assert told.breaker.state is State.CLOSED
    assert told.breaker.open_seconds(told.now + 100) == pytest.approx(5.1)
    told.ask(True, True, True)
    assert told.breaker.state is State.CLOSED


def test_only_as_many_as_there_are_probes_are_let_through():
    told = Told()
    told.ask(True, True, True, True)
    told.now += 5
    tickets = [told.breaker.enter(told.now) for _ in range(4)]
    assert [ticket == REJECTED for ticket in tickets] == [False, False, True, True]
    told.breaker.abandon(tickets[0])
    assert told.breaker.enter(told.now) == tickets[1]
    assert told.rejected()


def test_a_failed_probe_opens_it_for_twice_as_long_up_to_ten_times():
    told = Told()
    told.ask(True, True, True, True)
    lengths = []
    for _ in range(6):
        told.now += told.states[-1][1]
        told.ask(True)
        lengths.append(told.states[-1][1])
    assert lengths == [10.0, 20.0, 40.0, 50.0, 50.0, 50.0]
    told.now += 50
    told.ask(False, False)
    told.ask(True, True, True, True)
    assert told.states[-1] == (State.OPEN, 5.0)


def test_results_from_before_a_transition_decide_nothing():
    told = Told()
    old = [told.breaker.enter(told.now) for _ in range(3)]
    told.ask(True, True, True, True)
    told.now += 5
    probe = told.breaker.enter(told.now)
    told.breaker.leave(old[0], told.now, failed=True)
    told.breaker.leave(old[1], told.now, failed=False)
    told.breaker.abandon(old[2])
    assert told.breaker.state is State.HALF_OPEN
    told.breaker.leave(probe, told.now, failed=False)
    told.ask(False)
    assert told.breaker.state is State.CLOSED


def test_something_is_known_of_a_host_until_its_failures_are_forgotten():
    told = Told()
    assert told.breaker.idle(told.now)
    told.ask(False)
    assert told.breaker.idle(told.now)
    told.ask(True)
    assert not told.breaker.idle(told.now)
    told.now += 100
    assert told.breaker.idle(told.now)
    told.ask(True, True, True, True)
    told.now += 100
    assert not told.breaker.idle(told.now)


class Model(RuleBasedStateMachine):
    """Any order of requests, results and time; the model keeps every result it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.told = Told()
        self.breaker = self.told.breaker
        self.under_way: list[tuple[int, bool]] = []
        self.results: list[tuple[float, bool]] = []
        self.state, self.until, self.length = State.CLOSED, 0.0, 5.0
        self.probes_out = self.probes_well = 0

    @rule(seconds=st.sampled_from([0.0, 0.3, 1.0, 2.5, 5.0, 11.0]))
    def time_passes(self, seconds: float) -> None:
        self.told.now += seconds

    @rule()
    def a_request_comes(self) -> None:
        now = self.told.now
        if self.state is State.OPEN and now >= self.until:
            self.state, self.probes_out, self.probes_well = State.HALF_OPEN, 0, 0
        admitted = self.state is State.CLOSED or (
            self.state is State.HALF_OPEN and self.probes_out < RULES.probes
        )
        ticket = self.breaker.enter(now)
        assert (ticket != REJECTED) == admitted
        if admitted:
            self.probes_out += self.state is State.HALF_OPEN
            self.under_way.append((ticket, False))

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), failed=st.booleans())
    def a_request_ends(self, data: st.DataObject, failed: bool) -> None:
        ticket, stale = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        now = self.told.now
        self.breaker.leave(ticket, now, failed=failed)
        if stale:
            return
        if self.state is State.HALF_OPEN:
            self.probes_well += not failed
            if failed:
                self._move(State.OPEN, min(2 * self.length, 50.0))
            elif self.probes_well == RULES.probes:
                self._move(State.CLOSED, 5.0)
        else:
            self._count(now, failed)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def a_request_is_given_up(self, data: st.DataObject) -> None:
        ticket, stale = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        self.breaker.abandon(ticket)
        self.probes_out -= not stale and self.state is State.HALF_OPEN

    def _count(self, now: float, failed: bool) -> None:
        self.results.append((now, failed))
        tenth = RULES.window / 10
        recent = [bad for at, bad in self.results if int(now / tenth) - int(at / tenth) < 10]
        if failed and len(recent) >= RULES.min_requests and sum(recent) >= len(recent) / 2:
            self._move(State.OPEN, 5.0)

    def _move(self, state: State, length: float) -> None:
        self.state, self.length, self.until = state, length, self.told.now + length
        self.results.clear()
        self.under_way = [(ticket, True) for ticket, _ in self.under_way]

    @invariant()
    def they_agree(self) -> None:
        assert self.breaker.state is self.state


Model.TestCase.settings = settings(max_examples=150, stateful_step_count=60)
TestModel = Model.TestCase
