"""What there is, asked of the API server itself: before this process begins to act, and every few minutes while it does.

The watches alone are not enough. They show what is there in their own time, and until then a Job that exists looks as if somebody had
deleted it, and a policy as if nobody had made it. And where a watch was interrupted for too long it begins anew, and shows what is there,
but never what has gone meanwhile: a policy that was deleted then would go on holding everything, and a schedule would go on making LoadTests.

A list is old when it comes, and the watches have gone on: what they have shown since is newer than the list, and stays. What the lists bring
goes the same way as what the watches show, so nobody else needs to know of them.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from squall.kube.api import KubeError
from squall.kube.paths import collection
from squall_operator import cache
from squall_operator.cache import place_of, version_of
from squall_operator.kinds import explain, namespaces_of
from squall_operator.manifests.owned import RUN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from squall.kube.api import Kube
    from squall_operator.cache import Cache

    Object = Mapping[str, Any]

EVERY: Final = 300.0
"""Seconds between two lists while this process acts, give or take `_JITTER` of it."""
SOON: Final = 30.0
"""Seconds until the second: watches that began later than the first did may have missed what went between the two."""
PAGE: Final = 500
"""Objects in one answer."""
FIRST_RETRY: Final = 0.5
LAST_RETRY: Final = 15.0
_JITTER: Final = 0.2
_ORDER: Final = (cache.POLICIES, cache.SCHEDULES, cache.LOAD_TESTS, cache.JOBS, cache.PODS)
"""What something else depends on comes after it: a list of Jobs that is as new as the LoadTests holds every Job that they name."""
_SELECTED: Final = {cache.JOBS: RUN, cache.PODS: RUN}


class Listing:
    """Brings the cache to what the API server has.

    Args:
        kube: The API server.
        namespaces: Those that are looked after; none for all.
        seen: What is known.
        saw: Told of what is new, as the watches tell it: the plural of its kind, the object, and whether it is gone.
        tell: Told why it cannot be done, whenever that changes.
    """

    def __init__(
        self,
        kube: Kube,
        namespaces: Sequence[str],
        seen: Cache,
        saw: Callable[[str, Object, bool], None],
        tell: Callable[[str], None],
    ) -> None:
        self._kube = kube
        self._namespaces = namespaces
        self._seen = seen
        self._saw = saw
        self._tell = tell

    async def run(self) -> None:
        """Look again and again, until cancelled; the first time was before."""
        pause = SOON
        while True:
            await asyncio.sleep(_about(pause))
            await self.until_done()
            pause = EVERY

    async def until_done(self) -> None:
        """Look once, and try until the API server has answered."""
        told, pause = "", FIRST_RETRY
        while problem := await self._problem():
            if problem != told:
                self._tell(problem)
                told = problem
            await asyncio.sleep(_about(pause))
            pause = min(LAST_RETRY, pause * 2)

    async def _problem(self) -> str:
        """Look once; returns why that was not possible, empty when it was."""
        for plural in _ORDER:
            for namespace in namespaces_of(plural, self._namespaces):
                try:
                    listed, version = await self._list(plural, namespace)
                except KubeError as error:
                    return explain(plural, error)
                self._take(plural, namespace, listed, version)
        return ""

    async def _list(self, plural: str, namespace: str) -> tuple[list[dict[str, Any]], int]:
        """All objects of a kind, and the resource version at which they were all."""
        query: dict[str, str | int] = {"limit": PAGE}
        if plural in _SELECTED:
            query["labelSelector"] = _SELECTED[plural]
        listed: list[dict[str, Any]] = []
        version: int | None = None
        while True:
            answer = await self._kube.get(f"{collection(plural, namespace)}?{urlencode(query)}")
            # Lists of Kubernetes' own kinds leave out of each item what is the same for all.
            same = {"apiVersion": answer["apiVersion"], "kind": answer["kind"].removesuffix("List")}
            listed += [{**same, **item} for item in answer.get("items") or ()]
            version = version_of(answer) if version is None else version
            if not (rest := answer["metadata"].get("continue")):
                return listed, version
            query["continue"] = rest

    def _take(self, plural: str, namespace: str, listed: Sequence[Object], version: int) -> None:
        """Tell of what is not known yet, and of what is known and not there.

        Nothing may wait in here: what the watches show in between would be taken for older than the list.
        """
        there = set[cache.Place]()
        for body in listed:
            place = place_of(body)
            there.add(place)
            known = self._seen.get(plural, place)
            if known is None or version_of(known) < version_of(body):
                self._saw(plural, body, False)
        for known in self._seen.all(plural):
            place = place_of(known)
            elsewhere = namespace not in ("", place[0])
            if place not in there and not elsewhere and version_of(known) <= version:
                self._saw(plural, known, True)


def _about(seconds: float) -> float:
    """So many seconds, more or less: operators that were started together need not ask together."""
    return seconds * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
