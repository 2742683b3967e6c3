"""Tools that are published as npm packages, fetched once per machine.

The node and the compiler that the examples and the tests use come as npm packages that run without being installed. npm
only downloads the archive, so its own settings (registry, proxy) hold; the archive is checked against a digest
that stands in our code, and unpacked into the cache. What is there is not fetched again,
so that everything works without a network afterwards. Two processes that want the same package wait for each other.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tool_cache import alone, cache_folder

FETCH_SECONDS = 300.0


class NpmPackageError(RuntimeError):
    """A package is not there and cannot be fetched; the message says what to do."""


@dataclass(frozen=True, slots=True)
class NpmPackage:
    """A package, exactly.

    Args:
        name: As npm knows it, such as `@scope/name`.
        version: Its version.
        integrity: Digest of its archive, as `npm view NAME dist.integrity` tells it: `sha512-` and base64.
    """

    name: str
    version: str
    integrity: str

    def folder(self) -> Path:
        """The unpacked package, fetched when it is not there.

        Raises:
            NpmPackageError: There is no npm, no such package, or another archive than expected.
        """
        cache = cache_folder("npm")
        folder = cache / f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}"
        if not folder.is_dir():
            with alone(cache):
                if not folder.is_dir():
                    self._fetch(folder)
        return folder

    def _fetch(self, folder: Path) -> None:
        npm = shutil.which("npm")
        if npm is None:
            raise NpmPackageError(
                f"the npm package {self.name} {self.version} must be fetched and there is no `npm` on the PATH; "
                "install Node.js"
            )
        sys.stderr.write(f"fetching the npm package {self.name} {self.version} (once per machine)\n")
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
            work = Path(name)
            archive = self._download(npm, work)
            with tarfile.open(archive) as opened:
                opened.extractall(work / "unpacked", filter="data")
            # Every npm archive holds one folder of this name; it appears in the cache only when it is whole.
            (work / "unpacked" / "package").rename(folder)

    def _download(self, npm: str, work: Path) -> Path:
        command = [npm, "pack", "--silent", "--pack-destination", str(work), f"{self.name}@{self.version}"]
        try:
            done = subprocess.run(
                command, cwd=work, capture_output=True, text=True, check=False, timeout=FETCH_SECONDS
            )
        except subprocess.TimeoutExpired:
            raise NpmPackageError(f"`{' '.join(command)}` was not done after {FETCH_SECONDS:.0f} s") from None
        found = list(work.glob("*.tgz"))
        if done.returncode != 0 or len(found) != 1:
            raise NpmPackageError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
        digest = "sha512-" + base64.b64encode(hashlib.sha512(found[0].read_bytes()).digest()).decode()
        if digest != self.integrity:
            raise NpmPackageError(
                f"the archive of {self.name} {self.version} has the digest {digest}, not {self.integrity}"
            )
        return found[0]
