"""What happened during a run, for people: a bounded list of events, and one example of each kind of failed request.

A run in which everything fails has millions of failures and a handful of causes. The metrics count them; what a person
needs beside the counts is one message of each kind, and when things began.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from squall.report.model import Event

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_EVENTS: Final = 500
MAX_EXAMPLES: Final = 200
MAX_TEXT: Final = 500
"""Longest message kept, in characters: examples come from targets, who may answer anything."""

MAX_MESSAGE: Final = 4000
"""Longest message of a verdict or a line of the log: a manifest that a runner cannot use has all its problems in one."""

ExampleKey = tuple[str, str, str]
"""Error class, scenario, step."""


def shortened(text: str, longest: int = MAX_MESSAGE) -> str:
    """A text that is visibly cut where it is longer."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


class Timeline:
    """Events in the order in which they became known, and examples."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.dropped = 0
        """Events beyond the bound."""
        self.examples: dict[ExampleKey, str] = {}

    def add(self, at_seconds: float, level: str, event: str, message: str) -> None:
        """Something happened, at a time since the start of the load."""
        if len(self.events) >= MAX_EVENTS:
            self.dropped += 1
            return
        text = shortened(message, MAX_TEXT)
        self.events.append(Event(at_seconds=round(at_seconds, 3), level=level, event=event, message=text))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know beside the verdict, each once."""
        found = dict.fromkeys(each.message for each in self.events if each.level == "warning")
        if self.dropped:
            found[f"{self.dropped} further events are not listed"] = None
        return tuple(found)

    def example(self, fields: Mapping[str, object]) -> bool:
        """Keep the message of a failed request if it is the first of its kind; False when this is no failed request."""
        kind = _kind(fields)
        if kind is None:
            return False
        if kind not in self.examples and len(self.examples) < MAX_EXAMPLES:
            self.examples[kind] = shortened(str(fields.get("message", "")), MAX_TEXT)
        return True


def _kind(fields: Mapping[str, object]) -> ExampleKey | None:
    """A failed request is told by a note that has the class of the error and where it happened."""
    error, scenario, step = (fields.get(name) for name in ("error", "scenario", "step"))
    if isinstance(error, str) and isinstance(scenario, str) and isinstance(step, str):
        return error, scenario, step
    return None
