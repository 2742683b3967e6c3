"""The webhook's certificate on the cluster: one Secret that all replicas share, and the word to the API server to trust what is in it.

This Secret is the only one that the operator may read: it holds nothing but what the operator itself has put there, and the right to read is for
its name alone. Every replica does the same, leader or not: the resource version decides between two that take a step at once, and the
other finds what the first has written. What is to be trusted is written into the configuration of the webhook as the one field that is ours
there, so whoever applies the rest of it, by hand or from Git, changes nothing of it.
"""

from __future__ import annotations

import asyncio
import os
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Final

from squall.kube.api import KubeError
from squall.kube.paths import collection, named
from squall_operator.admission.certificate import Generations, data_of, read, step

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable
    from pathlib import Path

    from squall.kube.api import Json, Kube

SECRET: Final = "squall-webhook"  # noqa: S105 - its name
CONFIGURATIONS: Final = "validatingwebhookconfigurations"
EVERY: Final = 30.0
"""Seconds between two looks."""
AGAIN: Final = 2.0
"""Seconds until another look where a step was taken; after one that failed, it is twice as long each time."""


class Keeper:
    """Keeps the certificate.

    Args:
        kube: The API server.
        namespace: Where the Secret is.
        configuration: The name of the ValidatingWebhookConfiguration.
        host: The name or address that the API server calls the webhook by.
        file: Where certificate and key are put for the server, both in one PEM file.
        wall: The time.
        tell: Told why it cannot be done, whenever that changes.

    Attributes:
        announced: Whether those who call have been told to trust what is served, if anybody is to call.
    """

    def __init__(
        self,
        kube: Kube,
        namespace: str,
        configuration: str,
        host: str,
        file: Path,
        *,
        wall: Callable[[], dt.datetime],
        tell: Callable[[str], None],
    ) -> None:
        self._kube = kube
        self._namespace = namespace
        self._configuration = configuration
        self._host = host
        self._file = file
        self._wall = wall
        self._tell = tell
        self.announced = False
        self._told = ""
        self._served = b""
        self._there = asyncio.Event()

    async def wait(self) -> None:
        """Return when there is a certificate to serve."""
        await self._there.wait()

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        pause = AGAIN
        while True:
            try:
                pause = EVERY if await self.look() else AGAIN
                self._say("")
            except KubeError as error:
                self._say(f"the webhook's certificate cannot be announced: {error.message}")
                pause = min(EVERY, pause * 2)
            await asyncio.sleep(pause)

    def _say(self, problem: str) -> None:
        if problem and problem != self._told:
            self._tell(problem)
        self._told = problem

    async def look(self) -> bool:
        """Look once, and take the step that is due; returns whether nothing is left to do for now.

        Raises:
            KubeError: The API server refused, or is not there; or there is no configuration.
        """
        configuration = await self._read(named(CONFIGURATIONS, "", self._configuration))
        secret = await self._read(named("secrets", self._namespace, SECRET))
        found = read(secret.get("data") or {}) if secret else None
        wanted = step(found, _trusted(configuration), self._host, self._wall())
        if wanted is not None:
            try:
                await self._write(secret, wanted)
            except KubeError as error:
                if error.status != 409:
                    raise
                return False  # another replica was first: what it has written is found by the next look
            found = wanted
        assert found is not None, "where there is none, a step makes one"
        self._serve(found)
        if configuration is None:
            self.announced = True
            text = f"there is no ValidatingWebhookConfiguration {self._configuration}, so nobody calls the webhook"
            raise KubeError(404, text)
        await self._announce(configuration, found.trusted)
        self.announced = True
        return wanted is None

    async def _read(self, path: str) -> Json | None:
        try:
            return await self._kube.get(path)
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    async def _write(self, secret: Json | None, wanted: Generations) -> None:
        body: Json = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SECRET, "namespace": self._namespace},
            "type": "Opaque",
            "data": data_of(wanted),
        }
        if secret is None:
            await self._kube.create(collection("secrets", self._namespace), body)
            return
        # All else that somebody has given it stays: labels, owners.
        await self._kube.request(
            "PUT", named("secrets", self._namespace, SECRET), {**secret, "data": body["data"]}
        )

    def _serve(self, generations: Generations) -> None:
        """Put certificate and key where the server reads them, in one go."""
        pem = generations.current.certificate + generations.current.key
        if pem != self._served:
            written = self._file.with_suffix(".new")
            with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(pem)
            written.replace(self._file)
            self._served = pem
        self._there.set()

    async def _announce(self, configuration: Json, trusted: bytes) -> None:
        """Have the API server trust what may be served, if it does not yet."""
        bundle = b64encode(trusted).decode()
        there = configuration.get("webhooks") or ()
        if all(each["clientConfig"].get("caBundle") == bundle for each in there):
            return
        webhooks = [{"name": each["name"], "clientConfig": {"caBundle": bundle}} for each in there]
        body = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": self._configuration},
            "webhooks": webhooks,
        }
        await self._kube.apply(named(CONFIGURATIONS, "", self._configuration), body)


def _trusted(configuration: Json | None) -> bytes:
    """What all webhooks of a configuration are told to trust."""
    webhooks = (configuration or {}).get("webhooks") or ()
    bundles = [each["clientConfig"].get("caBundle") or "" for each in webhooks]
    return b64decode(bundles[0]) if bundles and len(set(bundles)) == 1 else b""
