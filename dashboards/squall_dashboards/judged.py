"""What was judged: thresholds, their limits and how they stood."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall_dashboards import promql
from squall_dashboards.look import (
    BAD,
    COLOURED_CELL,
    COLOURED_TEXT,
    HAD,
    HELD_NAMES,
    NONE,
    STATE_CODES,
    STATE_NAMES,
    WARNING,
    Query,
    lines,
    named,
    property_of,
    rows,
    states,
)
from squall_dashboards.promql import RUN, coded, last, where

if TYPE_CHECKING:
    from squall_dashboards.look import Panel


def thresholds() -> list[Panel]:
    """As a table, and over time."""
    info = f"max by (threshold, source, expression, severity, unit) ({last('squall_threshold_info', RUN)})"

    def of_each(series: str) -> str:
        return f"max by (threshold) ({last(series, RUN)})"

    state = f"max by (threshold) ({coded(STATE_CODES, 'squall_threshold_state', 'state', RUN, over=promql.RANGE)})"
    table = rows(
        "Thresholds",
        "Each threshold with what is judged of it, in its base unit, as last evaluated.",
        "threshold",
        {
            "info": (Query(info), NONE),
            "value": (Query(of_each("squall_threshold_value")), NONE),
            "limit": (Query(of_each("squall_threshold_limit")), NONE),
            "state": (Query(state), NONE),
        },
        hidden=["info"],
        width=14,
    )
    table.override_by_name(
        "state",
        [
            property_of("mappings", STATE_NAMES),
            COLOURED_CELL,
        ],
    )
    table.override_by_name(
        "severity", [property_of("mappings", named({"fail": BAD, "warn": WARNING})), COLOURED_TEXT]
    )
    live = f"max by (threshold) ({coded(STATE_CODES, 'squall_threshold_state', 'state', RUN)})"
    return [
        table,
        states(
            "States",
            "How each threshold stood, second by second. Failed is for good.",
            Query(live, "{{threshold}}"),
            STATE_NAMES,
            width=10,
        ),
        _tiers(),
    ]


def _tiers() -> Panel:
    table = rows(
        "Tiers",
        "Which of them held, at the end of the run; tiers of the run as a whole have no group.",
        "tier",
        {"result": (Query(f"max by (group, tier) ({last('squall_tier_held', RUN)})"), NONE)},
        height=5,
    )
    return table.override_by_name("result", [property_of("mappings", HELD_NAMES), COLOURED_CELL])


def one_by_one() -> Panel:
    """A panel that Grafana repeats for each threshold."""
    one = 'threshold=~"$threshold"'
    panel = lines(
        "$threshold",
        "What is judged and what it is compared with, in the threshold's base unit.",
        NONE,
        Query(f"squall_threshold_value{where(RUN, one)}", "value", HAD),
        Query(f"squall_threshold_limit{where(RUN, one)}", "limit", BAD, dashed=True),
    )
    return panel.repeat("threshold").repeat_direction("h").max_per_row(3)
