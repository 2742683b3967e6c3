"""What the images add to their base: the size of their own layers, compressed by gzip as a registry keeps them."""

from __future__ import annotations

import json
import tarfile
import zlib
from typing import TYPE_CHECKING, Final

from harness.results import Number, at_most
from support.cluster.baseimage import base_archive
from support.cluster.built import image_archive
from support.cluster.machine import require_node_tools

if TYPE_CHECKING:
    from pathlib import Path

GOALS: Final = {"operator": 90.0, "runner": 60.0}
WITHOUT_GOAL: Final = "runner-evm"
_GZIP: Final = 31
"""zlib's word for gzip's format with the largest window."""
_CHUNK: Final = 1 << 20


def measure() -> list[Number]:
    """The size of each image in MB."""
    require_node_tools()
    base_archive()
    name = "{}: image without its base, compressed"
    sizes = {target: _megabytes(image_archive(target)) for target in (*GOALS, WITHOUT_GOAL)}
    return [
        *(at_most(name.format(target), sizes[target], "MB", goal) for target, goal in GOALS.items()),
        Number(name.format(WITHOUT_GOAL), sizes[WITHOUT_GOAL], "MB"),
    ]


def _megabytes(archive: Path) -> float:
    with tarfile.open(archive) as image:
        manifest = image.extractfile("manifest.json")
        assert manifest is not None
        (told,) = json.load(manifest)
        # The base of the tests is one layer, and the first.
        return sum(_compressed(image, layer) for layer in told["Layers"][1:]) / 1e6


def _compressed(image: tarfile.TarFile, layer: str) -> int:
    content = image.extractfile(layer)
    assert content is not None
    packed, size = zlib.compressobj(wbits=_GZIP), 0
    while chunk := content.read(_CHUNK):
        size += len(packed.compress(chunk))
    return size + len(packed.flush())
