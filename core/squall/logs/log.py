"""A process's log: what each line says, at which level, in which form, and what never stands in it.

All processes log in the same way: structlog makes the lines, context that is the same for many is bound once, the standard library's logging
goes the same way, and each text passes a mask before it is written. A container's log is its standard error.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from squall.logs.choices import DEFAULT_FORM, DEFAULT_LEVEL, STANDARD_ERROR, Form, Level, level_of
from squall.logs.events import LINES_LOST
from squall.logs.masking import in_each_text
from squall.logs.reading import readable
from squall.logs.writer import CLOSE_SECONDS, LineWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

_OPEN: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
_PLAIN: Final = frozenset({int, float, bool})
"""Kinds of values in which there are no texts."""
_REMEMBERED: Final = 512
"""Texts whose masked form is kept."""
_OURS: Final = frozenset({"timestamp", "level", "event", "exc_info"})
_NUMBERS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Log:
    """The log of one process.

    Args:
        place: A file, or `-` for standard error.
        process: Which kind of process it is: `runner`, `hub`, `operator`.
        level: Lines below it are not made.
        form: `json`, `console`, or `auto`: words where standard error is a terminal, else JSON. Files hold JSON.
        mask: Replaces secrets in a text; each text of each line passes it.
        context: Stands in every line; what is empty is left out.

    Attributes:
        lines: Makes lines: `lines.info("event", field=value)`.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(
        self,
        place: Path | str,
        process: str,
        *,
        level: Level = DEFAULT_LEVEL,
        form: Form = DEFAULT_FORM,
        mask: Callable[[str], str] = str,
        context: Mapping[str, Any] | None = None,
    ) -> None:
        self._file: int | None = None
        if place == STANDARD_ERROR:
            descriptor = sys.stderr.fileno()
        else:
            descriptor = self._file = os.open(place, _OPEN, 0o644)
        terminal = self._file is None and os.isatty(descriptor)
        words = self._file is None and (form == "console" or (form == "auto" and terminal))
        self._written = partial(readable, colors=terminal) if words else _json
        # Most texts are the same again and again: names of scenarios and steps, URLs as manifests write them.
        self._mask = lru_cache(_REMEMBERED)(mask)
        self._level = level
        self._context = {
            "process": process,
            **{name: value for name, value in (context or {}).items() if value != ""},
        }
        self._writer = LineWriter(descriptor, self._lost_line)
        self.lines: FilteringBoundLogger = structlog.wrap_logger(
            _Out(self._writer.write),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.format_exc_info,
                lambda _, __, event: self._line(event),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            context_class=dict,
            **self._context,
        )

    @property
    def problem(self) -> str:
        """Why the log is not complete, for people; empty when it is, as far as is known by now."""
        if not self._writer.lost:
            return ""
        why = self._writer.problem or "whoever reads it is too slow"
        return f"{self._writer.lost} lines of the log could not be written: {why}"

    def tell(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        """Write a line whose level, event and fields are somebody else's words."""
        own = {name: value for name, value in fields.items() if name not in _OURS and value != ""}
        self.lines.log(_NUMBERS[level_of(level)], event, **own)

    def take_over(self) -> None:
        """Have what others log by the standard library written here too: kopf, aiohttp, asyncio."""
        logging.basicConfig(level=self._level.upper(), handlers=[_Handler(self.lines)], force=True)

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Write what still waits, as far as that is possible within some seconds."""
        self._writer.close(seconds)
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _lost_line(self, count: int) -> bytes:
        return self._line({**self._context, "level": "warning", "event": LINES_LOST, "lines": count})

    def _line(self, event: MutableMapping[str, Any]) -> bytes:
        mask = self._mask
        shown = {"timestamp": _now(), "level": event.pop("level"), "event": mask(event.pop("event"))}
        for name, value in event.items():
            kind = type(value)
            shown[name] = (
                mask(value) if kind is str else value if kind in _PLAIN else in_each_text(value, mask)
            )
        return self._written(shown).encode(errors="backslashreplace") + b"\n"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _json(event: Mapping[str, Any]) -> str:
    try:
        return msgspec.json.encode(event, enc_hook=str).decode()
    except (UnicodeEncodeError, OverflowError):  # half a character, or a number that no other language reads
        return json.dumps(event, default=str)


class _Out:
    """What structlog hands lines to."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = write


class _Handler(logging.Handler):
    """Hands on what was logged by the standard library."""

    def __init__(self, lines: FilteringBoundLogger) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        try:
            shown = {"logger": record.name, **({"exc_info": record.exc_info} if record.exc_info else {})}
            self._lines.log(min(record.levelno // 10, 5) * 10, record.getMessage(), **shown)
        except Exception:  # noqa: BLE001 - whatever is wrong with a record is its author's to hear of
            self.handleError(record)
