"""Events for people: few, deliberate, and counted instead of repeated."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from squall.kube.api import KubeError
from squall.kube.paths import collection, named
from squall.spec.base import API_VERSION
from squall_operator.times import stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from squall.kube.api import Kube

FIELD_MANAGER: Final = "squall-operator"
"""The operator, in the words of whoever asks who has changed a field or told an Event."""
_LONGEST: Final = 1024
_LONGEST_STEM: Final = 200
"""Of the object's name within the Event's."""


class Events:
    """Writes Events about objects of Squall's kinds.

    Args:
        kube: The API server.
        clock: Unix time.
    """

    def __init__(self, kube: Kube, clock: Callable[[], float]) -> None:
        self._kube = kube
        self._clock = clock

    async def tell(self, body: Mapping[str, Any], kind: str, reason: str, message: str) -> None:
        """Write an Event, or count another time one that says the same. What cannot be told is no reason to stop.

        Args:
            body: The object that it is about.
            kind: `Normal` or `Warning`.
            reason: One CamelCase word.
            message: For people.
        """
        metadata = body["metadata"]
        namespace = str(metadata.get("namespace") or "default")
        said = f"{metadata['uid']}/{kind}/{reason}/{message}"
        stem = metadata["name"][:_LONGEST_STEM].rstrip("-.")  # the cut may fall where no part of a name ends
        name = f"{stem}.{hashlib.sha256(said.encode()).hexdigest()[:16]}"
        now = stamp(self._clock())
        try:
            await self._kube.create(
                collection("events", namespace), _event(body, namespace, name, (kind, reason, message), now)
            )
        except KubeError as error:
            if error.reason == "AlreadyExists":
                await self._count(namespace, name, now)

    async def _count(self, namespace: str, name: str, now: str) -> None:
        path = named("events", namespace, name)
        try:
            known = await self._kube.get(path)
            await self._kube.merge(path, {"count": int(known.get("count") or 1) + 1, "lastTimestamp": now})
        except KubeError:
            return


def _event(
    body: Mapping[str, Any], namespace: str, name: str, said: tuple[str, str, str], now: str
) -> dict[str, Any]:
    kind, reason, message = said
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "type": kind,
        "reason": reason,
        "message": message if len(message) <= _LONGEST else f"{message[: _LONGEST - 3]}...",
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": body["kind"],
            "name": body["metadata"]["name"],
            "namespace": namespace,
            "uid": body["metadata"]["uid"],
        },
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "reportingInstance": FIELD_MANAGER,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
