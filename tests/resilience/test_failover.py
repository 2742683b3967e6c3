"""Fail-over by itself, in invented time: who is left out when, who tries again, and who returns."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from squall_runner.http import Response, build
from squall_runner.http.errors import RequestError
from squall_runner.http.response import failed
from squall_runner.resilience.failover import Failover, Ticket, unreachable

PERIOD = 10.0
FAILURES = 3


@dataclass
class Bench:
    """A fail-over and its time."""

    hosts: tuple[str, ...] = ("a", "b", "c")
    now: float = 100.0
    told: list[tuple[str, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.failover = Failover(
            self.hosts,
            failures=FAILURES,
            retry_after=PERIOD,
            clock=lambda: self.now,
            changed=lambda host, up: self.told.append((host, up)),
        )

    def request(self, host: str, *, fails: bool | None) -> None:
        self.failover.end(self.failover.begin(host), failed=fails)

    def take_out(self, *hosts: str) -> None:
        for host in hosts:
            for _ in range(FAILURES):
                self.request(host, fails=True)


def test_only_failures_in_a_row_take_a_host_out() -> None:
    bench = Bench()
    for fails in (True, True, False, True, True, None, False):
        bench.request("a", fails=fails)
    assert bench.failover.choices() == (0, 1, 2)
    for fails in (True, True, None):
        bench.request("a", fails=fails)
    assert bench.told == []
    bench.request("a", fails=True)
    assert bench.told == [("a", False)]
    assert bench.failover.choices() == (1, 2)


def test_one_request_in_a_period_tries_it_and_an_answer_brings_it_back() -> None:
    bench = Bench()
    bench.take_out("b")
    bench.now += PERIOD - 0.001
    assert bench.failover.choices() == (0, 2)
    bench.now += 0.001
    assert bench.failover.choices() == (1,)
    ticket = bench.failover.begin("b")
    bench.now += 5 * PERIOD  # as long as it is not answered there is no other
    assert bench.failover.choices() == (0, 2)
    bench.failover.end(ticket, failed=True)
    assert bench.failover.choices() == (0, 2)
    bench.now += PERIOD
    assert bench.failover.choices() == (1,)
    bench.request("b", fails=False)
    assert bench.failover.choices() == (0, 1, 2)
    assert bench.told == [("b", False), ("b", True)]


def test_a_try_that_was_given_up_is_made_by_another_at_once() -> None:
    bench = Bench()
    bench.take_out("a")
    bench.now += PERIOD
    assert bench.failover.choices() == (0,)
    bench.request("a", fails=None)
    assert bench.failover.choices() == (0,)


def test_a_try_that_was_never_sent_is_made_a_period_later() -> None:
    bench = Bench()
    bench.take_out("a")
    bench.now += PERIOD
    assert bench.failover.choices() == (0,)
    assert bench.failover.choices() == (1, 2)
    bench.now += PERIOD
    assert bench.failover.choices() == (0,)


@pytest.mark.parametrize("fails", [False, True])
def test_what_was_sent_before_it_went_out_decides_nothing(fails: bool) -> None:
    bench = Bench()
    before = [bench.failover.begin("a") for _ in range(2 * FAILURES)]
    bench.take_out("a")
    bench.failover.end(before.pop(), failed=fails)
    assert bench.failover.choices() == (1, 2)
    bench.now += PERIOD
    bench.request("a", fails=False)
    for ticket in before:
        bench.failover.end(ticket, failed=True)
    assert bench.told == [("a", False), ("a", True)]


def test_when_all_are_out_all_get_their_share_and_the_first_that_answers_is_up() -> None:
    bench = Bench()
    bench.take_out("a", "b", "c")
    for _ in range(5):
        assert bench.failover.choices() == (0, 1, 2)
        assert [bench.failover.instead_of(own) for own in range(3)] == [0, 1, 2]
        bench.request("a", fails=True)
    bench.request("c", fails=False)
    assert bench.failover.choices() == (2,)
    assert [bench.failover.instead_of(own) for own in range(3)] == [2, 2, 2]


def test_who_keeps_to_one_goes_to_the_next_and_returns() -> None:
    bench = Bench(("a", "b", "c", "d"))
    bench.take_out("b", "c")
    assert [bench.failover.instead_of(own) for own in range(4)] == [0, 3, 3, 3]
    bench.take_out("d")
    assert [bench.failover.instead_of(own) for own in range(4)] == [0, 0, 0, 0]
    bench.now += PERIOD
    assert [bench.failover.instead_of(own) for own in (1, 1, 0)] == [1, 0, 0]
    bench.request("b", fails=False)
    assert bench.failover.instead_of(1) == 1
    assert bench.failover.instead_of(0) == 0


def test_base_urls_of_one_host_share_its_fate() -> None:
    bench = Bench(("a", "b", "a"))
    bench.take_out("a")
    assert bench.failover.choices() == (1,)
    bench.now += PERIOD
    assert [bench.failover.choices() for _ in range(3)] == [(0,), (1,), (1,)]
    bench.request("a", fails=False)
    assert bench.failover.choices() == (0, 1, 2)


def test_other_hosts_are_nobodys_business() -> None:
    bench = Bench()
    assert bench.failover.begin("elsewhere") is None
    bench.take_out("elsewhere")
    assert bench.told == []


class Machine(RuleBasedStateMachine):
    """Any order of requests, answers and time: what is chosen is always allowed, and nobody is forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.flying: list[tuple[str, Ticket | None]] = []
        self.streaks: dict[str, int] = {}

    @initialize(count=st.integers(2, 4))
    def begin(self, count: int) -> None:
        self.bench = Bench(tuple("abcd"[:count]))

    @property
    def out(self) -> set[str]:
        found: dict[str, bool] = {}
        found.update(self.bench.told)
        return {host for host, up in found.items() if not up}

    @rule(per_vu=st.booleans(), own=st.integers(0, 3))
    def send(self, per_vu: bool, own: int) -> None:
        """Requests to a host that is out are tries, and there is one at a time, unless all are out."""
        failover, hosts = self.bench.failover, self.bench.hosts
        at = failover.instead_of(own % len(hosts)) if per_vu else failover.choices()[0]
        host = hosts[at]
        everybody = len(self.out) == len(hosts)
        if per_vu and hosts[own % len(hosts)] not in self.out:
            assert at == own % len(hosts)
        if host in self.out and not everybody:
            assert not [name for name, ticket in self.flying if name == host and self._counts(ticket)]
        self.flying.append((host, failover.begin(host)))

    def _counts(self, ticket: Ticket | None) -> bool:
        assert ticket is not None
        return ticket[0].phase == ticket[1]

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), fails=st.sampled_from([True, True, True, False, None]))
    def answer(self, data: st.DataObject, fails: bool | None) -> None:
        host, ticket = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        counts, was_out = self._counts(ticket), host in self.out
        self.bench.failover.end(ticket, failed=fails)
        if not counts or fails is None:
            assert (host in self.out) == was_out
        elif not fails:
            assert host not in self.out
            self.streaks[host] = 0
        elif not was_out:
            self.streaks[host] = self.streaks.get(host, 0) + 1
            assert (host in self.out) == (self.streaks[host] == FAILURES)
            if host in self.out:
                self.streaks[host] = 0

    @rule(seconds=st.sampled_from([0.1, PERIOD / 2, PERIOD]))
    def wait(self, seconds: float) -> None:
        self.bench.now += seconds

    @invariant()
    def there_is_always_a_choice_and_changes_alternate(self) -> None:
        for host in self.bench.hosts:
            states = [up for name, up in self.bench.told if name == host]
            assert states == [bool(n % 2) for n in range(len(states))]

    def teardown(self) -> None:
        """Once everything has ended, each host that is out is tried within a period, and answers bring all back."""
        failover = self.bench.failover
        for _, ticket in self.flying:
            failover.end(ticket, failed=None)
        for _ in range(2 * len(self.bench.hosts)):
            self.bench.now += PERIOD
            for at in failover.choices():
                self.bench.request(self.bench.hosts[at], fails=False)
        assert self.out == set()
        assert failover.choices() == tuple(range(len(self.bench.hosts)))


TestMachine = Machine.TestCase


# -- what counts as a failure ---------------------------------------------------------------------------------


def answer(error: str = "", *, status: int = 0, received: int = 0, redirected: bool = False) -> Response:
    response = failed(build("GET", "http://a/"), 0.0, 1.0, RequestError(error, ""))
    response.status = status
    response.bytes_received = received
    response.redirects = (response,) if redirected else ()
    return response


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (answer(status=200, received=10), False),
        (answer(status=503, received=10), False),
        (answer("dns"), True),
        (answer("connect_refused"), True),
        (answer("connect_timeout"), True),
        (answer("connect_failed"), True),
        (answer("tls"), True),
        (answer("proxy", status=407, received=90), True),
        (answer("reset"), True),
        (answer("reset", received=1), False),
        (answer("closed"), True),
        (answer("closed", received=1), False),
        (answer("timeout"), True),
        (answer("timeout", received=1), False),
        (answer("protocol", received=1), False),
        (answer("protocol"), None),
        (answer("connect_refused", redirected=True), False),
    ],
    ids=lambda value: repr(value) if not isinstance(value, Response) else f"{value.error or value.status}",
)
def test_what_shows_that_nobody_is_there(response: Response, expected: bool | None) -> None:
    assert unreachable(response) is expected


@given(st.lists(st.booleans(), max_size=60))
def test_a_host_is_out_exactly_after_failures_in_a_row(outcomes: list[bool]) -> None:
    bench = Bench(("a", "b"))
    streak, out = 0, False
    for fails in outcomes:
        bench.request("a", fails=fails)
        streak = streak + 1 if fails else 0
        out = fails and (out or streak >= FAILURES)
        assert (bench.failover.choices() == (1,)) == out
