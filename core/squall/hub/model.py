"""What a hub is given to run, why a run is stopped, and what the state machine wants done.

The state machine (`run`) never acts itself. It returns these actions, and whoever drives it - the real hub or
a test with a clock of its own - carries them out in order.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from squall.hub import protocol

Cause = Literal["threshold", "user", "deadline", "safety", "policy", "scenario", "error"]


class RunSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One run, as the hub is given it.

    Attributes:
        run: Its id: letters, digits, `.`, `_` and `-`.
        manifest: The effective manifest, a `LoadTest` as plain data, its variables resolved (secrets stay references).
        runners: The shards that each runner carries; runner 0 comes first.
        options: What the command line changed, for the report.
        folder: Where the run's series go; empty for nowhere, as nobody reads them where a hub stands alone.
        prometheus_url: Where thresholds with `query` are asked; empty when nowhere.
        launched_unix: When the runners were launched, Unix time in seconds; 0 for now.
        start_deadline_seconds: By then every runner must be ready.
        reconnect_seconds: A runner whose connection has broken may come back for this long before it counts as lost. A
            process that is known to have ended is lost at once.
        in_pods: Runners are pods. One that is told to terminate is then taken away by its cluster, and lost; on one machine it is a
            person who tells it, and who wants the run to end.
        watermark_seconds: A slot is judged without the runners that have not delivered it this long after its end.
    """

    run: str
    manifest: dict[str, Any]
    runners: tuple[tuple[int, ...], ...]
    options: dict[str, Any] = {}
    folder: str = ""
    prometheus_url: str = ""
    launched_unix: float = 0.0
    start_deadline_seconds: float = 60.0
    reconnect_seconds: float = 5.0
    in_pods: bool = False
    watermark_seconds: float = 1.5


class Stopping(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run is stopped before its planned end.

    Attributes:
        cause: `error` when infrastructure failed; the others are what the verdict `Aborted` distinguishes.
        reason: One CamelCase word for machines.
        message: For people.
        expression: Of the threshold or limit that was broken.
        observed: The value seen, in base units.
        slot: The slot whose evaluation decided it, -1 when none did.
        at_unix: When it was decided, in the hub's clock, nanoseconds.
    """

    cause: Cause
    reason: str
    message: str
    expression: str = ""
    observed: float | None = None
    slot: int = -1
    at_unix: int = 0


class Send(msgspec.Struct, frozen=True):
    """Send a message to a runner that is connected."""

    runner: int
    message: protocol.FromHub


class Record(msgspec.Struct, frozen=True):
    """Write to the journal before anything that follows is done."""

    kind: str
    fields: dict[str, Any]
    durable: bool = False


class Log(msgspec.Struct, frozen=True):
    """Write to the run's log."""

    level: str
    event: str
    fields: dict[str, Any]


class Judged(msgspec.Struct, frozen=True):
    """A slot has been judged: show the state, keep its series, ask Prometheus for the next."""

    slot: int


Action: TypeAlias = Send | Record | Log | Judged
