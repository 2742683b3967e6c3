"""Asks Prometheus for what thresholds with a `query` need, at the end of every slot of one run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from squall.hub.limits import SECOND
from squall.hub.promql import Prometheus, PrometheusError

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.hub.run import RunState


class Asking:
    """Asks for one run.

    Args:
        url: Of the Prometheus.
        state: The run.
        clock: Unix time in nanoseconds.
        act: Does what the state machine wants done.
    """

    def __init__(self, url: str, state: RunState, clock: Callable[[], int], act: Callable[[], None]) -> None:
        self._prometheus = Prometheus(url)
        self._state = state
        self._clock = clock
        self._act = act
        self._silent: set[str] = set()
        """Queries that had no answer the last time, which was said."""

    async def run(self) -> None:
        """Ask until the run is over; answers count for the slots judged after."""
        try:
            await self._ask_until_finished()
        finally:
            await self._prometheus.close()  # a run may be forgotten without being closed

    async def _ask_until_finished(self) -> None:
        """Ask all queries at the end of every slot."""
        state = self._state
        while state.phase != "finished":
            start = state.start_ns
            now = self._clock()
            if start is None or now < start:
                await asyncio.sleep(0.05 if start is None else (start - now) / SECOND)
                continue
            slot = (now - start) // SECOND
            end_ns = start + (slot + 1) * SECOND
            await asyncio.sleep((end_ns - now) / SECOND)
            answers = await self._prometheus.ask_all(state.judge.queries, end_ns / SECOND)
            for query, answer in answers.items():
                self._answered(slot, query, answer)

    def _answered(self, slot: int, query: str, answer: float | PrometheusError | None) -> None:
        if isinstance(answer, PrometheusError):
            if query not in self._silent:
                self._silent.add(query)
                text = f"Prometheus gave no answer to {query}: {answer}"
                self._state.note("warning", "QueryFailed", text, self._clock())
                self._act()
            return
        self._silent.discard(query)
        self._state.judge.answer(query, slot, answer)
