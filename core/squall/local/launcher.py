"""Runner processes on this machine: started, watched, and never left behind.

A runner gets its assignment through standard input, so that no secret ever stands in an argument, a file or its environment, and
standard input stays open: when this process ends, however it ends, the kernel closes it, and the runner stops its load at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from typing import TYPE_CHECKING

import msgspec

from squall.local.environment import of_runners

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import IO

    from squall.hub.protocol import Assignment

COMMAND = (sys.executable, "-m", "squall_runner")
MAX_PRINTED = 1024 * 1024
END_SECONDS = 3.0
"""How long a runner that was asked to end may take before it is killed."""


class Launcher:
    """The runner processes of one run.

    Args:
        output: Where what the processes print goes, such as a temporary file.
        command: How a runner is started.
    """

    def __init__(self, output: IO[bytes], command: Sequence[str] = COMMAND) -> None:
        self._output = output
        self._command = tuple(command)
        self._waiting: list[Process] = []
        self._processes: dict[int, Process] = {}
        self._watchers: set[asyncio.Task[None]] = set()

    async def warm(self, count: int) -> None:
        """Start processes that load their code and wait for an assignment, while this one reads the manifest.

        Raises:
            OSError: A process cannot be started; those that were are ended by `close`.
        """
        for _ in range(count):
            self._waiting.append(await self._process())

    async def start(self, assignments: Sequence[Assignment], on_exit: Callable[[int, int], None]) -> None:
        """Give each assignment to a process, and let those go that nothing is left for.

        Args:
            assignments: One for each runner.
            on_exit: Told of each runner that has ended: its index and exit code (negative for a signal).

        Raises:
            OSError: A process cannot be started; those that were are ended by `close`.
        """
        for assignment in assignments:
            process = self._waiting.pop() if self._waiting else await self._process()
            self._processes[assignment.runner] = process
            watcher = asyncio.create_task(_watch(assignment.runner, process, on_exit))
            self._watchers.add(watcher)
            assert process.stdin is not None
            if process.stdin.is_closing():
                continue  # it has ended while it waited: `_watch` tells
            with contextlib.suppress(ConnectionError):  # it ends just now: `_watch` tells
                process.stdin.write(msgspec.json.encode(assignment) + b"\n")
                await process.stdin.drain()
        for process in self._waiting:
            _dismiss(process)

    async def _process(self) -> Process:
        return await asyncio.create_subprocess_exec(
            *self._command,
            stdin=PIPE,
            stdout=self._output,
            stderr=self._output,
            env=of_runners(os.environ),
            start_new_session=True,  # Ctrl-C in a terminal is for the parent to understand
        )

    @property
    def pids(self) -> dict[int, int]:
        """Process ids by index of the runner."""
        return {index: process.pid for index, process in self._processes.items()}

    def suspend(self) -> None:
        """Stand still until somebody lets this process go on, and the runners with it: nobody else would stop their load."""
        self.tell_all(signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        self.tell_all(signal.SIGCONT)

    def tell_all(self, number: signal.Signals) -> None:
        """Send a signal to every process that still runs."""
        for process in (*self._processes.values(), *self._waiting):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    def printed(self) -> str:
        """What the processes have printed, the end of it when it is long; normally nothing."""
        end = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, end - MAX_PRINTED))
        return self._output.read().decode(errors="replace")

    async def close(self) -> None:
        """End every process that still runs: by closing its standard input, then by force."""
        running = [
            process for process in (*self._processes.values(), *self._waiting) if process.returncode is None
        ]
        for process in running:
            _dismiss(process)
        try:
            # Without a run, they are still loading code and have nothing to bring to an end.
            async with asyncio.timeout(END_SECONDS if self._processes else 0):
                await asyncio.gather(*(process.wait() for process in running))
        except TimeoutError:
            for process in running:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGKILL)
            await asyncio.gather(*(process.wait() for process in running))
        await asyncio.gather(*self._watchers)


async def _watch(index: int, process: Process, on_exit: Callable[[int, int], None]) -> None:
    on_exit(index, await process.wait())


def _dismiss(process: Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
