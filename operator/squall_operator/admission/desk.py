"""Answers to what somebody wants to store: judged here, after the API server was asked what only it knows.

Policies are asked for each time. The watches would do for most cases, but a policy that was applied a moment ago has to count, and an operator that
has just started has not seen any yet; LoadTests are applied seldom enough for one call more.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from squall.kube.api import KubeError
from squall.kube.paths import collection
from squall_operator import cache, policies
from squall_operator.admission.review import (
    allow,
    is_admitted_already,
    missing_right,
    read_request,
    refuse,
    review,
)
from squall_operator.admission.room import Room, room_of, too_large

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from squall.kube.api import Json, Kube
    from squall_operator.admission.references import Reference
    from squall_operator.admission.review import Policies, Request
    from squall_operator.settings import Settings

ASKED_AT_ONCE: Final = 16
"""Questions to the API server that one request has open at the same time."""
ROOM_SECONDS: Final = 300.0
"""How long what the nodes have is taken for true."""
_PAGE: Final = 500
_VERBS: Final = {"Secret": ("secrets", "get"), "ServiceAccount": ("serviceaccounts", "impersonate")}
"""Resource and verb that somebody needs to name a thing. Kubernetes has no verb for letting pods run as an account; `impersonate` is the right to
act as it, and who has the role `edit` in a namespace has both."""


class Desk:
    """Judges requests.

    Args:
        kube: The API server.
        settings: Of the installation.
        clock: Seconds, monotonic.
    """

    def __init__(self, kube: Kube, settings: Settings, clock: Callable[[], float]) -> None:
        self._kube = kube
        self._settings = settings
        self._clock = clock
        self._myself = ""
        self._room: tuple[float, Room | None] | None = None
        # One manifest at a time: whoever sends many must not have them all unpacked at once. A thread cannot be ended; what waits for it can.
        self._judging = ThreadPoolExecutor(1, "review")

    def close(self) -> None:
        """Judge no more."""
        self._judging.shutdown(wait=False, cancel_futures=True)

    async def answer(self, asked: Any) -> Json:
        """The answer to an AdmissionReview.

        Raises:
            ValueError: It is none.
            KubeError: The API server does not tell what is needed for an answer.
        """
        request = read_request(asked)
        # What the operator itself writes - LoadTests of schedules - it judges when it comes to run it, where people see the verdict.
        if is_admitted_already(request) or request.username == await self._who_am_i():
            return allow(request)
        known = await self._policies()
        loop, defaults = asyncio.get_running_loop(), self._settings.runner
        found = await loop.run_in_executor(self._judging, review, request, known, defaults)
        lacking = await self._lacking(request, found.references)
        if found.problems or found.violations or lacking:
            return refuse(request, found, lacking)
        room = await self._room_there() if found.demand else None
        crowded = too_large(found.demand, room) if found.demand and room else ()
        return allow(request, (*found.warnings, *crowded))

    async def _who_am_i(self) -> str:
        if not self._myself:
            review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
            answer = await self._kube.create(collection("selfsubjectreviews"), review)
            self._myself = str(answer["status"]["userInfo"]["username"])
        return self._myself

    async def _policies(self) -> Policies:
        listed = await self._kube.get(collection(cache.POLICIES))
        return {str(each["metadata"]["name"]): policies.read(each) for each in listed["items"]}

    async def _lacking(self, request: Request, references: tuple[Reference, ...]) -> list[str]:
        """The rights that somebody would need and does not have; each thing is asked about once."""
        places: dict[tuple[str, str], Reference] = {}
        for each in references:
            places.setdefault((each.kind, each.name), each)
        free = asyncio.Semaphore(ASKED_AT_ONCE)

        async def may(reference: Reference) -> bool:
            async with free:
                return await self._may(request, reference)

        asked = tuple(places.values())
        answers = await asyncio.gather(*map(may, asked))
        return [
            missing_right(each, request.username, request.namespace)
            for each, allowed in zip(asked, answers, strict=True)
            if not allowed
        ]

    async def _may(self, request: Request, reference: Reference) -> bool:
        resource, verb = _VERBS[reference.kind]
        wanted = {"namespace": request.namespace, "verb": verb, "resource": resource, "name": reference.name}
        user = {
            "user" if key == "username" else key: value
            for key, value in request.user.items()
            if key in ("username", "uid", "groups", "extra")
        }
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {**user, "resourceAttributes": wanted},
        }
        answer = await self._kube.create(collection("subjectaccessreviews"), body)
        return bool(answer["status"]["allowed"])

    async def _room_there(self) -> Room | None:
        """What the nodes have; None where that cannot be known, or is not this operator's business."""
        if self._settings.namespaces:
            return None
        now = self._clock()
        if self._room is None or now - self._room[0] > ROOM_SECONDS:
            try:
                self._room = now, room_of([each async for each in self._nodes()])
            except KubeError:
                self._room = now, None  # a warning is not worth more than that
        return self._room[1]

    async def _nodes(self) -> AsyncIterator[Json]:
        rest = ""
        while True:
            page = await self._kube.get(f"{collection('nodes')}?limit={_PAGE}{rest}")
            for node in page["items"]:
                yield node
            if not (found := page["metadata"].get("continue")):
                return
            rest = f"&continue={found}"
