"""Helper processes that cannot outlive the tests, however these end.

A test run is interrupted, killed, or crashes; an etcd left behind then holds memory and a port for days. Each process gets
its own group (Ctrl-C in the terminal reaches only pytest, which then stops it in order), a parent-death signal (the kernel
ends it when the test process is killed), and an exit hook.
"""

import atexit
import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
STOP_SECONDS = 10.0


class ProcessError(RuntimeError):
    """A helper process ended early or did not become ready; the message holds the end of its log."""


class Process:
    """A running helper program whose output goes to a log file.

    Start it from the main thread: the parent-death signal fires when the *thread* that started it ends.
    """

    def __init__(
        self,
        command: list[str],
        *,
        log: Path,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = Path(command[0]).name
        self.log = log
        self._command, self._cwd, self._environment = command, cwd, environment
        self._process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._cwd,
                env=self._environment,
                process_group=0,
                preexec_fn=_die_with_parent(),  # noqa: PLW1509 - a prepared C call, nothing that could hold a lock
            )
        atexit.register(self.stop)
        return process

    def start_again(self) -> None:
        """Start the same program once more, after its end."""
        self.stop()
        self._process = self._start()

    @property
    def pid(self) -> int:
        """The process id, also of its group."""
        return self._process.pid

    def running(self) -> bool:
        """Tell whether the process is still there."""
        return self._process.poll() is None

    def wait_until(self, ready: Callable[[], bool], *, timeout: float, every: float = 0.1) -> None:
        """Poll `ready` until it is true.

        Raises:
            ProcessError: The process ended, or was not ready within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.running():
                raise ProcessError(
                    f"{self.name} ended with code {self._process.returncode}:\n{self.log_end()}"
                )
            if time.monotonic() > deadline:
                raise ProcessError(f"{self.name} was not ready after {timeout:.0f} s:\n{self.log_end()}")
            time.sleep(every)

    def log_end(self, lines: int = 20) -> str:
        """Return the last lines of what the process wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def kill(self) -> None:
        """End the process at once, as a crash or the kernel would."""
        self._process.kill()
        self.stop()

    def stop(self) -> None:
        """End the process and wait for it: politely first, then by force. Harmless when repeated."""
        atexit.unregister(self.stop)
        if self.running():
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=STOP_SECONDS)
        # What the process may have started is in its group; the group lives on while any member does.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


_CHANCE = random.SystemRandom()  # hypothesis seeds the usual one alike in all processes


def free_ports(count: int) -> list[int]:
    """Return TCP ports that are free right now, all different.

    They are below those that the kernel gives to whoever asks for none: a connection of any other test could take one of these
    before the process that it is for listens there.
    """
    found: list[socket.socket] = []
    try:
        while len(found) < count:
            with suppress(OSError):
                found.append(socket.create_server(("", _CHANCE.randrange(16384, 32768))))
        return [int(each.getsockname()[1]) for each in found]
    finally:
        for each in found:
            each.close()


def _die_with_parent() -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def request_death_signal() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    return request_death_signal
