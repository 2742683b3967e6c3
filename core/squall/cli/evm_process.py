"""The process behind `squall evm`, which can be interrupted, and says then how far it came."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from squall.cli.one_process import heard_out, started
from squall.errors import ExitCode, InfrastructureError, SquallError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from squall.hub.evmtask import EvmTask

MODULE: Final = "squall_runner.evm"


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
    process = started(MODULE, apart=True)
    with process, _passing_on(process) as interrupted:
        last, code = heard_out(process, task, show)
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
