"""Warnings that Kubernetes has written about a run's Job and pods.

Why a Job has no pods, and why a pod's volumes do not come, stands in Events alone. They are asked for only while something is missing, and
seldom: nobody waits for them but people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from squall.kube.api import KubeError
from squall.kube.paths import collection

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from squall.kube.api import Kube

    Object = Mapping[str, Any]

SECONDS: Final = 5.0
"""Those of a run are asked for at most this often."""
_MOST: Final = 500
_KINDS: Final = ("Job", "Pod")


class Notices:
    """Asks for them, and remembers the last answer.

    Args:
        kube: The API server.
        clock: Seconds, monotonic.
    """

    def __init__(self, kube: Kube, clock: Callable[[], float]) -> None:
        self._kube = kube
        self._clock = clock
        self._known: dict[tuple[str, str], tuple[float, tuple[Object, ...]]] = {}

    async def of(self, namespace: str, run: str) -> tuple[Object, ...]:
        """The warnings about a run, the newest last; those of the last time when they cannot be had."""
        asked, known = self._known.get((namespace, run), (-SECONDS, ()))
        now = self._clock()
        if now - asked < SECONDS:
            return known
        self._known[namespace, run] = (now, known)
        try:
            path = f"{collection('events', namespace)}?fieldSelector=type%3DWarning&limit={_MOST}"
            found = await self._kube.get(path)
        except KubeError:
            return known
        events = [event for event in found.get("items", ()) if _concerns(event, run)]
        events.sort(key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
        self._known[namespace, run] = (now, tuple(events))
        return tuple(events)

    def forget(self, namespace: str, run: str) -> None:
        """The run is over."""
        self._known.pop((namespace, run), None)


def _concerns(event: Object, run: str) -> bool:
    about = event.get("involvedObject", {})
    name = str(about.get("name", ""))
    return about.get("kind") in _KINDS and (name == run or name.startswith(f"{run}-"))
