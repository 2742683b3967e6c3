"""A base image made from Debian's packages, since tests must not depend on a registry.

It stands in for the Dockerfile's default, `python:3-slim`: a small Debian with Python, at the place where the Dockerfile's argument
BASE_IMAGE puts it. Made once per machine.
"""

import hashlib
import platform
import shutil
import tempfile
from pathlib import Path

from support.longwork import alone, cache_folder, run, say

SUITE = "bookworm"
PACKAGES = ("python3", "python3-venv", "python3-pip", "ca-certificates")
UNNEEDED = (
    "dev/*",
    "usr/share/doc/*",
    "usr/share/locale/*",
    "usr/share/man/*",
    "var/cache/*",
    "var/lib/apt/lists/*",
)
"""What containers get from elsewhere, or never read."""


def base_archive() -> Path:
    """The base's files as a tar archive, whose name changes when its contents would.

    Raises:
        LongWorkError: It cannot be made.
    """
    folder = cache_folder("images")
    recipe = " ".join((SUITE, *PACKAGES, *UNNEEDED, platform.machine()))
    archive = folder / f"base-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.tar"
    if not archive.is_file():
        with alone(folder / "base.lock", "making the base image"):
            if not archive.is_file():
                _make(archive)
    return archive


def _make(archive: Path) -> None:
    say(f"base image: making one from Debian {SUITE}'s packages, once per machine (about 2 minutes)")
    log = archive.with_suffix(".log")
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".base-") as name:
        root, packed = Path(name) / "root", Path(name) / "packed.tar"
        wanted = ",".join(PACKAGES)
        run(
            ["debootstrap", "--variant=minbase", f"--include={wanted}", SUITE, str(root)],
            title="base image",
            log=log,
        )
        for pattern in UNNEEDED:
            for place in root.glob(pattern):
                shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()
        run(
            ["tar", "--numeric-owner", "--sort=name", "-C", str(root), "-cf", str(packed), "."],
            title="base image",
            log=log,
        )
        packed.replace(archive)
