"""What a pod of runners is given, and who carries which shards there.

On one machine a process hands each runner its assignment. On a cluster nobody stands beside the pods: all of them come from one
template, and what they share lies in ConfigMaps and Secrets that are mounted as one folder. So two sides have to agree without
speaking: who writes the folder also tells the hub which runners to expect, and each pod finds its own part by its index alone.
Both sides use this module.

The folder:

    run.json                  `PodAssignment`
    manifest.json.gz.0 ...    the effective manifest; what is larger than one ConfigMap may be is cut into pieces
    token                     proves to the hub that a runner belongs to the run
    secrets/NAME              the value of each secret variable
    files/NAME                the manifest's files that lie there as they are; others lie anywhere else in the pod
    packed/NAME.0 ...         those that are packed like the manifest

A pod knows its index from the environment variable `JOB_COMPLETION_INDEX`, which Kubernetes gives to the pods of an Indexed Job.
"""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

RUN: Final = "run.json"
MANIFEST: Final = "manifest.json.gz"
TOKEN: Final = "token"  # noqa: S105 - the name of a file
SECRETS: Final = "secrets"
FILES: Final = "files"
PACKED: Final = "packed"
"""Apart from `FILES`, where a file may have the name of another's piece."""
INDEX_VARIABLE: Final = "JOB_COMPLETION_INDEX"
PIECE_BYTES: Final = 900 * 1024
"""A ConfigMap or Secret holds at most 1 MiB, its keys included."""
_PART_BYTES: Final = 1024 * 1024
"""How much is unpacked at once."""


class Content(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where some bytes lie.

    Attributes:
        path: Of the file; relative to the folder, or absolute.
        pieces: 0 for a file that lies there as it is. Else it is packed, see `pack`, and cut into that many files `PATH.0`,
            `PATH.1` and so on.
        size: Bytes when unpacked; needed of what is packed.
        within: The folder that the file has to lie in, links followed: that of a volume of which a manifest names a file. Empty for
            what the kubelet has put where it belongs.
    """

    path: str
    pieces: int = 0
    size: int = 0
    within: str = ""


class PodAssignment(msgspec.Struct, frozen=True, kw_only=True):
    """What all pods of a run have in common (`run.json`).

    Attributes:
        run: The run's id.
        hub: The hub's base URL, `http://` or `https://`.
        hub_ca: The file with the certificates that vouch for the hub, in PEM, as a path like `Content.path`; empty for those
            that the image trusts.
        shards: Of the whole run, from 1.
        shards_per_pod: At most, from 1.
        processes_per_pod: At most, from 1; one per CPU of the pod.
        manifest: The effective manifest, a `LoadTest` as JSON.
        variables: Values of the manifest's variables, secrets excepted.
        secrets: Names of its secret variables.
        files: Where each of `spec.files` lies.
        scratch: A folder that the pod may write to, for files that have to be put together.
        allowed_hosts: See `Assignment.allowed_hosts`.
    """

    run: str
    hub: str
    hub_ca: str = ""
    shards: int
    shards_per_pod: int = 1
    processes_per_pod: int = 1
    manifest: Content
    variables: dict[str, Any] = {}
    secrets: tuple[str, ...] = ()
    files: dict[str, Content] = {}
    scratch: str = "/tmp"  # noqa: S108 - the pod's own, and nobody else is in it
    allowed_hosts: tuple[tuple[str, ...], ...] = ()


def deal(shards: Sequence[int], hands: int) -> tuple[tuple[int, ...], ...]:
    """Deal shards to at most that many hands, like cards; none stays empty.

    Cut into blocks, shards with the same role would end up together: neighbours mostly do the same.
    """
    hands = min(len(shards), hands)
    return tuple(tuple(shards[hand::hands]) for hand in range(hands))


def pods(shards: int, shards_per_pod: int, processes_per_pod: int) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Which shards each process of each pod carries: as few pods as may be, as even as can be.

    Runners are numbered through all pods in this order, so `RunSpec.runners` is the concatenation of what is returned.

    Args:
        shards: Of the whole run, from 1.
        shards_per_pod: At most, from 1.
        processes_per_pod: At most, from 1.

    Returns:
        For each pod, by index, the shards of each of its processes.
    """
    count = -(-shards // shards_per_pod)
    return tuple(deal(own, processes_per_pod) for own in deal(range(shards), count))


def pack(content: bytes, piece_bytes: int = PIECE_BYTES) -> tuple[bytes, ...]:
    """Compress, and cut into pieces that a ConfigMap can hold; the same content gives the same pieces."""
    packed = gzip.compress(content, mtime=0)
    return tuple(packed[start : start + piece_bytes] for start in range(0, len(packed), piece_bytes))


def unpack(pieces: Sequence[bytes], size: int) -> bytes:
    """What `pack` was given.

    Raises:
        ValueError: As for `unfold`.
    """
    return b"".join(unfold(pieces, size))


def unfold(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """What `pack` was given, part by part, so that nobody has to hold all of it.

    However much the pieces would unpack to, at most `_PART_BYTES` more than `size` are unpacked.

    Raises:
        ValueError: A piece is missing or damaged, or there is more or less than `size` bytes. Parts have been given by then.
    """
    reader = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # gzip's frame and no other
    done = 0
    for piece in pieces:
        for part in _parts(reader, piece):
            done += len(part)
            if done > size:
                raise ValueError(f"it has more than the {size} bytes that it should have")
            yield part
    if done < size or not reader.eof:
        raise ValueError(f"it ends after {done} of {size} bytes")
    if reader.unused_data:
        raise ValueError("something follows after its end")


def _parts(reader: zlib._Decompress, piece: bytes) -> Iterator[bytes]:
    """What a piece unpacks to, in parts of at most `_PART_BYTES`."""
    part, rest = b"", piece
    # A full part may have left something behind although all of the piece has been read.
    while rest or len(part) == _PART_BYTES:
        if reader.eof and rest:
            raise ValueError("something follows after its end")
        try:
            part = reader.decompress(rest, _PART_BYTES)
        except zlib.error as error:
            raise ValueError(f"it is damaged: {error}") from error
        rest = reader.unconsumed_tail
        if part:
            yield part
