"""Pacing by gas: so much per second, or so many blocks' worth of it waiting in the mempool.

A chain's capacity is gas, not transactions. Whatever executor starts iterations, a step that comes before a transaction waits here for
its turn, first come, first served. Limits are those of a whole run; a shard keeps its own share of them, and all shares together
are the whole exactly.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Self

from squall_runner.resilience.pace import LATE

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from squall.plan.share import Share
    from squall_runner.evm.sending.fleet import Accounts

_SHORTEST: Final = 0.001
"""Timers of uvloop count whole milliseconds, and may be early."""
FALLBACK_GAS: Final = 100_000
"""Of a transaction, before any has been included and when the step does not say."""


class GasRate:
    """So much gas per second: a transaction's turn comes when the gas of those before it has had its time.

    The generic cell rate algorithm, with cells of different sizes: the moment from which on the next one may go is moved on by
    `gas / rate`. What a standstill of the generator has cost is not made up.

    Args:
        per_second: Gas per second of the whole run.
        share: Of the shard.
    """

    def __init__(self, per_second: int, share: Share) -> None:
        self._rate = share.of(per_second)
        self._free_at = float("-inf")

    def wait(self, _gas: int, now: float) -> float | None:
        """Seconds until a transaction with this gas may go, 0 is now; None: never, as the shard's share is nothing."""
        if not self._rate:
            return None
        return max(0.0, self._free_at - now)

    def take(self, gas: int, now: float) -> None:
        """It goes. A timer that was a little late makes nobody else late."""
        self._free_at = max(self._free_at, now - LATE) + gas / self._rate


class MempoolDepth:
    """So many blocks' worth of gas on its way, and no more.

    Args:
        blocks: How many, for the whole run.
        share: Of the shard.
        gas_limit: What a block holds now; None while no block was seen.
        on_its_way: The gas of what was sent and is in no block yet.
    """

    def __init__(
        self,
        blocks: int,
        share: Share,
        *,
        gas_limit: Callable[[], int | None],
        on_its_way: Callable[[], int],
    ) -> None:
        self._blocks = blocks
        self._share = share
        self._gas_limit = gas_limit
        self._on_its_way = on_its_way
        self.reserved = 0
        """The gas of those that had their turn and have not been sent yet."""

    def wait(self, gas: int, _now: float) -> float | None:
        """0 when a transaction with this gas may go now; None: not before something is in a block. When a shard has nothing on its way one may go, however large it is."""
        limit = self._gas_limit()
        there = self._on_its_way() + self.reserved
        if limit is None:
            return None
        return 0.0 if not there or there + gas <= self._share.of(limit * self._blocks) else None

    def take(self, gas: int, _now: float) -> None:
        """It goes."""
        self.reserved += gas


class Turn:
    """One's turn; ends when the transaction is on its way, or the iteration is over: `close` it then, or use it as a context."""

    __slots__ = ("_end", "gas")

    def __init__(self, gas: int, end: Callable[[int], None]) -> None:
        self.gas = gas
        self._end: Callable[[int], None] | None = end

    def close(self) -> None:
        """From now on the transaction itself counts, or none; harmless when repeated."""
        end, self._end = self._end, None
        if end is not None:
            end(self.gas)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Pacer:
    """The line in which transactions wait for their turn, of one shard.

    Args:
        measure: When the next may go.
        clock: Seconds, monotonic.
        usual: The gas of a transaction whose step does not say.
    """

    def __init__(
        self, measure: GasRate | MempoolDepth, clock: Callable[[], float], usual: Callable[[], int]
    ) -> None:
        self._measure = measure
        self._depth = measure if isinstance(measure, MempoolDepth) else None
        self._clock = clock
        self._usual = usual
        self._line: deque[tuple[asyncio.Future[None], int]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def turn(self, gas: int | None = None) -> Turn:
        """Wait for one's turn.

        Args:
            gas: Of the transaction that follows; None: what is usual.

        Raises:
            asyncio.CancelledError: The caller was cancelled; the next one moves up.
        """
        wanted = gas or self._usual()
        now = self._clock()
        if not self._line and self._measure.wait(wanted, now) == 0.0:
            self._measure.take(wanted, now)
            return Turn(wanted, self._sent)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append((future, wanted))
        if self._timer is None:
            self._move()
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._sent(wanted)
            self.look()
            raise
        return Turn(wanted, self._sent)

    def look(self) -> None:
        """Something is not on its way any more: whoever may go now goes."""
        if self._line and self._depth is not None:
            self._move()

    @classmethod
    def for_rate(cls, per_second: int, share: Share, accounts: Accounts) -> Pacer:
        """One that keeps to so much gas per second of the run."""
        return cls(GasRate(per_second, share), accounts.clock, lambda: accounts.meter.mean or FALLBACK_GAS)

    @classmethod
    def for_depth(cls, blocks: int, share: Share, accounts: Accounts) -> Pacer:
        """One that keeps so many blocks of the run's gas on their way."""

        def gas_limit() -> int | None:
            head = accounts.follower.head
            return None if head is None else head.gas_limit

        depth = MempoolDepth(blocks, share, gas_limit=gas_limit, on_its_way=lambda: accounts.gas_on_its_way)
        pacer = cls(depth, accounts.clock, lambda: accounts.meter.mean or FALLBACK_GAS)
        accounts.eased.append(pacer.look)
        return pacer

    def _sent(self, gas: int) -> None:
        if self._depth is not None:
            self._depth.reserved -= gas
            self.look()  # what was sent may count for less than was thought, or was not sent at all

    def _move(self) -> None:
        line, now = self._line, self._clock()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while line:
            future, gas = line[0]
            if not future.done():
                wait = self._measure.wait(gas, now)
                if wait is None:
                    return
                if wait > 0:
                    loop = asyncio.get_running_loop()
                    self._timer = loop.call_later(max(wait, _SHORTEST), self._move)
                    return
                self._measure.take(gas, now)
                future.set_result(None)
            line.popleft()
