"""`python -m squall_runner.evm`: what `squall evm` starts, see `squall.hub.evmtask`."""

from __future__ import annotations

import signal
import sys
from typing import Any

import msgspec
import uvloop

from squall.errors import ExitCode, SquallError
from squall.hub.evmtask import EvmTask
from squall_runner.evm.commands import carry_out
from squall_runner.load import LoadError
from squall_runner.trying import masker


def main() -> int:
    """Carry out the task on standard input; returns the exit code."""
    # Shells start what is in the background with SIGINT ignored; who started this one passes an interruption on nevertheless.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    task = msgspec.json.decode(sys.stdin.buffer.readline(), type=EvmTask)
    mask = masker(task.assignment.secrets)

    def emit(event: str, **fields: Any) -> None:
        sys.stdout.buffer.write(msgspec.json.encode({"event": event, **mask(fields)}) + b"\n")
        sys.stdout.buffer.flush()

    try:
        done = uvloop.run(carry_out(task, emit))
    except SquallError as error:
        reason = error.reason if isinstance(error, LoadError) else type(error).__name__
        emit("error", reason=reason, message=error.message, hint=error.hint)
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.USER
    except BrokenPipeError:
        return ExitCode.PASSED
    emit("end")
    return ExitCode.PASSED if done else ExitCode.ERROR


if __name__ == "__main__":
    sys.exit(main())
