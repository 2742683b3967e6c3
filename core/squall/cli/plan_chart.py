"""A plan's curve as a chart of block characters, for a terminal of 80 columns and without any colour.

Eight heights per line make a ramp look like a ramp; every column that is not zero shows at least the lowest of
them, because the question that people bring to this chart is whether there is any load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall.spec.quantities import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squall.plan.model import StageSpan

_BLOCKS = " ▁▂▃▄▅▆▇█"
GUTTER = 10
"""Columns left of the chart: a number, a space and the axis."""
_TICKS = 4


def number(value: float) -> str:
    """A number for people: `1,250`, `2.5`."""
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 100 else f"{value:.3g}"


def _short(value: float) -> str:
    """A number that fits beside a chart."""
    return f"{value / 1e6:.3g}M" if value >= 1e6 else number(value)


def chart(peaks: Sequence[float], top: float, height: int) -> list[str]:
    """The lines of a chart of `height` lines with a column for each value; `top` is its upper edge."""
    eighths = [_eighths(value, top, height) for value in peaks]
    lines: list[str] = []
    for row in range(height - 1, -1, -1):
        filled = "".join(_BLOCKS[max(0, min(8, e - 8 * row))] for e in eighths)
        label = _short(top) if row == height - 1 else ""
        lines.append(f"{label:>{GUTTER - 2}} {'┤' if label else '│'}{filled}".rstrip())
    lines.append(f"{0:>{GUTTER - 2}} └{'─' * len(peaks)}")
    return lines


def _eighths(value: float, top: float, height: int) -> int:
    return max(1, round(value / top * height * 8)) if value > 0 else 0


def time_axis(end_ns: int, columns: int) -> str:
    """The moments under a chart, as durations since the start of the run."""
    line = [" "] * (GUTTER + columns)
    for tick in range(_TICKS + 1):
        at = end_ns * tick // _TICKS
        text = format_duration(_readable(at, end_ns))
        place = GUTTER + columns * tick // _TICKS - (0 if tick == 0 else len(text) // 2)
        place = min(place, GUTTER + columns - len(text))
        line[place : place + len(text)] = text
    return "".join(line).rstrip()


def _readable(at_ns: int, end_ns: int) -> int:
    """A moment rounded to what matters at the scale of the whole."""
    for unit in (60_000_000_000, 1_000_000_000, 1_000_000):
        if end_ns >= 100 * unit or at_ns % unit == 0:
            return round(at_ns / unit) * unit
    return at_ns


def stage_axis(stages: Sequence[StageSpan], end_ns: int, columns: int) -> str:
    """The names of the stages below where they are; what is too narrow for its name shows a part of it."""
    line = [" "] * columns
    for span in stages:
        first, last = (span.start_ns * columns // end_ns, span.end_ns * columns // end_ns)
        if span.name and last - first >= 2:
            width = last - first - 1
            name = span.name if len(span.name) <= width else span.name[: max(0, width - 1)] + "…"
            line[first : first + 1 + len(name)] = "╵" + name
    text = "".join(line).rstrip()
    return " " * GUTTER + text if text else ""
