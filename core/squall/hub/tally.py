"""What a hub counts over all its runs, for those who look after the hub itself.

Runs are forgotten, and a counter must not go back then: so what a run has counted is kept when it goes. Nothing here tells whose runs there
were or what they measured, so that whoever may scrape the hub learns of its health alone.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from squall.hub.driver import Run

Refusal = Literal["unauthorized", "no_hello", "no_place", "malformed", "too_large"]
"""Why somebody was turned away."""
REFUSALS: Final[dict[Refusal, str]] = {
    "unauthorized": "no valid key or token",
    "no_hello": "a connection did not begin as a runner's does",
    "no_place": "a runner has no place in its run",
    "malformed": "a message makes no sense",
    "too_large": "a message is larger than any may be",
}


@dataclass(frozen=True, slots=True)
class Totals:
    """What one run has counted, or several together; it only grows.

    Attributes:
        slots: Seconds that were judged.
        incomplete: Those of them that were judged without what a live runner should have delivered.
        late: Snapshots that came after their second had been judged.
        sent: Samples that the receiver of metrics has taken.
        refused: Samples that it has refused.
        dropped: Samples that never reached it.
        retries: Requests that were sent to it again.
    """

    slots: int = 0
    incomplete: int = 0
    late: int = 0
    sent: int = 0
    refused: int = 0
    dropped: int = 0
    retries: int = 0

    def __add__(self, other: Totals) -> Totals:
        """Both together."""
        return Totals(*map(sum, zip(astuple(self), astuple(other), strict=True)))


def totals_of(run: Run) -> Totals:
    """What a run has counted since this process has it."""
    state, exporter = run.state, run.exporter
    judged = Totals(slots=state.slots, incomplete=state.incomplete, late=state.late)
    if exporter is None:
        return judged
    counts = exporter.counts
    return judged + Totals(
        sent=counts.sent, refused=counts.refused, dropped=exporter.dropped, retries=counts.retries
    )


@dataclass(slots=True)
class Tally:
    """The counts of a hub since it was started.

    Attributes:
        snapshots: That runners have delivered.
        received_bytes: All messages of runners.
        refused: How often somebody was turned away.
        forgotten: Of the runs that are gone.
    """

    snapshots: int = 0
    received_bytes: int = 0
    refused: Counter[Refusal] = field(default_factory=Counter)
    forgotten: Totals = field(default_factory=Totals)
