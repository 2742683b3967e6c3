"""The process behind `squall try`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from squall.cli.one_process import heard_out, started
from squall.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.hub.protocol import Assignment

MODULE: Final = "squall_runner.trying"


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
    with started(MODULE) as process:
        last, code = heard_out(process, assignment, show)
    if last["event"] not in {"end", "error"}:
        message = f"the process that tries the manifest ended with code {code}"
        raise InfrastructureError(message, "its own words, if any, stand above")
    return code
