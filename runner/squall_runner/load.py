"""What the agent, which obeys the hub, and the engine, which makes the load, know of each other.

The agent can be tested with a load that is none, and the engine without a hub; neither needs to know how the other works.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from squall.errors import SquallError, code_of_refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from squall.hub import protocol
    from squall.metrics.snapshot import Snapshot

Level = Literal["debug", "info", "warning", "error"]


class LoadError(SquallError):
    """The load cannot be prepared, or setup or teardown failed.

    Args:
        reason: A CamelCase word for machines, such as `TargetUnreachable`.
        message: What was wrong, for people.
        hint: What to do about it.
    """

    def __init__(self, reason: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.reason = reason
        self.exit_code = code_of_refusal(reason)


@dataclass(frozen=True, slots=True)
class Hooks:
    """How a load speaks up while it runs; all of them return at once.

    Attributes:
        note: `note(level, event, **fields)`: something for the run's log.
        abort: `abort(reason, message)`: asks to end the whole run.
        probe: `probe(ok, message)`: the outcome of a connectivity check.
        lines: Makes lines of this process's own log, if it has one.
    """

    note: Callable[..., None]
    abort: Callable[[str, str], None]
    probe: Callable[[bool, str], None]
    lines: FilteringBoundLogger | None = None


class Load(Protocol):
    """The load of one runner process, all its shards."""

    @property
    def last_request_ns(self) -> int:
        """`time.monotonic_ns` when the last request was sent; 0 before any."""

    async def prepare(self) -> None:
        """Compile, open data and files, see whether the target is there.

        Raises:
            LoadError: The load cannot be driven.
        """

    async def setup(self) -> dict[str, Any]:
        """Run the setup steps; returns what they extracted.

        Raises:
            LoadError: A step failed.
        """

    def use_setup(self, values: dict[str, Any]) -> None:
        """Take over what setup has extracted, here or on another runner."""

    async def drive(self, start_ns: int) -> None:
        """Drive the load; returns when all scenarios are done, or after `stop`.

        Args:
            start_ns: The start of the run in `time.monotonic_ns`. In the future: waits for it. In the past: joins the
                plan at its current moment.
        """

    def level(self, order: protocol.Level) -> None:
        """Go to a level of a search for capacity when its time comes; orders that are known already change nothing."""

    def stop(self, grace_seconds: float) -> None:
        """No new request from now on; what is in flight is cancelled after the grace, of several the shortest."""

    async def teardown(self) -> None:
        """Run the teardown steps.

        Raises:
            LoadError: A step failed.
        """

    def measure(self, slot: int) -> Snapshot:
        """Everything measured so far, as the snapshot of this slot; called at each slot's end and once after `drive`."""

    async def close(self) -> None:
        """Let go of connections, files and processes."""
