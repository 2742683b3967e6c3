"""Lines of a log as people read them: for terminals, and for `squall logs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from structlog.dev import ConsoleRenderer, plain_traceback

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def readable(event: Mapping[str, Any], *, colors: bool = False, without: Iterable[str] = ()) -> str:
    """A line in words: time, level, event, then its fields.

    Args:
        event: The fields of a line.
        colors: Whether whatever shows it understands ANSI's escape sequences.
        without: Fields to leave out, such as those that are the same in all lines.
    """
    left_out = frozenset(without)
    shown = {name: value for name, value in event.items() if name not in left_out}
    # It takes out what it has shown.
    return str(_RENDERERS[colors](None, "", shown))


def as_read(line: str, *, colors: bool = False, without: Iterable[str] = ()) -> str:
    """A line of a log in words if it is one of Squall's, else as it is."""
    try:
        event = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return line
    if not (isinstance(event, dict) and {"timestamp", "level", "event"} <= event.keys()):
        return line
    return readable(event, colors=colors, without=without)


def _renderer(*, colors: bool) -> ConsoleRenderer:
    return ConsoleRenderer(
        colors=colors, exception_formatter=plain_traceback, sort_keys=False, pad_event_to=0
    )


_RENDERERS = {colors: _renderer(colors=colors) for colors in (False, True)}
