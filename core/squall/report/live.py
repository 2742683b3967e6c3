"""A run while it goes on, in the terminal: a view that renews itself, or plain lines where nobody can see it.

The two are one interface: `begin`, `update` with each new state, `end`. What happens when the terminal goes away
is `squall.report.terminal`'s business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from squall.metrics import format as fmt
from squall.report.console import threshold_table

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from squall.report.model import LiveState, ScenarioState

PLAIN_EVERY_SECONDS = 5.0


class View(Protocol):
    """What shows the run."""

    def begin(self) -> None:
        """Take the terminal."""

    def update(self, state: LiveState) -> None:
        """Show a new state; called once a second."""

    def end(self) -> None:
        """Give the terminal back."""


def view_for(console: Console) -> View:
    """The view that fits where the output goes."""
    return LiveView(console) if console.is_terminal and not console.is_dumb_terminal else PlainView(console)


class LiveView:
    """Progress, figures and thresholds, renewed in place."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def begin(self) -> None:
        """Take the terminal."""
        self._live.start()

    def update(self, state: LiveState) -> None:
        """Show a new state."""
        self._live.update(render(state), refresh=True)

    def end(self) -> None:
        """Give the terminal back."""
        self._live.stop()


class PlainView:
    """A line every few seconds, and one for each new warning and each threshold that changes its state."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = 0.0
        self._phase = ""
        self._states: dict[int, str] = {}
        self._warnings = 0

    def begin(self) -> None:
        """Nothing to take."""

    def end(self) -> None:
        """Nothing to give back."""

    def update(self, state: LiveState) -> None:
        """Print what is new."""
        for line in self._lines(state):
            self._console.print(Text(line), soft_wrap=True)

    def _lines(self, state: LiveState) -> list[str]:
        lines = []
        if state.phase != self._phase:
            self._phase = state.phase
            lines.append(
                f"{state.name}: {state.phase}" + (f" ({state.stop_reason})" if state.stop_reason else "")
            )
            self._next = state.elapsed_seconds
        if state.phase == "running" and state.elapsed_seconds >= self._next:
            self._next = state.elapsed_seconds + PLAIN_EVERY_SECONDS
            lines.append(_line(state))
        for place, threshold in enumerate(state.thresholds):
            before = self._states.get(place, "pending")
            if threshold.state != before and {before, threshold.state} & {"violated", "failed"}:
                seen = fmt.quantity(threshold.value, threshold.unit)
                lines.append(
                    f"threshold {threshold.source} {threshold.expression}: {threshold.state}, value {seen}"
                )
            self._states[place] = threshold.state
        lines += [f"warning: {warning}" for warning in state.warnings[self._warnings :]]
        self._warnings = len(state.warnings)
        return lines


def _line(state: LiveState) -> str:
    stages = ", ".join(f"{scenario.name} {_load(scenario)}" for scenario in state.scenarios)
    return (
        f"{fmt.clock(state.elapsed_seconds)}/{fmt.clock(state.planned_seconds)}  {stages}  "
        f"{fmt.number(state.requests_per_second)} req/s  {fmt.share(state.error_rate)} failed  "
        f"p95 {fmt.quantity(state.p95_seconds, 's')}"
        + "".join(f"  {value} {label}" for label, value, _ in _chain(state))
    )


def _chain(state: LiveState) -> list[tuple[str, str, str]]:
    """Labels, values and styles of what is done on a chain."""
    chain = state.chain
    if chain is None:
        return []
    return [
        ("tx/s", fmt.number(chain.per_second), ""),
        ("tx", fmt.number(chain.transactions), ""),
        ("tx failed", fmt.share(chain.failed), "red" if chain.failed > 0 else ""),
        ("tx p95", fmt.quantity(chain.p95_seconds, "s"), ""),
    ]


def _load(scenario: ScenarioState) -> str:
    stage = f"[{scenario.stage}] " if scenario.stage else ""
    return f"{stage}{fmt.number(scenario.actual)}/{fmt.number(scenario.target)} {scenario.unit}"


def render(state: LiveState) -> RenderableType:
    """The live view of one state."""
    parts: list[RenderableType] = [_title(state), _scenarios(state), _figures(state)]
    if state.thresholds:
        parts.append(threshold_table(state.thresholds, title="thresholds"))
    parts += [Text(f"! {warning}", "yellow") for warning in state.warnings[-5:]]
    return Group(*parts)


def _title(state: LiveState) -> Text:
    running = sum(runner.phase == "running" for runner in state.runners)
    lost = sum(runner.phase == "lost" for runner in state.runners)
    title = Text()
    title.append(state.name, "bold")
    title.append(f"  {state.phase}", "cyan")
    if state.stop_reason:
        title.append(f" ({state.stop_reason})", "red")
    title.append(f"  {fmt.clock(state.elapsed_seconds)} of {fmt.clock(state.planned_seconds)}", "dim")
    title.append(f"  runners {running}/{len(state.runners)}" + (f", {lost} lost" if lost else ""), "dim")
    return title


def _scenarios(state: LiveState) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=True, header_style="dim")
    for column in ("scenario", "stage", "", "load / target", "iterations", "failed", "dropped"):
        table.add_column(column, justify="left" if column in {"scenario", "stage", ""} else "right")
    for scenario in state.scenarios:
        table.add_row(
            Text(scenario.name),
            Text(scenario.stage),
            ProgressBar(total=1.0, completed=scenario.progress, width=20),
            f"{fmt.number(scenario.actual)} / {fmt.number(scenario.target)} {scenario.unit}",
            fmt.number(scenario.iterations),
            Text(fmt.number(scenario.failed), "red" if scenario.failed else ""),
            Text(fmt.number(scenario.dropped), "yellow" if scenario.dropped else ""),
        )
    return table


def _figures(state: LiveState) -> Text:
    line = Text()
    for label, value, style in (
        ("req/s", fmt.number(state.requests_per_second), ""),
        ("requests", fmt.number(state.requests), ""),
        ("failed", fmt.share(state.error_rate), "red" if state.error_rate > 0 else ""),
        ("p50", fmt.quantity(state.p50_seconds, "s"), ""),
        ("p95", fmt.quantity(state.p95_seconds, "s"), ""),
        ("p99", fmt.quantity(state.p99_seconds, "s"), ""),
        ("VUs", fmt.number(state.vus), ""),
        *_chain(state),
    ):
        line.append(f"{label} ", "dim")
        line.append(value + "   ", style)
    return line
