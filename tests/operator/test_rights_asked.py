"""What the operator says of rights that are missing, and when; that an API server judges them is tried in tests/cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from squall.kube.api import KubeError
from squall_operator import rights
from squall_operator.rights import Right, Rights, explain, needed
from squall_operator.settings import RunnerDefaults, Settings

SETTINGS = Settings(hubs=(), hub_key=b"k", runner=RunnerDefaults(image="runner"))
EVERY = needed(SETTINGS, "squall-system")


class Server:
    """An API server that refuses some rights, or does not say."""

    def __init__(self) -> None:
        self.refused: set[tuple[str, str]] = set()
        self.error: KubeError | None = None
        self.asked = 0

    async def create(self, path: str, body: Any) -> Any:
        self.asked += 1
        if self.error is not None:
            raise self.error
        assert path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        wanted = body["spec"]["resourceAttributes"]
        return {"status": {"allowed": (wanted["verb"], wanted["resource"]) not in self.refused}}


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("AGAIN", 0.01), ("SOON", 0.01), ("EVERY", 0.05)):
        monkeypatch.setattr(rights, name, seconds)


class Told:
    """The two ways in which something is told."""

    def __init__(self, server: Server) -> None:
        self.waiting: list[str] = []
        self.lacking: list[str] = []
        self.refused = asyncio.Event()
        self.rights = Rights(
            server,  # type: ignore[arg-type]
            EVERY,
            self.refused,
            waiting=self.waiting.append,
            lacking=self.lacking.append,
        )


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.005)


async def test_it_waits_for_what_it_needs_and_goes_without_the_rest() -> None:
    server = Server()
    told = Told(server)
    server.refused = {("create", "jobs"), ("get", "events"), ("list", "events")}
    waiting = asyncio.create_task(told.rights.wait())
    await until(lambda: server.asked > len(EVERY) + 2 * len(server.refused))
    assert [len(told.waiting), len(told.lacking)] == [1, 0], "what is known is not told again"
    assert "may not create jobs.batch (they make the pods of runs); give it the roles" in told.waiting[0]
    server.refused -= {("create", "jobs")}
    await asyncio.wait_for(waiting, 20)
    (text,) = told.lacking
    assert text.startswith("the operator may not get, list events (it tells people,")


async def test_an_api_server_that_is_away_is_waited_for() -> None:
    server = Server()
    told = Told(server)
    server.error = KubeError(0, "the Kubernetes API does not answer: x")
    waiting = asyncio.create_task(told.rights.wait())
    await until(lambda: bool(told.waiting))
    server.error = None
    await asyncio.wait_for(waiting, 20)
    assert told.waiting == ["the Kubernetes API does not answer: x"]
    assert told.lacking == []


async def test_one_that_does_not_let_anybody_ask_is_no_reason_to_wait() -> None:
    server = Server()
    told = Told(server)
    server.error = KubeError(403, "no")
    await asyncio.wait_for(told.rights.wait(), 20)
    assert told.waiting == []
    assert "bind the role system:basic-user to it: no" in told.lacking[0]


async def test_what_is_taken_away_later_is_told_once_and_told_again_when_it_changes() -> None:
    server = Server()
    told = Told(server)
    watching = asyncio.create_task(told.rights.watch())
    server.refused = {("create", "events")}
    told.refused.set()
    await until(lambda: len(told.lacking) == 1)
    so_far = server.asked
    told.refused.set()
    await until(lambda: server.asked >= so_far + 2 * len(EVERY))
    assert len(told.lacking) == 1
    server.refused = {("delete", "jobs")}  # which nothing was refused for: it is asked now and then
    await until(lambda: len(told.lacking) == 2)
    assert "delete jobs.batch" in told.lacking[1]
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


def test_many_are_counted_and_places_are_named() -> None:
    text = explain([Right(each.need, each.verb, "team-a") for each in EVERY])
    assert "get, list, watch, create, patch, delete loadtests.squall.dev in namespace team-a (" in text
    assert "patch loadtests.squall.dev/status in namespace team-a" in text
    assert "and 5 resources more; give it the roles" in text
