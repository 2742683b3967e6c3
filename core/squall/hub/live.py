"""The run as it stands now, for the terminal, the page and the operator's status: computed once a slot, read by all."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from squall.hub.judging import actual_load
from squall.hub.limits import LIVE_WINDOW_SLOTS, SECOND
from squall.metrics.histogram import Histogram
from squall.metrics.series import Counter, Gauge, Rate, Selector
from squall.report.model import LiveState, ScenarioState
from squall.report.parts import ChainState

if TYPE_CHECKING:
    from squall.hub.run import RunState
    from squall.metrics.series import Tags
    from squall.metrics.slots import SlotStore
    from squall.plan.model import ScenarioPlan, TestPlan

_REQUESTS: Final = Selector("http_reqs")
_FAILED: Final = Selector("http_req_failed")
_TOTAL: Final = Selector("http_req_total")
_VUS: Final = Selector("vus")
_TRANSACTIONS: Final = Selector("evm_txs")
_TRANSACTIONS_FAILED: Final = Selector("evm_tx_failed")
_SEEN: Final = Selector("evm_tx_inclusion_duration")


def live_state(run: RunState, plan: TestPlan, name: str, now_ns: int) -> LiveState:
    """The state of a run after the last slot that was judged."""
    store, slot = run.store, run.judged
    first = max(0, slot - LIVE_WINDOW_SLOTS + 1)
    total = store.window(_TOTAL, first, slot)
    p50, p95, p99 = _percentiles(total)
    failed = store.window(_FAILED, first, slot)
    vus = store.window(_VUS, slot, slot)
    elapsed = run.seconds(run.ended_ns or now_ns)
    return LiveState(
        run=run.spec.run,
        name=name,
        phase=run.phase,
        elapsed_seconds=max(0.0, elapsed),
        planned_seconds=plan.duration_ns / SECOND,
        runners=run.members.states(),
        scenarios=_scenarios(run, plan, slot),
        thresholds=run.judge.thresholds(),
        requests_per_second=_count(store.window(_REQUESTS, slot, slot)),
        error_rate=_share(failed),
        p50_seconds=p50,
        p95_seconds=p95,
        p99_seconds=p99,
        requests=int(_count(store.total(_REQUESTS))),
        vus=round(vus.last) if isinstance(vus, Gauge) else 0,
        chain=_chain(store, first, slot),
        warnings=run.timeline.warnings,
        stop_reason=run.stopping.message if run.stopping else "",
    )


def _chain(store: SlotStore, first: int, slot: int) -> ChainState | None:
    sent = _count(store.total(_TRANSACTIONS))
    if not sent:
        return None
    return ChainState(
        transactions=int(sent),
        per_second=_count(store.window(_TRANSACTIONS, first, slot)) / max(1, slot - first + 1),
        failed=_share(store.window(_TRANSACTIONS_FAILED, first, slot)),
        p95_seconds=_percentiles(store.window(_SEEN, first, slot))[1],
    )


def _share(rate: object) -> float:
    return rate.value if isinstance(rate, Rate) and rate.total else 0.0


def _percentiles(trend: object) -> tuple[float | None, float | None, float | None]:
    if not isinstance(trend, Histogram) or not trend.count:
        return None, None, None
    p50, p95, p99 = trend.quantiles((0.5, 0.95, 0.99))
    return p50, p95, p99


def _count(found: object) -> float:
    return found.value if isinstance(found, Counter) else 0.0


def _scenarios(run: RunState, plan: TestPlan, slot: int) -> tuple[ScenarioState, ...]:
    store = run.store
    done, dropped, failed = (
        {_name(tags): _count(value) for tags, value in store.totals(metric, ("scenario",)).items()}
        for metric in ("iterations", "dropped_iterations", "iterations_failed")
    )
    at_ns = max(0, (slot + 1) * SECOND - 1)  # of the slot that is shown, as the next may be in another stage
    wanted = {each.name: _wanted(run, each, at_ns) for each in plan.scenarios}
    return tuple(
        ScenarioState(
            name=scenario.name,
            executor=scenario.executor,
            unit="iterations/s" if scenario.is_open else "VUs",
            stage=wanted[scenario.name][0],
            progress=_progress(scenario, at_ns, done.get(scenario.name, 0.0)),
            target=wanted[scenario.name][1],
            actual=actual_load(store, scenario, slot),
            iterations=int(done.get(scenario.name, 0)),
            dropped=int(dropped.get(scenario.name, 0)),
            failed=int(failed.get(scenario.name, 0)),
        )
        for scenario in plan.scenarios
    )


def _wanted(run: RunState, scenario: ScenarioPlan, at_ns: int) -> tuple[str, float]:
    """The stage and the target of a moment: the plan's, or the level that a search has come to."""
    search = run.judge.searches.get(scenario.name)
    if search is not None:
        return search.stage(at_ns // SECOND)
    return scenario.stage_at(at_ns), scenario.target(at_ns)


def _name(tags: Tags) -> str:
    return tags[0][1]


def _progress(scenario: ScenarioPlan, at_ns: int, done: float) -> float:
    length = scenario.end_ns - scenario.start_ns
    by_time = (at_ns - scenario.start_ns) / length if length else 1.0
    cap = scenario.planned_iterations or scenario.max_iterations
    by_count = done / cap if cap else 0.0
    return min(1.0, max(0.0, by_time if math.isfinite(by_time) else 0.0, by_count))
