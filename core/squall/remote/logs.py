"""`squall logs`: what the runner pods of a run print."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from squall.errors import UsageError
from squall.hub.assignment import pods
from squall.kube.api import KubeError
from squall.kube.paths import collection, named
from squall.remote.seen import status_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.kube.api import Json
    from squall.remote.cluster import Cluster

INDEX: Final = "batch.kubernetes.io/job-completion-index"
SAME_IN_ALL: Final = ("process", "loadtest", "namespace", "run")
"""What all runners of a run log in each of their lines."""
_STARTING: Final = 400
"""What the server answers of a container that has not begun."""
_RETRY_SECONDS: Final = 1.0


async def show_logs(
    cluster: Cluster,
    name: str,
    *,
    shard: int | None,
    follow: bool,
    write: Callable[[str], None],
    show: Callable[[str], str] = str,
) -> None:
    """Write the logs of the runner pods of a LoadTest's current or last run, several with their index in front.

    Args:
        cluster: Where it is.
        name: Of the LoadTest.
        shard: Only of the pod that carries it.
        follow: Whether to go on until the pods end.
        write: Takes a line.
        show: Makes of a line what is shown of it.

    Raises:
        UsageError: There is no such run, shard or pod.
        KubeError: The API server refuses.
    """
    body = await cluster.load_test(name)
    run = status_of(body).run.id
    if not run:
        raise UsageError(f"LoadTest {name} has not been run yet")
    listed = await cluster.kube.get(
        f"{collection('pods', cluster.namespace)}?labelSelector=squall.dev/run%3D{run}"
    )
    found: list[Json] = listed["items"]
    if shard is not None:
        wanted = str(pod_of(body, shard))
        found = [pod for pod in found if _index(pod) == wanted]
    if not found:
        raise UsageError(
            f"there are no pods of run {run}",
            "they go when it has ended; spec.ttlSecondsAfterFinished keeps them for a while",
        )
    found.sort(key=lambda pod: (len(_index(pod)), _index(pod)))
    readers = [
        _read(
            cluster, pod, follow=follow, write=_prefixed(write, pod) if len(found) > 1 else write, show=show
        )
        for pod in found
    ]
    if follow:
        await asyncio.gather(*readers)
        return
    for reader in readers:
        await reader


async def _read(
    cluster: Cluster, pod: Json, *, follow: bool, write: Callable[[str], None], show: Callable[[str], str]
) -> None:
    path = named("pods", cluster.namespace, pod["metadata"]["name"], "log")
    query = f"?container=runner&follow={str(follow).lower()}"
    while True:
        try:
            async for line in cluster.kube.lines(path + query):
                write(show(line.decode(errors="replace")))
        except KubeError as error:
            if error.status != _STARTING:
                raise
            if not follow:
                write(f"({error.message})")
                return
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return


def _prefixed(write: Callable[[str], None], pod: Json) -> Callable[[str], None]:
    """Writes lines with the pod's index in front."""
    return lambda line: write(f"[{_index(pod)}] {line}")


def _index(pod: Json) -> str:
    metadata = pod["metadata"]
    for place in ("labels", "annotations"):
        found = (metadata.get(place) or {}).get(INDEX)
        if found is not None:
            return str(found)
    return "0"


def pod_of(body: Json, shard: int) -> int:
    """The index of the pod that carries a shard."""
    spec = body["spec"]
    per_pod = int((spec.get("runner") or {}).get("shardsPerPod") or 1)
    for index, runners in enumerate(pods(int(spec.get("shards") or 1), per_pod, 1)):
        if any(shard in shards for shards in runners):
            return index
    raise UsageError(
        f"there is no shard {shard}; they are counted from 0 to {int(spec.get('shards') or 1) - 1}"
    )
