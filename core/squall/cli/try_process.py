"""The process behind `squall try`: started, fed, listened to, and never left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from squall.errors import InfrastructureError
from squall.local.environment import of_runners

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.hub.protocol import Assignment

COMMAND = (sys.executable, "-m", "squall_runner.trying")
_END_SECONDS = 5.0


def try_assignment(assignment: Assignment, show: Callable[[dict[str, Any]], None]) -> int:
    """Try a manifest in a runner process.

    Args:
        assignment: What to try.
        show: Takes each event.

    Returns:
        The exit code of the command.

    Raises:
        InfrastructureError: The process crashed.
    """
    with subprocess.Popen(  # noqa: S603 - our own module
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=of_runners(os.environ)
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(msgspec.json.encode(assignment) + b"\n")
            process.stdin.flush()
            ended = _listen(process.stdout, show)
            code = process.wait(_END_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
    if not ended:
        message = f"the process that tries the manifest ended with code {code}"
        raise InfrastructureError(message, "its own words, if any, stand above")
    return code


def _listen(stream: Any, show: Callable[[dict[str, Any]], None]) -> bool:
    """Show the events; whether the last one was an end."""
    last = ""
    for line in stream:
        event = msgspec.json.decode(line, type=dict[str, Any])
        last = event["event"]
        show(event)
    return last in {"end", "error"}
