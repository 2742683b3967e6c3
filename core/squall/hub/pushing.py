"""Pushes a run's merged measurements to Prometheus as its slots are judged; see `squall.export`.

Whatever goes wrong with it, the run goes on: what is not there is counted and said. A hub that takes a run over goes on after the slot
that the one before has pushed, and knows which series had begun by then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from squall import __version__
from squall.errors import SquallError
from squall.export.exporter import FLUSH_SECONDS, Exporter
from squall.export.manifest import run_labels
from squall.export.run import RunFacts, at_end, during
from squall.hub.limits import SECOND
from squall.hub.live import live_state
from squall.metrics.series import Counter, Gauge, Rate

if TYPE_CHECKING:
    from squall.export.model import RemoteWrite
    from squall.hub.run import RunState
    from squall.metrics.names import Catalogue
    from squall.metrics.series import Aggregate, SeriesKey
    from squall.plan.model import TestPlan
    from squall.report.model import Summary
    from squall.spec.loadtest import LoadTest


Say = Callable[[str, str, str], None]

KILLED_FLUSH_SECONDS: Final = 1.0
"""How long a run that somebody wants to be over at once waits for the receiver."""


def open_pushing(
    settings: RemoteWrite,
    test: LoadTest,
    plan: TestPlan,
    catalogue: Catalogue,
    state: RunState,
    *,
    clock: Callable[[], int],
    noted: Callable[[], None],
) -> Pushing | None:
    """Pushes one run; None, with a warning, where that is impossible.

    Args:
        settings: See `Pushing`.
        test: Likewise.
        plan: Likewise.
        catalogue: Likewise.
        state: The run, which is told what people should know.
        clock: See `Pushing`.
        noted: Called when it has been told something.
    """

    def say(level: str, event: str, text: str) -> None:
        state.note(level, event, text, clock())
        noted()

    try:
        return Pushing(settings, test, plan, catalogue, state, clock=clock, say=say)
    except SquallError as error:
        state.note("warning", "RemoteWriteImpossible", f"no metrics are pushed: {error.message}", clock())
        return None


class Pushing:
    """Pushes one run.

    Args:
        settings: Where to, and how.
        test: The manifest.
        plan: Its plan.
        catalogue: Its metrics.
        state: The run.
        clock: Unix time in nanoseconds.
        say: Told of what people should know: level, event and message.

    Raises:
        UsageError: A file for TLS cannot be used.
    """

    def __init__(
        self,
        settings: RemoteWrite,
        test: LoadTest,
        plan: TestPlan,
        catalogue: Catalogue,
        state: RunState,
        *,
        clock: Callable[[], int],
        say: Say,
    ) -> None:
        self._name = test.name
        self._plan = plan
        self._state = state
        self._say = say
        labels = run_labels(test, state.spec.run)
        self.exporter = Exporter(settings, catalogue, labels, clock=clock, say=say)
        self.pushed = -1
        """The last slot that was pushed, by this process or one before."""
        self._resumed = True

    def restore(self, slot: int) -> None:
        """Another hub process has pushed up to a slot."""
        self.pushed = max(self.pushed, slot)
        self._resumed = False

    def start(self) -> None:
        """Begin to send; needs a running event loop."""
        self.exporter.start()

    def judged(self, slot: int) -> bool:
        """A slot has been judged; returns whether it was pushed."""
        before = self.pushed
        with self.exporter.harmless():
            if slot > before:
                self._push(slot)
        return self.pushed > before

    def _push(self, slot: int) -> None:
        start = self._state.start_ns
        assert start is not None, "slots exist once the run has begun"
        at_ns = start + (slot + 1) * SECOND
        if not self.exporter.takes(at_ns):
            return
        self._resume(start)
        points = during(live_state(self._state, self._plan, self._name, at_ns), self._facts())
        measured = list(self._state.store.standing(slot))
        if self.exporter.push(at_ns, start, measured, points):
            self.pushed = slot

    async def finish(self, summary: Summary) -> Summary:
        """The run is over: push how it ended, and return its summary, with a warning of what is not there."""
        state = self._state
        with self.exporter.harmless():
            for text in await self._finish(summary):
                self._say("warning", "RemoteWriteLost", text)
        # All that came up since the summary was made: this is about the last samples, or was said by them.
        return msgspec.structs.replace(
            summary, warnings=state.timeline.warnings, events=tuple(state.timeline.events)
        )

    async def _finish(self, summary: Summary) -> tuple[str, ...]:
        state = self._state
        start = state.start_ns
        assert state.ended_ns is not None, "the run has finished"
        begin = state.ended_ns if start is None else start
        measured: list[tuple[SeriesKey, Aggregate]] = []
        if start is not None:
            self._resume(start)
            measured = list(state.store.standing(state.store.latest))
        live = live_state(state, self._plan, self._name, state.ended_ns)
        points = at_end(live, self._facts(), summary, state.ended_ns / SECOND)
        seconds = KILLED_FLUSH_SECONDS if state.killed else FLUSH_SECONDS
        return await self.exporter.finish(state.ended_ns, begin, measured, points, seconds=seconds)

    async def close(self) -> None:
        """Stop sending."""
        await self.exporter.close()

    def _resume(self, start_ns: int) -> None:
        if self._resumed:
            return
        self._resumed = True
        known = [key for key, value in self._state.store.standing(self.pushed) if _counted(value)]
        self.exporter.resume(known, start_ns + (self.pushed + 1) * SECOND)

    def _facts(self) -> RunFacts:
        state, why = self._state, self._state.stopping
        return RunFacts(
            version=__version__,
            shards=self._plan.shards,
            start_unix=None if state.start_ns is None else state.start_ns / SECOND,
            saturated=state.judge.saturated,
            stop=None if why is None else (why.at_unix / SECOND, why.cause, why.reason),
        )


def _counted(value: Aggregate) -> bool:
    """Whether there was anything of it."""
    if isinstance(value, Gauge):
        return False
    if isinstance(value, Counter):
        return value.value > 0
    return value.total > 0 if isinstance(value, Rate) else value.count > 0
