"""Carries a search for capacity through a run: orders levels, judges each on its own slots, and says what was found.

What to try next is `squall.verdict.capacity`'s decision. Here its levels get their time. A level is ordered for the
beginning of a slot that is near enough and still far enough for every runner to hear of it; it is left alone while it
settles, judged by what the whole fleet measured in the slots after, and goes on until the next begins. After one that
failed there is no load until its iterations have ended, or the next would be judged by the queues that it left.

Each order and each result is recorded before runners are told, and the search follows from them alone: a hub that takes
over goes on with the level that was under way. What nobody saw slot by slot, since no hub was there, is tried again.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import msgspec

from squall.hub.limits import SECOND
from squall.hub.protocol import Level
from squall.metrics.declared import catalogue_of, tag_values
from squall.metrics.histogram import Histogram
from squall.metrics.names import Kind
from squall.metrics.series import Counter, Gauge, Rate, Selector, then
from squall.metrics.snapshot import SeriesDef, Snapshot
from squall.plan.model import StageSpan
from squall.report.capacity import outcome_text, summarize
from squall.report.model import LevelResult
from squall.verdict.build import level_thresholds_of
from squall.verdict.capacity import Bounds, End, Outcome, Search

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squall.metrics.series import Aggregate
    from squall.metrics.slots import SlotStore
    from squall.plan.model import ScenarioPlan, TestPlan
    from squall.plan.search import SearchPlan
    from squall.report.model import CapacitySummary
    from squall.spec.loadtest import LoadTestSpec
    from squall.verdict.thresholds import Threshold

DELIVERED: Final = 0.95
"""Share of a level that has to be brought for it to be judged as that level."""
Broken: TypeAlias = tuple[str, float | None, str]
"""The condition that a level broke, what was observed of it, and in what unit."""
NOTHING_BROKEN: Final[Broken] = ("", None, "")
HUB: Final = -1
"""As which runner the hub itself puts what it has found among the measurements."""


class LevelSearch:
    """The search of one scenario.

    Args:
        plan: The scenario.
        search: How it searches.
        thresholds: What a level has to meet.
        store: What is measured.
        place: The scenario's number.
    """

    def __init__(
        self,
        plan: ScenarioPlan,
        search: SearchPlan,
        thresholds: tuple[Threshold, ...],
        *,
        store: SlotStore,
        place: int,
    ) -> None:
        self.plan = plan
        self.state = Search(
            Bounds(search.start, search.maximum, search.growth, search.precision, search.confirmations)
        )
        self.orders: list[Level] = []
        """What runners were told, in order."""
        self.results: list[LevelResult] = []
        self._search = search
        self._thresholds = thresholds
        self._store = store
        self._place = place
        self._seen = 0
        """Slots of the current level's window that anybody has seen."""
        self._well: list[int] = []
        """Those of them in which the generator was not saturated."""

    @property
    def over(self) -> bool:
        """Whether runners were told of the end."""
        return bool(self.orders) and self.orders[-1].last

    # -- slot by slot -----------------------------------------------------------------------------------------

    def saw(self, slot: int, *, saturated: bool) -> None:
        """A slot is complete."""
        if self.orders and self.orders[-1].target:
            first, last = self._window(self.orders[-1])
            if first <= slot <= last:
                self._seen += 1
                self._well += [] if saturated else [slot]

    def step(self, slot: int, earliest: int) -> dict[str, Any] | None:
        """What is to be recorded and done after a slot; the last of `orders` is then news for all runners.

        Args:
            slot: The last that is complete; -1 before the first.
            earliest: The first slot for whose beginning something can be ordered.
        """
        if self.over:
            return None
        if not self.orders:
            return self._try(max(earliest, -(-self.plan.start_ns // SECOND)))
        order = self.orders[-1]
        if order.target:
            return self._end_level(order, slot, earliest) if slot >= self._window(order)[1] else None
        rested = slot - order.at_ns // SECOND + 1
        if rested >= self._search.cooldown or (rested > 0 and not self._active(slot)):
            return self._try(earliest)
        return None

    def _window(self, order: Level) -> tuple[int, int]:
        """The first and the last slot in which a level is judged."""
        begin = order.at_ns // SECOND
        return begin + self._search.settle, begin + self._search.slots - 1

    def _end_level(self, order: Level, slot: int, earliest: int) -> dict[str, Any]:
        result = self._judged(order)
        self._take(result)
        fields = {"slot": slot, "result": msgspec.to_builtins(result)}
        if self.state.end is None and result.outcome in ("failed", "limited") and self._search.cooldown:
            return fields | self._order(0, earliest)
        return fields | self._try(earliest)

    def _take(self, result: LevelResult) -> None:
        self.results.append(result)
        self.state.take(Outcome(result.outcome))

    def _try(self, at: int) -> dict[str, Any]:
        """Order the next level, or the end."""
        if (at + self._search.slots) * SECOND > self.plan.end_ns:
            self.state.give_up(End.TIME)
        if self.state.end is None:
            return self._order(self.state.level, at)
        self._tell_capacity(max(0, at - 1))
        return self._order(0, at, last=True)

    def _order(self, target: int, at: int, *, last: bool = False) -> dict[str, Any]:
        self._add(Level(self.plan.name, len(self.orders), target, at * SECOND, last))
        return {"order": msgspec.to_builtins(self.orders[-1])}

    def _add(self, order: Level) -> None:
        self.orders.append(order)
        self._seen = 0
        self._well = []

    def _tell_capacity(self, slot: int) -> None:
        """Put what was found among the measurements, so that thresholds can be about it."""
        found = float(self.state.low)
        tags = (("scenario", self.plan.name),)
        self._store.add(
            Snapshot(
                runner=HUB,
                attempt="hub",
                slot=slot,
                defs=[SeriesDef(self._place, "capacity", Kind.GAUGE, tags)],
                gauges=[(self._place, found, found, found)],
            )
        )

    def restore(self, record: dict[str, Any]) -> None:
        """Take in what another hub process has recorded."""
        if "result" in record:
            self._take(msgspec.convert(record["result"], LevelResult))
        order = msgspec.convert(record["order"], Level)
        self._add(order)
        if order.last:
            self.state.give_up(End.TIME)
            self._tell_capacity(max(0, order.at_ns // SECOND - 1))

    # -- judging ----------------------------------------------------------------------------------------------

    def _judged(self, order: Level) -> LevelResult:
        """What came of a level."""
        first, last = self._window(order)
        outcome, broken, judged = self._outcome(order, first, last)
        # What is shown beside what was broken has to be of the same seconds, or one row has two figures for one thing.
        sent = self._measured("http_reqs", first, last)
        transactions = None if _count(sent) else self._measured("evm_txs", first, last)
        on_chain = _count(transactions) > 0
        failed = self._of("evm_tx_failed" if on_chain else "http_req_failed", judged)
        response = self._of("evm_tx_inclusion_duration" if on_chain else "http_req_response_time", judged)
        return LevelResult(
            number=len(self.results) + 1,
            target=order.target,
            at_seconds=order.at_ns / SECOND,
            seconds=float(last - first + 1),
            purpose=self.state.purpose.value,
            outcome=outcome.value,
            limiting=broken[0],
            observed=broken[1],
            observed_unit=broken[2],
            counts="transactions" if on_chain else "requests",
            p95_seconds=response.quantile(0.95)
            if isinstance(response, Histogram) and response.count
            else None,
            error_rate=failed.value if isinstance(failed, Rate) and failed.total else None,
            requests_per_second=_count(transactions if on_chain else sent) / (last - first + 1),
            iterations_per_second=_count(self._measured("iterations", first, last)) / (last - first + 1),
        )

    def _outcome(self, order: Level, first: int, last: int) -> tuple[Outcome, Broken, Sequence[int]]:
        """Whether a level held; what was broken; and the slots that it was judged by."""
        slots = range(first, last + 1)
        if self._seen < len(slots):
            return Outcome.UNKNOWN, NOTHING_BROKEN, slots
        brought, begun = self._delivered(order, first, last)
        not_begun: Broken = ("delivered", begun, "share")
        if brought < DELIVERED:
            return Outcome.LIMITED, not_begun, slots
        broken = self._broken(slots)
        if broken is not None and self._seen > len(self._well):
            # What only shows while the generator is busy is not the target's.
            well = self._broken(self._well) if self._well else None
            return (Outcome.LIMITED, broken, slots) if well is None else (Outcome.FAILED, well, self._well)
        if broken is None and begun < DELIVERED:
            broken = not_begun
        return (Outcome.FAILED, broken, slots) if broken else (Outcome.HELD, NOTHING_BROKEN, slots)

    def _delivered(self, order: Level, first: int, last: int) -> tuple[float, float]:
        """The share of a level that the generator brought, and that of it which the target let begin.

        Of arrivals some may fall into the slot next to their own, one for each shard, and random ones vary.
        """
        if self._search.by == "vus":
            share = (self._active(last) + 1) / order.target
            return share, share
        wanted = self._search.per_second(order.target) * (last - first + 1)
        spare = len(self.plan.carriers) + (3 * math.sqrt(wanted) if self.plan.is_random else 0)
        started = _count(self._measured("iterations_started", first, last)) + spare
        dropped = _count(self._measured("dropped_iterations", first, last))
        return min(1.0, (started + dropped) / wanted), min(1.0, started / wanted)

    def _broken(self, slots: Sequence[int]) -> Broken | None:
        """The first threshold that a level breaks in these slots, what was observed, and in what unit."""
        for threshold in self._thresholds:
            assert threshold.selector is not None, "levels are not judged by queries"
            found = self._over(threshold.selector, slots)
            if found is None and threshold.kind is Kind.COUNTER:
                found = Counter()
            value = None if found is None else threshold.expression.value(found, float(len(slots)))
            if value is None or not threshold.expression.holds(value):
                return f"{threshold.source} {threshold.expression.text}", value, threshold.unit
        return None

    def _over(self, selector: Selector, slots: Sequence[int]) -> Aggregate | None:
        """What was measured in these slots, which need not follow each other; None without data."""
        found: Aggregate | None = None
        for slot in slots:
            part = self._store.window(selector, slot, slot)
            if part is not None and found is not None:
                then(found, part)
            elif part is not None:
                found = part
        return found

    def _active(self, slot: int) -> float:
        """VUs that were in the middle of an iteration at the end of a slot."""
        found = self._measured("vus", slot, slot)
        return found.last if isinstance(found, Gauge) else 0.0

    def _of(self, metric: str, slots: Sequence[int]) -> Aggregate | None:
        return self._over(Selector(metric, (("scenario", self.plan.name),)), slots)

    def _measured(self, metric: str, first: int, last: int) -> Aggregate | None:
        return self._store.window(Selector(metric, (("scenario", self.plan.name),)), first, last)

    # -- how it stands ----------------------------------------------------------------------------------------

    def stage(self, slot: int) -> tuple[str, float]:
        """What a slot belongs to, and the load that it should have: arrivals per second, or VUs."""
        order = next((each for each in reversed(self.orders) if each.at_ns <= slot * SECOND), None)
        if order is None or order.last:
            return "", 0.0
        return str(order.target) if order.target else "rest", self._search.per_second(order.target)

    def carried_out(self) -> ScenarioPlan:
        """The plan as it came about: a stage for each time that a level was tried."""
        ends = [*(order.at_ns for order in self.orders[1:]), self.plan.end_ns]
        spans = tuple(
            StageSpan(str(order.target), order.at_ns, end)
            for order, end in zip(self.orders, ends, strict=False)
            if order.target
        )
        return replace(self.plan, stages=spans or self.plan.stages)

    def summary(self) -> CapacitySummary:
        """What is known of the capacity."""
        return summarize(self.plan, self._search, self.state, tuple(self.results))


def _count(found: Aggregate | None) -> float:
    return found.value if isinstance(found, Counter) else 0.0


class Step(NamedTuple):
    """A step of a search: what is to be recorded, then told to all runners, and what it says to people, if anything."""

    record: dict[str, Any]
    order: Level
    text: str


class Searches:
    """All searches of a run.

    Args:
        spec: The manifest's spec.
        plan: Its plan.
        store: What is measured.

    Raises:
        ThresholdError: A threshold of a search is wrong.
    """

    def __init__(self, spec: LoadTestSpec, plan: TestPlan, store: SlotStore) -> None:
        self._plan = plan
        catalogue, tags = catalogue_of(spec), tag_values(spec)
        self._all = {
            scenario.name: LevelSearch(
                plan.scenarios[place],
                search,
                level_thresholds_of(scenario, catalogue, tags),
                store=store,
                place=place,
            )
            for place, scenario in enumerate(spec.scenarios)
            if (search := plan.scenarios[place].search) is not None
        }

    def get(self, scenario: str) -> LevelSearch | None:
        """The search of a scenario, if it is one."""
        return self._all.get(scenario)

    def saw(self, slot: int, *, saturated: bool) -> None:
        """A slot is complete."""
        for search in self._all.values():
            search.saw(slot, saturated=saturated)

    def step(self, slot: int, earliest: int) -> list[Step]:
        """What is to be done after a slot; see `LevelSearch.step`."""
        found = []
        for search in self._all.values():
            fields = search.step(slot, earliest)
            if fields is not None:
                text = outcome_text(search.summary()) if "result" in fields else ""
                found.append(Step(fields, search.orders[-1], text))
        return found

    def restore(self, record: dict[str, Any]) -> None:
        """Take in what another hub process has recorded."""
        self._all[record["order"]["scenario"]].restore(record)

    def latest(self) -> list[Level]:
        """What a runner must be told that has missed all before."""
        return [search.orders[-1] for search in self._all.values() if search.orders]

    def carried_out(self) -> TestPlan:
        """The plan as it came about."""
        scenarios = tuple(
            search.carried_out() if (search := self.get(each.name)) else each for each in self._plan.scenarios
        )
        return replace(self._plan, scenarios=scenarios)

    def incapable(self) -> str:
        """Says of a scenario that no load held at all; empty when there is none."""
        return next((e.message for e in self.summaries() if e.ended == End.NOTHING), "")

    def ended_by_generator(self) -> str:
        """Says of a scenario that its search came to the limit of the generator; empty when there is none."""
        return next((e.message for e in self.summaries() if e.ended == End.GENERATOR), "")

    def summaries(self) -> tuple[CapacitySummary, ...]:
        """What was found, or is known until now."""
        return tuple(search.summary() for search in self._all.values())
