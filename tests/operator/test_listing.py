"""What is asked of the API server itself: everything that is there becomes known, what has gone is told, and what is newer than a list stays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from squall.kube.api import KubeError
from squall_operator import cache, listing
from squall_operator.cache import Cache, place_of
from squall_operator.listing import Listing

KINDS = {
    cache.POLICIES: "LoadTestPolicy",
    cache.SCHEDULES: "LoadTestSchedule",
    cache.LOAD_TESTS: "LoadTest",
    cache.JOBS: "Job",
    cache.PODS: "Pod",
}


def made(name: str, version: int, *, namespace: str = "n", uid: str = "") -> dict[str, Any]:
    where = {"namespace": namespace} if namespace else {}
    return {"metadata": {**where, "name": name, "uid": uid or name, "resourceVersion": str(version)}}


class Server:
    """The API server, as far as it lists: whole collections, page by page.

    Attributes:
        between: Called before each answer, when what it holds is settled: the time that it takes to come.
    """

    def __init__(self) -> None:
        self.objects: dict[str, list[dict[str, Any]]] = {plural: [] for plural in KINDS}
        self.version = 100
        self.asked: list[str] = []
        self.refusals: list[KubeError] = []
        self.between: Callable[[str], None] = lambda _plural: None

    async def get(self, path: str) -> dict[str, Any]:
        self.asked.append(path)
        if self.refusals:
            raise self.refusals.pop(0)
        parts, query = urlsplit(path).path.split("/"), parse_qs(urlsplit(path).query)
        plural, limit, first = parts[-1], int(query["limit"][0]), int(query.get("continue", ["0"])[0])
        assert (query.get("labelSelector") == ["squall.dev/run"]) == (plural in (cache.JOBS, cache.PODS))
        within = parts[parts.index("namespaces") + 1] if "namespaces" in parts else ""
        there = [each for each in self.objects[plural] if within in ("", place_of(each)[0])]
        metadata = {"resourceVersion": str(self.version + first)}  # only what the first page says counts
        if first + limit < len(there):
            metadata["continue"] = str(first + limit)
        self.between(plural)
        kind = {"kind": f"{KINDS[plural]}List", "apiVersion": "v1"}
        return {**kind, "metadata": metadata, "items": there[first : first + limit]}


class World:
    def __init__(self, *namespaces: str) -> None:
        self.server, self.seen = Server(), Cache()
        self.told: list[tuple[str, str, bool]] = []
        self.problems: list[str] = []
        self.listing = Listing(self.server, namespaces, self.seen, self.saw, self.problems.append)  # type: ignore[arg-type]

    def saw(self, plural: str, body: Any, gone: bool) -> None:
        self.told.append((plural, body["metadata"]["name"], gone))
        if gone:
            self.seen.drop(plural, body)
        else:
            self.seen.put(plural, body)

    def names(self, plural: str) -> list[str]:
        return sorted(str(each["metadata"]["name"]) for each in self.seen.all(plural))


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "FIRST_RETRY", 0.001)
    monkeypatch.setattr(listing, "PAGE", 2)


async def test_everything_becomes_known_page_by_page() -> None:
    world = World()
    for plural in KINDS:
        namespace = "" if plural == cache.POLICIES else "n"
        world.server.objects[plural] = [made(f"{plural}-{n}", n, namespace=namespace) for n in range(5)]
    await world.listing.until_done()
    for plural, kind in KINDS.items():
        assert world.names(plural) == [f"{plural}-{n}" for n in range(5)]
        assert {each["kind"] for each in world.seen.all(plural)} == {kind}
    assert len(world.server.asked) == 5 * 3
    world.told.clear()
    await world.listing.until_done()
    assert world.told == [], "what is known is not told again"


async def test_jobs_are_asked_for_after_the_load_tests_that_name_them() -> None:
    world = World()
    await world.listing.until_done()
    asked = [urlsplit(path).path.split("/")[-1] for path in world.server.asked]
    assert asked == [cache.POLICIES, cache.SCHEDULES, cache.LOAD_TESTS, cache.JOBS, cache.PODS]


async def test_only_what_is_looked_after_is_asked_for_and_missed() -> None:
    world = World("a", "b")
    world.server.objects[cache.JOBS] = [made("one", 1, namespace="a"), made("other", 2, namespace="c")]
    for namespace in ("a", "b"):
        world.seen.put(cache.LOAD_TESTS, made("gone", 1, namespace=namespace))
    await world.listing.until_done()
    assert world.names(cache.JOBS) == ["one"]
    assert world.told.count((cache.LOAD_TESTS, "gone", True)) == 2
    assert len(world.server.asked) == 1 + 4 * 2
    assert not any("/namespaces/" in path for path in world.server.asked if cache.POLICIES in path)


@pytest.mark.parametrize("plural", KINDS)
async def test_what_has_gone_unseen_is_told(plural: str) -> None:
    world = World()
    world.server.objects[plural] = [made("stays", 7)]
    world.seen.put(plural, made("stays", 7))
    world.seen.put(plural, made("gone", 100))
    await world.listing.until_done()
    assert world.told == [(plural, "gone", True)]


async def test_what_the_watch_has_brought_since_the_list_stays() -> None:
    world = World()
    world.server.objects[cache.JOBS] = [made("a", 5), made("b", 5), made("c", 5)]

    def watch(plural: str) -> None:
        if plural == cache.JOBS:
            world.seen.put(cache.JOBS, made("new", 101))
            world.seen.put(cache.JOBS, made("a", 102))

    world.server.between = watch
    await world.listing.until_done()
    assert world.names(cache.JOBS) == ["a", "b", "c", "new"]
    assert world.seen.get(cache.JOBS, ("n", "a")) == made("a", 102)
    assert (cache.JOBS, "new", True) not in world.told


@pytest.mark.parametrize("known", [True, False])
async def test_what_the_watch_has_seen_going_since_the_list_does_not_come_back(known: bool) -> None:
    world = World()
    world.server.objects[cache.POLICIES] = [made("halt", 5, namespace="")]
    if known:
        world.seen.put(cache.POLICIES, made("halt", 5, namespace=""))

    def watch(plural: str) -> None:
        if plural == cache.POLICIES:
            world.seen.drop(cache.POLICIES, made("halt", 101, namespace=""))

    world.server.between = watch
    await world.listing.until_done()
    assert world.names(cache.POLICIES) == []


async def test_one_that_was_made_anew_is_another_one() -> None:
    world = World()
    world.server.objects[cache.LOAD_TESTS] = [made("shop", 9, uid="new")]
    world.seen.put(cache.LOAD_TESTS, made("shop", 5, uid="old"))
    await world.listing.until_done()
    assert world.told == [(cache.LOAD_TESTS, "shop", False)]
    assert world.seen.get(cache.LOAD_TESTS, ("n", "shop"))["metadata"]["uid"] == "new"  # type: ignore[index]


async def test_it_tries_until_the_api_server_answers_and_forgets_nothing_before() -> None:
    world = World()
    world.seen.put(cache.JOBS, made("run", 5))
    world.server.objects[cache.JOBS] = [made("run", 5)]
    refused = KubeError(403, "no")
    world.server.refusals = [KubeError(0, "away"), KubeError(0, "away"), refused, KubeError(410, "expired")]
    await world.listing.until_done()
    assert [each.split(":")[0] for each in world.problems] == [
        "away",
        "the operator may not list loadtestpolicies; bind the roles that docs/operations.md names",
        "expired",
    ]
    assert world.told == []


async def test_it_is_done_soon_once_more_and_then_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) > 20:
            raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", sleep)
    world = World()
    with pytest.raises(asyncio.CancelledError):
        await world.listing.run()
    assert 24 <= slept[0] <= 36
    assert all(240 <= each <= 360 for each in slept[1:])
    assert len(set(slept)) > 10, "operators do not ask in step"
    assert len(world.server.asked) == 5 * 20, "calls do not depend on how many LoadTests there are"
