"""What one run leaves on the disk while it goes on: the journal, for a hub that takes it over, and a row per second for its results.

What the disk refuses is said once, in a warning, and the run goes on: losing files is bad, losing the run and its verdict as well is
worse.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from squall.hub.journal import NAME as JOURNAL_NAME
from squall.hub.journal import Journal
from squall.hub.series import NAME as SERIES_NAME
from squall.hub.series import SeriesFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from squall.metrics.series import Aggregate, SeriesKey


class Keeping:
    """The files of one run.

    Args:
        folder: Where the journal goes; None for nowhere.
        results: Where the results go; None for nowhere.
        warn: Told of what cannot be kept: event and message.
    """

    def __init__(self, folder: Path | None, results: Path | None, warn: Callable[[str, str], None]) -> None:
        self._folders = [each for each in (folder, results) if each is not None]
        self._journal = Journal(folder / JOURNAL_NAME) if folder else None
        self._series = SeriesFile(results / SERIES_NAME) if results else None
        self._warn = warn
        self.journal_lost = False
        """Whether the disk has refused the journal, so that another process would not know the run."""

    def open(self) -> None:
        """Make the folders that are not there."""
        for folder in self._folders:
            with suppress(OSError):  # writing into it will say what is wrong
                folder.mkdir(parents=True, exist_ok=True)

    def restore(self, slot: int) -> None:
        """Another hub process has written the series up to a slot."""
        if self._series is not None:
            self._series = SeriesFile(self._series.path, slot)

    def record(self, kind: str, fields: dict[str, Any], *, durable: bool) -> None:
        """Write into the journal; see `Journal.write`."""
        if self._journal is None:
            return
        try:
            self._journal.write(kind, fields, durable=durable)
        except OSError as error:
            path, self._journal, self.journal_lost = self._journal.path, None, True
            text = f"{path} could not be written ({error.strerror or error}); a restarted hub would not know this run"
            self._warn("JournalLost", text)

    def judged(self, slot: int, series: Iterable[tuple[SeriesKey, Aggregate]]) -> None:
        """A slot has been judged."""
        if self._series is None:
            return
        written = self._series.written
        self._series.add(slot, series)
        if self._series.written != written:
            self.record("series", {"slot": self._series.written}, durable=False)
        self._look()

    def flush(self) -> None:
        """Write the rows that still wait."""
        if self._series is not None:
            self._series.flush()
            self._look()

    def _look(self) -> None:
        """Say what is wrong with the series, and keep them no longer."""
        if self._series is not None and self._series.problem:
            self._warn("SeriesLost", self._series.problem)
            self._series = None

    def close(self) -> None:
        """Let go of the files; harmless when repeated."""
        self.flush()
        if self._journal is not None:
            self._journal.close()
