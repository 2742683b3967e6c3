"""A fleet that follows the levels of a search, and a target that serves so many requests a second and queues the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from support.fakerunner import manifest
from support.hubbench import Bench

from squall.hub import protocol
from squall.hub.limits import SECOND
from squall.metrics.histogram import Histogram
from squall.metrics.names import Kind
from squall.metrics.snapshot import SeriesDef, Snapshot, pack
from squall.plan.share import Share
from squall.report.model import CapacitySummary

TAGS = (("scenario", "find"),)
SERIES = [
    ("iterations_started", Kind.COUNTER),
    ("iterations", Kind.COUNTER),
    ("dropped_iterations", Kind.COUNTER),
    ("http_reqs", Kind.COUNTER),
    ("arrivals_planned", Kind.COUNTER),
    ("http_req_failed", Kind.RATE),
    ("http_req_response_time", Kind.TREND),
    ("schedule_lag", Kind.TREND),
    ("loop_lag", Kind.TREND),
    ("vus", Kind.GAUGE),
]
P95 = [{"metric": "http_req_response_time{scenario:find}", "expression": "p(95)<200ms"}]


def searching(by: str = "rate", **search: Any) -> list[dict[str, Any]]:
    """The scenarios of a run that searches."""
    wanted = {
        "by": by,
        "start": 100,
        "max": 10_000,
        "hold": "3s",
        "settle": "1s",
        "cooldown": "20s",
        "thresholds": P95,
    }
    steps = [{"name": "get", "http": {"url": "http://127.0.0.1:1/"}}]
    return [{"name": "find", "executor": "capacity", "search": wanted | search, "steps": steps}]


@dataclass
class Part:
    """What one runner of the fleet has measured."""

    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys((n for n, _ in SERIES), 0.0))
    trends: dict[str, Histogram] = field(
        default_factory=lambda: {n: Histogram() for n, kind in SERIES if kind is Kind.TREND}
    )
    gauge: float = 0.0
    kept: list[Snapshot] = field(default_factory=list)


class Fleet(Bench):
    """Runners, a target with a limit, and the hub between them.

    Args:
        count: Runners, a shard each.
        limit: What the target serves in a second.
        room: How many iterations may be in flight; more are dropped.
        **parts: Of the manifest's spec.
    """

    def __init__(
        self, count: int = 2, *, limit: float = 500, room: float = 10**9, by: str = "rate", **parts: Any
    ) -> None:
        search = parts.pop("search", {})
        scenario = searching(by, **search)[0] | parts.pop("scenario", {})
        super().__init__(count, scenarios=[scenario], **parts)
        self.by = by
        self.limit = limit
        self.room = room
        self.queue = 0.0
        self.lag: Callable[[int], float] = lambda _: 0.001
        """How late the event loops are at a level."""
        self.parts = [Part() for _ in range(count)]
        self.levels: list[tuple[int, int]] = []
        """By slot: the slot, and the level that runners brought."""
        self.away: set[int] = set()

    def level(self, index: int, slot: int) -> protocol.Level | None:
        """The level that a runner is at in a slot, as it was told."""
        told = {order.number: order for order in self.heard(index, protocol.Level)}
        begun = [order for _, order in sorted(told.items()) if order.at_ns <= slot * SECOND]
        return begun[-1] if begun else None

    @property
    def ended(self) -> bool:
        """Whether all runners were told that the search is over."""
        return all(any(e.last for e in self.heard(i, protocol.Level)) for i in range(len(self.parts)))

    def live(self, slots: int, first: int = 0) -> int:
        """Let the search go on for so many slots, or to its end; returns the slot after the last."""
        for slot in range(first, first + slots):
            self.to_end_of(slot)
            if self.state.phase != "running":
                return slot
            self.slot(slot)
            orders = [self.level(i, slot) for i in range(len(self.parts)) if i not in self.away]
            if all(order is not None and order.last for order in orders):
                self.finish(*(i for i in range(len(self.parts)) if i not in self.away))
                return slot + 1
        return first + slots

    def search(self) -> CapacitySummary:
        """Carry out a whole search, and take its result from the summary."""
        self.begin()
        self.live(600)
        return self.found()

    def found(self) -> CapacitySummary:
        (found,) = self.summary().capacity
        return found

    def slot(self, slot: int) -> None:
        """The fleet and the target in one slot."""
        present = [i for i in range(len(self.parts)) if i not in self.away]
        orders = [self.level(i, slot) for i in present]
        target = next((order.target for order in orders if order), 0)
        assert {order.target if order else 0 for order in orders} == {target}, "not all at the same level"
        self.levels.append((slot, target))
        shares = {i: Share(i, len(self.parts)).of(target) for i in present}
        load = sum(shares.values())
        if self.by == "rate":
            dropped = max(0.0, self.queue + load - self.limit - self.room)
            took = self.queue / self.limit + max(0.0, load - dropped - self.limit) / self.limit / 2 + 0.01
            self.queue = max(0.0, self.queue + load - dropped - self.limit)
            done, active = load, self.queue
        else:
            dropped, active = 0.0, float(load)
            took = max(0.02, load * 0.02 / self.limit)
            done = load / took
        for i in present:
            self.measure(
                i, slot, shares[i] / load if load else 1 / len(present), (done, dropped, active), took, target
            )

    def measure(  # noqa: PLR0917 - a row of figures
        self,
        index: int,
        slot: int,
        share: float,
        figures: tuple[float, float, float],
        took: float,
        target: int,
    ) -> None:
        done, dropped, active = (round(each * share) for each in figures)
        part = self.parts[index]
        for name, grown in (
            ("iterations_started", done - dropped),
            ("iterations", done - dropped),
            ("dropped_iterations", dropped),
            ("http_reqs", done - dropped),
            ("arrivals_planned", done if self.by == "rate" else 0),
        ):
            part.sums[name] += grown
        for _ in range(min(done - dropped, 20)):
            part.trends["http_req_response_time"].record(took)
        for _ in range(done - dropped):
            part.trends["schedule_lag"].record(0.001)
        part.trends["loop_lag"].record(self.lag(target))
        part.gauge = active
        snapshot = self.snapshot(index, slot)
        part.kept.append(snapshot)
        if self.state.members[index].connected:
            self.say(index, protocol.Measured(snapshot))

    def snapshot(self, index: int, slot: int) -> Snapshot:
        part = self.parts[index]
        numbers = {name: number for number, (name, _) in enumerate(SERIES)}
        return Snapshot(
            runner=index,
            attempt="a",
            slot=slot,
            defs=[
                SeriesDef(number, name, kind, () if name == "loop_lag" else TAGS)
                for number, (name, kind) in enumerate(SERIES)
            ],
            counters=[(numbers[n], part.sums[n]) for n, kind in SERIES if kind is Kind.COUNTER],
            rates=[(numbers["http_req_failed"], 0, round(part.sums["http_reqs"]))],
            gauges=[(numbers["vus"], part.gauge, part.gauge, part.gauge)],
            trends=[(numbers[n], pack(trend)) for n, trend in part.trends.items() if trend.count],
        )

    def replay(self, index: int, *, after: int = -1) -> None:
        """A runner comes back to a hub that was restarted."""
        offset = self.offsets[index]
        self.hello(index, started_ns=(self.state.start_ns or 0) + offset)
        for snapshot in self.parts[index].kept:
            if snapshot.slot > after:
                self.say(index, protocol.Measured(snapshot))


def manifest_of_a_search(**search: Any) -> dict[str, Any]:
    """A whole LoadTest that searches."""
    return manifest(scenarios=searching(**search))
