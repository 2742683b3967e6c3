"""How `squall try` looks: one block per step, in the order in which things happened.

Everything is text that may come from a target, so none of it is read as markup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from rich.rule import Rule
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

_PHASES: Final = ("blocked", "dns", "connect", "tls", "sending", "waiting", "receiving", "total")
_MAX_LINES: Final = 40
_OUTCOMES: Final = {"completed": "green", "failed": "red", "interrupted": "yellow", "no data": "yellow"}


class TryView:
    """Prints the events of a try.

    Args:
        console: Where they go.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._kinds: dict[str, Callable[[dict[str, Any]], None]] = {
            "section": self._section,
            "step": self._step,
            "exchange": self._exchange,
            "act": self._act,
            "check": self._check,
            "value": self._value,
            "failure": self._failure,
            "note": self._note,
            "outcome": self._outcome,
            "error": self._error,
            "end": self._end,
        }

    def show(self, event: dict[str, Any]) -> None:
        """Print one event."""
        self._kinds[event["event"]](event)

    def _line(self, text: str, style: str = "", indent: int = 4) -> None:
        margin = " " * indent  # a message may have several lines
        self._console.print(Text(margin + text.replace("\n", f"\n{margin}  "), style=style), soft_wrap=True)

    def _section(self, event: dict[str, Any]) -> None:
        kind = "" if event["kind"] == event["name"] else f"{event['kind']} "
        self._console.print(Rule(Text(f"{kind}{event['name']}", style="bold"), align="left"))

    def _step(self, event: dict[str, Any]) -> None:
        self._line(f"{event['place']} {event['name']}", "bold cyan", indent=0)

    def _exchange(self, event: dict[str, Any]) -> None:
        self._line(f"> {event['method']} {event['url']}", "bold", indent=2)
        for name, value in event["headers"]:
            self._line(f"{name}: {value}", "dim")
        self._body(event["body"])
        for hop in event["redirects"]:
            self._line(f"< {hop['status']} {hop['url']}, followed", "dim", indent=2)
        if event["error"]:
            self._line(f"< {event['error']}: {event['message']}", "bold red", indent=2)
        else:
            style = "bold green" if event["status"] < 400 else "bold red"
            self._line(f"< {event['status']} {event['reason']}, {event['size']} bytes", style, indent=2)
        for name, value in event["response_headers"]:
            self._line(f"{name}: {value}", "dim")
        self._body(event["response_body"])
        self._line(_timing(event["timing"], reused=event["reused"]), "dim", indent=2)

    def _body(self, text: str) -> None:
        if not text:
            return
        lines = _pretty(text).splitlines()
        for line in lines[:_MAX_LINES]:
            self._line(line)
        if len(lines) > _MAX_LINES:
            self._line(f"... {len(lines) - _MAX_LINES} more lines", "dim")

    def _act(self, event: dict[str, Any]) -> None:
        told = ", ".join(f"{name} {value}" for name, value in event["details"].items())
        style = "bold red" if event["error"] else "bold green"
        self._line(f"~ {event['action']} ({told})" if told else f"~ {event['action']}", style, indent=2)
        self._line(f"{event['duration'] * 1e3:.1f} ms", "dim", indent=2)

    def _check(self, event: dict[str, Any]) -> None:
        mark, style = ("✓", "green") if event["held"] else ("✗", "bold red")
        seen = ", ".join(f"{name} = {value}" for name, value in event["seen"].items())
        self._line(f"{mark} {event['name']}: {event['source']}", style, indent=2)
        if not event["held"]:
            self._line(event["why"] or f"seen: {seen}", "red")
        elif seen:
            self._line(f"seen: {seen[:200]}", "dim")

    def _value(self, event: dict[str, Any]) -> None:
        self._line(f"= {event['name']}: {event['value']}", "magenta", indent=2)

    def _failure(self, event: dict[str, Any]) -> None:
        then = "goes on" if event["goes_on"] else "ends the iteration"
        self._line(f"! {event['error']}: {event['message']} ({then})", "bold red", indent=2)
        if event["hint"]:
            self._line(event["hint"], "red")

    def _note(self, event: dict[str, Any]) -> None:
        style = {"error": "bold red", "warning": "yellow"}.get(event["level"], "")
        fields = dict(event["fields"])
        message = fields.pop("message", "")
        rest = ", ".join(f"{name}: {value}" for name, value in fields.items())
        self._line(f"* {message} ({rest})" if rest else f"* {message}", style, indent=2)

    def _outcome(self, event: dict[str, Any]) -> None:
        self._line(f"iteration {event['outcome']}", f"bold {_OUTCOMES[event['outcome']]}", indent=0)

    def _error(self, event: dict[str, Any]) -> None:
        self._line(f"error: {event['message']}", "bold red", indent=0)
        if event["hint"]:
            self._line(event["hint"], indent=2)

    def _end(self, event: dict[str, Any]) -> None:
        self._console.print(Rule())
        checks = f"checks: {event['held']} held, {event['broken']} did not; failed steps: {event['failures']}"
        self._line(checks, "bold green" if event["passed"] else "bold red", indent=0)


def _pretty(text: str) -> str:
    """JSON indented, anything else as it is."""
    if text[:1] not in "{[":
        return text
    try:
        return msgspec.json.format(text, indent=2)
    except msgspec.DecodeError:
        return text


def _timing(timing: dict[str, float], *, reused: bool) -> str:
    """The phases that took any time, in milliseconds."""
    parts = [
        f"{name} {timing[name] * 1e3:.1f} ms" for name in _PHASES if timing[name] >= 5e-5 or name == "total"
    ]
    return f"{', '.join(parts)} ({'kept' if reused else 'new'} connection)"
