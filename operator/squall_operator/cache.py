"""What watches and lists have shown: the last known state of everything that the operator looks at.

Looking costs nothing then, so a LoadTest can be looked at whenever anything changes, and one that nothing happens to causes no call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from squall_operator.manifests.owned import RUN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Object = Mapping[str, Any]

_REMEMBERED: Final = 10_000
"""So many objects that have gone are remembered: more than go while a list is on its way."""

LOAD_TESTS: Final = "loadtests"
SCHEDULES: Final = "loadtestschedules"
POLICIES: Final = "loadtestpolicies"
JOBS: Final = "jobs"
PODS: Final = "pods"

Place = tuple[str, str]
"""Namespace and name; the namespace of what has none is empty."""


def place_of(body: Object) -> Place:
    """Where an object is."""
    return str(body["metadata"].get("namespace", "")), str(body["metadata"]["name"])


def version_of(body: Object) -> int:
    """The resource version of an object or a list, which grows with each write to the API server's store."""
    text = str(body["metadata"].get("resourceVersion", ""))
    return int(text) if text.isdigit() else 0


class Cache:
    """Objects by kind (the plural of the API) and place."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[Place, Object]] = {}
        self._pods: dict[Place, dict[str, Object]] = {}
        """Pods by namespace and run, then by name."""
        self._gone: dict[str, int] = {}
        """By UID: the last version of what has gone, so that a list from before does not bring it back."""

    def put(self, kind: str, body: Object) -> bool:
        """Take in what a watch or a list has shown, or what an own write has brought about; returns whether it was news.

        Watches tell of a write a little later than its answer does, and then first of what was before it: such old news are left.
        """
        place = place_of(body)
        known, version = self.get(kind, place), version_of(body)
        if known is not None and version < version_of(known):
            return False
        if version < self._gone.get(str(body["metadata"].get("uid")), 0):
            return False
        self._objects.setdefault(kind, {})[place] = body
        if kind == PODS:
            self._pods.setdefault(self._run_of(body), {})[place[1]] = body
        return True

    def drop(self, kind: str, body: Object) -> None:
        """Forget what is gone."""
        self._gone[str(body["metadata"].get("uid"))] = version_of(body)
        if len(self._gone) > _REMEMBERED:
            del self._gone[next(iter(self._gone))]
        place = place_of(body)
        known = self.get(kind, place)
        if known is not None and known["metadata"].get("uid") != body["metadata"].get("uid"):
            return  # another one of that name has come since
        self._objects.get(kind, {}).pop(place, None)
        if kind == PODS:
            run = self._run_of(body)
            self._pods.get(run, {}).pop(place[1], None)
            if not self._pods.get(run):
                self._pods.pop(run, None)

    def get(self, kind: str, place: Place) -> Object | None:
        """An object, if it is known."""
        return self._objects.get(kind, {}).get(place)

    def all(self, kind: str) -> Iterator[Object]:
        """All objects of a kind."""
        return iter(tuple(self._objects.get(kind, {}).values()))

    def pods_of(self, namespace: str, run: str) -> tuple[Object, ...]:
        """The pods of a run, those that have ended included."""
        return tuple(self._pods.get((namespace, run), {}).values())

    def _run_of(self, body: Object) -> Place:
        return str(body["metadata"].get("namespace", "")), str(
            body["metadata"].get("labels", {}).get(RUN, "")
        )
