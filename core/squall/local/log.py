"""The run's log: one JSON object a line, for machines, beside the report for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import TextIO


class RunLog:
    """Writes what belongs to a run's log. A disk that refuses it costs the log and nothing else.

    Args:
        path: The file.
        mask: Replaces secrets in a text.
    """

    def __init__(self, path: Path, mask: Callable[[str], str]) -> None:
        self._file: TextIO = path.open("a", encoding="utf-8", buffering=1)
        self._mask = mask
        self.failed = ""
        """Why the log is not complete; empty when it is."""
        self._logger = structlog.wrap_logger(
            structlog.WriteLogger(self._file),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
            ],
        )

    def __call__(self, run: str, level: str, event: str, fields: dict[str, Any]) -> None:
        """Write one line."""
        masked = {
            name: self._mask(value) if isinstance(value, str) else value
            for name, value in fields.items()
            if name not in {"event", "level"}
        }
        try:
            getattr(self._logger, level)(event, run=run, **masked)
        except OSError as error:
            self.failed = self.failed or f"the log could not be written: {error.strerror}"

    def close(self) -> None:
        """Close the file."""
        try:
            self._file.close()
        except OSError as error:
            self.failed = self.failed or f"the log could not be written: {error.strerror}"
