"""The project's own images, built from its Dockerfile as users build them, without a registry.

`buildah` builds as root without a daemon. It keeps its layers in the cache, so that after a change of code only the last small
layer is made again; when nothing has changed that goes into an image, nothing is built at all.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from support.cluster.baseimage import base_archive
from support.cluster.machine import MachineError, require_node_tools
from support.longwork import LongWorkError, alone, cache_folder, run, say

PROJECT = Path(__file__).resolve().parents[3]
INGREDIENTS = (
    *(".dockerignore", "Dockerfile", "LICENSE", "README.md", "pyproject.toml", "uv.lock"),
    *("core", "operator", "runner"),
)
IMAGES = {
    "operator": "localhost/squall-operator:test",
    "runner": "localhost/squall-runner:test",
    "runner-evm": "localhost/squall-runner-evm:test",
}
"""Names of the images by target."""
INSTALLED = ("operator", "runner")
"""Targets that every installation consists of; whoever needs another brings it to the node."""
KEPT_ARCHIVES = 3
"""Of each image: another checkout may be at another state, and another process may be testing it."""
MOST_LAYERS = 400
"""Where builds have left more, all are forgotten: the next one takes minutes, and the disk is free again."""
_CERTIFICATES = Path("/etc/ssl/certs")
_PIP_CONFIG = Path("/etc/pip.conf")


def chart_images() -> dict[str, Any]:
    """The chart's `images` for them, on nodes that have them already."""
    found: dict[str, Any] = {"pullPolicy": "Never"}
    for name in INSTALLED:
        repository, _, tag = IMAGES[name].rpartition(":")
        found[name] = {"repository": repository, "tag": tag}
    return found


def prepare_images(targets: Iterable[str] = INSTALLED) -> None:
    """Build images, which takes minutes the first time and some seconds after a change of code.

    Args:
        targets: Keys of `IMAGES`.

    Raises:
        LongWorkError: One cannot be built.
    """
    for target in targets:
        image_archive(target)


@cache
def image_archive(target: str) -> Path:
    """The image of a target as an archive that `Runtime.load` takes; built when it is not there yet.

    A process that has asked once gets the same again: tests of one session test one state of the code.

    Args:
        target: A key of `IMAGES`.

    Raises:
        LongWorkError: It cannot be built.
    """
    folder = cache_folder("images")
    base = base_archive()
    archive = folder / f"{target}-{_key(base)}.tar"
    with alone(folder / "build.lock", "building images"):
        if archive.is_file():
            archive.touch()
        else:
            _build(folder, base, target, archive)
            _forget_old(folder, target)
    return archive


def _key(base: Path) -> str:
    """Changes with whatever goes into an image."""
    digest = hashlib.sha256(base.name.encode())
    for path in _ingredients():
        digest.update(f"\0{path.relative_to(PROJECT)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _ingredients() -> Iterator[Path]:
    for name in INGREDIENTS:
        place = PROJECT / name
        if place.is_file():
            yield place
        for path in sorted(place.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def _build(folder: Path, base: Path, target: str, archive: Path) -> None:
    begun = time.monotonic()
    builder = _Builder(folder)
    base_image = f"localhost/squall-test-{base.stem}"
    try:
        builder.make_room()
        if not builder.has(base_image):
            builder.add_base(base, base_image)
        builder.build(base_image, target)
        builder.write(IMAGES[target], archive)
    finally:
        builder.unmount()
    say(f"image {target}: built in {time.monotonic() - begun:.0f} s, {archive.stat().st_size >> 20} MiB")


class _Builder:
    """buildah with its storage in a folder of the cache."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._storage = folder / "storage"
        self._log = folder / "build.log"
        driver = os.environ.get("STORAGE_DRIVER", "overlay")
        self._layers = self._storage / f"{driver}-layers" / "layers.json"
        self._command = (
            *("buildah", "--root", str(self._storage), "--runroot", "/run/squall-test-images"),
            *("--storage-driver", driver),
        )
        # chroot: needs none of the kernel's features that are missing inside containers and small machines.
        self._environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}

    def make_room(self) -> None:
        """Forget what an interrupted build has left, and everything when it has become too much."""
        self._run("rm", "--all")
        if self._layers.is_file() and self._layers.read_text(encoding="utf-8").count('"id":') > MOST_LAYERS:
            self._run("rmi", "--all", "--force")

    def has(self, image: str) -> bool:
        """Whether an image is there."""
        command = [*self._command, "inspect", "--type", "image", image]
        return (
            subprocess.run(command, env=self._environment, capture_output=True, check=False).returncode == 0
        )

    def add_base(self, archive: Path, image: str) -> None:
        """Make an image of a file system's archive."""
        context = self._folder / "base-context"
        shutil.rmtree(context, ignore_errors=True)
        context.mkdir()
        try:
            (context / "base.tar").hardlink_to(archive)
            (context / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n", encoding="ascii")
            self._run("build", "--layers", "--tag", image, str(context))
        finally:
            shutil.rmtree(context)

    def build(self, base: str, target: str) -> None:
        """Build a target of the project's Dockerfile."""
        tls = self._folder / "uv.toml"
        tls.write_text("system-certs = true\n", encoding="ascii")
        mounts = [(_CERTIFICATES, _CERTIFICATES), (_PIP_CONFIG, _PIP_CONFIG), (tls, Path("/etc/uv/uv.toml"))]
        volumes = [f"--volume={source}:{place}:ro" for source, place in mounts if source.exists()]
        self._run(
            *("build", "--layers", "--pull-never", "--network", "host", *volumes),
            *("--build-arg", f"BASE_IMAGE={base}", "--target", target, "--tag", IMAGES[target], str(PROJECT)),
        )

    def write(self, image: str, archive: Path) -> None:
        """Write an image to an archive; layers uncompressed, as they are read once and on this machine."""
        unfinished = archive.with_suffix(".part")
        unfinished.unlink(missing_ok=True)
        self._run("push", image, f"docker-archive:{unfinished}:{image}")
        unfinished.replace(archive)

    def unmount(self) -> None:
        """Leave no mount behind; nobody else uses the storage now."""
        below = f" {self._storage}/"
        mounts = [
            line.split(" ")[1] for line in Path("/proc/mounts").read_text().splitlines() if below in line
        ]
        for place in reversed(mounts):
            subprocess.run(["umount", place], capture_output=True, check=False)

    def _run(self, *arguments: str) -> None:
        run([*self._command, *arguments], title="images", log=self._log, environment=self._environment)


def _forget_old(folder: Path, target: str) -> None:
    archives = sorted(folder.glob(f"{target}-*.tar"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in archives[KEPT_ARCHIVES:]:
        old.unlink()


def main() -> int:
    """Build all images and print where they are."""
    try:
        require_node_tools()
        for target in IMAGES:
            sys.stdout.write(f"{image_archive(target)}\n")
    except (MachineError, LongWorkError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
