"""The conditions of a LoadTest, from its status: what `kubectl wait`, Argo CD and Flux look at.

They follow kstatus (the convention of kubernetes-sigs/cli-utils): `Reconciling` while something is under way, `Stalled` when it has
come to a bad end and waiting does not help, `Ready` when all is well, which for a LoadTest means that its run has passed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from squall.kube.runs import run_key
from squall_operator.status import Condition, Status
from squall_operator.times import stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

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
    # The end of a run that is not the one asked for any more says nothing of that one, which begins with the next look.
    outdated = (
        status.verdict is not None
        and status.run is not None
        and status.run.key != run_key(seen.spec, seen.annotations)
    )
    wanted = {
        "Ready": phase == "Passed" and not outdated,
        "Reconciling": phase in _UNDER_WAY or outdated,
        "Stalled": phase in _BAD_ENDS and not outdated,
    }
    conditions = build(wanted, (word, status.message), seen.status.conditions, (seen.now, seen.generation))
    return msgspec.structs.replace(status, conditions=conditions, observed_generation=seen.generation)


def build(
    wanted: Mapping[str, bool],
    words: tuple[str, str],
    before: Iterable[Condition],
    seen: tuple[float, int],
) -> tuple[Condition, ...]:
    """Conditions that share a reason.

    Args:
        wanted: Whether each holds.
        words: The reason, one CamelCase word, and the message.
        before: As they were: one that has not changed keeps its time.
        seen: The moment, Unix time, and the generation that they are about.
    """
    known = {each.type: each for each in before}
    now, generation = seen
    return tuple(
        Condition(
            type=kind,
            status=state,
            reason=words[0],
            message=words[1],
            last_transition_time=old.last_transition_time if old and old.status == state else stamp(now),
            observed_generation=generation,
        )
        for kind, state, old in _states(wanted, known)
    )


def _states(
    wanted: Mapping[str, bool], known: Mapping[str, Condition]
) -> Iterator[tuple[str, Literal["True", "False"], Condition | None]]:
    for kind, holds in wanted.items():
        yield kind, "True" if holds else "False", known.get(kind)


def reason_of(status: Status) -> str:
    """The reason that the conditions give; empty before there are any."""
    return next((each.reason for each in status.conditions if each.type == "Ready"), "")


def only_figures(before: Status, after: Status) -> bool:
    """Whether two statuses differ in nothing but the figures of a run that goes on."""

    def rest(status: Status) -> Status:
        return msgspec.structs.replace(status, shards=None, live=None, thresholds=())

    return rest(before) == rest(after)
