"""A plan on a terminal: a chart for each scenario and for their sum, the totals, the shares.

Readable at 80 columns and without colour, since it ends up in tickets and chats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from squall.cli.plan_chain import chain_lines
from squall.cli.plan_chart import GUTTER, chart, number, stage_axis, time_axis
from squall.plan.curve import column_peaks, peak
from squall.plan.document import shard_load
from squall.plan.model import SECOND
from squall.plan.sizing import suggest_shards
from squall.spec.quantities import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from squall.plan.chain import ChainCost
    from squall.plan.document import ShardLoad
    from squall.plan.model import ScenarioPlan, TestPlan
    from squall.plan.sizing import Requests

_SHOWN_SHARDS = 12
_EDGE_SHARDS = 5
_WIDEST = 100


def print_plan(
    console: Console,
    name: str,
    plan: TestPlan,
    requests: Sequence[Requests],
    chain: ChainCost | None = None,
) -> None:
    """Print the whole plan.

    Args:
        console: Where to; its width decides that of the charts.
        name: The test's name.
        plan: The compiled test.
        requests: Requests per iteration, for each scenario of the plan in order.
        chain: What it does on a chain, if it has one.
    """
    console.print(Text(_headline(name, plan), style="bold"), soft_wrap=True)
    height = max(3, min(8, 14 // len(plan.scenarios)))
    for scenario in plan.scenarios:
        _print_chart(console, [scenario], _title(scenario), plan.duration_ns, height)
    for is_open, title in ((False, "all closed scenarios, VUs"), (True, "all open scenarios, iterations/s")):
        together = [scenario for scenario in plan.scenarios if scenario.is_open == is_open]
        if len(together) > 1:
            _print_chart(console, together, title, plan.duration_ns, height)
    console.print()
    console.print(_totals(plan, requests))
    console.print()
    console.print(_shares(plan))
    console.print()
    for line in (*_advice(plan, requests), *(chain_lines(chain) if chain else ())):
        console.print(Text(line))


def _headline(name: str, plan: TestPlan) -> str:
    scenarios, shards = len(plan.scenarios), plan.shards
    text = (
        f"{name}: {scenarios} scenario{'s' * (scenarios != 1)} on {shards} shard{'s' * (shards != 1)}, "
        f"{format_duration(plan.duration_ns)}"
    )
    grace = plan.stop_ns - plan.duration_ns
    return f"{text} and up to {format_duration(grace)} to finish" if grace else text


def _title(scenario: ScenarioPlan) -> str:
    unit = "iterations/s" if scenario.is_open else "VUs"
    if (search := scenario.search) is not None:
        first, most = (number(search.per_second(level)) for level in (search.start, search.maximum))
        levels = (
            f"searches from {first} up to {most} at most, {format_duration(search.slots * SECOND)} a level"
        )
        # The chart is as high and as long as a search may become; how it really goes, nobody knows before.
        return f"{scenario.name} ({scenario.executor}, {unit}, {levels}; drawn: at most)"
    until_done = scenario.planned_iterations is not None and not scenario.is_open
    ending = ", ends when its iterations are done" if until_done else ""
    return f"{scenario.name} ({scenario.executor}, {unit}{ending})"


def _print_chart(
    console: Console, scenarios: Sequence[ScenarioPlan], title: str, end_ns: int, height: int
) -> None:
    columns = min(console.width, _WIDEST) - GUTTER - 1
    peaks = column_peaks(scenarios, columns, end_ns)
    top = peak(dict.fromkeys(scenarios, 1))
    console.print()
    console.print(Text(title, style="bold cyan"), soft_wrap=True)
    for line in chart(peaks, top, height):
        console.print(Text(line), soft_wrap=True)
    if len(scenarios) == 1 and (names := stage_axis(scenarios[0].stages, end_ns, columns)):
        console.print(Text(names, style="dim"), soft_wrap=True)
    console.print(Text(time_axis(end_ns, columns)), soft_wrap=True)


def _table(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for i, header in enumerate(headers):
        table.add_column(header, justify="left" if i == 0 else "right", overflow="fold")
    return table


def _totals(plan: TestPlan, requests: Sequence[Requests]) -> Table:
    table = _table("scenario", "from", "until", "peak", "max VUs", "iterations", "requests each")
    for scenario, each in zip(plan.scenarios, requests, strict=True):
        most = "≤ " if scenario.search is not None else ""
        table.add_row(
            scenario.name,
            format_duration(scenario.start_ns),
            f"{most}{format_duration(scenario.end_ns)}",
            f"{most}{number(scenario.peak)}{'/s' if scenario.is_open else ''}",
            number(scenario.max_vus),
            _iterations(scenario),
            str(each),
        )
    return table


def _iterations(scenario: ScenarioPlan) -> str:
    planned = scenario.planned_iterations
    if planned is None:
        cap = scenario.max_iterations
        if scenario.search is not None:
            return "until found"
        return "by time" if cap is None else f"≤ {number(cap)}"
    about = "~" if scenario.is_random else ""
    return f"{about}{number(planned)}"


def _shares(plan: TestPlan) -> Table:
    table = _table("shard", "VUs", "planned iterations", "scenarios")
    table.columns[-1].justify = "left"
    shards = list(range(plan.shards))
    elided = len(shards) > _SHOWN_SHARDS
    head, tail = (shards[:_EDGE_SHARDS], shards[-_EDGE_SHARDS:]) if elided else (shards, [])
    for shard in head:
        table.add_row(*_share_row(shard_load(plan, shard), len(plan.scenarios)))
    if elided:
        table.add_row("...", "", "", f"{len(shards) - len(head) - len(tail)} more")
    for shard in tail:
        table.add_row(*_share_row(shard_load(plan, shard), len(plan.scenarios)))
    return table


def _share_row(load: ShardLoad, scenarios: int) -> tuple[str, str, str, str]:
    names = "all" if len(load.scenarios) == scenarios else ", ".join(load.scenarios) or "nothing to do"
    iterations = "by time" if load.iterations is None else number(load.iterations)
    return str(load.index + 1), number(load.vus), iterations if load.scenarios else "", names


def _advice(plan: TestPlan, requests: Sequence[Requests]) -> list[str]:
    suggestion = suggest_shards(plan, requests)
    placed = f"; shard {suggestion.placed} is named by a placement" if suggestion.placed else ""
    lines = [f"Suggested shards: at least {suggestion.shards}, for a peak of {suggestion.peak}{placed}."]
    lines.append(f"This {suggestion.assumption}.")
    if any(not scenario.is_open for scenario in plan.scenarios):
        lines.append("How many requests VUs make depends on how fast the target answers.")
    return lines
