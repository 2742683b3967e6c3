"""Work that takes minutes the first time: one process does it, others wait, and whoever watches sees that it goes on."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

Say = Callable[[str], None]
"""Tells whoever watches a line."""
PROGRESS_SECONDS = 15.0
_LAST_LINES = 20


class LongWorkError(RuntimeError):
    """A command failed; the message holds the end of what it printed."""


def say(line: str) -> None:
    """Tell whoever waits what is being done."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def cache_folder(part: str) -> Path:
    """The folder of this machine's cache for one part of the tests; made when it is not there."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "squall" / part
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def alone(lock: Path, what: str, say: Say = say) -> Iterator[None]:
    """Be the only process that does this, waiting for another to end."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process is {what}; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(
    command: Sequence[str],
    *,
    title: str,
    log: Path,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    say: Say = say,
) -> None:
    """Run a command to its end; what it prints goes to a file, and a line now and then to whoever watches.

    Raises:
        LongWorkError: It failed, or is not there.
    """
    begun = time.monotonic()
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd=cwd
            )
        except OSError as error:
            raise LongWorkError(f"`{command[0]}` cannot be run: {error.strerror}") from error
        try:
            while _still_runs(process):
                say(f"{title}: {time.monotonic() - begun:.0f} s; {_end(log, 1)}")
        finally:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise LongWorkError(f"`{' '.join(command)}` failed; the end of {log}:\n{_end(log, _LAST_LINES)}")


def _still_runs(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(timeout=PROGRESS_SECONDS)
    except subprocess.TimeoutExpired:
        return True
    return False


def _end(log: Path, lines: int) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
