"""The rights that the operator needs, each with its reason, and whether it has them.

A right that is missing shows itself late: when the first run has ended and its report cannot be kept, or when a draining node finds no budget. And
where nobody waits for an answer, as with Events, it never does. So the API server is asked for all of them before the operator begins,
whenever it has refused something since, and now and then. The operator waits for what it cannot do without, as it waits for CRDs.

What roles give is in `deploy/` and in the chart; tests keep them, this table and that of docs/operations.md the same.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from squall.kube.api import KubeError
from squall.kube.paths import GROUPS, collection
from squall_operator.admission.keeper import CONFIGURATIONS, SECRET
from squall_operator.leader import LEASE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from squall.kube.api import Kube
    from squall_operator.settings import Settings

AGAIN: Final = 2.0
"""Seconds between two looks while something is missing that is waited for."""
EVERY: Final = 900.0
"""Seconds between two looks while nothing was refused: a watch that loses its right says so to nobody here."""
SOON: Final = 10.0
"""Seconds between two looks at least, and twice as long each time that nothing new was found: quotas refuse too, and no right changes that."""
ASKED_AT_ONCE: Final = 16
_SHOWN: Final = 8


@dataclass(frozen=True, slots=True)
class Need:
    """What has to be allowed on one resource.

    Attributes:
        resource: Its plural, with the subresource if it is about one: `jobs`, `loadtests/status`.
        verbs: What the operator does with it.
        why: What for, for whoever wonders.
        name: Of the one object that it is about; empty for all.
        waited_for: Whether nothing goes without it.
    """

    resource: str
    verbs: tuple[str, ...]
    why: str
    name: str = ""
    waited_for: bool = True

    @property
    def group(self) -> str:
        """The API group; empty for Kubernetes' oldest kinds."""
        _, _, rest = GROUPS[self.resource.partition("/")[0]].partition("apis/")
        return rest.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one resource, in a namespace or, where that is empty, everywhere."""

    need: Need
    verb: str
    namespace: str


RUNS: Final = (
    Need("loadtests", ("get", "list", "watch", "create", "patch", "delete"), "it looks after them"),
    Need("loadtestschedules", ("list", "watch"), "it makes LoadTests when they are due"),
    Need("loadtests/status", ("patch",), "it says how they are"),
    Need("loadtestschedules/status", ("patch",), "it says how they are"),
    Need("jobs", ("get", "list", "watch", "create", "delete"), "they make the pods of runs"),
    Need("pods", ("list", "watch"), "it sees which are lost, and why"),
    Need(
        "configmaps",
        ("get", "create", "patch", "delete", "deletecollection"),
        "they hold a run's manifest, files and report",
    ),
    Need("secrets", ("create", "delete"), "they hold the tokens of runs"),
    Need("poddisruptionbudgets", ("get", "create", "delete"), "draining a node waits for a run"),
    Need(
        "events",
        ("get", "list", "create", "patch"),
        "it tells people, and learns why pods do not come",
        waited_for=False,
    ),
)
EGRESS: Final = (Need("networkpolicies", ("get", "create", "delete"), "they keep a run to where it may go"),)
POLICIES: Final = (Need("loadtestpolicies", ("list", "watch"), "it obeys them"),)
LEADING: Final = (
    Need("leases", ("create",), "replicas agree on which of them acts"),
    Need("leases", ("get", "update"), "replicas agree on which of them acts", LEASE),
)
REVIEWS: Final = (Need("subjectaccessreviews", ("create",), "it asks what the author of a LoadTest may use"),)
NODES: Final = (
    Need("nodes", ("list",), "it warns of runs that are larger than all of them", waited_for=False),
)
CERTIFICATE: Final = (Need("secrets", ("get", "update"), "it keeps the webhook's certificate", SECRET),)


def needed(settings: Settings, lease_namespace: str) -> list[Right]:
    """All rights that an installation needs.

    Args:
        settings: Of the installation.
        lease_namespace: Where the Lease is.
    """
    found: list[Right] = []

    def need(needs: Sequence[Need], *namespaces: str) -> None:
        found.extend(
            Right(each, verb, where) for where in namespaces for each in needs for verb in each.verbs
        )

    need(RUNS + (EGRESS if settings.egress else ()), *(settings.namespaces or ("",)))
    need(POLICIES, "")
    need(LEADING, lease_namespace)
    if (webhook := settings.webhook) is not None:
        need(REVIEWS + (() if settings.namespaces else NODES), "")
        if webhook.files is None:
            trust = "it has the API server trust its webhook"
            need((Need(CONFIGURATIONS, ("get", "patch"), trust, webhook.configuration),), "")
            need(CERTIFICATE, webhook.namespace)
    return found


async def missing(kube: Kube, rights: Sequence[Right]) -> list[Right]:
    """Those of some rights that the operator does not have, as the API server judges it.

    Raises:
        KubeError: It does not say.
    """
    free = asyncio.Semaphore(ASKED_AT_ONCE)

    async def has(right: Right) -> bool:
        async with free:
            return await _has(kube, right)

    found = await asyncio.gather(*map(has, rights))
    return [right for right, there in zip(rights, found, strict=True) if not there]


async def _has(kube: Kube, right: Right) -> bool:
    plural, _, subresource = right.need.resource.partition("/")
    attributes = {
        "verb": right.verb,
        "group": right.need.group,
        "resource": plural,
        "subresource": subresource,
        "name": right.need.name,
        "namespace": right.namespace,
    }
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = await kube.create(collection("selfsubjectaccessreviews"), body)
    return bool(answer["status"]["allowed"])


def explain(rights: Sequence[Right]) -> str:
    """What is missing and for what, in words, and what to do about it."""
    verbs: dict[tuple[Need, str], list[str]] = {}
    for right in rights:
        verbs.setdefault((right.need, right.namespace), []).append(right.verb)
    lines = [_line(need, namespace, found) for (need, namespace), found in verbs.items()]
    more = [f"{len(lines) - _SHOWN} resources more"] if len(lines) > _SHOWN else []
    told = ", and ".join(["; ".join(lines[:_SHOWN]), *more])
    return f"the operator may not {told}; give it the roles that docs/operations.md names"


def _line(need: Need, namespace: str, verbs: Sequence[str]) -> str:
    plural, _, subresource = need.resource.partition("/")
    title = ".".join(filter(None, (plural, need.group))) + (f"/{subresource}" if subresource else "")
    named = f" named {need.name}" if need.name else ""
    where = f" in namespace {namespace}" if namespace else ""
    return f"{', '.join(verbs)} {title}{named}{where} ({need.why})"


class Rights:
    """Looks whether all rights are there.

    Args:
        kube: The API server.
        rights: Those that are needed.
        refused: Set whenever the API server has refused something.
        waiting: Told what is waited for, whenever that changes.
        lacking: Told what is missing and not waited for, whenever that changes.
    """

    def __init__(
        self,
        kube: Kube,
        rights: Sequence[Right],
        refused: asyncio.Event,
        *,
        waiting: Callable[[str], None],
        lacking: Callable[[str], None],
    ) -> None:
        self._kube = kube
        self._rights = rights
        self._refused = refused
        self._waiting = waiting
        self._lacking = lacking
        self._told: dict[Callable[[str], None], str] = {}

    async def wait(self) -> None:
        """Return when all that nothing goes without is allowed."""
        asked = self._rights
        while True:
            try:
                asked = found = await missing(
                    self._kube, asked
                )  # what is there already is not asked for again
            except KubeError as error:
                if error.status == HTTPStatus.FORBIDDEN:
                    self._say(self._lacking, _unknown(error))
                    return
                self._say(self._waiting, error.message)
            else:
                waited_for = [right for right in found if right.need.waited_for]
                self._say(self._waiting, explain(waited_for) if waited_for else "")
                if not waited_for:
                    self._say(self._lacking, explain(found) if found else "")
                    return
            await asyncio.sleep(AGAIN)

    async def watch(self) -> None:
        """Look whenever something was refused, and now and then, until cancelled."""
        pause = SOON
        while True:
            try:
                await asyncio.wait_for(self._refused.wait(), EVERY)
            except TimeoutError:
                pause = SOON
            with suppress(KubeError):  # whoever does not answer now is asked again
                found = await missing(self._kube, self._rights)
                changed = self._say(self._lacking, explain(found) if found else "")
                pause = SOON if changed else min(EVERY, 2 * pause)
            self._refused.clear()
            await asyncio.sleep(pause)

    def _say(self, tell: Callable[[str], None], text: str) -> bool:
        """Tell it if it is news; returns whether it is."""
        known, self._told[tell] = self._told.get(tell, ""), text
        if text and text != known:
            tell(text)
        return text != known


def _unknown(error: KubeError) -> str:
    return f"whether the operator has its rights cannot be asked; bind the role system:basic-user to it: {error.message}"
