"""`squall run --cluster`: a manifest goes to a cluster with all that it needs, and comes back as a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from squall.errors import UsageError
from squall.kube.api import KubeError
from squall.kube.runs import AGAIN, DONE, run_id
from squall.remote.delivering import adopt, make, sweep
from squall.remote.following import attend
from squall.remote.seen import key_of, status_of
from squall.remote.sending import annotated
from squall.remote.signals import Signals
from squall.report.folder import ResultsFolder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from squall.kube.api import Json
    from squall.remote.cluster import Cluster
    from squall.remote.seen import Outcome
    from squall.remote.sending import Parcel
    from squall.remote.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteRun:
    """What to run, and how.

    Attributes:
        parcel: The LoadTest and what it needs.
        results: Folder that results folders are made in.
        limit: Seconds to wait for the end; None for as long as it takes.
        force: Whether fields of the LoadTest that others manage are taken over.
    """

    parcel: Parcel
    results: Path
    limit: float | None = None
    force: bool = False

    @property
    def name(self) -> str:
        """Of the LoadTest."""
        return str(self.parcel.manifest["metadata"]["name"])


async def run_on_cluster(cluster: Cluster, request: RemoteRun, view: View) -> tuple[Outcome, ResultsFolder]:
    """Send a LoadTest and follow it until it has ended.

    Raises:
        UsageError: The results folder cannot be made, or others manage what would be changed.
        KubeError: The API server refuses.
        LeftError: Somebody has seen enough.
    """
    manifest, key, already = await _asking(cluster, request)
    folder = ResultsFolder.create(request.results, request.name, key, datetime.now(UTC))
    if already:
        view.tell(already)
    for problem in folder.write_manifest(manifest):
        view.tell(f"warning: {problem}")
    with Signals() as signals:
        await _send(cluster, request, manifest, view)
        view.tell(f"LoadTest {cluster.namespace}/{request.name} is applied")
        outcome = await attend(cluster, request.name, key, view, signals, limit=request.limit, stop=True)
    return outcome, folder


async def _asking(cluster: Cluster, request: RemoteRun) -> tuple[dict[str, Any], str, str]:
    """The manifest that makes the operator run it, the key of that run, and what has to be said about it.

    The server is asked what would come of it, since the key is made of the spec as the server keeps it.
    """
    before = await cluster.find(request.name)
    known = (before or {}).get("metadata", {}).get("annotations") or {}
    own = (request.parcel.manifest["metadata"].get("annotations") or {}).get(AGAIN, "")
    manifest = annotated(request.parcel.manifest, own or known.get(AGAIN, ""))
    after = await _apply(cluster, request, manifest, dry_run=True)
    key = key_of(after)
    if before is None:
        return manifest, key, ""
    status = status_of(before)
    if status.active and status.run.key == key:
        return (
            manifest,
            key,
            f"{request.name} is already running with this manifest: following run {status.run.id}",
        )
    if not _has_run(before, key):
        return manifest, key, ""
    again = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    manifest = annotated(manifest, again)
    key = key_of(await _apply(cluster, request, manifest, dry_run=True))
    return (
        manifest,
        key,
        f"{request.name} has been run like this before: the annotation {AGAIN} asks for one more run",
    )


def _has_run(body: Mapping[str, Any], key: str) -> bool:
    status = status_of(body)
    metadata = body["metadata"]
    done = (metadata.get("annotations") or {}).get(DONE, "").partition(" ")[0]
    is_done = done == run_id(metadata["name"], metadata["uid"], key)
    return is_done or key in {status.run.key, *(past.key for past in status.history)}


async def _send(cluster: Cluster, request: RemoteRun, manifest: dict[str, Any], view: View) -> None:
    """Make what pods will need, then the LoadTest, then make the one belong to the other."""
    before = await cluster.find(request.name)
    await make(cluster, request.parcel)
    applied = await _apply(cluster, request, manifest)
    await adopt(cluster, request.parcel, applied)
    await sweep(cluster, request.parcel, before, applied, view.tell)
    if applied["spec"].get("suspend"):
        await cluster.hold(request.name, suspend=False)


async def _apply(
    cluster: Cluster, request: RemoteRun, manifest: dict[str, Any], *, dry_run: bool = False
) -> Json:
    try:
        return await cluster.kube.apply(
            cluster.path(request.name), manifest, force=request.force, dry_run=dry_run
        )
    except KubeError as error:
        if error.status == 409:
            raise UsageError(
                f"others manage fields of LoadTest {request.name} that this would change: {error.message}",
                "change it where it is managed, or take the fields over with --force-conflicts",
            ) from error
        if error.status == 404:
            raise UsageError(
                f"LoadTests cannot be kept in namespace {cluster.namespace}: {error.message}",
                "install Squall's CRDs and operator, or choose another --namespace or --context",
            ) from error
        raise
