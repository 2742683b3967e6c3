"""A run on a cluster while it goes on, in the terminal: its status, renewed in place, or a line for each change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from squall.metrics import format as fmt
from squall.report.console import STATE

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from squall.remote.seen import Status

FIGURES_EVERY_SECONDS: Final = 5


class View(Protocol):
    """What shows the status."""

    def begin(self) -> None:
        """Take the terminal."""

    def update(self, name: str, status: Status) -> None:
        """Show a new status."""

    def tell(self, line: str) -> None:
        """Say something beside it."""

    def end(self) -> None:
        """Give the terminal back."""


def view_for(console: Console) -> View:
    """The view that fits where the output goes."""
    return LiveView(console) if console.is_terminal and not console.is_dumb_terminal else PlainView(console)


class LiveView:
    """The status, renewed in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def begin(self) -> None:
        """Take the terminal."""
        self._live.start()

    def update(self, name: str, status: Status) -> None:
        """Show a new status."""
        self._live.update(render(name, status), refresh=True)

    def tell(self, line: str) -> None:
        """Print above it."""
        self._console.print(Text(line), soft_wrap=True)

    def end(self) -> None:
        """Give the terminal back."""
        self._live.stop()


class PlainView:
    """A line for each change of the phase or its message, for thresholds that break or recover, and figures every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: tuple[str, str] = ("", "")
        self._next = 0
        self._states: dict[str, str] = {}

    def begin(self) -> None:
        """Nothing to take."""

    def end(self) -> None:
        """Nothing to give back."""

    def tell(self, line: str) -> None:
        """Print a line."""
        self._console.print(Text(line), soft_wrap=True)

    def update(self, name: str, status: Status) -> None:
        """Print what is new."""
        for line in self._lines(name, status):
            self.tell(line)

    def _lines(self, name: str, status: Status) -> list[str]:
        lines = []
        if (status.phase, status.message) != self._said:
            self._said = (status.phase, status.message)
            lines.append(f"{name}: {status.phase}" + (f" ({status.message})" if status.message else ""))
            self._next = 0
        live = status.live
        if status.phase == "Running" and live is not None and live.elapsed_seconds >= self._next:
            self._next = live.elapsed_seconds + FIGURES_EVERY_SECONDS
            lines.append("  ".join(f"{value} {label}" for label, value in _figures(status)))
        for each in status.thresholds:
            place = f"{each.name} {each.expression}".strip()
            before = self._states.get(place, "pending")
            if each.state != before and {before, each.state} & {"violated", "failed"}:
                lines.append(f"threshold {place}: {each.state}, value {_value(each.value)}")
            self._states[place] = each.state
        return lines


def render(name: str, status: Status) -> RenderableType:
    """The view of one status."""
    title = Text()
    title.append(name, "bold")
    title.append(f"  {status.phase or 'waiting for the operator'}", "cyan")
    if status.message:
        title.append(f"  {status.message}", "dim")
    parts: list[RenderableType] = [title]
    figures = Text()
    for label, value in _figures(status):
        figures.append(f"{label} ", "dim")
        figures.append(f"{value}   ")
    parts.append(figures)
    if status.thresholds:
        parts.append(_thresholds(status))
    return Group(*parts)


def _figures(status: Status) -> list[tuple[str, str]]:
    shards = status.shards
    found = []
    live = status.live
    if live is not None:
        found = [
            ("elapsed", fmt.clock(live.elapsed_seconds)),
            ("req/s", fmt.number(live.requests_per_second)),
            ("requests", fmt.number(live.requests)),
            ("failed", fmt.share(live.error_rate)),
            ("p95", fmt.quantity(live.p95_seconds, "s")),
            ("VUs", fmt.number(live.vus)),
        ]
    if shards.desired:
        found.append(("shards", f"{shards.running}/{shards.desired}"))
    if shards.lost:
        found.append(("lost", fmt.number(shards.lost)))
    return found


def _thresholds(status: Status) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=True, header_style="dim")
    for column in ("", "condition", "value"):
        table.add_column(column)
    for each in status.thresholds:
        mark, style = STATE.get(each.state, STATE["pending"])
        condition = Text(f"{each.name}  ", overflow="fold")
        condition.append(each.expression, "bold")
        table.add_row(Text(mark, style), condition, _value(each.value))
    return table


def _value(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
