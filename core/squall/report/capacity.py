"""What a search for capacity has found, in figures and in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from squall.metrics import format as fmt
from squall.report.model import CapacitySummary
from squall.spec.quantities import format_duration
from squall.verdict.capacity import End

if TYPE_CHECKING:
    from squall.plan.model import ScenarioPlan
    from squall.plan.search import SearchPlan
    from squall.report.model import LevelResult
    from squall.verdict.capacity import Search

_SECOND = 1_000_000_000


def unit_of(search: SearchPlan) -> str:
    """What a level is a number of, as reports write it."""
    if search.by == "vus":
        return "VUs"
    return "iterations/s" if search.unit_ns == _SECOND else f"iterations/{format_duration(search.unit_ns)}"


def summarize(
    plan: ScenarioPlan, search: SearchPlan, state: Search, levels: tuple[LevelResult, ...]
) -> CapacitySummary:
    """What is known of a scenario's capacity.

    Args:
        plan: The scenario.
        search: How it searches.
        state: How far the search is.
        levels: What came of each level.
    """
    end = state.end or End.STOPPED
    decisive = _decisive(state, levels)
    unit = unit_of(search)
    return CapacitySummary(
        scenario=plan.name,
        unit=unit,
        knee=state.low,
        confirmed=state.confirmed,
        upper=state.high,
        ended=end.value,
        message=_message(end, unit, state, decisive),
        limiting=decisive.limiting if decisive else "",
        observed=decisive.observed if decisive else None,
        observed_unit=decisive.observed_unit if decisive else "",
        levels=levels,
    )


def _decisive(state: Search, levels: tuple[LevelResult, ...]) -> LevelResult | None:
    """The level that stands between the knee and more: the lowest that failed, or the one that nobody could bring."""
    if state.end is End.GENERATOR:
        return levels[-1] if levels else None
    return next((e for e in reversed(levels) if e.target == state.high and e.outcome == "failed"), None)


_SAYING: Final = {
    End.FOUND: "{held} is the highest load that held; the lowest that failed is {failed}",
    End.MAXIMUM: "{held} held, the highest load that was allowed (search.max): the capacity lies above",
    End.NOTHING: "not even the lowest load held, {failed}",
    End.GENERATOR: "{held} held; the generator is to blame that more did not, {failed}",
    End.NOISE: "the same loads held and failed by turns: {held} held, the lowest that failed is {failed}",
    End.TIME: "maxDuration was over before the search: {held} held so far, the lowest that failed is {failed}",
    End.STOPPED: "the run ended before the search: {held} held so far, the lowest that failed is {failed}",
}


def _message(end: End, unit: str, state: Search, decisive: LevelResult | None) -> str:
    held = f"{fmt.number(state.low)} {unit}" if state.low else "no load"
    failed = f"{fmt.number(decisive.target)} {unit}: {described(decisive)}" if decisive else "not known"
    return _SAYING[end].format(held=held, failed=failed)


def columns_of(found: CapacitySummary) -> tuple[str, ...]:
    """What the columns of `curve` are: levels are of requests, or, where none are sent, of a chain's transactions."""
    on_chain = any(level.counts == "transactions" for level in found.levels)
    sent = ("seen p95", "failed", "transactions") if on_chain else ("response p95", "failed", "requests")
    return ("load", "outcome", *sent, "iterations", "broken")


def curve(found: CapacitySummary) -> list[tuple[str, ...]]:
    """Load against response time, errors and throughput: a row for each time that a level was tried, the lowest first."""
    return [
        (
            f"{fmt.number(level.target)} {found.unit}",
            level.outcome,
            fmt.quantity(level.p95_seconds, "s"),
            fmt.quantity(level.error_rate, "share"),
            f"{fmt.number(level.requests_per_second)}/s",
            f"{fmt.number(level.iterations_per_second)}/s",
            described(level),
        )
        for level in sorted(found.levels, key=lambda level: (level.target, level.number))
    ]


def outcome_text(found: CapacitySummary) -> str:
    """What the level that was tried last has come to, in a line."""
    level = found.levels[-1]
    broken = described(level)
    return f"{found.scenario}: {fmt.number(level.target)} {found.unit} {level.outcome}" + (
        f": {broken}" if broken else ""
    )


def described(level: LevelResult) -> str:
    """What a level broke, and what was observed of it; empty when it broke nothing."""
    if not level.limiting:
        return ""
    if level.observed is None:
        return f"{level.limiting}, but nothing was measured"
    return f"{level.limiting}, but {fmt.quantity(level.observed, level.observed_unit)} was observed"
