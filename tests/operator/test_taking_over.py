"""An operator that begins to lead beside a slow API server: it acts on nothing before it knows everything."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration
from support.processes import free_ports

from squall.kube.api import Kube, Observer
from squall.kube.runs import run_id, run_key
from squall_operator import cache, listing, main, replica
from squall_operator.manifests.owned import RUN
from squall_operator.settings import RunnerDefaults, Settings
from squall_operator.times import stamp

pytestmark = pytest.mark.filterwarnings("ignore:Batching settings are now queueing settings")  # kopf, of ours
HUB = "http://127.0.0.1:9"
"""Nobody is there, and nothing here is up to a hub."""
SLOW = 5.0
KINDS = {
    cache.LOAD_TESTS: "LoadTest",
    cache.SCHEDULES: "LoadTestSchedule",
    cache.POLICIES: "LoadTestPolicy",
    cache.JOBS: "Job",
    cache.PODS: "Pod",
}
GROUPS = {
    "/api/v1": [cache.PODS],
    "/apis/batch/v1": [cache.JOBS],
    "/apis/squall.dev/v1alpha1": [cache.LOAD_TESTS, cache.SCHEDULES, cache.POLICIES],
    "/apis/apiextensions.k8s.io/v1": ["customresourcedefinitions"],
}
SPEC = {
    "scenarios": [
        {
            "name": "s",
            "executor": "constant-vus",
            "vus": 1,
            "duration": "10m",
            "steps": [{"http": {"url": "http://a/"}}],
        }
    ]
}


class Server:
    """An API server whose watches show nothing, and some of whose lists are slow.

    Attributes:
        written: What somebody has changed, Leases excepted, and when.
        listed: When each kind was listed for the first time, all of it.
    """

    def __init__(self, slow: str) -> None:
        self.objects: dict[str, list[dict[str, Any]]] = {plural: [] for plural in KINDS}
        self.version = 100
        self.slow = slow
        self.listed: dict[str, float] = {}
        self.written: list[tuple[float, str, str, Any]] = []
        self.lease: dict[str, Any] | None = None

    def writes(self, plural: str) -> list[tuple[float, str, Any]]:
        return [(at, method, body) for at, method, path, body in self.written if f"/{plural}" in path]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path, last = request.path, request.path.rsplit("/", 1)[1]
        if "/leases" in path:
            return await self._lease(request)
        if last == "selfsubjectaccessreviews":
            return web.json_response({"status": {"allowed": True}}, status=201)
        if request.method != "GET":
            self.written.append(
                (time.monotonic(), request.method, path, json.loads(await request.read() or "null"))
            )
            return web.json_response({"metadata": {"name": "x", "namespace": "n"}})
        if path in ("/api", "/apis") or path in GROUPS:
            return web.json_response(_discovered(path))
        if "watch" in request.query:
            response = web.StreamResponse()
            await response.prepare(request)
            await asyncio.sleep(600)
        if last in KINDS:
            return await self._list(last, request)
        return web.json_response({"message": "not found", "reason": "NotFound"}, status=404)

    async def _list(self, plural: str, request: web.Request) -> web.Response:
        body = {
            "kind": f"{KINDS[plural]}List",
            "apiVersion": "v1",
            "metadata": {"resourceVersion": str(self.version)},
            "items": list(self.objects[plural]),
        }
        if request.query.get("limit") != "1":
            await asyncio.sleep(SLOW if plural == self.slow else 0)
            self.listed.setdefault(plural, time.monotonic())
        return web.json_response(body)

    async def _lease(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response(self.lease or {}, status=200 if self.lease else 404)
        self.lease = await request.json()
        self.lease["metadata"]["resourceVersion"] = str(time.monotonic_ns())
        return web.json_response(self.lease)


def _discovered(path: str) -> dict[str, Any]:
    if path == "/api":
        return {"versions": ["v1"]}
    if path == "/apis":
        groups = [each.split("/")[2:] for each in GROUPS if each.startswith("/apis/")]
        return {
            "groups": [
                {
                    "name": group,
                    "versions": [{"groupVersion": f"{group}/{version}", "version": version}],
                    "preferredVersion": {"groupVersion": f"{group}/{version}", "version": version},
                }
                for group, version in groups
            ]
        }
    verbs = ["list", "watch", "get", "patch"]
    return {
        "resources": [
            {
                "name": plural,
                "singularName": "",
                "namespaced": plural != cache.POLICIES,
                "kind": KINDS.get(plural, "CustomResourceDefinition"),
                "verbs": verbs,
            }
            for plural in GROUPS[path]
        ]
    }


@asynccontextmanager
async def operator(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """An operator, all of it."""

    async def connect(manager: str, observe: Observer) -> Kube:
        return Kube(ApiClient(Configuration(host=address)), manager, observe=observe)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    named = {
        "clusters": [{"name": "c", "cluster": {"server": address}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
    config = folder / "kubeconfig"
    config.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **named, "current-context": "x"}))
    monkeypatch.setenv("KUBECONFIG", str(config))
    monkeypatch.setattr(Kube, "connect", connect)
    monkeypatch.setattr(replica, "_HUB_SECONDS", 0.0)
    settings = Settings(hubs=(HUB,), hub_key=b"k", runner=RunnerDefaults(image="i"))
    work = asyncio.create_task(
        main._run(settings, "default", ("127.0.0.1", free_ports(1)[0]), structlog.get_logger())
    )
    try:
        yield
        assert not work.done(), work
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await runner.cleanup()


def load_test(status: dict[str, Any]) -> dict[str, Any]:
    metadata = {"namespace": "n", "name": "shop", "uid": "u1", "generation": 1, "resourceVersion": "7"}
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {**metadata, "creationTimestamp": stamp(time.time() - 120)},
        "spec": SPEC,
        "status": status,
    }


def healthy() -> tuple[dict[str, Any], dict[str, Any]]:
    """A LoadTest under load for a minute, and its Job."""
    key, since = run_key(SPEC, {}), stamp(time.time() - 60)
    run = run_id("shop", "u1", key)
    moments = dict.fromkeys(("acceptedAt", "launchedAt", "startedAt"), since)
    named = {"id": run, "key": key, "phase": "Running", "hub": HUB, "pods": 1, **moments}
    owner = {"apiVersion": "squall.dev/v1alpha1", "kind": "LoadTest", "name": "shop", "uid": "u1"}
    metadata = {"namespace": "n", "name": run, "uid": "j1", "resourceVersion": "8", "labels": {RUN: run}}
    job = {
        "metadata": {**metadata, "creationTimestamp": since, "ownerReferences": [owner]},
        "spec": {},
        "status": {"active": 1},
    }
    return load_test({"phase": "Running", "run": named}), job


async def until(holds: Any, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.05)


async def test_no_run_is_stopped_because_its_job_is_not_known_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, (known, job) = Server(cache.JOBS), healthy()
    server.objects[cache.LOAD_TESTS], server.objects[cache.JOBS] = [known], [job]
    async with operator(server, tmp_path, monkeypatch):
        await until(lambda: server.writes("loadtests/shop/status"))
        at = server.writes("loadtests/shop/status")[0][0]
        assert at > server.listed[cache.JOBS]
    assert "JobDeleted" not in json.dumps(server.written)


async def test_no_load_test_is_accepted_before_policies_are_known_and_a_policy_that_goes_unseen_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SOON", 3.0)
    server = Server(cache.POLICIES)
    server.objects[cache.LOAD_TESTS] = [load_test({})]
    metadata = {"name": "halt", "uid": "p1", "resourceVersion": "9", "generation": 1}
    server.objects[cache.POLICIES] = [{"metadata": metadata, "spec": {"halt": True}}]
    async with operator(server, tmp_path, monkeypatch):
        await until(lambda: server.writes("loadtests/shop/status"))
        (_, _, first), *_ = server.writes("loadtests/shop/status")
        assert first["status"]["phase"] == "Queued"
        assert "Halted" in json.dumps(first)
        server.objects[cache.POLICIES] = []
        server.version += 1
        await until(lambda: len(server.writes("loadtests/shop/status")) > 1, SLOW + 10)
        second = json.dumps(server.writes("loadtests/shop/status")[1])
        assert "NoHub" in second
        assert "Halted" not in second
