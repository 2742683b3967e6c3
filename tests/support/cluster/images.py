"""Container images made from a few files, without a registry and without a builder.

The format is OCI's image layout in one archive (image-spec v1.0): a layer, a configuration, a manifest, an index, each named by its
digest. containerd takes it as it would take what `docker save` writes.
"""

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_PAUSE = r"""
#include <signal.h>
#include <unistd.h>
static void leave(int signal) { (void)signal; _exit(0); }
int main(void) {
    signal(SIGTERM, leave);
    signal(SIGINT, leave);
    signal(SIGCHLD, SIG_IGN);
    for (;;) pause();
}
"""
"""Holds the namespaces of a pod: waits, and lets the kernel reap what is left to it."""


def pause_archive(folder: Path, name: str) -> Path:
    """Build the image that every pod begins with; returns the archive."""
    source, program = folder / "pause.c", folder / "pause"
    source.write_text(_PAUSE, encoding="ascii")
    subprocess.run(["gcc", "-static", "-Os", "-s", "-o", str(program), str(source)], check=True)
    return archive(folder / "pause.tar", name, {"pause": program}, ["/pause"])


def archive(path: Path, name: str, files: Mapping[str, Path], entrypoint: Sequence[str]) -> Path:
    """Write an image of executable files; returns the path.

    Args:
        path: Where to.
        name: With a tag, such as `localhost/pause:1`.
        files: What lies where in the image, without the leading slash.
        entrypoint: The command.
    """
    layer = _layer(files)
    blobs: dict[str, bytes] = {}
    layer_digest = _add(blobs, layer)
    config = {
        "architecture": _architecture(),
        "os": "linux",
        "config": {"Entrypoint": list(entrypoint)},
        "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
    }
    media = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{media}.manifest.v1+json",
        "config": _described(blobs, f"{media}.config.v1+json", json.dumps(config).encode()),
        "layers": [_described(blobs, f"{media}.layer.v1.tar", layer)],
    }
    described = _described(blobs, f"{media}.manifest.v1+json", json.dumps(manifest).encode())
    described["annotations"] = {
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": name.rpartition(":")[2],
    }
    index = {"schemaVersion": 2, "manifests": [described]}
    with tarfile.open(path, mode="w") as image:
        _write(image, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _write(image, "index.json", json.dumps(index).encode())
        for digest, blob in blobs.items():
            _write(image, f"blobs/sha256/{digest.removeprefix('sha256:')}", blob)
    return path


def derived(
    base: Path, path: Path, name: str, files: Mapping[str, Path], environment: Mapping[str, str]
) -> Path:
    """Write an image that has some files and variables more than another; returns the path.

    Args:
        base: The other one, as `docker save` writes it.
        path: Where to.
        name: With a tag.
        files: What lies where in the image, without the leading slash.
        environment: More of it.
    """
    layer = _layer(files)
    digest = hashlib.sha256(layer).hexdigest()
    with tarfile.open(base) as old, tarfile.open(path, mode="w") as image:
        (manifest,) = json.loads(_read(old, "manifest.json"))
        config = json.loads(_read(old, manifest["Config"]))
        config["rootfs"]["diff_ids"].append(f"sha256:{digest}")
        config.get("history", []).append({"created_by": "derived"})
        config["config"]["Env"] += [f"{key}={value}" for key, value in environment.items()]
        for each in dict.fromkeys(manifest["Layers"]):
            image.addfile(old.getmember(each), old.extractfile(each))
        _write(image, f"{digest}.tar", layer)
        text = json.dumps(config).encode()
        own = f"{hashlib.sha256(text).hexdigest()}.json"
        _write(image, own, text)
        layers = [*manifest["Layers"], f"{digest}.tar"]
        _write(
            image,
            "manifest.json",
            json.dumps([{"Config": own, "RepoTags": [name], "Layers": layers}]).encode(),
        )
    return path


def _read(image: tarfile.TarFile, name: str) -> bytes:
    file = image.extractfile(name)
    assert file is not None, f"{name} is no file"
    return file.read()


def _layer(files: Mapping[str, Path]) -> bytes:
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as contents:
        for place, file in files.items():
            entry = contents.gettarinfo(str(file), arcname=place)
            entry.mode, entry.uid, entry.gid = 0o755, 0, 0
            with file.open("rb") as data:
                contents.addfile(entry, data)
    return layer.getvalue()


def _add(blobs: dict[str, bytes], blob: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
    blobs[digest] = blob
    return digest


def _described(blobs: dict[str, bytes], media_type: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _add(blobs, blob), "size": len(blob)}


def _write(image: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    image.addfile(entry, io.BytesIO(content))


def _architecture() -> str:
    machine = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
    return machine.stdout.strip()
