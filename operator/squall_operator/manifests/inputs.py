"""What the pods of a run are given: the folder that `squall.hub.assignment` describes, as ConfigMaps, a Secret and a volume.

Secrets of the manifest's variables and files of other ConfigMaps and Secrets are only named here. The kubelet mounts them; the operator
never reads them, so it needs no permission to.
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from squall.hub import assignment
from squall.hub.assignment import Content, PodAssignment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from squall.spec.loadtest import File, FileRef, LoadTestSpec
    from squall_operator.manifests.owned import Owner

FOLDER: Final = "/etc/squall/run"
VOLUMES: Final = "/var/lib/squall/volumes"
SCRATCH: Final = "/tmp"  # noqa: S108 - an emptyDir of the pod's own
HUB_CA: Final = "hub-ca.pem"
_CONFIG_BYTES: Final = 700 * 1024
"""What is put into one ConfigMap at most, before base64: an object has at most 1 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The objects that the pods mount, and how.

    Attributes:
        objects: The ConfigMaps, in the order in which to make them.
        token: The Secret.
        volumes: Of the pod.
        mounts: Of the runner's container.
    """

    objects: tuple[dict[str, Any], ...]
    token: dict[str, Any]
    volumes: tuple[dict[str, Any], ...]
    mounts: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInputs:
    """What a run's pods have to know.

    Attributes:
        manifest: The effective manifest as plain data; secrets are references.
        spec: The same as a model.
        variables: Values of the variables that are no secrets.
        processes: Runner processes in each pod.
        token: Of the run.
        allowed_hosts: For each policy that says where load may go, its patterns.
    """

    run: str
    hub: str
    hub_ca: str
    token: str
    manifest: Mapping[str, Any]
    spec: LoadTestSpec
    variables: Mapping[str, Any]
    processes: int
    allowed_hosts: tuple[tuple[str, ...], ...] = ()


def build_inputs(owner: Owner, given: RunInputs) -> Inputs:
    """Make the objects and volumes of a run's inputs."""
    parts = _Parts()
    text = json.dumps(given.manifest, separators=(",", ":"), sort_keys=True).encode()
    manifest = parts.packed(assignment.MANIFEST, text)
    files = {file.name: parts.file(file) for file in given.spec.files}
    secrets = tuple(variable.name for variable in given.spec.variables if variable.secret is not None)
    if given.hub_ca:
        parts.whole(HUB_CA, given.hub_ca.encode())
    common = PodAssignment(
        run=given.run,
        hub=given.hub,
        hub_ca=HUB_CA if given.hub_ca else "",
        shards=int(given.spec.shards),
        shards_per_pod=int(given.spec.runner.shards_per_pod) if given.spec.runner else 1,
        processes_per_pod=given.processes,
        manifest=manifest,
        variables=dict(given.variables),
        secrets=secrets,
        files=files,
        scratch=SCRATCH,
        allowed_hosts=given.allowed_hosts,
    )
    parts.whole(assignment.RUN, msgspec.json.encode(common))
    maps = _config_maps(owner, given.run, parts.contents)
    token = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": owner.metadata(given.run, given.run),
        "type": "Opaque",
        "stringData": {assignment.TOKEN: given.token},
    }
    sources = [_source("secret", given.run, {assignment.TOKEN: assignment.TOKEN})]
    sources += [
        _source("configMap", each["metadata"]["name"], {key: parts.paths[key] for key in each["binaryData"]})
        for each in maps
    ]
    sources += parts.sources
    sources += [
        _source(
            "secret", variable.secret.name, {variable.secret.key: f"{assignment.SECRETS}/{variable.name}"}
        )
        for variable in given.spec.variables
        if variable.secret is not None
    ]
    projected = {"name": "run", "projected": {"defaultMode": 0o444, "sources": sources}}
    return Inputs(
        objects=tuple(maps),
        token=token,
        volumes=(projected, {"name": "scratch", "emptyDir": {}}, *parts.volumes),
        mounts=(
            {"name": "run", "mountPath": FOLDER, "readOnly": True},
            {"name": "scratch", "mountPath": SCRATCH},
            *parts.mounts,
        ),
    )


class _Parts:
    """Gathers what goes into the folder, piece by piece.

    Attributes:
        contents: By key of a ConfigMap.
        paths: Where in the folder each key is mounted.
        sources: Of ConfigMaps and Secrets that others have made.
        volumes: And mounts, of claims.
    """

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.paths: dict[str, str] = {}
        self.sources: list[dict[str, Any]] = []
        self.volumes: list[dict[str, Any]] = []
        self.mounts: list[dict[str, Any]] = []

    def whole(self, path: str, content: bytes) -> None:
        """Something small, as it is."""
        self._put(path, content)

    def packed(self, path: str, content: bytes) -> Content:
        """Something that may be large."""
        pieces = assignment.pack(content, _CONFIG_BYTES)
        for number, piece in enumerate(pieces):
            self._put(f"{path}.{number}", piece)
        return Content(path=path, pieces=len(pieces), size=len(content))

    def _put(self, path: str, content: bytes) -> None:
        key = f"part-{len(self.contents)}"  # names of files may hold what keys may not
        self.contents[key] = content
        self.paths[key] = path

    def file(self, file: File) -> Content:
        """A file of the manifest, wherever its content comes from."""
        if file.inline is not None:
            return self.packed(f"{assignment.PACKED}/{file.name}", file.inline.encode())
        for kind, reference in (("configMap", file.config_map), ("secret", file.secret)):
            if reference is not None:
                return self._referred(kind, reference, file.name)
        assert file.volume_claim is not None, "a file on a cluster comes from somewhere on the cluster"
        place = self._claim(file.volume_claim.claim_name)
        return Content(path=f"{place}/{file.volume_claim.path.lstrip('/')}", within=place)

    def _referred(self, kind: str, reference: FileRef, name: str) -> Content:
        """What somebody else has put into an object, or in pieces into several."""
        if reference.pieces is None:
            path = f"{assignment.FILES}/{name}"
            self.sources.append(_source(kind, reference.name, {reference.key: path}))
            return Content(path=path)
        path = f"{assignment.PACKED}/{name}"
        for number in range(reference.pieces):
            items = {reference.key: f"{path}.{number}"}
            self.sources.append(_source(kind, f"{reference.name}-{number}", items))
        return Content(path=path, pieces=reference.pieces, size=reference.size_bytes or 0)

    def _claim(self, claim: str) -> str:
        """Mount a claim once; returns where."""
        place = f"{VOLUMES}/{claim}"
        if all(mount["mountPath"] != place for mount in self.mounts):
            name = f"claim-{len(self.mounts)}"
            source = {"claimName": claim, "readOnly": True}
            self.volumes.append({"name": name, "persistentVolumeClaim": source})
            self.mounts.append({"name": name, "mountPath": place, "readOnly": True})
        return place


def _source(kind: str, name: str, items: Mapping[str, str]) -> dict[str, Any]:
    return {kind: {"name": name, "items": [{"key": key, "path": path} for key, path in items.items()]}}


def _config_maps(owner: Owner, run: str, contents: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Spread contents over as few ConfigMaps as they fit into."""
    groups: list[dict[str, bytes]] = [{}]
    for key, content in contents.items():
        if groups[-1] and sum(map(len, groups[-1].values())) + len(content) > _CONFIG_BYTES:
            groups.append({})
        groups[-1][key] = content
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": owner.metadata(run, f"{run}-{number}"),
            "binaryData": {key: b64encode(content).decode() for key, content in group.items()},
            "immutable": True,
        }
        for number, group in enumerate(groups)
    ]
