"""The status of a LoadTest, as the API server keeps it.

It is all that the operator remembers: what is not here is found out anew by looking. Small, since it is written often; written for
people (`kubectl describe`), for machines (`kubectl wait`, Argo CD, Flux) and for the operator that takes over.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from squall.kube.figures import Live, Shards

RunPhase = Literal["Launching", "Starting", "Running", "Stopping", "Finished"]
"""Where a run stands: its objects are being made; pods are coming; load; being ended; over."""
Phase = Literal[
    "Queued",
    "Suspended",
    "Rejected",
    "Launching",
    "Starting",
    "Running",
    "Stopping",
    "Passed",
    "Failed",
    "Invalid",
    "Aborted",
    "Error",
]
"""What `kubectl get` shows: the run's phase while it is active, its verdict afterwards."""


class _Kept(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of what is kept: unknown fields are ignored, so that a newer operator may add some."""


class Stop(_Kept, frozen=True):
    """Why a run is being stopped by the operator.

    Attributes:
        cause: As the hub's: `error`, `user` or `policy`.
        at: When it was decided, RFC 3339.
    """

    cause: Literal["error", "user", "policy"]
    reason: str
    message: str
    at: str


class RunStatus(_Kept, frozen=True):
    """The current run, or the last one.

    Attributes:
        id: Its id, and the name of its objects.
        key: See `runs.run_key`.
        hub: The base URL of the hub that has it.
        pods: How many pods carry it.
        accepted_at: When it was decided to run; the other times likewise, RFC 3339, empty before.
        scheduled_at: When the last of its pods got a node.
        unreachable_since: Since when its hub has not answered.
        hosts: For each policy that said where load may go when it was launched, its patterns: its runners keep to those. None before.
        cleaned: It is over, and its objects have been taken away.
    """

    id: str
    key: str
    phase: RunPhase
    hub: str = ""
    pods: int = 0
    accepted_at: str = ""
    launched_at: str = ""
    scheduled_at: str = ""
    started_at: str = ""
    ended_at: str = ""
    unreachable_since: str = ""
    hosts: tuple[tuple[str, ...], ...] | None = None
    cleaned: bool = False
    stop: Stop | None = None


class Verdict(_Kept, frozen=True):
    """The outcome, in short; the report has the rest."""

    result: str
    cause: str = ""
    reason: str = ""
    message: str = ""
    expression: str = ""
    observed: float | None = None
    exit_code: int = 0


class ThresholdStatus(_Kept, frozen=True):
    """One threshold as last evaluated."""

    name: str
    expression: str
    state: str
    value: float | None = None
    limit: float | None = None


class Timings(_Kept, frozen=True):
    """How the run itself went, in seconds."""

    ready_seconds: float | None = None
    start_skew_seconds: float | None = None
    stop_to_last_request_seconds: float | None = None
    load_seconds: float | None = None


class Past(_Kept, frozen=True):
    """A finished run, and where its report is.

    Attributes:
        report: The name of a ConfigMap of the same namespace; empty when there is none.
        exit_code: As in its verdict.
    """

    id: str
    key: str
    result: str
    reason: str = ""
    started_at: str = ""
    ended_at: str = ""
    report: str = ""
    exit_code: int = 0


class Condition(_Kept, frozen=True, omit_defaults=False):
    """A condition as Kubernetes and kstatus understand it."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str
    last_transition_time: str
    observed_generation: int


class Status(_Kept, frozen=True):
    """The whole of it."""

    observed_generation: int = 0
    phase: Phase | None = None
    message: str = ""
    queue_position: int | None = None
    run: RunStatus | None = None
    shards: Shards | None = None
    live: Live | None = None
    thresholds: tuple[ThresholdStatus, ...] = ()
    verdict: Verdict | None = None
    grades: dict[str, str] = {}
    timings: Timings | None = None
    history: tuple[Past, ...] = ()
    conditions: tuple[Condition, ...] = ()


def read(status: Any) -> Status:
    """The status of an object from the API; what somebody else has made of it beyond recognition counts as none."""
    try:
        return msgspec.convert(status or {}, Status)
    except msgspec.ValidationError:
        return Status()


def write(status: Status) -> dict[str, Any]:
    """The status as plain data for the API."""
    return dict(msgspec.to_builtins(status))
