"""Ctrl-C while a run on a cluster is followed: once stops the run, twice leaves it to itself."""

from __future__ import annotations

import asyncio
import signal
from typing import Final, Self

_ASKING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Takes over the signals, within a running event loop, while it is entered.

    Attributes:
        asked: Set when a signal has come.
        again: Set when another one has.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.again = asyncio.Event()

    def __enter__(self) -> Self:
        """Take over the signals."""
        for number in _ASKING:
            asyncio.get_running_loop().add_signal_handler(number, self.interrupt)
        return self

    def __exit__(self, *error: object) -> None:
        """Give the signals back."""
        for number in _ASKING:
            asyncio.get_running_loop().remove_signal_handler(number)

    def interrupt(self) -> None:
        """A signal has come."""
        (self.again if self.asked.is_set() else self.asked).set()
