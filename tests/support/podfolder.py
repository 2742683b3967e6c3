"""What is mounted into a runner's pod: made as an operator makes it, for folders on disk and for ConfigMaps and Secrets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from squall.hub.assignment import FILES, MANIFEST, RUN, SECRETS, TOKEN, Content, PodAssignment, pack


def contents(
    manifest: Mapping[str, Any],
    *,
    token: str,
    secrets: Mapping[str, str] | None = None,
    files: Mapping[str, bytes] | None = None,
    packed: Mapping[str, bytes] | None = None,
    places: Mapping[str, Content] | None = None,
    piece_bytes: int = 200,
    **parts: Any,
) -> dict[str, bytes]:
    """The files of the folder by their path in it.

    Args:
        manifest: A LoadTest.
        token: The run's.
        secrets: Values of secret variables.
        files: Files that lie there as they are.
        packed: Files that are cut into pieces, as the manifest is.
        places: Files that lie elsewhere.
        piece_bytes: How large a piece is.
        parts: Of the `PodAssignment`.
    """
    made: dict[str, bytes] = {TOKEN: token.encode()}
    made |= {f"{SECRETS}/{name}": value.encode() for name, value in (secrets or {}).items()}
    made |= {f"{FILES}/{name}": data for name, data in (files or {}).items()}
    found = {name: Content(path=f"{FILES}/{name}") for name in files or {}} | dict(places or {})
    for name, data in (packed or {}).items():
        found[name] = _add(made, f"{FILES}/{name}.gz", data, piece_bytes)
    shared: dict[str, Any] = {
        "run": "r1",
        "hub": "http://127.0.0.1:1",
        "shards": 1,
        "manifest": _add(made, MANIFEST, json.dumps(manifest).encode(), piece_bytes),
        "secrets": tuple(secrets or {}),
        "files": found,
    }
    return made | {RUN: msgspec.json.encode(PodAssignment(**shared | parts))}


def lay_out(folder: Path, made: Mapping[str, bytes]) -> Path:
    """Write the files into a folder; returns it."""
    for place, data in made.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def _add(made: dict[str, bytes], path: str, data: bytes, piece_bytes: int) -> Content:
    pieces = pack(data, piece_bytes)
    made |= {f"{path}.{number}": piece for number, piece in enumerate(pieces)}
    return Content(path=path, pieces=len(pieces), size=len(data))
