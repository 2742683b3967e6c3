"""A hundred LoadTests at once: what the operator costs meanwhile, how old each status is, and whether every verdict is right.

The control plane is real, pods are those of a fake node, and runners are simulated. Most tests pass; some break a threshold that stops them,
some one that does not. How old a status is, is counted from what the hub's journal says of the start of the load: a status that claims
N seconds of load is as old as the time since then.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from harness.costs import Costs
from harness.results import Number, at_most
from harness.simulation import running_simulation
from support.cluster.operated import ENDED
from support.simulated import manifest

if TYPE_CHECKING:
    from harness.runjournal import RunJournal
    from harness.simulation import Simulation

COUNT = 100
_SECONDS = 150
_BREAKS = 110
_LOOK_SECONDS = 1.0
_WAIT_SECONDS = 300.0
_FAILS = [{"metric": "http_req_failed", "expression": "rate<10%", "over": "5s"}]
"""A threshold that is judged and stops nothing."""


def measure() -> list[Number]:
    """The numbers of a hundred runs."""
    wanted = dict(_wanted(number) for number in range(COUNT))
    with running_simulation() as simulation:
        squall, began = simulation.squall, time.monotonic()
        whole = Costs(squall.operators[0].pid)
        for name in wanted:
            squall.apply(_manifest(name))
        watch = Watch(simulation)
        watch.until_phase("Running")
        started = time.monotonic() - began
        costs = Costs(squall.operators[0].pid)
        watch.until(lambda: time.time() > min(each.start for each in watch.journals.values()) + _BREAKS - 5)
        cores, waited = costs.cores(), costs.waited()
        watch.until_phase(*ENDED)
        wrong = [name for name, verdict in wanted.items() if not _is_right(simulation, name, verdict)]
        return [
            at_most(f"{COUNT} LoadTests at once: the operator's cores, all running", cores, "cores", 1),
            at_most(f"{COUNT} LoadTests: cores from the first apply to the last verdict", whole.cores(), "cores", 1),
            Number("operator: of the time waited for a core that others had", waited * 100, "%"),
            at_most(f"{COUNT} LoadTests: the operator's memory", whole.peak_megabytes(), "MB", 400),
            at_most(f"{COUNT} LoadTests: oldest status", max(watch.ages), "s", 10),
            Number(f"{COUNT} LoadTests: from the first apply until all run", started, "s"),
            Number(f"{COUNT} LoadTests: wrong verdicts", float(len(wrong)), "", "== 0", not wrong),
        ]  # fmt: skip


class Watch:
    """Looks at all LoadTests once a second.

    Attributes:
        ages: How old each status was that was looked at while its load was on.
        journals: By run.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.ages: list[float] = [0.0]
        self.journals: dict[str, RunJournal] = {}

    def until_phase(self, *phases: str) -> None:
        """Look until all are in one of these phases."""
        self.until(lambda: all(each.get("phase") in phases for each in self._look()))

    def until(self, holds: Any) -> None:
        """Look until something holds."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                raise SystemExit(
                    f"not within {_WAIT_SECONDS:g} s: {[each.get('phase') for each in self._look()]}"
                )
            self._look()
            time.sleep(_LOOK_SECONDS)

    def _look(self) -> list[dict[str, Any]]:
        found = [dict(each.get("status") or {}) for each in self._simulation.load_tests()]
        now = time.time()
        for status in found:
            run = status.get("run")
            if run is not None and run["phase"] != "Finished":
                self._note_age(run["id"], status, now)
        return found

    def _note_age(self, run: str, status: dict[str, Any], now: float) -> None:
        journal = self.journals.setdefault(run, self._simulation.journal(run)).look()
        if journal.start:
            said = float((status.get("live") or {}).get("elapsedSeconds", 0))
            self.ages.append(now - journal.start - said)


def _wanted(number: int) -> tuple[str, tuple[str, str]]:
    """The name of a LoadTest, and what has to come of it."""
    if number % 5 == 3:
        return f"stops-{number}-breaks-{_BREAKS}", ("Aborted", "ThresholdFailed")
    if number % 5 == 4:
        return f"fails-{number}-breaks-{_BREAKS}", ("Failed", "ThresholdFailed")
    return f"passes-{number}", ("Passed", "ThresholdsHeld")


def _manifest(name: str) -> dict[str, Any]:
    spec = {"thresholds": _FAILS} if name.startswith("fails") else {}
    return manifest(name, shards=1, seconds=_SECONDS, **spec)


def _is_right(simulation: Simulation, name: str, wanted: tuple[str, str]) -> bool:
    """Whether verdict and report are what they have to be, and every request was counted that the runner claims."""
    status = simulation.squall.status(name)
    summary = simulation.squall.summary(status)
    counted = [each["values"]["count"] for each in summary["metrics"] if _is_total(each)]
    claimed = [each["requests"] for each in simulation.heard() if each["run"] == status["run"]["id"]]
    found = (status["phase"], status["verdict"]["reason"])
    right = found == wanted and summary["verdict"]["result"] == wanted[0] and counted == claimed
    if not right:
        print(f"{name}: {found} instead of {wanted}, {counted} of {claimed} requests")
    return right


def _is_total(metric: dict[str, Any]) -> bool:
    return bool(metric["metric"] == "http_reqs" and not metric["tags"])
