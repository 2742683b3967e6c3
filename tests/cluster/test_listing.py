"""What the operator lists of a real API server: all pages, and what went while no watch looked."""

from __future__ import annotations

import secrets
import time
from typing import Any

import pytest
import structlog
from support.controlplane import ControlPlane
from support.kubeclient import Json
from support.kubes import client_of

from squall_operator import cache, listing
from squall_operator.cache import Cache
from squall_operator.events import Events
from squall_operator.listing import Listing
from squall_operator.telemetry import Telemetry
from squall_operator.timetable import Timetable

pytestmark = pytest.mark.control_plane
SQUALL = "/apis/squall.dev/v1alpha1"
SCENARIO: Json = {
    "name": "look",
    "executor": "constant-vus",
    "vus": 1,
    "duration": "1m",
    "steps": [{"http": {"url": "http://127.0.0.1:8080/"}}],
}


def fill(seen: Cache, told: list[tuple[str, str, bool]], plural: str, body: Any, gone: bool) -> None:
    told.append((plural, body["metadata"]["name"], gone))
    if gone:
        seen.drop(plural, body)
    else:
        seen.put(plural, body)


async def test_what_goes_in_a_gap_of_the_watch_is_noticed_and_makes_nothing_meanwhile(
    control_plane: ControlPlane, crds: dict[str, Json], monkeypatch: pytest.MonkeyPatch
) -> None:
    del crds
    monkeypatch.setattr(listing, "PAGE", 3)
    client, namespace = control_plane.client, f"listed-{secrets.token_hex(3)}"
    client.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    here = f"{SQUALL}/namespaces/{namespace}"
    common = {"apiVersion": "squall.dev/v1alpha1"}
    for number in range(7):
        metadata = {"name": f"shop-{number}", "namespace": namespace}
        load_test = {"kind": "LoadTest", "metadata": metadata, "spec": {"scenarios": [SCENARIO]}}
        client.apply(f"{here}/loadtests/shop-{number}", {**common, **load_test})
    schedule = {
        "kind": "LoadTestSchedule",
        "metadata": {"name": "often", "namespace": namespace},
        "spec": {"schedule": "* * * * *", "loadTestTemplate": {"spec": {"scenarios": [SCENARIO]}}},
    }
    client.apply(f"{here}/loadtestschedules/often", {**common, **schedule})
    policy = f"{SQUALL}/loadtestpolicies/{namespace}"
    halt = {"kind": "LoadTestPolicy", "metadata": {"name": namespace}, "spec": {"halt": True}}
    seen, told = Cache(), list[tuple[str, str, bool]]()
    async with client_of(control_plane) as kube:
        looking = Listing(kube, [namespace], seen, lambda *what: fill(seen, told, *what), pytest.fail)
        client.apply(policy, {**common, **halt})
        try:
            await looking.until_done()
            assert sum(1 for _ in seen.all(cache.LOAD_TESTS)) == 7
            assert {each["kind"] for each in seen.all(cache.POLICIES)} == {"LoadTestPolicy"}
            assert seen.get(cache.POLICIES, ("", namespace)) is not None
            told.clear()
            await looking.until_done()
            assert told == []
        finally:
            client.delete(policy)
        client.delete(f"{here}/loadtests/shop-3")
        client.delete(f"{here}/loadtestschedules/often")

        def late() -> float:
            return time.time() + 180

        table = Timetable(
            kube=kube,
            seen=seen,
            events=Events(kube, late),
            telemetry=Telemetry(structlog.get_logger()),
            clock=time.monotonic,
            wall=late,
        )
        ghost = seen.get(cache.SCHEDULES, (namespace, "often"))
        assert ghost is not None
        await table.look((namespace, "often"))
        assert len(client.get(f"{here}/loadtests")["items"]) == 6, "a schedule that is gone makes none"
        seen.put(cache.SCHEDULES, ghost)
        await looking.until_done()
    assert {(cache.POLICIES, namespace, True), (cache.LOAD_TESTS, "shop-3", True)} <= set(told)
    assert {(cache.SCHEDULES, "often", True)} <= set(told)
    assert sum(1 for _ in seen.all(cache.LOAD_TESTS)) == 6
