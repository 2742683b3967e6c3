"""What a manifest has on somebody's machine, made into objects that pods can mount: files into ConfigMaps, secrets into a Secret.

Names come from the content. So the same files sent again change nothing, and another content is another name, hence another spec and
another run.
"""

from __future__ import annotations

import copy
import hashlib
import re
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from squall.errors import ExitCode, SquallError, UsageError
from squall.kube.runs import AGAIN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from squall.spec.files import LocalFile

LARGEST: Final = 900 * 1024
"""Bytes of a file that are sent along: an object has at most 1 MiB, and base64 does not count."""
CONTENT: Final = "content"
"""The key of the one thing in a ConfigMap."""
LABELS: Final = {"app.kubernetes.io/managed-by": "squall", "app.kubernetes.io/name": "squall"}
_STEM: Final = 200
_ELSEWHERE: Final = ("path", "configMap", "secret", "volumeClaim")


class TooLargeError(SquallError):
    """A file is too large to be sent along."""

    exit_code = ExitCode.MANIFEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A LoadTest and what it needs.

    Attributes:
        manifest: For server-side apply; all it refers to is on the cluster.
        objects: ConfigMaps and a Secret, to be made before it.
    """

    manifest: dict[str, Any]
    objects: tuple[dict[str, Any], ...]


def pack(
    data: Mapping[str, Any],
    namespace: str,
    files: Mapping[str, LocalFile],
    secrets: Mapping[str, str],
    given: frozenset[str],
) -> Parcel:
    """Make a parcel of an effective manifest.

    Args:
        data: The manifest.
        namespace: Where it goes.
        files: Those that can be read here, by name.
        secrets: Values of secret variables that were given here.
        given: Names of files whose place was given on the command line, whatever the manifest says of them.

    Raises:
        TooLargeError: A file does not fit into an object.
        UsageError: A file has gone meanwhile.
    """
    manifest = copy.deepcopy(dict(data))
    manifest.pop("status", None)
    manifest["metadata"]["namespace"] = namespace
    spec, name = manifest["spec"], str(manifest["metadata"]["name"])
    spec.pop("suspend", None)  # whoever says `run` wants it to run
    objects = []
    for entry in spec.get("files", ()):
        if "path" in entry or entry["name"] in given:
            body = _file(name, namespace, files[entry["name"]], secret="secret" in entry)
            for key in (*_ELSEWHERE, "inline"):
                entry.pop(key, None)
            kind = "secret" if body["kind"] == "Secret" else "configMap"
            entry[kind] = {"name": body["metadata"]["name"], "key": CONTENT}
            objects.append(body)
    if secrets:
        body = _object("Secret", name, namespace, {key: text.encode() for key, text in secrets.items()})
        for variable in spec["variables"]:
            if variable["name"] in secrets:
                variable["secret"] = {"name": body["metadata"]["name"], "key": variable["name"]}
        objects.append(body)
    unique = {(each["kind"], each["metadata"]["name"]): each for each in objects}
    return Parcel(manifest=manifest, objects=tuple(unique.values()))


def annotated(manifest: Mapping[str, Any], value: str) -> dict[str, Any]:
    """The manifest with the annotation that asks for one more run, or as it is when the value is empty."""
    if not value:
        return dict(manifest)
    metadata = dict(manifest["metadata"])
    metadata["annotations"] = {**(metadata.get("annotations") or {}), AGAIN: value}
    return {**manifest, "metadata": metadata}


def adopted(body: Mapping[str, Any], owner: Mapping[str, Any]) -> dict[str, Any]:
    """An object that goes when its LoadTest goes."""
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    return {**body, "metadata": {**body["metadata"], "ownerReferences": [reference]}}


def _file(test: str, namespace: str, file: LocalFile, *, secret: bool) -> dict[str, Any]:
    if file.size > LARGEST:
        raise TooLargeError(
            f'the file "{file.name}" has {file.size:,} bytes; at most {LARGEST:,} can be sent along',
            "put it into a PersistentVolumeClaim of the namespace and name that by volumeClaim",
        )
    try:
        content = file.read()
    except OSError as error:
        raise UsageError(f"{file.path} cannot be read: {error.strerror}") from error
    return _object("Secret" if secret else "ConfigMap", test, namespace, {CONTENT: content})


def _object(kind: str, test: str, namespace: str, contents: Mapping[str, bytes]) -> dict[str, Any]:
    digest = hashlib.sha256()
    for key, content in sorted(contents.items()):
        digest.update(f"{key} {len(content)}\n".encode() + content)
    stem = re.sub(r"[^a-z0-9.-]", "-", test.lower())[:_STEM].strip("-.")
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {
            "name": f"{stem}-{digest.hexdigest()[:16]}",
            "namespace": namespace,
            "labels": {**LABELS, "squall.dev/loadtest": test[:63].strip("-.")},
        },
        "data" if kind == "Secret" else "binaryData": {
            key: b64encode(content).decode() for key, content in contents.items()
        },
    }
