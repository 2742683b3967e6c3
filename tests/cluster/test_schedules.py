"""LoadTestSchedules on a real API server: what the operator makes, keeps and writes there, and once with everything that belongs to it."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import load_kube_config
from support.cluster.operated import ENDED, Installation, load_test, manifest, until
from support.controlplane import ControlPlane
from support.kubeclient import Json, KubeClient

from squall.kube.api import Kube
from squall_operator import cache
from squall_operator.cache import Cache
from squall_operator.events import FIELD_MANAGER, Events
from squall_operator.telemetry import Telemetry
from squall_operator.times import unix_of
from squall_operator.timetable import Timetable

NAMESPACE = "default"
SCHEDULES = f"/apis/squall.dev/v1alpha1/namespaces/{NAMESPACE}/loadtestschedules"
TESTS = f"/apis/squall.dev/v1alpha1/namespaces/{NAMESPACE}/loadtests"


def schedule(name: str, template: Json, namespace: str = NAMESPACE, **spec: Any) -> Json:
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTestSchedule",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "schedule": "* * * * *",
            "loadTestTemplate": {"metadata": {"labels": {"team": "shop"}}, "spec": template},
            **spec,
        },
    }


def made_by(kube: KubeClient, name: str, namespace: str = NAMESPACE) -> list[Json]:
    """The LoadTests of a schedule, the oldest first."""
    items = kube.get(f"{load_test('', namespace)[:-1]}?labelSelector=squall.dev/schedule%3D{name}")["items"]
    return sorted(items, key=lambda item: str(item["metadata"]["annotations"]["squall.dev/scheduled-at"]))


# -- with an API server ---------------------------------------------------------------------------------------


class Looker:
    """A timetable whose clock a test sets, and whose cache it fills as the watches would."""

    def __init__(self, kube: KubeClient, client: Kube) -> None:
        self.kube = kube
        self.now = 0.0
        self._seen = Cache()
        self._timetable = Timetable(
            kube=client,
            seen=self._seen,
            events=Events(client, lambda: self.now),
            telemetry=Telemetry(structlog.get_logger()),
            clock=time.monotonic,
            wall=lambda: self.now,
        )

    def apply(self, manifest: Json) -> Json:
        """Apply a schedule; the clock then shows the second in which it was made, so one start is due in each minute from there."""
        applied = self.kube.apply(f"{SCHEDULES}/{manifest['metadata']['name']}", manifest)
        self.now = unix_of(applied["metadata"]["creationTimestamp"]) + 0.5
        return applied

    async def look(self, name: str, *, forget: bool = False) -> Json:
        """Look at a schedule as it is on the server; returns its status. With `forget`, its LoadTests have not been seen yet."""
        self._seen.put(cache.SCHEDULES, self.kube.get(f"{SCHEDULES}/{name}"))
        for known in tuple(self._seen.all(cache.LOAD_TESTS)):
            self._seen.drop(cache.LOAD_TESTS, known)
        for test in [] if forget else self.kube.get(TESTS)["items"]:
            self._seen.put(
                cache.LOAD_TESTS, {"kind": "LoadTest", "apiVersion": "squall.dev/v1alpha1", **test}
            )
        await self._timetable.look((NAMESPACE, name))
        return dict(self.kube.get(f"{SCHEDULES}/{name}")["status"])

    def end(self, name: str, phase: str) -> None:
        """Have a LoadTest end."""
        self.kube.merge_patch(f"{load_test(name, NAMESPACE)}/status", {"status": {"phase": phase}})

    def events(self, name: str) -> list[str]:
        """The reasons of the Events about a schedule."""
        items = self.kube.get(f"/api/v1/namespaces/{NAMESPACE}/events")["items"]
        return [item["reason"] for item in items if item["involvedObject"]["name"] == name]


@pytest.fixture
async def looker(control_plane: ControlPlane, crds: dict[str, Json]) -> AsyncIterator[Looker]:
    del crds
    configuration = Configuration()
    await load_kube_config(config_file=str(control_plane.kubeconfig), client_configuration=configuration)
    client = Kube(ApiClient(configuration), FIELD_MANAGER)
    try:
        yield Looker(control_plane.client, client)
    finally:
        await client.close()


TEMPLATE: Json = {
    "scenarios": [
        {
            "name": "look",
            "executor": "constant-vus",
            "vus": 1,
            "duration": "1m",
            "steps": [{"http": {"url": "http://127.0.0.1:8080/"}}],
        }
    ]
}


@pytest.mark.control_plane
async def test_load_tests_come_and_go_on_schedule(looker: Looker) -> None:
    kube = looker.kube
    applied = looker.apply(schedule("often", TEMPLATE, successfulRunsHistoryLimit=1))
    status = await looker.look("often")
    assert status["nextScheduleTime"]
    assert not made_by(kube, "often")

    looker.now += 60
    status = await looker.look("often")
    (test,) = made_by(kube, "often")
    assert status["active"] == [test["metadata"]["name"]]
    (owner,) = test["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == (
        "LoadTestSchedule",
        applied["metadata"]["uid"],
        True,
    )
    assert test["metadata"]["labels"]["team"] == "shop"
    assert test["spec"] == TEMPLATE
    version = kube.get(f"{SCHEDULES}/often")["metadata"]["resourceVersion"]
    await looker.look("often")
    assert (
        kube.get(f"{SCHEDULES}/often")["metadata"]["resourceVersion"] == version
    )  # an idle look writes nothing

    looker.now += 60
    status = await looker.look("often")  # the one before runs, and Forbid is the default
    assert (len(made_by(kube, "often")), status["missed"]) == (1, 1)
    looker.end(test["metadata"]["name"], "Passed")
    looker.now += 60
    await looker.look("often")
    assert len(made_by(kube, "often")) == 2
    looker.end(made_by(kube, "often")[1]["metadata"]["name"], "Passed")
    await looker.look("often")
    assert [item["metadata"]["name"] for item in made_by(kube, "often")] != [test["metadata"]["name"]]
    assert len(made_by(kube, "often")) == 1
    assert {"LoadTestMade", "StartLeftOut"} <= set(looker.events("often"))


@pytest.mark.control_plane
async def test_a_start_is_made_once_whatever_was_not_seen(looker: Looker) -> None:
    path = f"{SCHEDULES}/twice"
    looker.apply(schedule("twice", TEMPLATE, concurrencyPolicy="Allow"))
    before = await looker.look("twice")
    looker.now += 60
    after = await looker.look("twice")
    # a crash before the status was written: as it was, and no LoadTest has been seen yet
    looker.kube.merge_patch(
        f"{path}/status", {"status": {**before, "active": None, "lastScheduleTime": None}}
    )
    again = await looker.look("twice", forget=True)
    assert len(made_by(looker.kube, "twice")) == 1
    assert (again["active"], again["lastScheduleTime"]) == (after["active"], after["lastScheduleTime"])


@pytest.mark.control_plane
async def test_a_load_test_gives_way_to_the_next(looker: Looker) -> None:
    kube = looker.kube
    looker.apply(schedule("way", TEMPLATE, concurrencyPolicy="Replace"))
    await looker.look("way")
    looker.now += 60
    await looker.look("way")
    (first,) = made_by(kube, "way")
    looker.now += 60
    await looker.look("way")
    (first,) = made_by(kube, "way")
    assert first["spec"]["suspend"] is True
    looker.end(first["metadata"]["name"], "Aborted")
    status = await looker.look("way")
    first, second = made_by(kube, "way")
    assert first["metadata"]["annotations"]["squall.dev/replaced-by"] == second["metadata"]["name"]
    assert (status["active"], status.get("missed")) == ([second["metadata"]["name"]], None)
    assert "suspend" not in second["spec"]


@pytest.mark.control_plane
async def test_a_schedule_that_no_clock_keeps_is_stalled(looker: Looker) -> None:
    looker.apply(schedule("never", TEMPLATE, schedule="0 2 30 2 *"))
    status = await looker.look("never")
    conditions = {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}
    assert conditions["Stalled"] == ("True", "ManifestInvalid")
    assert looker.events("never") == ["ManifestInvalid"]


# -- with a node ----------------------------------------------------------------------------------------------


@pytest.mark.node
@pytest.mark.matrix
@pytest.mark.timeout(300)
def test_a_run_every_minute(squall: Installation) -> None:
    template = manifest("unused", shards=1)["spec"]
    squall.apply(schedule("minute", template, squall.namespace))

    def made() -> list[Json]:
        return made_by(squall.kube, "minute", squall.namespace)

    until(lambda: bool(made()), 75, lambda: "nothing was made within a minute")
    run = squall.wait(made()[0]["metadata"]["name"], *ENDED)
    assert run["phase"] == "Passed", run
    squall.apply(schedule("minute", template, squall.namespace, suspend=True))
    path = SCHEDULES.replace(NAMESPACE, squall.namespace) + "/minute"

    def suspended() -> bool:
        return "nextScheduleTime" not in squall.kube.get(path)["status"]

    until(suspended, 15, lambda: "it was not suspended")
    assert squall.kube.get(path)["status"]["lastScheduleTime"]
