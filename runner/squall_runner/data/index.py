"""The index of a data file, built once per machine and mapped by every runner process.

An index is eight bytes a row: where each record begins. It is kept in a cache file whose name is the identity of the
data file (path, size, time of change), so that processes that start together build it once, under a lock, and later
runs find it ready. The pages are the kernel's: a process that maps them has no copy.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import mmap
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    BuildOffsets = Callable[[], NDArray[np.uint64]]

_VERSION = 1
_KEPT = 16


def default_cache() -> Path:
    """The directory for indexes: per user, below the system's directory for temporary files."""
    return Path(tempfile.gettempdir()) / f"squall-index-{os.getuid()}"


def load_index(path: Path, flavour: str, build: BuildOffsets, cache: Path) -> memoryview:
    """The offsets of a data file's records, mapped from the cache or built into it.

    Args:
        path: The data file.
        flavour: What else the offsets depend on (kind, delimiter).
        build: Scans the file; called when the cache has no index of it.
        cache: Directory of the cache; made if missing. When it cannot be used (somebody else's, no space), the
            index is kept in this process's memory.

    Returns:
        A view of unsigned 64-bit integers.
    """
    try:
        _prepare(cache)
        target = cache / f"{_identity(path, flavour)}.idx"
        with _locked(cache / "lock"):
            if not target.exists():
                _write(target, build())
                _prune(cache)
            # Mapped under the lock: no other process can prune the file before.
            with target.open("rb") as file:
                return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)).cast("Q")
    except OSError:
        return memoryview(build().tobytes()).cast("Q")


def _identity(path: Path, flavour: str) -> str:
    status = path.stat()
    parts = (
        _VERSION,
        path.resolve(),
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        flavour,
    )
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _prepare(cache: Path) -> None:
    """Make the directory; refuse one that somebody else could have filled."""
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = cache.stat(follow_symlinks=False)
    if cache.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise PermissionError(f"{cache} belongs to somebody else or can be written by others")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(target: Path, offsets: NDArray[np.uint64]) -> None:
    """Write so that nobody ever sees half an index, not even after a crash."""
    descriptor, name = tempfile.mkstemp(dir=target.parent, suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            offsets.tofile(file)
            file.flush()
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _prune(cache: Path) -> None:
    """Drop the oldest indexes; a process that has one mapped keeps it."""
    indexes = sorted(cache.glob("*.idx"), key=lambda index: index.stat().st_mtime_ns, reverse=True)
    for index in indexes[_KEPT:]:
        index.unlink(missing_ok=True)
