"""The tools that Squall is measured against, fetched once per machine into the cache.

Nothing is installed: k6 is built by Go into a folder, nginx and wrk are unpacked from Debian's packages, Locust
gets a virtual environment. `${XDG_CACHE_HOME:-~/.cache}/squall/bench` holds all of them.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from support.debianpackages import unpack
from support.longwork import say

K6 = "v1.8.1"
LOCUST = "locust==2.47.0"

_PROGRESS_SECONDS = 15.0


class ToolError(RuntimeError):
    """A tool cannot be had; the message says what to do."""


def cache() -> Path:
    """The folder that holds all tools."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "squall" / "bench"


def cached(name: str) -> Path | None:
    """A tool (`k6`, `locust`, `wrk`, `nginx`) if it has been fetched before."""
    place = _places()[name]
    return place if place.exists() else None


def fetch(name: str) -> Path:
    """A tool by the same names, fetched when it is not there yet.

    Raises:
        ToolError: It cannot be had.
        DebianPackagesError: So it is with a package of Debian.
    """
    place = _places()[name]
    if place.exists():
        return place
    cache().mkdir(parents=True, exist_ok=True)
    if name == "k6":
        _build_k6(place.parent)
    elif name == "locust":
        _make_environment(LOCUST, place.parent.parent)
    else:
        unpack(["nginx", "wrk", "libluajit2-5.1-2"], _debian())
    return place


def libraries() -> str:
    """What LD_LIBRARY_PATH has to be for the unpacked programs."""
    return os.pathsep.join(str(path) for path in (_debian() / "usr" / "lib").glob("*-linux-gnu"))


def versions() -> dict[str, str]:
    """The versions of all tools and of what they run on."""
    from squall import __version__

    return {
        "squall": __version__,
        "python": platform.python_version(),
        "k6": _said(fetch("k6"), "version").split()[1],
        "wrk": _said(fetch("wrk"), "-v").split()[1],
        "locust": _said(fetch("locust"), "--version").split()[1],
        "nginx": _said(fetch("nginx"), "-v").rpartition("/")[2].strip(),
        "linux": platform.release(),
        "cores": str(os.cpu_count()),
        "processor": _processor(),
    }


def _places() -> dict[str, Path]:
    return {
        "k6": cache() / f"k6-{K6}" / "k6",
        "locust": cache() / LOCUST.replace("==", "-") / "bin" / "locust",
        "wrk": _debian() / "usr" / "bin" / "wrk",
        "nginx": _debian() / "usr" / "sbin" / "nginx",
    }


def _debian() -> Path:
    return cache() / "debian"


def _build_k6(folder: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise ToolError(f"k6 {K6} is built from source and there is no `go` on the PATH: install Go")
    with tempfile.TemporaryDirectory(dir=cache(), prefix=".k6-") as name:
        target = Path(name) / "bin"
        environment = {**os.environ, "GOBIN": str(target), "CGO_ENABLED": "0"}
        _wait_for([go, "install", f"go.k6.io/k6@{K6}"], f"k6 {K6}: building, about two minutes", environment)
        _move(target, folder)


def _make_environment(requirement: str, folder: Path) -> None:
    # Its scripts name their interpreter by its place, so it is made where it stays and is complete with a mark.
    shutil.rmtree(folder, ignore_errors=True)
    say(f"{requirement}: making a virtual environment")
    venv.create(folder, with_pip=True, symlinks=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        _wait_for([*pip, requirement], f"{requirement}: installing", dict(os.environ))
    except ToolError:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _wait_for(command: list[str], title: str, environment: dict[str, str]) -> None:
    say(title)
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
        )
        try:
            while process.poll() is None:
                try:
                    process.wait(_PROGRESS_SECONDS)
                except subprocess.TimeoutExpired:
                    say(f"{title} ({time.monotonic() - started:.0f} s so far)")
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        if process.returncode != 0:
            end = b"\n".join(output.read().splitlines()[-20:]).decode(errors="replace")
            raise ToolError(f"`{' '.join(command)}` failed:\n{end}")


def _move(source: Path, target: Path) -> None:
    """Put a finished folder into its place; whoever was quicker has put the same there."""
    try:
        source.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def _said(program: Path, argument: str) -> str:
    environment = {**os.environ, "LD_LIBRARY_PATH": libraries()}
    done = subprocess.run([program, argument], capture_output=True, text=True, check=False, env=environment)
    return done.stdout + done.stderr


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine() or sys.platform
