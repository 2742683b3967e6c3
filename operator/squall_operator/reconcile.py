"""The loop around `decide`: look at a LoadTest and everything around it, decide, act, and come back when it is time.

Looking makes no call: watches and the hubs' answers have brought everything here before. Whatever happens while a LoadTest is being
looked at leads to another look, so nothing is missed, and nothing depends on the order in which things happen.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec

from squall.kube.api import KubeError
from squall_operator import cache, policies
from squall_operator.checked import Checked, check
from squall_operator.decide import decide
from squall_operator.model import CleanUp, KeepReport, Mark, Observed, Pods, Tell, WriteStatus
from squall_operator.notices import Notices
from squall_operator.pods import latest, look, needs_notices
from squall_operator.queue import WorkQueue
from squall_operator.status import read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from squall.kube.api import Kube
    from squall.spec.policy import LoadTestPolicySpec
    from squall_operator.acting import Actor
    from squall_operator.cache import Cache, Place
    from squall_operator.hubs import Hubs
    from squall_operator.model import Decision, Plan
    from squall_operator.settings import Settings
    from squall_operator.status import Status
    from squall_operator.telemetry import Telemetry

    Object = Mapping[str, Any]

FIGURES_SECONDS: Final = 5.0
"""Figures of a run are written at most this often."""
LAUNCHES: Final = 8
"""Runs that are launched at the same time, half of those that can be looked at: a launch is many calls, and the others go on meanwhile."""
LAUNCH_AGAIN_SECONDS: Final = 0.2
GONE_SECONDS: Final = 120.0
"""A process that does not lead remembers for this long what was deleted: whoever led may not have been able to act on it."""
_WAITING: Final = ("Queued",)


class Reconciler:
    """Looks after all LoadTests.

    Args:
        settings: Of the installation.
        kube: The API server, for what its Events tell.
        seen: What the watches show.
        hubs: The hubs.
        actor: Carries out what is decided.
        telemetry: Counts it.
        clock: Seconds, monotonic.
        wall: Unix time.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        kube: Kube,
        seen: Cache,
        hubs: Hubs,
        actor: Actor,
        telemetry: Telemetry,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._seen = seen
        self._hubs = hubs
        self._actor = actor
        self._telemetry = telemetry
        self._clock = clock
        self._wall = wall
        self._checked: dict[str, tuple[int, Checked]] = {}
        self._checking = asyncio.Lock()
        """One manifest at a time: whoever sends many must not have them all unpacked at once."""
        self._policies: dict[str, LoadTestPolicySpec | policies.Unreadable] = {}
        self._gone: dict[Place, tuple[Object, float]] = {}
        """LoadTests that were deleted during a run and have not been looked at since, and when that was seen."""
        self._notices = Notices(kube, clock)
        self._failures: dict[Place, str] = {}
        self._written: dict[Place, float] = {}
        self._launching: set[Place] = set()
        self._decided: dict[Place, Status] = {}
        """What is being written into the status of LoadTests that are not running: two must not take the same last place, and nobody
        should wait for the other's write to know."""
        self.queue: WorkQueue[Place] = WorkQueue(self.look, self._failed, clock)

    # -- what happens -----------------------------------------------------------------------------------------

    def saw(self, plural: str, body: Object, *, gone: bool) -> None:
        """A watch has shown something."""
        place = cache.place_of(body)
        known = self._seen.get(plural, place)
        if gone:
            self._seen.drop(plural, body)
        elif not self._seen.put(plural, body):
            return  # old news, which may be of one that another of its name has followed
        if plural == cache.LOAD_TESTS:
            if gone:
                self._lost_sight(place, body)
            elif known is not None and known["metadata"]["uid"] != body["metadata"]["uid"]:
                self._lost_sight(place, known)  # deleted and made anew while the watch was interrupted
            self.queue.add(place)
        elif plural in (cache.JOBS, cache.PODS):
            self._look_at_owner(body)
        elif plural == cache.POLICIES:
            self._policies = {
                str(each["metadata"]["name"]): policies.read(each) for each in self._seen.all(cache.POLICIES)
            }
            self.look_at_all()

    def look_at_all(self) -> None:
        """Have every LoadTest looked at: something has changed that concerns all of them."""
        for each in self._seen.all(cache.LOAD_TESTS):
            self.queue.add(cache.place_of(each))
        for place in self._gone:
            self.queue.add(place)

    def _look_at_waiting(self) -> None:
        """Have those looked at that wait for others to end."""
        for each in self._seen.all(cache.LOAD_TESTS):
            if (each.get("status") or {}).get("phase") in _WAITING:
                self.queue.add(cache.place_of(each))

    def _lost_sight(self, place: Place, body: Object) -> None:
        """A LoadTest is gone; its run, if it has one, has to be ended."""
        now = self._clock()
        self._checked.pop(str(body["metadata"]["uid"]), None)
        self._gone = {each: found for each, found in self._gone.items() if found[1] > now - GONE_SECONDS}
        run = read(body.get("status")).run
        if run is not None and run.phase != "Finished":
            self._gone[place] = (body, now)
            self._look_at_waiting()

    def heard(self, run: str) -> None:
        """A hub has said something new of a run."""
        for each in self._seen.all(cache.LOAD_TESTS):
            if ((each.get("status") or {}).get("run") or {}).get("id") == run:
                self.queue.add(cache.place_of(each))

    def plan_of(self, uid: str) -> Plan | None:
        """The plan of a LoadTest that has been looked at and is right. Whoever does not lead has looked at none."""
        known = self._checked.get(uid)
        return known[1].plan if known is not None else None

    def _look_at_owner(self, body: Object) -> None:
        """A Job belongs to its LoadTest, and a pod to its Job, which has the name of the run."""
        namespace = str(body["metadata"]["namespace"])
        for owner in body["metadata"].get("ownerReferences", ()):
            if owner["kind"] == "LoadTest":
                self.queue.add((namespace, owner["name"]))
            elif owner["kind"] == "Job":
                job = self._seen.get(cache.JOBS, (namespace, owner["name"]))
                if job is not None:
                    self._look_at_owner(job)

    # -- one round --------------------------------------------------------------------------------------------

    async def look(self, place: Place) -> float | None:
        """Look at a LoadTest and do what is to be done; returns when to look again."""
        with self._telemetry.looking():
            return await self._look(place)

    async def _look(self, place: Place) -> float | None:
        body = self._seen.get(cache.LOAD_TESTS, place)
        gone, _ = self._gone.get(place, (None, 0.0))
        if gone is not None:
            await self._round(place, gone, deleting=True)
            self._checked.pop(str(gone["metadata"]["uid"]), None)
            self._gone.pop(place, None)
        if body is None:
            self._failures.pop(place, None)
            self._written.pop(place, None)
            return None
        deleting = "deletionTimestamp" in body["metadata"]
        run = read(body.get("status")).run
        if run is None or run.phase != "Launching":
            return await self._round(place, body, deleting=deleting)
        if len(self._launching) >= LAUNCHES:
            return LAUNCH_AGAIN_SECONDS
        self._launching.add(place)
        try:
            return await self._round(place, body, deleting=deleting)
        finally:
            self._launching.discard(place)

    async def _round(self, place: Place, body: Object, *, deleting: bool) -> float | None:
        checked = await self._check(body)
        status = read(body.get("status"))
        runners = checked.plan.runners if checked.plan else ()
        pods = await self._pods(place[0], status.run.id, runners) if status.run is not None else Pods()
        # From here to what is noted of the decision nothing may wait: others count on it.
        seen = self._observe(place, body, checked, status, pods, deleting=deleting)
        decision = decide(seen, self._settings.deadlines)
        written = next((each.status for each in decision.actions if isinstance(each, WriteStatus)), None)
        if _is_active(status) or written is None:
            again = await self._act(place, body, checked, decision)
            if written is not None and not _is_active(written):
                self._look_at_waiting()
            return again
        self._decided[place] = written
        try:
            return await self._act(place, body, checked, decision)
        finally:
            del self._decided[place]

    async def _act(self, place: Place, body: Object, checked: Checked, decision: Decision) -> float | None:
        again, lost_report = decision.again, False
        for wanted in decision.actions:
            action = _without_report(wanted) if lost_report and isinstance(wanted, WriteStatus) else wanted
            if isinstance(action, WriteStatus):
                since = self._clock() - self._written.get(place, -FIGURES_SECONDS)
                if not action.urgent and since < FIGURES_SECONDS:
                    rest = FIGURES_SECONDS - since
                    again = rest if again is None else min(again, rest)
                    continue
                self._written[place] = self._clock()
            try:
                with self._telemetry.acting(type(action).__name__):
                    changed = await self._actor.act(body, checked, action)
            except KubeError as error:
                if error.status == 404 and isinstance(action, WriteStatus | Mark):
                    self.saw(cache.LOAD_TESTS, body, gone=True)  # the watch has missed it
                    return None
                if not isinstance(action, KeepReport) or not _is_final(error):
                    raise
                # A quota or its size keeps the report away; that must not keep the verdict away.
                lost_report = True
                text = f"the report of run {action.run} cannot be kept: {error}"
                await self._actor.act(body, checked, Tell("Warning", "ReportLost", text))
                continue
            if isinstance(action, CleanUp):
                self._notices.forget(place[0], action.run)
            if changed is not None:
                body = changed
                if self._seen.get(cache.LOAD_TESTS, place) is not None:
                    self._seen.put(cache.LOAD_TESTS, body)
        self._failures.pop(place, None)
        return again

    def _failed(self, place: Place, error: Exception) -> None:
        self._failures[place] = str(error)
        self._telemetry.failed(place, error)

    # -- looking ----------------------------------------------------------------------------------------------

    def _observe(
        self, place: Place, body: Object, checked: Checked, status: Status, pods: Pods, *, deleting: bool
    ) -> Observed:
        metadata, run = body["metadata"], status.run
        # Whoever runs already has its place, and is looked at every second: only the others are counted for.
        active, before = ([], []) if _is_active(status) else self._others(body)
        return Observed(
            namespace=place[0],
            name=place[1],
            uid=metadata["uid"],
            generation=int(metadata.get("generation", 0)),
            spec=body.get("spec", {}),
            annotations=metadata.get("annotations") or {},
            status=status,
            now=self._wall(),
            deleting=deleting,
            plan=checked.plan,
            problems=tuple(each.brief for each in checked.problems),
            allowance=policies.allow(
                self._policies,
                place[0],
                metadata.get("labels") or {},
                checked.facts,
                active=active,
                before=before,
            ),
            pods=pods,
            hub=self._hubs.view(run.hub, run.id) if run is not None else self._hubs.view("", ""),
            hubs=tuple(hub for hub in self._settings.hubs if hub in self._hubs.runs),
            failure=self._failures.get(place, ""),
        )

    async def _pods(self, namespace: str, run: str, runners: Sequence[int]) -> Pods:
        job = self._seen.get(cache.JOBS, (namespace, run))
        pods = latest(self._seen.pods_of(namespace, run))
        notices = await self._notices.of(namespace, run) if needs_notices(job, pods, self._wall()) else ()
        return look(job, pods, notices, runners=runners, schedule_seconds=self._settings.deadlines.schedule)

    async def _check(self, body: Object) -> Checked:
        """The manifest, checked once; large ones take a second, in which all others are looked at."""
        uid, generation = str(body["metadata"]["uid"]), int(body["metadata"].get("generation", 0))
        known = self._checked.get(uid)
        if known is None or known[0] != generation:
            async with self._checking:
                found = await asyncio.to_thread(check, body, self._settings.runner)
            known = self._checked[uid] = (generation, found)
        return known[1]

    def _others(self, body: Object) -> tuple[list[str], list[str]]:
        """The namespaces of the LoadTests that run, and of those that wait and came before this one, the oldest first."""
        uid, own = body["metadata"]["uid"], _age(body)
        active: list[str] = []
        before: list[tuple[tuple[str, Place], str]] = []
        for each in self._seen.all(cache.LOAD_TESTS):
            if each["metadata"]["uid"] == uid or "deletionTimestamp" in each["metadata"]:
                continue  # what is being deleted has lost its load, whoever else holds it up
            namespace = str(each["metadata"]["namespace"])
            is_active, waits = self._standing(each)
            if is_active:
                active.append(namespace)
            elif waits and _age(each) < own:
                before.append((_age(each), namespace))
        return active, [namespace for _, namespace in sorted(before)]

    def _standing(self, body: Object) -> tuple[bool, bool]:
        """Whether a LoadTest has a run that is not over, and whether it waits for a place, as it is or is about to be.

        One that is held for another reason, by a halt for instance, takes nobody's turn.
        """
        decided = self._decided.get(cache.place_of(body))
        if decided is not None:
            return _is_active(decided), decided.queue_position is not None
        status = body.get("status") or {}
        is_active = (status.get("run") or {}).get("phase") not in (None, "Finished")
        # A position that somebody else has written stays, as the operator owns what it writes and nothing else.
        return is_active, status.get("phase") in _WAITING and status.get("queuePosition") is not None


def _is_final(error: KubeError) -> bool:
    """Whether another try would be refused too."""
    return HTTPStatus.BAD_REQUEST <= error.status < HTTPStatus.INTERNAL_SERVER_ERROR and error.status not in (
        HTTPStatus.CONFLICT,
        HTTPStatus.TOO_MANY_REQUESTS,
    )


def _without_report(write: WriteStatus) -> WriteStatus:
    """The same status, with a last run whose report is not there."""
    last, *others = write.status.history
    history = (msgspec.structs.replace(last, report=""), *others)
    return replace(write, status=msgspec.structs.replace(write.status, history=history))


def _is_active(status: Status) -> bool:
    return status.run is not None and status.run.phase != "Finished"


def _age(body: Object) -> tuple[str, Place]:
    """What puts LoadTests in order: the older first, and by name what came within the same second."""
    return str(body["metadata"].get("creationTimestamp", "")), cache.place_of(body)
