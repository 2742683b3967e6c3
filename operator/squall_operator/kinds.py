"""Waits until everything that the operator watches is served, and may be listed.

The watches look once at what the API server has, and leave out for ever what is not there at that moment. `kubectl apply` makes CRDs and
operator within the same second, so an operator could come up that looks after nothing and says so nowhere. A right that is missing would end
the process instead. Both are things that somebody is just about to set right: so they are told, and waited for.

LoadTestPolicies belong to no namespace, so an operator for some namespaces has to be let see all of them. It is not given a way to do
without: what policies forbid would be allowed then by installing another operator.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from squall.kube.api import KubeError
from squall.kube.paths import collection
from squall_operator import cache

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from squall.kube.api import Kube

WATCHED: Final = (cache.LOAD_TESTS, cache.SCHEDULES, cache.POLICIES, cache.JOBS, cache.PODS)
WITHOUT_NAMESPACE: Final = frozenset({cache.POLICIES})
EVERY: Final = 2.0
"""Seconds between two looks."""


async def wait_for_kinds(kube: Kube, namespaces: Sequence[str], tell: Callable[[str], None]) -> None:
    """Return when all of it may be listed.

    Args:
        kube: The API server.
        namespaces: Those that are looked after; none for all.
        tell: Told what is waited for, whenever that changes.
    """
    told = ""
    while problem := await _problem(kube, namespaces):
        if problem != told:
            tell(problem)
            told = problem
        await asyncio.sleep(EVERY)


async def _problem(kube: Kube, namespaces: Sequence[str]) -> str:
    """The first thing that is missing; empty when nothing is."""
    for plural in WATCHED:
        for namespace in namespaces_of(plural, namespaces):
            try:
                await kube.get(f"{collection(plural, namespace)}?limit=1")
            except KubeError as error:
                return explain(plural, error)
    return ""


def namespaces_of(plural: str, namespaces: Sequence[str]) -> Sequence[str]:
    """Where a kind is listed when these namespaces are looked after; an empty one stands for all of them."""
    return ("",) if not namespaces or plural in WITHOUT_NAMESPACE else namespaces


def explain(plural: str, error: KubeError) -> str:
    """Why a kind cannot be listed, for whoever can change that."""
    if error.status == 403:
        return f"the operator may not list {plural}; bind the roles that docs/operations.md names: {error.message}"
    if error.status == 404:
        return f"the API server does not know {plural}; apply the CRDs"
    return error.message
