"""The conditions of a LoadTest, from its status: what `kubectl wait`, Argo CD and Flux look at.

They follow kstatus (the convention of kubernetes-sigs/cli-utils): `Reconciling` while something is under way, `Stalled` when it has
come to a bad end and waiting does not help, `Ready` when all is well, which for a LoadTest means that its run has passed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from squall_operator.status import Condition, Status
from squall_operator.times import stamp

if TYPE_CHECKING:
    from squall_operator.model import Observed

_UNDER_WAY: Final = frozenset({"Queued", "Launching", "Starting", "Running", "Stopping"})
_BAD_ENDS: Final = frozenset({"Rejected", "Failed", "Invalid", "Aborted", "Error"})


def complete(status: Status, seen: Observed, reason: str = "") -> Status:
    """A status with its conditions and the generation it is about.

    Args:
        status: Without either.
        seen: What there was before: a condition that has not changed keeps its time.
        reason: A CamelCase word; by default the phase.
    """
    phase = status.phase or "Queued"
    word = reason or phase
    wanted = {
        "Ready": phase == "Passed",
        "Reconciling": phase in _UNDER_WAY,
        "Stalled": phase in _BAD_ENDS,
    }
    before = {each.type: each for each in seen.status.conditions}
    conditions = tuple(
        _condition(kind, "True" if holds else "False", word, status.message, before.get(kind), seen)
        for kind, holds in wanted.items()
    )
    return msgspec.structs.replace(status, conditions=conditions, observed_generation=seen.generation)


def _condition(  # noqa: PLR0917 - the parts of a condition
    kind: str,
    state: Literal["True", "False"],
    reason: str,
    message: str,
    before: Condition | None,
    seen: Observed,
) -> Condition:
    same = before is not None and before.status == state
    return Condition(
        type=kind,
        status=state,
        reason=reason,
        message=message,
        last_transition_time=before.last_transition_time if before and same else stamp(seen.now),
        observed_generation=seen.generation,
    )


def reason_of(status: Status) -> str:
    """The reason that the conditions give; empty before there are any."""
    return next((each.reason for each in status.conditions if each.type == "Ready"), "")


def only_figures(before: Status, after: Status) -> bool:
    """Whether two statuses differ in nothing but the figures of a run that goes on."""

    def rest(status: Status) -> Status:
        return msgspec.structs.replace(status, shards=None, live=None, thresholds=())

    return rest(before) == rest(after)
