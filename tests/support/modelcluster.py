"""A model of what is around one LoadTest - API server, hub, Job - for walks through what may happen to it.

The API server forgets nothing and refuses writes of what was decided from an older state; the hub and the watches are seen as they were
a moment ago; whoever acts may die between two calls.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from squall.kube.runs import DONE
from squall.report.model import LiveState, RunnerState, Summary, VerdictSummary
from squall_operator.decide import decide
from squall_operator.model import (
    Action,
    Allowance,
    CleanUp,
    Deadlines,
    HubView,
    Launch,
    Lost,
    Mark,
    Observed,
    Plan,
    Pods,
    StopRun,
    TellHub,
    TellLost,
    WriteStatus,
)
from squall_operator.status import Status, Stop
from squall_operator.times import stamp

HUB = "http://hub:1"
DEADLINES = Deadlines(start=300, hub=60, stop=30)
PLAN = Plan(shards=1, pods=1, max_seconds=600, stop_seconds=10, lost_control_seconds=60)
LOAD_SECONDS = 500.0


class Failed(Exception):
    """An action has failed, or whoever acts has died."""


@dataclass
class HubRun:
    """A run as the hub has it."""

    id: str
    added: float
    phase: Any = "connecting"
    began: float = 0.0
    summary: Summary | None = None
    why: Stop | None = None
    silent: float = 0.0
    unwanted: bool = False


@dataclass
class Job:
    """A run's pods."""

    made: float
    began: bool = False
    dead: bool = False


@dataclass
class World:
    """All there is, and what is seen of it."""

    now: float = 1_800_000_000.0
    spec: dict[str, Any] = field(default_factory=lambda: {"shards": 1, "ttlSecondsAfterFinished": 0})
    annotations: dict[str, str] = field(default_factory=dict)
    generation: int = 1
    version: int = 1
    status: Status = field(default_factory=Status)
    halted: bool = False
    hub_up: bool = True
    hub_down_since: float = 0.0
    runs: dict[str, HubRun] = field(default_factory=dict)
    polled: dict[str, LiveState] | None = field(default_factory=dict)
    summaries: dict[str, tuple[Summary, float]] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    watched: dict[str, bool] = field(default_factory=dict)
    """What the watches have shown of Jobs: whether its pod has died."""
    starts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often the load of a run has begun, each time that it was asked for: going back to an earlier spec asks again."""
    failure: str = ""
    said: dict[str, set[str]] = field(default_factory=dict)
    """What hubs have said of each run."""

    # -- time -------------------------------------------------------------------------------------------------

    def passes(self, seconds: float) -> None:
        for _ in range(max(1, round(seconds))):
            self.now += 1.0
            if self.hub_up:
                for run in list(self.runs.values()):
                    self._goes_on(run)
                self.poll()
            elif self.now - self.hub_down_since > PLAN.lost_control_seconds:
                for job in self.jobs.values():
                    job.dead = True
            self.watched = {name: job.dead for name, job in self.jobs.items()}

    def _goes_on(self, run: HubRun) -> None:
        job = self.jobs.get(run.id)
        alive = job is not None and not job.dead
        run.silent = 0.0 if alive else run.silent + 1.0
        match run.phase:
            case "connecting" if alive and job is not None and self.now - job.made > 3:
                if not job.began:
                    known = self.status.run
                    asked = known.accepted_at if known is not None and known.id == run.id else ""
                    self.starts[run.id, asked] += 1
                job.began, run.phase, run.began = True, "running", self.now
            case "connecting" if self.now - run.added > DEADLINES.start:
                self._ends(run, "Error", "StartDeadline")
            case "running" if run.silent > 15:
                self._ends(run, "Error", "RunnerLost")
            case "running" if self.now - run.began > LOAD_SECONDS:
                self._ends(run, "Passed")
            case "stopping":
                self._stopped(run)
        if run.phase == "finished" and run.unwanted:
            del self.runs[run.id]

    def _stopped(self, run: HubRun) -> None:
        assert run.why is not None
        self._ends(run, "Error" if run.why.cause == "error" else "Aborted", run.why.reason)

    def _ends(self, run: HubRun, result: Any, reason: str = "") -> None:
        run.phase = "finished"
        run.summary = Summary(
            squall_version="1",
            run=run.id,
            name="shop",
            started_at="",
            ended_at=stamp(self.now),
            planned_seconds=60,
            shards=1,
            runners=1,
            manifest_hash="",
            verdict=VerdictSummary(result=result, reason=reason),
        )
        self.said.setdefault(run.id, set()).add(result)

    def poll(self) -> None:
        self.polled = {
            run.id: LiveState(
                run=run.id,
                name="shop",
                phase=run.phase,
                elapsed_seconds=self.now - run.began if run.began else 0.0,
                planned_seconds=60,
                runners=(RunnerState(index=0, shards=(0,), phase="running", slot=1),),
            )
            for run in self.runs.values()
        }
        for run in self.runs.values():
            if run.summary is not None:
                self.summaries[run.id] = (run.summary, self.now)
        self.summaries = {each: known for each, known in self.summaries.items() if self.now - known[1] < 60}

    # -- what happens -----------------------------------------------------------------------------------------

    def edit(self, **spec: Any) -> None:
        changed = {**self.spec, **spec}
        self.generation += changed != self.spec
        self.spec, self.version = changed, self.version + 1

    def hub_goes(self) -> None:
        if self.hub_up:
            self.hub_up, self.polled, self.hub_down_since = False, None, self.now

    def hub_comes(self, *, empty: bool) -> None:
        """It is there again, and may have lost all that it knew."""
        if not self.hub_up:
            self.hub_up = True
            if empty:
                self.runs.clear()

    # -- the operator -----------------------------------------------------------------------------------------

    def seen(self) -> Observed:
        run = self.status.run
        view = HubView()
        pods = Pods()
        if run is not None:
            summary, _ = self.summaries.get(run.id, (None, 0.0))
            view = HubView(
                reachable=self.polled is not None, live=(self.polled or {}).get(run.id), summary=summary
            )
            if run.id in self.watched:
                dead = self.watched[run.id]
                lost = {0: Lost("RunnerCrashed", "crashed")} if dead else {}
                pods = Pods(job=True, pods=not dead, lost=lost)
        return Observed(
            namespace="default",
            name="shop",
            uid="u",
            generation=self.generation,
            spec=self.spec,
            annotations=self.annotations,
            status=self.status,
            now=self.now,
            plan=PLAN,
            allowance=Allowance(halted="stop" if self.halted else ""),
            pods=pods,
            hub=view,
            hubs=(HUB,) if self.polled is not None else (),
            failure=self.failure,
        )

    def look(self, *, dies_after: int | None = None, meanwhile: dict[str, Any] | None = None) -> bool:
        """One round; returns whether anything was to be done."""
        decision, version = decide(self.seen(), DEADLINES), [self.version]
        if meanwhile is not None:
            self.edit(**meanwhile)
        left = [10**9 if dies_after is None else dies_after]
        try:
            for action in decision.actions:
                self._act(action, version, left)
        except Failed:
            # Who has died remembers nothing; else it is known what has failed.
            self.failure = "" if dies_after is not None else "no answer"
            return True
        self.failure = ""
        return bool(decision.actions)

    def _step(self, left: list[int]) -> None:
        """One call; whoever acts may die before it."""
        if left[0] == 0:
            raise Failed
        left[0] -= 1

    def _act(self, action: Action, version: list[int], left: list[int]) -> None:
        self._step(left)
        match action:
            case WriteStatus(status):
                if version[0] != self.version:
                    raise Failed
                self.status = status
                self.version += 1
                version[0] = self.version
            case Mark(text):
                ours = version[0] == self.version
                self.annotations = {**self.annotations, DONE: text}
                self.version += 1
                version[0] = self.version if ours else version[0]
            case Launch(run, _, _, anew):
                if anew:
                    self._needs_hub()
                    self._forget(run)
                self._add(run)
                self._step(left)
                if run not in self.jobs:
                    self.jobs[run] = Job(self.now)
            case TellHub(run, _):
                self._add(run)
            case StopRun(run, _, stop, now):
                if self.hub_up or not now:
                    self._needs_hub()
                    self._stop(run, stop, now=now)
            case TellLost(run, _, _, _):
                self._needs_hub()
                known = self.runs.get(run)
                if known is not None and known.phase in ("connecting", "running"):
                    self._ends(known, "Error", "RunnerLost")
            case CleanUp(run, _):
                self.jobs.pop(run, None)
                self._step(left)
                if self.hub_up:
                    self._forget(run)
            case _:
                pass

    def _needs_hub(self) -> None:
        if not self.hub_up:
            raise Failed

    def _add(self, run: str) -> None:
        self._needs_hub()
        known = self.runs.get(run)
        if known is not None and known.unwanted:
            raise Failed
        if known is None:
            self.runs[run] = HubRun(run, self.now)

    def _stop(self, run: str, stop: Stop, *, now: bool) -> None:
        known = self.runs.get(run)
        if known is None or known.phase == "finished":
            return
        known.why = known.why or stop
        if now or known.phase == "connecting":
            self._stopped(known)
        else:
            known.phase = "stopping"

    def _forget(self, run: str) -> None:
        known = self.runs.get(run)
        if known is None or known.phase == "finished":
            self.runs.pop(run, None)
            self.summaries.pop(run, None)
        elif known.phase == "stopping":
            known.unwanted = True
            self.summaries.pop(run, None)

    # -- the end ----------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Everything is well from now on, and nobody changes anything: it looks until there is nothing to do, or for long enough."""
        self.hub_comes(empty=False)
        for number in range(400):
            self.passes(1 if number < 50 else 5)
            acted = self.look() or self.look()
            run = self.status.run
            if not acted and (run is None or run.phase == "Finished"):
                return
