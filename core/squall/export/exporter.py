"""Pushes one run: takes how it stands, second by second, and sees that it is sent without anybody waiting for that.

Making requests takes the time of the loop that judges a run, or sends its load. So it is done in pieces between which others have their
turn, and never takes more than a twentieth of one core, of many runs together a quarter (see `together`): where there are so many series
that it would, some seconds are left out. What is left out loses nothing but resolution, since values are cumulative; the last ones of a run
are always sent.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from squall.export import run as about
from squall.export.buffer import Buffer
from squall.export.exposition import STALE_AFTER_MS, Exposition, Standing
from squall.export.names import PREFIX, Point
from squall.export.sending import Counts, Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from squall.export.model import RemoteWrite
    from squall.export.names import Family, Labels
    from squall.export.wire import Body
    from squall.metrics.names import Catalogue
    from squall.metrics.series import Aggregate, SeriesKey

FLUSH_SECONDS: Final = 5.0
"""How long the end of a run may wait for the receiver."""
MAX_WAITING: Final = 4
"""Seconds that may wait to be made into requests: a loop that was held up judges several at once."""
MILLI: Final = 1_000_000
"""Nanoseconds."""
AHEAD_NS: Final = 100 * MILLI
"""A second may be over this much before its end by the clock, as clocks are known to half a round trip only. One whose end is further away
was cut short, by the end of the run, and is pushed as that."""


class Exporter:
    """Pushes the series of one run, of the whole fleet or of one runner.

    Args:
        settings: Where to, and how series look.
        catalogue: The run's metrics.
        labels: Of every series.
        clock: Unix time in nanoseconds.
        say: Told of what people should know: level, event and message.
        own: Families of the points that will be pushed; those about the exporter itself are among them.
        prefix: Of the metrics' names.

    Raises:
        UsageError: A file for TLS cannot be used.
    """

    def __init__(
        self,
        settings: RemoteWrite,
        catalogue: Catalogue,
        labels: Labels,
        *,
        clock: Callable[[], int],
        say: Callable[[str, str, str], None],
        own: tuple[Family, ...] = about.FAMILIES,
        prefix: str = PREFIX,
    ) -> None:
        self._exposition = Exposition(catalogue, settings.form, labels, own=own, prefix=prefix)
        self._together = settings.together
        self._buffer = Buffer(lambda: settings.together.buffer(settings.buffer_bytes))
        self.counts = Counts()
        self._sender = Sender(settings.receiver, self._buffer, self.counts, say)
        self._clock = clock
        self._say = say
        self._waiting: deque[Standing] = deque()
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._broken = asyncio.Event()
        self._free_at = 0.0
        self._last_ms = 0
        self._folding = self._dropping = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to send; needs a running event loop."""
        self._together.running += 1
        self._tasks = [asyncio.create_task(self._sender.run()), asyncio.create_task(self._make())]
        for task in self._tasks:
            task.add_done_callback(self._ended)

    def resume(self, known: Iterable[SeriesKey], at_ns: int) -> None:
        """Go on where another process has pushed until a moment; `known` had been begun by then."""
        self._exposition.resume(known)
        self._last_ms = at_ns // MILLI

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A task that should go on has ended: a defect costs what would have been pushed, and not the run."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        self._give_way(error)

    @contextmanager
    def harmless(self) -> Iterator[None]:
        """What fails in this block is a defect, and costs what would have been pushed: not the run, which is only shown by it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - see above
            self._give_way(error)

    def _give_way(self, error: BaseException) -> None:
        if not self._broken.is_set():
            self._broken.set()
            text = f"metrics are pushed no more, as Squall has a defect: {type(error).__name__}: {error}"
            self._say("warning", "RemoteWriteDefect", text)

    def takes(self, at_ns: int) -> bool:
        """Whether it would take now how the run stands at a moment; what is offered although it does not is left out."""
        room = len(self._waiting) < MAX_WAITING and not self._broken.is_set()
        due = self._last_ms < at_ns // MILLI and at_ns <= self._clock() + AHEAD_NS
        return room and due and time.monotonic() >= self._free_at

    def push(
        self,
        at_ns: int,
        before_ns: int,
        measured: list[tuple[SeriesKey, Aggregate]],
        points: list[Point] | None = None,
    ) -> bool:
        """Take how the run stands.

        Args:
            at_ns: As of when, Unix time; later than the last time, and not to come.
            before_ns: When nothing had been measured, if it is the first time.
            measured: See `Standing`.
            points: Likewise; the exporter adds those about itself.

        Returns:
            Whether it was taken.
        """
        if not self.takes(at_ns):
            return False
        self._take(at_ns // MILLI, before_ns, measured, points or [])
        return True

    async def finish(
        self,
        at_ns: int,
        before_ns: int,
        measured: list[tuple[SeriesKey, Aggregate]],
        points: list[Point] | None = None,
        *,
        seconds: float = FLUSH_SECONDS,
    ) -> tuple[str, ...]:
        """Push how the run stands for the last time, end its series, and wait for the receiver, but not for long.

        Returns:
            What people should know: samples that are not there. Those that still waited are given up, and nothing is sent any more.
        """
        if not self._broken.is_set():
            await self._flush(at_ns, before_ns, measured, points or [], seconds)
        await self.close()
        return self._losses()

    async def _flush(
        self,
        at_ns: int,
        before_ns: int,
        measured: list[tuple[SeriesKey, Aggregate]],
        points: list[Point],
        seconds: float,
    ) -> None:
        self._sender.hurry()
        last = asyncio.create_task(self._finish(at_ns, before_ns, measured, points))
        last.add_done_callback(self._ended)
        broken = asyncio.create_task(self._broken.wait())
        done, _ = await asyncio.wait([last, broken], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            self._sender.late()
        for task in (last, broken):
            task.cancel()
        await asyncio.gather(last, broken, return_exceptions=True)

    async def _finish(
        self, at_ns: int, before_ns: int, measured: list[tuple[SeriesKey, Aggregate]], points: list[Point]
    ) -> None:
        await self._idle.wait()
        at_ms = max(at_ns // MILLI, self._last_ms + 1)
        self._take(at_ms, before_ns, measured, points)
        await self._idle.wait()
        await self._put_all(self._exposition.end(at_ms + STALE_AFTER_MS))
        await self._sender.drained()

    async def close(self) -> None:
        """Stop sending; what waits is given up."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._together.running -= bool(self._tasks)
        self._tasks = []
        self.counts.dropped += self._buffer.clear()

    # -- making requests --------------------------------------------------------------------------------------

    def _take(
        self, at_ms: int, before_ns: int, measured: list[tuple[SeriesKey, Aggregate]], points: list[Point]
    ) -> None:
        # A zero at the very moment of the first value would be no sample of its own.
        before_ms = self._last_ms or min(before_ns // MILLI, at_ms - 1)
        self._last_ms = at_ms
        self._waiting.append(Standing(at_ms, min(before_ms, at_ms), measured, [*points, *self.health()]))
        self._idle.clear()
        self._news.set()

    async def _make(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                cost = await self._put_all(self._exposition.bodies(self._waiting.popleft()))
                self._free_at = time.monotonic() + self._together.pause(cost)
                self._warn()
            self._idle.set()

    async def _put_all(self, bodies: Iterator[Body | None]) -> float:
        """Have requests made and sent, with pauses; returns the time that making them took."""
        began, cost = time.thread_time(), 0.0
        for body in bodies:
            cost += time.thread_time() - began
            if body is not None:
                self._buffer.put(body)
                self._sender.wake()
            await asyncio.sleep(0)
            began = time.thread_time()
        return cost + time.thread_time() - began

    def _warn(self) -> None:
        """Say, once, that not everything is pushed as it was measured."""
        if self._exposition.folded and not self._folding:
            self._folding = True
            text = "there are more series than may be pushed: later ones are counted in fewer, with overflow=true"
            self._say("warning", "RemoteWriteFolds", text)
        if self._buffer.dropped and not self._dropping:
            self._dropping = True
            text = "what waits for the receiver of metrics has no more room: the oldest samples are dropped"
            self._say("warning", "RemoteWriteDrops", text)

    # -- how it goes ------------------------------------------------------------------------------------------

    @property
    def dropped(self) -> int:
        """Samples that have not reached the receiver and never will."""
        return self.counts.dropped + self._buffer.dropped

    @property
    def pending(self) -> int:
        """Samples that wait."""
        return self._buffer.samples

    @property
    def pending_bytes(self) -> int:
        """What they take."""
        return self._buffer.size

    @property
    def lag_seconds(self) -> float:
        """How old the oldest sample is that waits."""
        oldest = self._buffer.oldest_ms()
        return 0.0 if oldest is None else max(0.0, self._clock() / MILLI - oldest) / 1000

    @property
    def fails(self) -> bool:
        """Whether samples wait that the receiver does not take, or a defect keeps them from being sent at all."""
        return self._broken.is_set() or bool(self._sender.problem and self.pending)

    def health(self) -> list[Point]:
        """The exporter's own figures."""
        counts = self.counts
        values = {
            about.SENT: counts.sent,
            about.REFUSED: counts.refused,
            about.DROPPED: self.dropped,
            about.RETRIES: counts.retries,
            about.PENDING: self.pending,
            about.PENDING_BYTES: self.pending_bytes,
            about.LAG: self.lag_seconds,
            about.SERIES: self._exposition.series,
            about.FOLDED: self._exposition.folded,
        }
        return [Point(family, (), float(value)) for family, value in values.items()]

    def _losses(self) -> tuple[str, ...]:
        dropped, refused = self.dropped, self.counts.refused
        found = []
        if dropped:
            why = f": {self._sender.problem}" if self._sender.problem else ""
            found.append(
                f"{dropped:,} samples did not reach the receiver of metrics before the buffer was full or the run over{why}"
            )
        if refused:
            found.append(f"the receiver of metrics refused {refused:,} samples")
        return tuple(found)
