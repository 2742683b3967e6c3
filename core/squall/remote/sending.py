"""What a manifest has on somebody's machine, made into objects that pods can mount: files into ConfigMaps, secrets into a Secret.

Names come from the content. So the same files sent again change nothing, and another content is another name, hence another spec and
another run; a LoadTest never names a mixture of an old file's pieces and a new one's. And what no LoadTest names any more can be told from
what one does, and taken away.
"""

from __future__ import annotations

import copy
import hashlib
import re
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from squall.errors import ExitCode, SquallError, UsageError
from squall.hub import assignment
from squall.kube.runs import AGAIN
from squall.spec.files import VOLUME_HINT, beyond_pieces
from squall.spec.loadtest import MAX_PIECES, MAX_UNPACKED_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from squall.spec.files import LocalFile

PIECE_BYTES: Final = assignment.PIECE_BYTES
"""A file of up to so many bytes is sent as it is, so that people can read it there; a larger one compressed and in such pieces."""
CONTENT: Final = "content"
"""The key of the one thing in an object."""
LABELS: Final = {"app.kubernetes.io/managed-by": "squall", "app.kubernetes.io/name": "squall"}
LOAD_TEST: Final = "squall.dev/loadtest"
SENT: Final = "squall.dev/content"
"""The label that only objects made here have: the last part of the name that a manifest calls them by."""
_KINDS: Final = {"configMap": "ConfigMap", "secret": "Secret"}
_ELSEWHERE: Final = ("path", "inline", "volumeClaim", *_KINDS)
_STEM: Final = 200
_DIGITS: Final = 16
_LONGEST_LABEL: Final = 63


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
        TooLargeError: The files are more than a cluster takes in objects.
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
            kind = "secret" if "secret" in entry else "configMap"
            for key in _ELSEWHERE:
                entry.pop(key, None)
            place = _Place(_KINDS[kind], name, namespace)
            entry[kind], bodies = _file(place, files[entry["name"]])
            objects += bodies
    too_much = beyond_pieces(spec.get("files", ()))
    if too_much:
        raise TooLargeError(too_much, VOLUME_HINT)
    if secrets:
        contents = {key: text.encode() for key, text in secrets.items()}
        body = _Place("Secret", name, namespace).object(contents, _digest(contents))
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


def adoption(owner: Mapping[str, Any]) -> dict[str, Any]:
    """The change by which an object goes when its LoadTest goes."""
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    return {"metadata": {"ownerReferences": [reference]}}


def references(spec: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """The ConfigMaps and Secrets that a spec names: kind and name of each, that of pieces without their numbers."""
    entries = [*(spec.get("files") or ()), *(spec.get("variables") or ())]
    return frozenset(
        (kind, str(entry[key]["name"])) for entry in entries for key, kind in _KINDS.items() if key in entry
    )


def leftovers(test: str, spec: Mapping[str, Any]) -> str:
    """The label selector of what was sent for a LoadTest and is not named by its spec: of former files, and of sendings that broke off."""
    digests = sorted({name.rpartition("-")[2] for _, name in references(spec)})
    kept = ",".join(each for each in digests if re.fullmatch(f"[0-9a-f]{{{_DIGITS}}}", each))
    others = f",{SENT} notin ({kept})" if kept else ""
    return f"{LOAD_TEST}={_label(test)},{SENT}{others}"


@dataclass(frozen=True, slots=True)
class _Place:
    """What objects are made for, and as what."""

    kind: str
    test: str
    namespace: str

    def name(self, digest: str) -> str:
        """What a content is called by."""
        stem = re.sub(r"[^a-z0-9.-]", "-", self.test.lower())[:_STEM].strip("-.")
        return f"{stem}-{digest}"

    def object(self, contents: Mapping[str, bytes], digest: str, suffix: str = "") -> dict[str, Any]:
        """An object that nobody changes: another content has another name."""
        return {
            "apiVersion": "v1",
            "kind": self.kind,
            "metadata": {
                "name": self.name(digest) + suffix,
                "namespace": self.namespace,
                "labels": {**LABELS, LOAD_TEST: _label(self.test), SENT: digest},
            },
            "immutable": True,
            "data" if self.kind == "Secret" else "binaryData": {
                key: b64encode(content).decode() for key, content in contents.items()
            },
        }


def _file(place: _Place, file: LocalFile) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """How a manifest names a file that is sent, and the objects that it is sent in."""
    content = _read(file)
    if len(content) <= PIECE_BYTES:
        digest = _digest({CONTENT: content})
        return {"name": place.name(digest), "key": CONTENT}, [place.object({CONTENT: content}, digest)]
    pieces = assignment.pack(content, PIECE_BYTES)
    if len(pieces) > MAX_PIECES:
        raise _too_large(
            file, f"{len(pieces)} pieces when compressed", f"{MAX_PIECES} of {PIECE_BYTES // 1024} KiB"
        )
    # Of what is sent and not of what it unpacks to: another version of zlib may pack the same content otherwise.
    digest = _digest({str(number): piece for number, piece in enumerate(pieces)})
    reference = {
        "name": place.name(digest),
        "key": CONTENT,
        "pieces": len(pieces),
        "sizeBytes": len(content),
    }
    return reference, [
        place.object({CONTENT: piece}, digest, f"-{number}") for number, piece in enumerate(pieces)
    ]


def _read(file: LocalFile) -> bytes:
    if file.size > MAX_UNPACKED_BYTES:
        raise _too_large(file, f"{file.size:,} bytes", f"{MAX_UNPACKED_BYTES:,}")
    try:
        return file.read()
    except OSError as error:
        raise UsageError(f"{file.path} cannot be read: {error.strerror}") from error


def _too_large(file: LocalFile, has: str, most: str) -> TooLargeError:
    return TooLargeError(
        f'the file "{file.name}" has {has}; at most {most} can be sent along, for all files of a test together, '
        "because they lie in the cluster's etcd and every pod fetches all of them",
        VOLUME_HINT,
    )


def _digest(contents: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for key, content in sorted(contents.items()):
        digest.update(f"{key} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:_DIGITS]


def _label(test: str) -> str:
    """A LoadTest's name as a label: no two have the same, however long they are."""
    if len(test) <= _LONGEST_LABEL:
        return test
    digest = hashlib.sha256(test.encode()).hexdigest()[:_DIGITS]
    return f"{test[: _LONGEST_LABEL - _DIGITS - 1]}-{digest}"
