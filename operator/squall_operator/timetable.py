"""The loop around `schedules.decide`: look at a LoadTestSchedule and its LoadTests, decide, act, and come back when a start is due.

Looking makes no call: the watches have brought everything here before. Each action does no harm when it is repeated. Only before a LoadTest
is made the API server is asked whether the schedule still is what it seems to be: watches can miss its end, and nobody wants load from a
schedule that somebody has deleted.
"""

from __future__ import annotations

from http.client import NOT_FOUND
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import msgspec

from squall.kube.api import KubeError
from squall.kube.paths import collection, named
from squall.spec.base import API_VERSION
from squall.validation import ManifestError
from squall_operator import cache
from squall_operator.checked import read_stored
from squall_operator.manifests import scheduled
from squall_operator.model import Tell
from squall_operator.queue import WorkQueue
from squall_operator.schedules import (
    GiveWay,
    Make,
    Remove,
    SeenSchedule,
    WriteSchedule,
    decide,
    read_status,
)
from squall_operator.times import unix_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from squall.kube.api import Json, Kube
    from squall_operator.cache import Cache, Place
    from squall_operator.events import Events
    from squall_operator.schedules import ScheduleAction, ScheduleStatus
    from squall_operator.telemetry import Telemetry

    Object = Mapping[str, Any]

_PLURAL: Final = cache.SCHEDULES


class Timetable:
    """Looks after all LoadTestSchedules.

    Args:
        kube: The API server.
        seen: What the watches show; filled by somebody else.
        events: Tells people.
        telemetry: Counts what is done.
        clock: Seconds, monotonic.
        wall: Unix time.
    """

    def __init__(
        self,
        *,
        kube: Kube,
        seen: Cache,
        events: Events,
        telemetry: Telemetry,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._kube = kube
        self._seen = seen
        self._events = events
        self._telemetry = telemetry
        self._wall = wall
        self._checked: dict[Place, tuple[tuple[str, int], tuple[str, ...]]] = {}
        """What is wrong with each schedule, by its UID and generation."""
        self.queue: WorkQueue[Place] = WorkQueue(self.look, telemetry.failed, clock)

    def saw(self, plural: str, body: Object) -> None:
        """A watch has shown something, and the cache has it."""
        place = cache.place_of(body)
        if plural == _PLURAL:
            self.queue.add(place)
        elif plural == cache.LOAD_TESTS and (owner := scheduled.schedule_of(body)) is not None:
            self.queue.add((place[0], owner[0]))

    def look_at_all(self) -> None:
        """Have every schedule looked at."""
        for each in self._seen.all(_PLURAL):
            self.queue.add(cache.place_of(each))

    async def look(self, place: Place) -> float | None:
        """Look at a schedule and do what is to be done; returns when to look again.

        Raises:
            KubeError: The API server refused, or is not there.
        """
        body = self._seen.get(_PLURAL, place)
        if body is None or "deletionTimestamp" in body["metadata"]:
            self._checked.pop(place, None)
            return None
        decision = decide(self._observe(place, body))
        begins = any(isinstance(each, Make | GiveWay) for each in decision.actions)
        if begins and not await self._is_as_seen(place, body):
            return None
        for action in decision.actions:
            try:
                with self._telemetry.acting(type(action).__name__):
                    await self._act(body, action)
            except KubeError as error:
                if error.status == NOT_FOUND and isinstance(action, WriteSchedule):
                    self._lost_sight(place, body)
                    return None
                raise
        return decision.again

    async def _is_as_seen(self, place: Place, body: Object) -> bool:
        """Whether a schedule is still there and wants the same; if not, the cache knows afterwards."""
        # A list of one, since the operator may list schedules and not get them.
        query = urlencode({"fieldSelector": f"metadata.name={place[1]}"})
        listed = await self._kube.get(f"{collection(_PLURAL, place[0])}?{query}")
        now = next(iter(listed.get("items") or ()), None)
        if now is None or now["metadata"]["uid"] != body["metadata"]["uid"]:
            self._lost_sight(place, body)
        if now is None:
            return False
        self._seen.put(_PLURAL, now)
        if _wish(now) == _wish(body):
            return True
        self.queue.add(place)
        return False

    def _lost_sight(self, place: Place, body: Object) -> None:
        """A schedule is gone, and the watch has not said so."""
        self._seen.drop(_PLURAL, body)
        self._checked.pop(place, None)

    def _observe(self, place: Place, body: Object) -> SeenSchedule:
        metadata = body["metadata"]
        uid = str(metadata["uid"])
        own = [
            scheduled.made(each)
            for each in self._seen.all(cache.LOAD_TESTS)
            if each["metadata"].get("namespace") == place[0]
            and (owner := scheduled.schedule_of(each)) is not None
            and owner[1] == uid
        ]
        return SeenSchedule(
            name=place[1],
            generation=int(metadata.get("generation", 0)),
            created=unix_of(metadata.get("creationTimestamp", "")),
            spec=body["spec"],
            status=read_status(body.get("status")),
            now=self._wall(),
            made=tuple(own),
            problems=self._problems(place, body),
        )

    def _problems(self, place: Place, body: Object) -> tuple[str, ...]:
        key = str(body["metadata"]["uid"]), int(body["metadata"].get("generation", 0))
        known = self._checked.get(place)
        if known is None or known[0] != key:
            known = self._checked[place] = (key, check(body))
        return known[1]

    # -- acting -----------------------------------------------------------------------------------------------

    async def _act(self, body: Object, action: ScheduleAction) -> None:
        namespace = str(body["metadata"]["namespace"])
        match action:
            case Make():
                await self._make(body, namespace, action)
            case GiveWay(name):
                await self._kube.merge(named("loadtests", namespace, name), scheduled.giving_way(action))
            case Remove(name):
                background = {"propagationPolicy": "Background"}
                await self._kube.delete(named("loadtests", namespace, name), body=background)
            case WriteSchedule(status):
                await self._write(body, status)
            case Tell(kind, reason, message):
                await self._events.tell(body, kind, reason, message)

    async def _make(self, body: Object, namespace: str, make: Make) -> None:
        """Make a LoadTest. One of that name that is somebody else's stays, and is told of."""
        try:
            await self._kube.create(collection("loadtests", namespace), scheduled.load_test(body, make))
        except KubeError as error:
            if error.reason == "AlreadyExists":
                there = await self._kube.get(named("loadtests", namespace, make.name))
                if scheduled.schedule_of(there) != (body["metadata"]["name"], body["metadata"]["uid"]):
                    text = f"there is a LoadTest {make.name} of somebody else"
                    await self._events.tell(body, "Warning", "NameTaken", text)
                return
            if error.status:
                await self._events.tell(body, "Warning", "LoadTestRefused", error.message)
            raise

    async def _write(self, body: Object, status: ScheduleStatus) -> None:
        metadata: Json = {key: body["metadata"][key] for key in ("name", "namespace", "uid")}
        path = named(_PLURAL, metadata["namespace"], metadata["name"], "status")
        whole = {
            "apiVersion": API_VERSION,
            "kind": "LoadTestSchedule",
            "metadata": metadata,
            "status": msgspec.to_builtins(status),
        }
        changed = await self._kube.apply(path, whole)
        if self._seen.get(_PLURAL, cache.place_of(body)) is not None:
            self._seen.put(_PLURAL, changed)


def _wish(body: Object) -> tuple[Any, ...]:
    """What somebody wants of a schedule; another one when this changes."""
    metadata = body["metadata"]
    return metadata["uid"], metadata.get("generation"), "deletionTimestamp" in metadata


def check(body: Object) -> tuple[str, ...]:
    """What is wrong with a schedule as it came from the API server, by the same code as `squall validate`."""
    try:
        read_stored(body)
    except ManifestError as error:
        return tuple(each.brief for each in error.problems)
    return ()
