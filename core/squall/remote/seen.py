"""A LoadTest as the API server shows it, as far as the command line tells of it.

The status is the operator's contract with everybody who looks, so it is read as any other client would: what is missing is absent, and what
is unknown is passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from squall.errors import ExitCode
from squall.kube.figures import Live, Shards
from squall.kube.runs import run_key

if TYPE_CHECKING:
    from collections.abc import Mapping


class _Shown(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of what is read."""


class Run(_Shown, frozen=True):
    """The current run, or the last one."""

    id: str = ""
    key: str = ""
    phase: str = ""
    started_at: str = ""


class Verdict(_Shown, frozen=True):
    """The outcome, in short."""

    result: str = ""
    cause: str = ""
    reason: str = ""
    message: str = ""
    exit_code: int = ExitCode.PASSED


class Threshold(_Shown, frozen=True):
    """One threshold as last evaluated."""

    name: str = ""
    expression: str = ""
    state: str = "pending"
    value: float | None = None


class Past(_Shown, frozen=True):
    """A finished run."""

    id: str = ""
    key: str = ""
    result: str = ""
    reason: str = ""
    report: str = ""


class Condition(_Shown, frozen=True):
    """A condition; of those, the reason is told."""

    type: str = ""
    reason: str = ""


class Status(_Shown, frozen=True):
    """What the operator says of a LoadTest."""

    observed_generation: int = 0
    phase: str = ""
    message: str = ""
    queue_position: int | None = None
    run: Run = Run()
    shards: Shards = Shards()
    live: Live | None = None
    thresholds: tuple[Threshold, ...] = ()
    verdict: Verdict | None = None
    history: tuple[Past, ...] = ()
    conditions: tuple[Condition, ...] = ()

    @property
    def active(self) -> bool:
        """Whether there is a run that is not over."""
        return bool(self.run.id) and self.run.phase != "Finished"

    @property
    def reason(self) -> str:
        """One CamelCase word for how things stand."""
        return next((each.reason for each in self.conditions if each.type == "Ready"), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run that was followed has ended.

    Attributes:
        run: Its id; empty when it never began.
        message: For people.
        report: The ConfigMap with its summary; empty when there is none.
        exit_code: What it means for a pipeline.
    """

    run: str = ""
    message: str
    report: str = ""
    exit_code: int


def status_of(body: Mapping[str, Any]) -> Status:
    """The status of a LoadTest; what somebody has made unreadable counts as none."""
    try:
        return msgspec.convert(body.get("status") or {}, Status)
    except msgspec.ValidationError:
        return Status()


def key_of(body: Mapping[str, Any]) -> str:
    """The key of the run that a LoadTest asks for."""
    return run_key(body["spec"], body["metadata"].get("annotations") or {})


def outcome_of(body: Mapping[str, Any] | None, key: str) -> Outcome | None:
    """How the run with this key has ended; None while it has not.

    Args:
        body: The LoadTest; None when it is not there any more.
        key: Of the run.
    """
    if body is None:
        return Outcome(message="the LoadTest was deleted", exit_code=ExitCode.USER)
    status = status_of(body)
    if status.run.key == key:
        return _ended(status) if status.run.phase == "Finished" else None
    past = next((each for each in status.history if each.key == key), None)
    if past is not None:
        # Another run has taken its place, so of its verdict only the name is left; the report has the rest.
        passed = past.result == "Passed"
        return Outcome(
            run=past.id,
            message=f"{past.result}: {past.reason}",
            report=past.report,
            exit_code=ExitCode.PASSED if passed else ExitCode.USER,
        )
    return _never_began(body, status)


def _ended(status: Status) -> Outcome:
    verdict = status.verdict or Verdict(message=status.message)
    # A bad end always has a code, unless somebody has edited the status; zero must then not look like a pass.
    code = verdict.exit_code or (ExitCode.PASSED if verdict.result == "Passed" else ExitCode.ERROR)
    report = next((each.report for each in status.history if each.id == status.run.id), "")
    return Outcome(
        run=status.run.id,
        message=status.message or verdict.message,
        report=report,
        exit_code=code,
    )


def _never_began(body: Mapping[str, Any], status: Status) -> Outcome | None:
    if status.observed_generation < int(body["metadata"].get("generation", 0)) or status.active:
        return None
    if status.phase == "Rejected":
        by_policy = status.reason.startswith("Policy")
        return Outcome(
            message=f"rejected ({status.reason}): {status.message}",
            exit_code=ExitCode.POLICY if by_policy else ExitCode.MANIFEST,
        )
    if status.phase == "Suspended" and body["spec"].get("suspend"):
        return Outcome(message=f"held before it began: {status.message}", exit_code=ExitCode.USER)
    return None
