"""The webhook's certificate changes while a real API server goes on calling, and no call fails."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import structlog
from support.controlplane import ControlPlane
from support.hooked import CONFIGURATIONS, NAMESPACE, SECRET, configuration, load_test, refusal
from support.kubeclient import ApiError, Json, KubeClient
from support.kubes import client_of
from support.processes import free_ports

from squall.hub.certificates import Certificates
from squall.kube.api import Kube, KubeError
from squall_operator.admission.certificate import OVERLAP, RENEWED
from squall_operator.admission.desk import Desk
from squall_operator.admission.keeper import Keeper
from squall_operator.admission.server import serve_reviews
from squall_operator.settings import RunnerDefaults, Settings
from squall_operator.telemetry import Telemetry

pytestmark = [pytest.mark.control_plane, pytest.mark.timeout(180, func_only=True)]

SETTINGS = Settings(hubs=(), hub_key=b"k", runner=RunnerDefaults(image="runner"))


class Replica:
    """One that looks when a test says so, at the time that the test says it is."""

    def __init__(self, kube: Kube, folder: Path, now: Callable[[], dt.datetime]) -> None:
        self.said: list[str] = []
        self.file = folder / "webhook.pem"
        self._kube = kube
        (port,) = free_ports(1)
        self.address = ("127.0.0.1", port)
        self.url = f"https://127.0.0.1:{port}/review"
        self.keeper = Keeper(
            kube, NAMESPACE, "squall", "127.0.0.1", self.file, wall=now, tell=self.said.append
        )

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        """As one process of many does it."""
        desk = Desk(self._kube, SETTINGS, time.monotonic)
        certificates = Certificates(self.file, self.file, lambda _, text: self.said.append(text))
        web = await serve_reviews(desk, Telemetry(structlog.get_logger()), self.address, certificates.context)
        try:
            yield
        finally:
            await web.cleanup()
            desk.close()


@pytest.fixture
async def kube_of_operator(control_plane: ControlPlane, crds: dict[str, Json]) -> AsyncIterator[Kube]:
    del crds
    async with client_of(control_plane) as kube:
        yield kube
    for path in (f"{CONFIGURATIONS}/squall", SECRET):
        with suppress(ApiError):
            control_plane.client.delete(path)


async def called(kube: KubeClient, url: str) -> None:
    """Have the API server call one of them from now on; each time over a new connection, as it has another URL."""
    stored = await asyncio.to_thread(kube.get, f"{CONFIGURATIONS}/squall")
    for each in stored["webhooks"]:
        each["clientConfig"]["url"] = url
    await asyncio.to_thread(kube.request, "PUT", f"{CONFIGURATIONS}/squall", stored)


async def answers(kube: KubeClient, url: str) -> None:
    """The API server calls this one, trusts it, and gets an answer, as soon as it knows what it is to trust."""
    await called(kube, url)
    said = "not called"
    with suppress(TimeoutError):
        async with asyncio.timeout(20):
            while said:
                said = await asyncio.to_thread(refusal, kube, load_test("rotation"))
    assert said == ""


async def test_two_replicas_go_through_a_renewal(
    control_plane: ControlPlane, kube_of_operator: Kube, tmp_path: Path
) -> None:
    real = dt.datetime.now(dt.UTC)
    now = real - RENEWED
    kube = control_plane.client
    kube.apply(f"{CONFIGURATIONS}/squall", configuration("https://127.0.0.1:1/review"))
    replicas = []
    for name in "ab":
        (tmp_path / name).mkdir()
        replicas.append(Replica(kube_of_operator, tmp_path / name, lambda: now))
    first, second = replicas
    # Both come up at the same moment, and only one of them makes a certificate.
    settled = await asyncio.gather(first.keeper.look(), second.keeper.look())
    assert not all(settled)
    for each in replicas:
        assert await each.keeper.look()
    assert first.file.read_bytes() == second.file.read_bytes()
    assert first.file.stat().st_mode & 0o077 == 0
    served = [first.file.read_bytes()]
    async with first.served(), second.served():
        for each in replicas:
            await answers(kube, each.url)

        async def turn(first_to_look: Replica, other: Replica, keys: set[str]) -> None:
            """One replica takes the step, the other has not looked yet; then it has."""
            await first_to_look.keeper.look()
            assert set(kube.get(SECRET)["data"]) == keys
            for each in (other, first_to_look):
                await answers(kube, each.url)
            await other.keeper.look()
            for each in (first_to_look, other):
                await answers(kube, each.url)
            assert first.file.read_bytes() == second.file.read_bytes()
            served.append(first.file.read_bytes())

        now = real
        await turn(second, first, {"tls.crt", "tls.key", "next.crt", "next.key"})
        assert served[1] == served[0]
        now = real + OVERLAP
        await turn(first, second, {"tls.crt", "tls.key", "former.crt"})
        assert served[2] != served[1]
        now = real + 2 * OVERLAP
        await turn(second, first, {"tls.crt", "tls.key"})
        assert served[3] == served[2]
    assert "the certificate was renewed" in first.said


async def test_others_who_apply_the_configuration_change_nothing_of_what_is_trusted(
    control_plane: ControlPlane, kube_of_operator: Kube, tmp_path: Path
) -> None:
    kube = control_plane.client
    replica = Replica(kube_of_operator, tmp_path, lambda: dt.datetime.now(dt.UTC))
    with pytest.raises(KubeError, match="there is no ValidatingWebhookConfiguration squall"):
        await replica.keeper.look()
    assert replica.file.exists(), "it is served all the same"
    kube.apply(f"{CONFIGURATIONS}/squall", configuration(replica.url))
    await replica.keeper.look()

    def bundles() -> set[str]:
        stored = kube.get(f"{CONFIGURATIONS}/squall")
        return {each["clientConfig"].get("caBundle", "") for each in stored["webhooks"]}

    trusted = bundles()
    assert trusted == {kube.get(SECRET)["data"]["tls.crt"]}
    kube.apply(f"{CONFIGURATIONS}/squall", configuration(replica.url, timeoutSeconds=9))
    assert bundles() == trusted
    # Whoever replaces all of it takes that away too, until the next look.
    body = {**configuration(replica.url), "metadata": kube.get(f"{CONFIGURATIONS}/squall")["metadata"]}
    kube.request("PUT", f"{CONFIGURATIONS}/squall", body)
    assert bundles() == {""}
    await replica.keeper.look()
    assert bundles() == trusted


async def test_a_secret_that_came_with_the_manifests_is_filled(
    control_plane: ControlPlane, kube_of_operator: Kube, tmp_path: Path
) -> None:
    kube = control_plane.client
    empty = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "squall-webhook", "labels": {"a": "b"}},
    }
    kube.apply(SECRET, empty)
    kube.apply(f"{CONFIGURATIONS}/squall", configuration("https://127.0.0.1:1/review"))
    replica = Replica(kube_of_operator, tmp_path, lambda: dt.datetime.now(dt.UTC))
    await replica.keeper.look()
    kube.apply(SECRET, empty)
    stored = kube.get(SECRET)
    assert set(stored["data"]) == {"tls.crt", "tls.key"}
    assert stored["metadata"]["labels"] == {"a": "b"}
