"""Getting lines out of a process without ever waiting for whoever takes them.

A pipe whose reader is slow blocks its writer, and so does a disk that is full or far away. An event loop that makes load, judges it or leads
a cluster must not stand still for its own log, so lines go into a bounded queue, and a thread writes them. What does not fit
is left out and counted, and the log itself says how much it was as soon as it takes something again.
"""

from __future__ import annotations

import os
import select
import stat
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_BYTES: Final = 4 * 1024 * 1024
"""Of lines that wait to be written."""
FILE_BYTES: Final = 64 * 1024
"""Written to a file at once, which several processes append to: the kernel lets one write end before it begins the next."""
GATHER_SECONDS: Final = 0.02
"""After each turn the thread rests for this long: what comes meanwhile is written together, and the event loop is left alone."""
CLOSE_SECONDS: Final = 1.0
"""At the end, how long what still waits may take."""


class LineWriter:
    """Writes lines to a descriptor, from a thread of its own.

    Several processes may write to the same pipe or file: lines are handed over whole, in pieces that a pipe takes at once
    (POSIX: up to PIPE_BUF bytes), so they are not mixed up. Only a line that is longer than that may be.

    Args:
        descriptor: Where to; a file has to be opened for appending.
        told: Makes the line that says how many were left out.
        most_bytes: Of lines that wait; a line that does not fit is left out.

    Attributes:
        lost: Lines that were left out or could not be written.
        problem: What the system said when a line could not be written; empty when all could.
    """

    def __init__(
        self, descriptor: int, told: Callable[[int], bytes], *, most_bytes: int = MOST_BYTES
    ) -> None:
        self._descriptor = descriptor
        self._told = told
        self._most = most_bytes
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._piece_bytes = FILE_BYTES if regular else select.PIPE_BUF
        self._lines: deque[bytes] = deque()
        self._waiting = 0
        self._untold = 0
        self._lock = threading.Lock()
        self._there = threading.Event()
        self._closing = threading.Event()
        self.lost = 0
        self.problem = ""
        self._thread = threading.Thread(target=self._run, name="squall-log", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        """Have a line, which ends in a line break, written soon; returns at once, from any thread."""
        with self._lock:
            if self._waiting + len(line) > self._most:
                self._lose(1)
                return
            self._waiting += len(line)
            self._lines.append(line)
        if not self._there.is_set():
            self._there.set()

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Write what still waits, as far as it is taken within some seconds; what is not then is lost."""
        self._closing.set()
        self._there.set()
        self._thread.join(seconds)

    def _lose(self, count: int) -> None:
        self.lost += count
        self._untold += count

    def _run(self) -> None:
        while not (self._closing.is_set() and not self._lines):
            self._there.wait()
            self._there.clear()
            while self._lines:
                self._write_piece(*self._piece())
                self._tell()
            self._closing.wait(GATHER_SECONDS)

    def _piece(self) -> tuple[bytes, int]:
        """The next lines that fit into one piece, one at least, and how many they are."""
        with self._lock:
            size, count = len(self._lines[0]), 1
            while count < len(self._lines) and size + len(self._lines[count]) <= self._piece_bytes:
                size += len(self._lines[count])
                count += 1
            return b"".join([self._lines.popleft() for _ in range(count)]), count

    def _write_piece(self, piece: bytes, lines: int) -> None:
        try:
            self._write_all(piece)
        except OSError as error:
            self.problem = self.problem or (error.strerror or str(error))
            with self._lock:
                self._lose(lines)
        with self._lock:
            # Only now: what a full pipe holds up has its place in the queue, and no more is taken in than may wait.
            self._waiting -= len(piece)

    def _write_all(self, piece: bytes) -> None:
        rest = memoryview(piece)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # whoever shares the descriptor has set it so
                waiting = select.poll()
                waiting.register(self._descriptor, select.POLLOUT)
                waiting.poll()

    def _tell(self) -> None:
        """Say how much is missing, once the way is free again."""
        with self._lock:
            count, self._untold = self._untold, 0
        if not count:
            return
        try:
            self._write_all(self._told(count))
        except OSError:
            with self._lock:
                self._untold += count
