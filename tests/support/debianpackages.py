"""Programs out of Debian's packages: unpacked into a folder, not installed.

Tests and benchmarks want real servers and tools. Installing them would start system services and need root; unpacking does
neither. Two processes that ask for the same folder at once do not disturb each other.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support.longwork import alone, say

FETCH_SECONDS = 100
_LOCKS = Path("/run/lock")


class DebianPackagesError(RuntimeError):
    """The packages cannot be had here; the message says why."""


@contextmanager
def only_installer() -> Iterator[None]:
    """Be the one test process of this machine that updates package lists or installs: apt fails where it finds itself at work.

    It is for root, who alone may do either.
    """
    _LOCKS.mkdir(parents=True, exist_ok=True)
    with alone(_LOCKS / "squall-test-packages", "installing packages"):
        yield


def unpack(packages: Sequence[str], folder: Path) -> None:
    """Fetch packages, without what they depend on, and unpack them into one new folder.

    Args:
        packages: Their names.
        folder: Is there, complete, when this returns; nothing happens when it is there before.

    Raises:
        DebianPackagesError: No Debian, or no such packages.
    """
    if folder.is_dir():
        return
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise DebianPackagesError("there is no apt-get here")
    folder.parent.mkdir(parents=True, exist_ok=True)
    names = ", ".join(packages)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
        work = Path(name)
        say(f"fetching from Debian: {names} (once per machine; unpacked, not installed)")
        if not _download(packages, work) and os.geteuid() == 0:
            with only_installer():
                say("the package lists are missing or old; updating them")
                _run(["apt-get", "update", "-qq"], work)
                _download(packages, work)
        found = list(work.glob("*.deb"))
        if len(found) < len(packages):
            raise DebianPackagesError(f"`apt-get download {' '.join(packages)}` failed")
        for package in found:
            _run(["dpkg-deb", "-x", str(package), str(work / "root")], work)
        # Two processes may get here at once; the second finds the folder there and uses it.
        try:
            (work / "root").rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    say(f"unpacked into {folder}")


def _download(packages: Sequence[str], work: Path) -> bool:
    # As root, apt drops to its own user, which cannot write to the folder and warns about it.
    return _run(["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", *packages], work)


def _run(command: list[str], cwd: Path) -> bool:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, timeout=FETCH_SECONDS
    )
    if done.returncode != 0:
        say(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
    return done.returncode == 0
