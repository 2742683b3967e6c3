"""The process behind `squall evm`: a runner's code, as only that speaks with chains; started, fed, listened to, never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from squall.errors import ExitCode, InfrastructureError, SquallError
from squall.local.environment import of_runners

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from squall.hub.evmtask import EvmTask

COMMAND: Final = (sys.executable, "-m", "squall_runner.evm")
_END_SECONDS: Final = 10.0


class EvmRefusedError(SquallError):
    """The process could not do what it was asked to, and says why."""

    def __init__(self, message: str, hint: str, code: int) -> None:
        super().__init__(message, hint)
        self.exit_code = ExitCode(code)


def carry_out(task: EvmTask, show: Callable[[dict[str, Any]], None]) -> int:
    """Have a process do something with the wallets of a test.

    Args:
        task: What.
        show: Takes each event, see `squall.hub.evmtask`.

    Returns:
        The exit code of the command.

    Raises:
        EvmRefusedError: It could not be done.
        InfrastructureError: The process crashed.
    """
    process = subprocess.Popen(  # noqa: S603 - our own module
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=of_runners(os.environ),
        start_new_session=True,  # Ctrl-C in a terminal is for this process to pass on, once
    )
    with process, _passing_on(process) as interrupted:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(msgspec.json.encode(task) + b"\n")
            process.stdin.close()
            last = _listen(process.stdout, show)
            code = process.wait(_END_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
    if interrupted:
        raise KeyboardInterrupt
    if last["event"] == "error":
        raise EvmRefusedError(last["message"], last["hint"], code)
    if last["event"] != "end":
        message = f"the process that speaks with the chain ended with code {code}"
        raise InfrastructureError(message, "its own words, if any, stand above")
    return code


@contextmanager
def _passing_on(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Pass an interruption on, so that the process can say how far it came; a second one kills it. Gives what came."""
    came: list[int] = []

    def pass_on(number: int, _frame: object) -> None:
        process.send_signal(signal.SIGKILL if came else signal.SIGINT)
        came.append(number)

    before = signal.signal(signal.SIGINT, pass_on)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before)


def _listen(stream: Any, show: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Show the events; returns the last one."""
    event: dict[str, Any] = {"event": ""}
    for line in stream:
        event = msgspec.json.decode(line, type=dict[str, Any])
        show(event)
    return event
