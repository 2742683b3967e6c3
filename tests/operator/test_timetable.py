"""The loop around schedules: a schedule whose end or change the watch has missed makes nothing more."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from squall.kube.api import KubeError
from squall_operator import cache
from squall_operator.cache import Cache
from squall_operator.events import Events
from squall_operator.telemetry import Telemetry
from squall_operator.timetable import Timetable

PLACE = ("n", "nightly")
START = 1_800_000_000.0
SCENARIO = {
    "name": "s",
    "executor": "constant-vus",
    "vus": 1,
    "duration": "1m",
    "steps": [{"http": {"url": "http://a/"}}],
}


def schedule(version: int = 5, *, uid: str = "u1", generation: int = 1, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTestSchedule",
        "metadata": {
            "namespace": "n",
            "name": "nightly",
            "uid": uid,
            "generation": generation,
            "resourceVersion": str(version),
            "creationTimestamp": "2027-01-14T00:00:00Z",
        },
        "spec": {
            "schedule": "0 * * * *",
            "loadTestTemplate": {"spec": {"scenarios": [SCENARIO]}},
            **spec,
        },
        "status": {"settledUntil": "2027-01-15T07:30:00Z", "schedule": "0 * * * * Etc/UTC"},
    }


class Server:
    """The API server with one schedule, or none any more.

    Attributes:
        going: It goes after it was asked for.
    """

    def __init__(self, there: dict[str, Any] | None) -> None:
        self.there = there
        self.going = False
        self.made: list[str] = []
        self.suspended: list[str] = []
        self.written = 0

    async def get(self, path: str) -> dict[str, Any]:
        assert path.endswith("/n/loadtestschedules?fieldSelector=metadata.name%3Dnightly")
        found, self.there = self.there, None if self.going else self.there
        return {"items": [found] if found else []}

    async def create(self, path: str, body: Any) -> dict[str, Any]:
        if path.endswith("/loadtests"):
            self.made.append(body["metadata"]["name"])
        return dict(body)

    async def merge(self, path: str, body: Any) -> dict[str, Any]:
        self.suspended.append(path.rsplit("/", 1)[1])
        return dict(body)

    async def apply(self, path: str, body: Any) -> dict[str, Any]:
        assert path.endswith("/nightly/status")
        self.written += 1
        if self.there is None:
            raise KubeError(404, 'loadtestschedules "nightly" not found', "NotFound")
        version = int(self.there["metadata"]["resourceVersion"]) + 1
        return {**self.there, "metadata": {**self.there["metadata"], "resourceVersion": str(version)}, **body}


class World:
    def __init__(self, there: dict[str, Any] | None, known: dict[str, Any]) -> None:
        self.now = START
        self.server, self.seen = Server(there), Cache()
        self.timetable = Timetable(
            kube=self.server,  # type: ignore[arg-type]
            seen=self.seen,
            events=Events(self.server, lambda: self.now),  # type: ignore[arg-type]
            telemetry=Telemetry(structlog.get_logger()),
            clock=lambda: self.now,
            wall=lambda: self.now,
        )
        self.seen.put(cache.SCHEDULES, known)

    async def look(self) -> float | None:
        return await self.timetable.look(PLACE)


async def test_one_that_is_there_makes_its_load_test() -> None:
    world = World(schedule(), schedule())
    assert await world.look()
    assert len(world.server.made) == 1


async def test_one_that_has_gone_unseen_makes_none_and_is_forgotten() -> None:
    world = World(None, schedule())
    for _ in range(5):
        assert await world.look() is None
        world.now += 3600
    assert (world.server.made, world.server.written) == ([], 0)
    assert world.seen.get(cache.SCHEDULES, PLACE) is None


async def test_one_that_goes_before_its_status_is_written_is_forgotten() -> None:
    world = World(schedule(), schedule())
    world.server.going = True
    assert await world.look() is None
    assert world.seen.get(cache.SCHEDULES, PLACE) is None
    assert await world.look() is None
    assert len(world.server.made) == 1


@pytest.mark.parametrize(
    "there",
    [schedule(9, generation=2, suspend=True), schedule(9, uid="u2", suspend=True)],
    ids=["changed", "made anew"],
)
async def test_one_that_was_changed_unseen_makes_what_it_says_now(there: dict[str, Any]) -> None:
    world = World(there, schedule())
    assert await world.look() is None
    assert world.timetable.queue.waiting == 1, "it is looked at anew"
    await world.look()
    assert world.server.made == []
    known = world.seen.get(cache.SCHEDULES, PLACE)
    assert known is not None
    assert known["metadata"]["uid"] == there["metadata"]["uid"]


async def test_nothing_gives_way_to_a_schedule_that_has_gone() -> None:
    world = World(None, schedule(concurrencyPolicy="Replace"))
    owner = {"kind": "LoadTestSchedule", "name": "nightly", "uid": "u1"}
    metadata = {"namespace": "n", "name": "nightly-1", "uid": "t1", "ownerReferences": [owner]}
    created = {"creationTimestamp": "2027-01-15T07:00:00Z"}
    world.seen.put(
        cache.LOAD_TESTS, {"metadata": {**metadata, **created}, "status": {"phase": "Running"}, "spec": {}}
    )
    assert await world.look() is None
    assert world.server.suspended == []


async def test_a_look_at_which_nothing_is_due_asks_for_nothing() -> None:
    world = World(schedule(), schedule())
    world.now -= 1800
    await world.look()

    async def never(path: str) -> dict[str, Any]:
        raise AssertionError(path)

    world.server.get = never  # type: ignore[method-assign]
    await world.look()
