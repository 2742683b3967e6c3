"""What a runner knows of the hosts that it sends to: their queues, circuits and budgets, and what is measured of them.

Variables in URLs can lead to any number of hosts, so what is known of a host is forgotten when there are many others
and nothing would be lost with it.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from squall_runner.load import LoadError
from squall_runner.recording import make_tags
from squall_runner.resilience.breaker import Breaker, BreakerRules, State
from squall_runner.resilience.budget import RetryBudget
from squall_runner.resilience.limits import RateLimits
from squall_runner.resilience.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from squall.spec.structs import HttpDefaults
    from squall_runner.http import Origin
    from squall_runner.recording import Recorder, TrendSeries

MANY: Final = 1_000
"""From so many hosts on, those known longest are looked at for what can be forgotten."""
_LOOKED_AT: Final = 8

_K = TypeVar("_K", bound="Hashable")
_V = TypeVar("_V")


class Known(Generic[_K, _V]):
    """Things that are made when first asked for, and forgotten when there are many and they are of no use any more.

    Args:
        make: Makes one.
        useless: Whether nothing would be lost with one.
    """

    __slots__ = ("_make", "_things", "_useless")

    def __init__(self, make: Callable[[_K], _V], useless: Callable[[_V], bool]) -> None:
        self._make = make
        self._useless = useless
        self._things: dict[_K, _V] = {}

    def get(self, key: _K) -> _V:
        """The thing with this key."""
        found = self._things.get(key)
        if found is None:
            if len(self._things) >= MANY:
                self._forget()
            found = self._things[key] = self._make(key)
        return found

    def _forget(self) -> None:
        """Look at a few; what is still of use goes to the end, so that all have their turn."""
        for key in list(islice(self._things, _LOOKED_AT)):
            thing = self._things.pop(key)
            if not self._useless(thing):
                self._things[key] = thing

    def all(self) -> list[_V]:
        """All that are known."""
        return list(self._things.values())


class Line:
    """A queue before a host, and how long requests waited in it."""

    __slots__ = ("queue", "waits")

    def __init__(self, queue: Queue, waits: TrendSeries) -> None:
        self.queue = queue
        self.waits = waits


class Circuit:
    """The circuit breaker of one host, and what is measured and told of it.

    Args:
        host: Host and port.
        rules: When it opens and closes.
        recorder: Where it is measured.
        note: Writes to the run's log.
    """

    def __init__(self, host: str, rules: BreakerRules, recorder: Recorder, note: Callable[..., None]) -> None:
        tags = make_tags(host=host)
        self.host = host
        self.breaker = Breaker(rules, self._changed)
        self._note = note
        self._state = recorder.gauge("circuit_state", tags, float(State.CLOSED))
        self._opened = recorder.counter("circuit_opened", tags)
        self._rejected = recorder.counter("circuit_rejected", tags)
        self._time = recorder.counter("circuit_open_time", tags)
        self._seen = 0.0

    def reject(self) -> str:
        """Count a request that was turned away; returns what to say about it."""
        self._rejected.value += 1
        return f"the circuit of {self.host} is open: too many requests to it have failed"

    def account(self, now: float) -> None:
        """Measure what has no event of its own."""
        seen = self.breaker.open_seconds(now)
        self._time.value += seen - self._seen
        self._seen = seen

    def _changed(self, state: State, now: float, seconds_open: float) -> None:
        self._state.set(state)
        self.account(now)
        if state is State.OPEN:
            self._opened.value += 1
            message = (
                f"too many requests to {self.host} have failed: it is sent nothing for {seconds_open:g} s"
            )
            self._note("warning", "CircuitOpened", message=message, host=self.host)
        elif state is State.CLOSED:
            message = f"{self.host} answers again"
            self._note("info", "CircuitClosed", message=message, host=self.host)


class Resilience:
    """Everything of this kind in one runner.

    Args:
        http: What the manifest declares.
        shards: Over how many shards limits are divided.
        recorder: Where things are measured.
        note: Writes to the run's log.
        clock: Seconds, monotonic.

    Attributes:
        limited: Whether there are rate limits.
        breaking: Whether there is a circuit breaker.

    Raises:
        LoadError: A rate limit names no possible host.
    """

    def __init__(
        self,
        http: HttpDefaults,
        *,
        shards: int,
        recorder: Recorder,
        note: Callable[..., None],
        clock: Callable[[], float],
    ) -> None:
        try:
            limits = RateLimits(http.rate_limits, shards)
        except ValueError as error:
            raise LoadError(
                "ManifestInvalid", f"spec.http.rateLimits: {error}", "write for example shop.example:8443"
            ) from error
        self._clock = clock
        self.limited = bool(http.rate_limits)
        self.breaking = http.circuit_breaker is not None
        rules = BreakerRules.of(http.circuit_breaker) if http.circuit_breaker is not None else None

        def line(place: tuple[str, int]) -> Line:
            waits = recorder.trend("rate_limit_wait", make_tags(host=place[0]))
            return Line(Queue(limits.pace(*place), clock), waits)

        def circuit(origin: str) -> Circuit:
            assert rules is not None, "asked for only where there is one"
            return Circuit(origin.partition("://")[2], rules, recorder, note)

        self._names: Known[Origin, str] = Known(lambda origin: limits.name(origin) or "", lambda _: True)
        self._lines = Known(line, lambda line: line.queue.idle)
        self._circuits = Known(circuit, lambda circuit: circuit.breaker.idle(clock()))
        self._budgets: Known[str, RetryBudget] = Known(lambda _: RetryBudget(), lambda budget: budget.full)

    def line(self, origin: Origin, shard: int) -> Line | None:
        """The queue in which a shard's requests to a host wait; None when it has no limit."""
        name = self._names.get(origin)
        return self._lines.get((name, shard)) if name else None

    def circuit(self, origin: Origin) -> Circuit:
        """The circuit of a host and port; there must be a breaker."""
        return self._circuits.get(origin.key)

    def budget(self, origin: Origin) -> RetryBudget:
        """The retries of a host and port."""
        return self._budgets.get(origin.key)

    def account(self) -> None:
        """Measure what has no event of its own."""
        now = self._clock()
        for circuit in self._circuits.all():
            circuit.account(now)
