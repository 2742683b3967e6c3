"""What Ctrl-C and its kin mean, at every moment of a run.

Ctrl-C once: stop, tear down, report. Twice: end all at once, and still report what was measured. SIGTERM and a closed
terminal are like Ctrl-C once. Ctrl-Z suspends the whole run, load included, until it is let go on. The handlers stand
from before anything is started until the last file is written, so a signal at any moment ends the run, and none ends
this process before its work is done.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from squall.hub.driver import Run

_MEANINGS: Final = {
    signal.SIGINT: ("Interrupted", "stopped by Ctrl-C"),
    signal.SIGTERM: ("Terminated", "stopped by SIGTERM"),
    signal.SIGHUP: ("TerminalClosed", "stopped because the terminal was closed"),
}


@contextmanager
def at_once() -> Iterator[None]:
    """While this is entered, Ctrl-C ends what awaits nothing, too: an event loop only notes it for the next await.

    So code is loaded and a manifest is read, perhaps from a terminal or with millions of rows of data.
    """
    before = signal.getsignal(signal.SIGINT)
    if not callable(before):  # whoever started this in the background has Ctrl-C ignored
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Interrupts:
    """Takes over the signals, within a running event loop, while it is entered."""

    def __init__(self) -> None:
        self._run: Run | None = None
        self._asked: signal.Signals | None = None
        self._again = False

    def __enter__(self) -> Self:
        """Take over the signals."""
        for number in _MEANINGS:
            asyncio.get_running_loop().add_signal_handler(number, self.interrupt, number)
        return self

    def __exit__(self, *error: object) -> None:
        """Give the signals back."""
        for number in (*_MEANINGS, signal.SIGTSTP):
            asyncio.get_running_loop().remove_signal_handler(number)

    def attach(self, run: Run, suspend: Callable[[], None]) -> None:
        """What the signals end, and what suspends it; what came before this is made up for."""
        self._run = run
        asyncio.get_running_loop().add_signal_handler(signal.SIGTSTP, suspend)
        if self._asked is not None:
            self._end(self._asked)

    def interrupt(self, number: signal.Signals) -> None:
        """A signal has come."""
        self._again = self._again or (self._asked is signal.SIGINT and number is signal.SIGINT)
        self._asked = number
        self._end(number)

    def _end(self, number: signal.Signals) -> None:
        if self._run is None:
            return
        if self._again:
            self._run.kill()
        else:
            self._run.stop("user", *_MEANINGS[number])
