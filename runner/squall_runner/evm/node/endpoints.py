"""The endpoints of a chain, how well each is, and which one is asked next.

An endpoint is `up` while its circuit is closed, it is on the right chain, its last check was answered and its head is where those of the
others are. Calls rotate over those that are up and do not ask for a pause; who names itself (`sticky`) keeps to one endpoint as
long as that one is up, since what a node knows of pending transactions is its own. Where none is up, those that are merely behind
are better than none. Nothing here waits or sends: `rpc` does, and tells what came of it.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from squall_runner.evm.node.failures import Kind, RpcError
from squall_runner.evm.node.jsonrpc import Envelope
from squall_runner.resilience.breaker import Breaker, BreakerRules, State
from squall_runner.resilience.pace import Gate, Pace
from squall_runner.resilience.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from squall.plan.share import Share
    from squall_runner.evm.node.rpcsettings import EndpointSettings, RpcSettings

_MOST_STICKY: Final = 100_000
"""So many names are remembered; those known longest are given a new endpoint."""
_SLOWER: Final = 3.0
"""An endpoint is passed over for one turn when it is so much slower than the next one."""
_SMOOTHING: Final = 0.1
_SCATTER: Final = 0.25
"""Circuits are open for up to so much longer or shorter, so that runners do not come back as one."""
_AGREE: Final = 3
"""From so many heads on, those of the others say whether one of them can be true."""
_REMEMBERED_HEADS: Final = 512


def agreed_head(heads: Sequence[int]) -> int:
    """The number of the newest block on which endpoints agree.

    With three or more it is the highest that at least half of them have reached, so that one alone that runs ahead changes
    nothing; with fewer it is the highest.
    """
    falling = sorted(heads, reverse=True)
    return falling[(len(falling) - 1) // 2] if len(falling) >= _AGREE else falling[0]


class Endpoint:
    """One endpoint.

    Args:
        settings: What the manifest says of it.
        rules: When its circuit opens.
        share: This shard's place, for its part of the rate.
        clock: Seconds, monotonic.
        rng: Scatters.
        changed: Told when it has become up or down.

    Attributes:
        name: What metrics call it.
        shown: What messages call it.
        settings: See above.
        envelope: Makes its HTTP requests.
        line: Where calls wait for their turn; None: there is no limit.
        breaker: Its circuit.
        chain_ok: Whether it is on the right chain; None: it has to be asked, again after each lost connection.
        placed: When it was asked for its chain, by the clock.
        answers: Whether its last check was answered.
        in_place: Whether its head is where the others' are.
        up: All of this.
        why: Why it is not up, for messages.
        paused: Until when it has asked to be left alone, by the clock.
        refusals: How often in a row it has said that calls come too fast.
        batches: Whether it takes batches.
        head: The number of the newest block that it has told of; -1: none yet.
        latency: Of its answers, smoothed, in seconds.
        in_flight: Calls without an answer yet.
    """

    __slots__ = (
        "_changed",
        "_pace",
        "answers",
        "batches",
        "breaker",
        "chain_ok",
        "envelope",
        "head",
        "in_flight",
        "in_place",
        "latency",
        "line",
        "name",
        "paused",
        "placed",
        "refusals",
        "settings",
        "shown",
        "up",
        "why",
    )

    def __init__(
        self,
        settings: EndpointSettings,
        rules: BreakerRules,
        share: Share,
        *,
        clock: Callable[[], float],
        rng: Random,
        changed: Callable[[Endpoint], None],
    ) -> None:
        self.settings = settings
        self.name = settings.name
        self.shown = settings.shown
        self.envelope = Envelope(settings.origin, settings.target, settings.headers)
        self._pace: Pace | None = None
        self.line: Queue | None = None
        if settings.rate is not None:
            # A tenth of a second's worth at once, exactly divided; a shard without any could never send.
            burst = max(1, share.of(max(1, settings.rate // 10)))
            self._pace = Pace(Gate(share.count / settings.rate, burst))
            self.line = Queue(self._pace, clock)
        scattered = rules.open_for * (1 + _SCATTER * (2 * rng.random() - 1))
        self.breaker = Breaker(
            BreakerRules(rules.error_rate, rules.window, rules.min_requests, scattered, rules.probes),
            self._turned,
        )
        self._changed = changed
        self.chain_ok: bool | None = None
        self.placed = float("-inf")
        self.answers = self.in_place = True
        self.up = False
        self.why = "it has not been asked yet"
        self.paused = float("-inf")
        self.refusals = 0
        self.batches = True
        self.head = -1
        self.latency = 0.0
        self.in_flight = 0

    def __repr__(self) -> str:
        return f"Endpoint({self.shown})"

    def _turned(self, _state: State, _now: float, length: float) -> None:
        self.judge(f"too many calls have failed: it is left alone for {length:.3g} s")

    def judge(self, why: str = "") -> None:
        """Find out whether it is up, after something that this hangs on has changed; `why` says what that was."""
        closed = self.breaker.state is State.CLOSED
        up = closed and self.chain_ok is not False and self.answers and self.in_place
        if not up and why:
            self.why = why
        if up is not self.up:
            self.up = up
            self._changed(self)

    def place(self, problem: str, now: float) -> None:
        """It has told its chain: the right one, or there is a problem with it."""
        self.placed = now
        first = bool(problem) and self.chain_ok is not False and not self.up
        self.chain_ok = not problem
        self.judge(problem)
        if first:
            self._changed(self)  # it was down for another reason, of which nobody would learn more

    def answered(self, seconds: float) -> None:
        """An answer came after so long."""
        self.refusals = 0
        latency = self.latency
        self.latency = latency + _SMOOTHING * (seconds - latency) if latency else seconds

    def free(self, now: float, *, urgent: bool) -> bool:
        """Whether a call may go at once; if so, its turn is taken. What is urgent goes before all that wait, who wait longer for it."""
        if self._pace is None or self.line is None:
            return True
        if urgent:
            self._pace.take(now, now)
            return True
        return self.line.free(now)

    def pause(self, seconds: float, now: float) -> None:
        """It asks to be left alone."""
        self.paused = max(self.paused, now + seconds)

    @property
    def cost(self) -> float:
        """What another call costs here: how long those before it will take."""
        return self.latency * (self.in_flight + 1)


class Pool:
    """All endpoints.

    Args:
        settings: What the manifest says of each.
        rpc: How they are asked.
        share: This shard's place among all.
        clock: Seconds, monotonic.
        rng: Scatters what must not happen everywhere at once.
        changed: Told of each endpoint that has become up or down.

    Attributes:
        all: The endpoints, in the manifest's order.
    """

    def __init__(
        self,
        settings: Sequence[EndpointSettings],
        rpc: RpcSettings,
        share: Share,
        *,
        clock: Callable[[], float],
        rng: Random,
        changed: Callable[[Endpoint], None],
    ) -> None:
        self.all = tuple(
            Endpoint(each, rpc.breaker, share, clock=clock, rng=rng, changed=changed) for each in settings
        )
        self._max_lag = rpc.max_head_lag
        self._sticky: dict[str, Endpoint] = {}
        # Runners begin in different places.
        self._turn = share.index
        self._numbers: list[int] = []
        self._times: list[float] = []

    # -- whom to ask ------------------------------------------------------------------------------------------

    def pick(self, sticky: str, now: float, failed: Sequence[Endpoint] = ()) -> Endpoint:
        """The endpoint for the next call.

        Args:
            sticky: Who asks, if it keeps to one endpoint; empty: any will do.
            now: The moment.
            failed: Those that have failed this very call, the last one at the end; others come first.

        Raises:
            RpcError: None may be asked now.
        """
        if not sticky:
            return self._choose(now, failed)
        own = self._sticky.get(sticky)
        well = own is not None and own.up and own.paused <= now
        if own is not None and well and own not in failed:
            return own
        chosen = self._choose(now, failed)
        if not well:
            self.pin(sticky, chosen)
        return chosen

    def pin(self, sticky: str, endpoint: Endpoint) -> None:
        """Have `sticky` keep to an endpoint, while that is up."""
        if sticky not in self._sticky and len(self._sticky) >= _MOST_STICKY:
            del self._sticky[next(iter(self._sticky))]
        self._sticky[sticky] = endpoint

    def _choose(self, now: float, failed: Sequence[Endpoint]) -> Endpoint:
        allowed = [each for each in self.all if each.chain_ok is not False]
        fresh = [each for each in allowed if each not in failed]
        for among in (fresh, allowed):
            ready = [each for each in among if each.up and each.paused <= now]
            if ready:
                return self._rotate(ready)
        # Then who is well but asks for a pause, soonest first; then who is behind or silent; then who may be probed.
        paused = [each for each in allowed if each.up]
        if paused:
            return min(paused, key=lambda each: each.paused)
        for among in (fresh, allowed):
            left = [each for each in among if not each.breaker.rejects(now)]
            if left:
                return self._rotate(left)
        raise self._nobody()

    def _rotate(self, among: Sequence[Endpoint]) -> Endpoint:
        self._turn += 1
        first, second = among[self._turn % len(among)], among[(self._turn + 1) % len(among)]
        return second if first.cost > _SLOWER * second.cost else first

    def _nobody(self) -> RpcError:
        refused = all(each.chain_ok is False for each in self.all)
        reasons = "; ".join(f"{each.shown}: {each.why}" for each in self.all)
        return RpcError(
            Kind.CHAIN_MISMATCH if refused else Kind.UNREACHABLE, f"no endpoint may be asked: {reasons}"
        )

    # -- heads ------------------------------------------------------------------------------------------------

    def saw(self, endpoint: Endpoint, number: int, now: float) -> None:
        """An endpoint has told of its newest block."""
        endpoint.head = number
        head = self.head
        while self._numbers and self._numbers[-1] > head:
            self._numbers.pop()
            self._times.pop()
        if not self._numbers or head > self._numbers[-1]:
            self._numbers.append(head)
            self._times.append(now)
            if len(self._numbers) > _REMEMBERED_HEADS:
                del self._numbers[: _REMEMBERED_HEADS // 2], self._times[: _REMEMBERED_HEADS // 2]

    @property
    def head(self) -> int:
        """The number of the newest block on which endpoints agree; -1: nothing is known yet."""
        heads = [each.head for each in self.all if each.head >= 0 and each.answers and each.chain_ok]
        return agreed_head(heads) if heads else -1

    def believable(self, number: int) -> bool:
        """Whether a block so new can be: with three endpoints or more, the others know of it, nearly."""
        known = [each for each in self.all if each.head >= 0 and each.answers and each.chain_ok]
        return len(known) < _AGREE or number <= self.head + self._max_lag

    def compare(self) -> None:
        """Find out whose head is not where the others' are."""
        head, known = self.head, [each for each in self.all if each.head >= 0]
        for each in known:
            behind = head - each.head
            each.in_place = behind <= self._max_lag and (len(known) < _AGREE or -behind <= self._max_lag)
            words = "behind the others" if behind > 0 else "ahead of all others, which cannot be"
            each.judge(f"its head is {abs(behind)} blocks {words}")

    def unproven(self) -> Endpoint | None:
        """The one that is far ahead where only one other has a head: which of the two is right cannot be told from here."""
        known = sorted((each for each in self.all if each.head >= 0), key=lambda each: each.head)
        if len(known) != _AGREE - 1 or known[1].head - known[0].head <= self._max_lag:
            return None
        return known[1]

    def lag(self, endpoint: Endpoint, now: float) -> float:
        """For how long the others have been further than an endpoint, in seconds; 0: they are not."""
        if endpoint.head < 0:
            return 0.0
        at = bisect_right(self._numbers, endpoint.head)
        return max(0.0, now - self._times[at]) if at < len(self._numbers) else 0.0
