"""The facts of a run that must survive the hub: which run it is, that it has begun and when, why it was stopped, how it ended.

What was measured is not here: runners keep and replay that. But a hub that restarts must never begin a run twice,
never forget a stop, and never lose a breach that its windows no longer show. So those facts are appended as
JSON lines, and the decisive ones are on the disk before anybody acts on them. A line that was cut short by a crash was never
acted on, and is left out when reading.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "journal.jsonl"


class Journal:
    """One run's journal; the file is made, readable by its owner alone, with the first record.

    Args:
        path: The file. Records are added to one that exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def write(self, kind: str, fields: dict[str, Any], *, durable: bool = False) -> None:
        """Append a record; with `durable` it is on the disk when this returns.

        Raises:
            OSError: The disk is full, the folder is not writable, or the like; nothing half-written is read later.
        """
        line = json.dumps({"kind": kind, **fields}, separators=(",", ":"), default=str) + "\n"
        fd = self._open()
        data = line.encode()
        if os.write(fd, data) < len(data):
            raise OSError(f"{self.path}: the disk took only a part of a record")
        if durable:
            os.fsync(fd)

    def _open(self) -> int:
        if self._fd is None:
            new = not self.path.exists()
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            if new:
                _sync_folder(self.path.parent)
            elif not _ends_with_newline(self.path):
                os.write(self._fd, b"\n")
        return self._fd

    def close(self) -> None:
        """Close the file; harmless when repeated."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a journal in order, leaving out what was cut short.

    Raises:
        OSError: The file cannot be read.
    """
    for line in path.read_bytes().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and isinstance(record.get("kind"), str):
            yield record


def _sync_folder(folder: Path) -> None:
    """Make a new file's name durable, not only its content."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
