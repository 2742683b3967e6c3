"""The loop around decisions: what it remembers, what it asks for, and what it makes of objects that vanish."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import structlog
from support.summaries import summary

from squall.kube.api import KubeError
from squall.kube.runs import run_id, run_key
from squall_operator import cache
from squall_operator.cache import Cache
from squall_operator.checked import Checked
from squall_operator.hubs import Hubs
from squall_operator.manifests.owned import RUN
from squall_operator.model import (
    Action,
    CleanUp,
    Decision,
    KeepReport,
    Launch,
    Mark,
    StopRun,
    Tell,
    WriteStatus,
)
from squall_operator.notices import SECONDS as EVENTS_SECONDS
from squall_operator.reconcile import GONE_SECONDS, LAUNCHES, Reconciler
from squall_operator.settings import RunnerDefaults, Settings
from squall_operator.status import Status
from squall_operator.telemetry import Telemetry
from squall_operator.times import stamp

PLACE = ("default", "shop")
JOB = {
    "metadata": {
        "namespace": "default",
        "name": "shop-1",
        "uid": "j1",
        "resourceVersion": "1",
        "labels": {RUN: "shop-1"},
        "ownerReferences": [{"kind": "LoadTest", "name": "shop"}],
    },
    "spec": {},
    "status": {},
}
SCENARIO = {
    "name": "s",
    "executor": "constant-vus",
    "vus": 1,
    "duration": "1m",
    "steps": [{"http": {"url": "http://a/"}}],
}


def load_test(version: int = 5, uid: str = "u1", phase: str = "Starting") -> dict[str, Any]:
    run = {"id": run_id("shop", uid, "k"), "key": "k", "phase": phase, "hub": "http://hub:1"}
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {
            "namespace": "default",
            "name": "shop",
            "uid": uid,
            "generation": 1,
            "resourceVersion": str(version),
        },
        "spec": {"scenarios": [SCENARIO]},
        "status": {"phase": phase, "run": run},
    }


class Server:
    """The API server and the actor, which note what they are asked for."""

    def __init__(self) -> None:
        self.events = 0
        self.away = False
        self.missing = False
        self.refuses: int | None = None
        """With what status a report is refused."""
        self.answers = asyncio.Event()
        """Until this is set, writes of a status are under way."""
        self.answers.set()
        self.acted: list[Action] = []

    async def get(self, path: str) -> dict[str, Any]:
        assert "/events?" in path
        self.events += 1
        if self.away:
            raise KubeError(0, "away")
        return {"items": []}

    async def act(self, body: Any, checked: Any, action: Action) -> None:
        del body, checked
        if self.refuses is not None and isinstance(action, KeepReport):
            raise KubeError(self.refuses, "no")
        if self.missing and isinstance(action, WriteStatus):
            raise KubeError(404, "not found", "NotFound")
        self.acted.append(action)
        if isinstance(action, WriteStatus):
            await self.answers.wait()


class World:
    def __init__(self) -> None:
        self.now = 1000.0
        self.server, self.seen = Server(), Cache()
        settings = Settings(hubs=("http://hub:1",), hub_key=b"k", runner=RunnerDefaults(image="i"))
        self.reconciler = Reconciler(
            settings,
            kube=self.server,  # type: ignore[arg-type]
            seen=self.seen,
            hubs=Hubs(settings.hubs, b"k", ""),
            actor=self.server,  # type: ignore[arg-type]
            telemetry=Telemetry(structlog.get_logger()),
            clock=lambda: self.now,
            wall=lambda: self.now,
        )


async def test_a_job_without_pods_has_its_events_asked_for_now_and_then() -> None:
    world = World()
    world.reconciler.saw(cache.LOAD_TESTS, load_test(), gone=False)
    world.reconciler.saw(cache.JOBS, JOB, gone=False)
    for _ in range(20):
        await world.reconciler._pods("default", "shop-1", 1)
        world.now += EVENTS_SECONDS / 10
    assert world.server.events == 2
    world.server.away = True
    world.now += EVENTS_SECONDS
    assert (await world.reconciler._pods("default", "shop-1", 1)).job, "no decision waits for Events"


async def test_a_load_test_that_is_deleted_has_its_run_stopped_and_cleaned_up_once() -> None:
    world = World()
    world.reconciler.saw(cache.LOAD_TESTS, load_test(), gone=False)
    world.reconciler.saw(cache.LOAD_TESTS, load_test(6), gone=True)
    await world.reconciler.look(PLACE)
    await world.reconciler.look(PLACE)
    assert [type(each) for each in world.server.acted] == [StopRun, CleanUp]
    assert world.reconciler._checked == {}


async def test_one_that_was_deleted_and_made_anew_unseen_has_its_old_run_stopped() -> None:
    world = World()
    world.reconciler.saw(cache.LOAD_TESTS, load_test(), gone=False)
    new = load_test(9, uid="u2")
    world.reconciler.saw(cache.LOAD_TESTS, {**new, "status": {}}, gone=False)
    await world.reconciler.look(PLACE)
    assert [type(each) for each in world.server.acted[:2]] == [StopRun, CleanUp]


async def test_one_whose_deletion_the_watch_has_missed_is_noticed_by_the_next_write() -> None:
    world = World()
    world.reconciler.saw(cache.LOAD_TESTS, load_test(), gone=False)
    world.server.missing = True
    await world.reconciler.look(PLACE)
    assert world.seen.get(cache.LOAD_TESTS, PLACE) is None
    world.server.acted.clear()
    await world.reconciler.look(PLACE)
    assert [type(each) for each in world.server.acted] == [StopRun, CleanUp]


async def test_who_does_not_lead_forgets_what_was_deleted_long_ago() -> None:
    world = World()
    world.reconciler.saw(cache.LOAD_TESTS, load_test(), gone=True)
    assert PLACE in world.reconciler._gone
    world.now += GONE_SECONDS + 1
    other = load_test(7, uid="u3", phase="Finished")
    other["metadata"]["name"] = "other"
    world.reconciler.saw(cache.LOAD_TESTS, other, gone=True)
    assert world.reconciler._gone == {}


async def test_of_two_that_come_at_once_one_takes_the_last_place_and_neither_waits_for_the_others_write() -> (
    None
):
    world = World()
    world.reconciler._hubs._known["http://hub:1"] = {}
    limit = {"metadata": {"name": "one", "resourceVersion": "1"}, "spec": {"maxConcurrentRuns": 1}}
    world.reconciler.saw(cache.POLICIES, limit, gone=False)
    names = ("first", "second", "third")
    for name in names:
        body = load_test(uid=name)
        new = {**body, "metadata": {**body["metadata"], "name": name}, "status": {}}
        world.reconciler.saw(cache.LOAD_TESTS, new, gone=False)
    world.server.answers.clear()
    looks = [asyncio.create_task(world.reconciler.look(("default", name))) for name in names]
    written: list[Status] = []
    async with asyncio.timeout(20):
        while len(written) < len(names):
            await asyncio.sleep(0.01)
            written = [each.status for each in world.server.acted if isinstance(each, WriteStatus)]
    assert [each.phase for each in written] == ["Launching", "Queued", "Queued"]
    assert [each.queue_position for each in written] == [None, 1, 2]
    world.server.answers.set()
    await asyncio.gather(*looks)


async def test_a_place_in_the_queue_that_somebody_wrote_into_a_status_is_none() -> None:
    world = World()
    world.reconciler._hubs._known["http://hub:1"] = {}
    limit = {"metadata": {"name": "one", "resourceVersion": "1"}, "spec": {"maxConcurrentRuns": 1}}
    world.reconciler.saw(cache.POLICIES, limit, gone=False)
    over = load_test(uid="u2", phase="Finished")
    over = {**over, "metadata": {**over["metadata"], "name": "a-first"}}
    over["status"] |= {"phase": "Passed", "queuePosition": 1}
    world.reconciler.saw(cache.LOAD_TESTS, over, gone=False)
    world.reconciler.saw(cache.LOAD_TESTS, {**load_test(), "status": {}}, gone=False)
    await world.reconciler.look(PLACE)
    written = [each.status for each in world.server.acted if isinstance(each, WriteStatus)]
    assert [each.phase for each in written] == ["Launching"]


async def test_the_end_of_a_run_has_those_looked_at_that_wait_for_it() -> None:
    world = World()
    waiting = load_test(uid="u2")
    waiting = {**waiting, "metadata": {**waiting["metadata"], "name": "next"}, "status": {"phase": "Queued"}}
    world.reconciler.saw(cache.LOAD_TESTS, waiting, gone=False)
    world.reconciler.saw(cache.LOAD_TESTS, load_test(phase="Launching"), gone=False)
    while world.reconciler.queue.waiting:
        await world.reconciler.queue._next()
    await world.reconciler.look(PLACE)  # its key is another one: the run is replaced, so it ends
    assert await world.reconciler.queue._next() == ("default", "next")


async def test_many_that_are_launched_leave_room_for_those_that_run() -> None:
    world = World()
    world.reconciler._hubs._known["http://hub:1"] = {}
    names = [f"new-{number}" for number in range(3 * LAUNCHES)]
    for name in names:
        body = load_test(uid=name, phase="Launching")
        body["metadata"]["name"] = name
        key = run_key(body["spec"], {})
        own = {"id": run_id(name, name, key), "key": key, "acceptedAt": stamp(world.now)}
        body["status"]["run"] |= own
        world.reconciler.saw(cache.LOAD_TESTS, body, gone=False)
    world.server.answers.clear()
    work = asyncio.create_task(world.reconciler.queue.run(hands=2 * LAUNCHES))

    def launches() -> list[str]:
        return [each.run for each in world.server.acted if isinstance(each, Launch)]

    async with asyncio.timeout(30):
        while len(launches()) < LAUNCHES:
            await asyncio.sleep(0.01)
        world.reconciler.saw(cache.LOAD_TESTS, load_test(), gone=False)
        while len([each for each in world.server.acted if isinstance(each, WriteStatus)]) <= LAUNCHES:
            await asyncio.sleep(0.01)
        assert len(launches()) == LAUNCHES
        world.server.answers.set()
        while len(set(launches())) < len(names):
            world.now += 1
            world.reconciler.look_at_all()
            await asyncio.sleep(0.01)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


@pytest.mark.parametrize("status", [403, 413, 422])
async def test_a_report_that_is_refused_does_not_keep_the_verdict_away(status: int) -> None:
    world = World()
    world.server.refuses = status
    body = load_test(phase="Running")
    key = run_key(body["spec"], {})
    run = run_id("shop", "u1", key)
    body["status"]["run"] |= {"id": run, "key": key}
    world.reconciler.saw(cache.LOAD_TESTS, body, gone=False)
    world.reconciler._hubs._summaries["http://hub:1", run] = (summary(run=run), 0.0)
    await world.reconciler.look(PLACE)
    (written,) = [each.status for each in world.server.acted if isinstance(each, WriteStatus)]
    assert written.verdict is not None
    assert [past.report for past in written.history] == [""]
    assert "ReportLost" in [each.reason for each in world.server.acted if isinstance(each, Tell)]


@pytest.mark.parametrize("status", [0, 409, 429, 503])
async def test_a_report_that_may_be_taken_later_is_waited_for(status: int) -> None:
    world = World()
    world.server.refuses = status
    with pytest.raises(KubeError):
        await world.reconciler._act(
            PLACE, load_test(), Checked(), Decision((KeepReport("r", summary()), Mark("r Passed")))
        )
    assert world.server.acted == []
