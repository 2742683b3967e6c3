"""Runner processes on this machine: started, watched, and never left behind.

A runner gets its assignment through standard input, so that no secret ever stands in an argument or a file, and standard
input stays open: when this process ends, however it ends, the kernel closes it, and the runner stops its load at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import PIPE, Process
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import IO

    from squall.hub.protocol import Assignment

COMMAND = (sys.executable, "-m", "squall_runner")
END_SECONDS = 3.0
"""How long a runner that was asked to end may take before it is killed."""


class Launcher:
    """The runner processes of one run.

    Args:
        on_exit: Told of each process that has ended: index of the runner and exit code (negative for a signal).
        errors: Where the processes' standard error goes.
        command: How a runner is started.
    """

    def __init__(
        self, on_exit: Callable[[int, int], None], errors: IO[bytes] | int, command: Sequence[str] = COMMAND
    ) -> None:
        self._on_exit = on_exit
        self._errors = errors
        self._command = tuple(command)
        self._processes: dict[int, Process] = {}
        self._watchers: set[asyncio.Task[None]] = set()

    async def start(self, assignments: Sequence[Assignment]) -> None:
        """Start a process for each assignment.

        Raises:
            OSError: A process cannot be started; those that were are ended by `close`.
        """
        for assignment in assignments:
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, stdout=self._errors, stderr=self._errors
            )
            self._processes[assignment.runner] = process
            watcher = asyncio.create_task(self._watch(assignment.runner, process))
            self._watchers.add(watcher)
            assert process.stdin is not None
            process.stdin.write(msgspec.json.encode(assignment) + b"\n")
            with contextlib.suppress(ConnectionError):  # it has ended already: `_watch` tells
                await process.stdin.drain()

    @property
    def pids(self) -> dict[int, int]:
        """Process ids by index of the runner."""
        return {index: process.pid for index, process in self._processes.items()}

    async def _watch(self, index: int, process: Process) -> None:
        self._on_exit(index, await process.wait())

    async def close(self) -> None:
        """End every process that still runs: by closing its standard input, then by force."""
        running = [process for process in self._processes.values() if process.returncode is None]
        for process in running:
            if process.stdin is not None:
                process.stdin.close()
        try:
            async with asyncio.timeout(END_SECONDS):
                await asyncio.gather(*(process.wait() for process in running))
        except TimeoutError:
            for process in running:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGKILL)
        await asyncio.gather(*self._watchers)
