"""Leader election by a Lease: of several operators one acts, and another takes over when it is gone.

The holder renews its Lease every few seconds. Whoever sees one that has not been renewed for its whole length takes it; the API server's
resource version decides between two that try at once. A leader that cannot renew in time stops acting before anybody else
may begin. On the way out it gives the Lease back, so that the next one does not wait.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from squall.kube.api import KubeError
from squall.kube.paths import collection, named

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.kube.api import Json, Kube


LEASE: Final = "squall-operator"
"""Its name: roles give rights on this one alone."""


@dataclass(slots=True)
class Leadership:
    """One candidate.

    Args:
        kube: The API server.
        namespace: Where the Lease is.
        name: Of the Lease.
        identity: Of this process; no two may have the same.
        clock: Seconds, monotonic. The times in the Lease are never compared with it: clocks of nodes differ.
        seconds: How long a Lease holds without being renewed.
        every: How often it is renewed or looked at.

    Attributes:
        leads: Set while this process may act.
    """

    kube: Kube
    namespace: str
    name: str
    identity: str
    clock: Callable[[], float]
    seconds: float = 15.0
    every: float = 2.0
    leads: asyncio.Event = field(default_factory=asyncio.Event)
    _seen: tuple[str, float] = ("", 0.0)
    """The Lease's resource version and when it was first seen."""
    _renewed: float = 0.0

    @property
    def is_leader(self) -> bool:
        """Whether this process may act now."""
        return self.leads.is_set() and self.clock() - self._renewed < self.seconds * 2 / 3

    async def run(self) -> None:
        """Try to lead, and go on leading, until cancelled; then the Lease is given back."""
        try:
            while True:
                await self._round()
                await asyncio.sleep(self.every)
        finally:
            if self.leads.is_set():
                self.leads.clear()
                await asyncio.shield(self._give_back())

    async def _round(self) -> None:
        began = self.clock()
        try:
            async with asyncio.timeout(self.seconds / 3):
                held = await self._hold()
        except (KubeError, TimeoutError):
            held = False
            if self.leads.is_set() and self.clock() - self._renewed < self.seconds * 2 / 3:
                return  # the Lease still holds, and there is time for another try
        if held:
            self._renewed = began
            self.leads.set()
        else:
            self.leads.clear()

    async def _hold(self) -> bool:
        """Renew the Lease, or take it if it is free; returns whether it is ours now."""
        path = named("leases", self.namespace, self.name)
        try:
            lease = await self.kube.get(path)
        except KubeError as error:
            if error.status != 404:
                raise
            return await self._put("POST", collection("leases", self.namespace), self._lease({}))
        spec = lease.get("spec", {})
        holder = spec.get("holderIdentity") or ""
        if holder and holder != self.identity and not self._expired(lease, spec):
            return False
        return await self._put("PUT", path, self._lease(lease))

    def _expired(self, lease: Json, spec: Json) -> bool:
        """Whether nobody has touched the Lease for its length, as this process has seen it."""
        version, now = str(lease["metadata"]["resourceVersion"]), self.clock()
        if version != self._seen[0]:
            self._seen = (version, now)
        return now - self._seen[1] > float(spec.get("leaseDurationSeconds") or self.seconds)

    async def _put(self, method: str, path: str, lease: Json) -> bool:
        try:
            await self.kube.request(method, path, lease)
        except KubeError as error:
            if error.status == 409:
                return False
            raise
        return True

    def _lease(self, known: Json) -> Json:
        spec = known.get("spec", {})
        same = spec.get("holderIdentity") == self.identity
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        metadata: dict[str, Any] = {"name": self.name, "namespace": self.namespace}
        if known:
            metadata["resourceVersion"] = known["metadata"]["resourceVersion"]
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": int(self.seconds),
                "acquireTime": spec.get("acquireTime") if same else moment,
                "renewTime": moment,
                "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (not same),
            },
        }

    async def _give_back(self) -> None:
        path = named("leases", self.namespace, self.name)
        try:
            lease = await self.kube.get(path)
            if lease.get("spec", {}).get("holderIdentity") == self.identity:
                lease["spec"]["holderIdentity"] = ""
                await self.kube.request("PUT", path, lease)
        except KubeError:
            return  # it runs out by itself
