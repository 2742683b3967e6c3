"""What pods will need goes to a cluster before the LoadTest that names it, so that no run ever begins with a part of it.

Whoever is interrupted on the way leaves objects that no LoadTest names. They do no harm: sent again, they are found under their
names; and whatever was sent for a LoadTest and is not named by it any more, by an older file or a sending that broke off, goes with the
next one. Two who send to the same LoadTest at the same time must not take away what the other is about to name: what is gone when it is
to be adopted is made again, and nothing is taken away after somebody else has changed the LoadTest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from squall.kube.api import KubeError
from squall.kube.paths import collection, named
from squall.remote.sending import adoption, leftovers, references

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from squall.kube.api import Json
    from squall.remote.cluster import Cluster
    from squall.remote.sending import Parcel


async def make(cluster: Cluster, parcel: Parcel) -> None:
    """Make the objects of a parcel.

    Raises:
        KubeError: The API server refuses.
    """
    for body in parcel.objects:
        await cluster.kube.apply(_place(body), body)


async def adopt(cluster: Cluster, parcel: Parcel, owner: Json) -> None:
    """Make the objects of a parcel belong to their LoadTest.

    Raises:
        KubeError: The API server refuses.
    """
    change = adoption(owner)
    for body in parcel.objects:
        try:
            await cluster.kube.merge(_place(body), change)
        except KubeError as error:
            if error.status != 404:
                raise
            await cluster.kube.apply(_place(body), body)
            await cluster.kube.merge(_place(body), change)


async def sweep(
    cluster: Cluster, parcel: Parcel, before: Json | None, applied: Json, tell: Callable[[str], None]
) -> None:
    """Take away what was sent for a LoadTest and is not named by it any more. The run does not depend on it.

    Args:
        cluster: Where it is.
        parcel: What has been sent now.
        before: The LoadTest as it was, if it was there.
        applied: As it is now.
        tell: For what could not be taken away.
    """
    former = references(before["spec"]) - references(applied["spec"]) if before else frozenset()
    kinds = {kind for kind, _ in former} | {str(body["kind"]) for body in parcel.objects}
    name = str(applied["metadata"]["name"])
    selector = quote(leftovers(name, applied["spec"]))
    try:
        now = await cluster.find(name)
        if now is None or now["metadata"]["generation"] != applied["metadata"]["generation"]:
            return
        for kind in sorted(kinds):
            await cluster.kube.delete(f"{_collection(cluster, kind)}?labelSelector={selector}")
    except KubeError as error:
        tell(f"warning: files that were sent before stay until the LoadTest is deleted: {error.message}")


def _collection(cluster: Cluster, kind: str) -> str:
    return collection(f"{kind.lower()}s", cluster.namespace)


def _place(body: Mapping[str, Any]) -> str:
    metadata = body["metadata"]
    return named(f"{body['kind'].lower()}s", metadata["namespace"], metadata["name"])
