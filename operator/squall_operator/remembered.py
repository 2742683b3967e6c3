"""What is believed of the runs that a LoadTest tells of: its status, which others may write too, and its mark, the annotation `runs.DONE`.

The mark is made before the status says that a run is over, and only the two together end one for good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from squall.kube.runs import DONE, run_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squall_operator.model import Observed
    from squall_operator.status import Past, RunStatus

RESULTS: Final = ("Passed", "Failed", "Invalid", "Aborted", "Error")


def known_run(seen: Observed) -> RunStatus | None:
    """The run that the status tells of, unless it tells what no operator has written.

    Whoever else writes the status must neither end a run nor begin one with it. A run of another name is nobody's; one that is over has its
    mark, or at least a verdict and no load. What is not believed is found again: the run's id follows from the LoadTest alone.
    """
    run = seen.status.run
    if run is None or run.id != run_id(seen.name, seen.uid, run.key):
        return None
    if run.phase != "Finished" or done(seen)[0] == run.id:
        return run
    loaded = seen.hub.live is not None and seen.hub.live.phase != "finished"
    return None if seen.status.verdict is None or loaded else run


def done(seen: Observed) -> tuple[str, str]:
    """The run that the LoadTest's mark says is over, and its result; empty where there is none that makes sense.

    The mark has the run's id, which has the LoadTest's UID in it: what is copied along into another LoadTest is no mark of that one.
    """
    run, _, result = seen.annotations.get(DONE, "").partition(" ")
    return (run, result) if result in RESULTS else ("", "")


def reports(seen: Observed, history: Sequence[Past]) -> tuple[str, ...]:
    """The names of the reports that runs of a history have left.

    They follow from the LoadTest and the runs' keys. What else a history names is somebody's own, and whoever has written it there may not have
    the right to take it away.
    """
    return tuple(
        f"{each.id}-report"
        for each in history
        if each.report and each.id == run_id(seen.name, seen.uid, each.key)
    )


def tells_otherwise(seen: Observed, run: RunStatus, result: str) -> bool:
    """Whether the status has another result of this run than its mark."""
    verdict = seen.status.verdict
    return run.id == done(seen)[0] and (verdict is None or verdict.result != result)
