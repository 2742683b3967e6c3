"""What this machine gives to a runner: cores, a share of them, local ports, file descriptors, and a clock.

A load generator on a laptop, in a container with half a core, or on a host that is full of others measures different things, and
nothing in its own process tells them apart. The kernel does: in files below /proc and /sys, which this module reads and nobody
else has to know. What a machine does not tell is taken for unlimited, or for nothing.
"""

from __future__ import annotations

import errno
import os
import resource
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/")
_PORTS_BY_DEFAULT: Final = (32_768, 60_999)
_V1_MOUNTS: Final = ("cpu,cpuacct", "cpuacct,cpu", "cpu")
_UNLIMITED: Final = float("inf")
_MOST_READ: Final = 1 << 17
"""More than any of the files that are read again and again has, also with a thousand cores."""


@dataclass(frozen=True, slots=True)
class Cgroup:
    """The control groups that bound the CPU of this process: its own and those around it, the innermost first.

    A limit may stand on any of them: on Kubernetes a container's on its own, a pod's on the one around it.

    Attributes:
        folders: Where each shows itself.
        old: Whether this is version 1, which names and counts things differently.
    """

    folders: tuple[Path, ...] = ()
    old: bool = False

    @classmethod
    def own(cls, root: Path = _ROOT) -> Cgroup:
        """Those of this process; none where there is no /proc/self/cgroup."""
        for line in _read(root / "proc/self/cgroup").splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                mounts = [root / "sys/fs/cgroup", root / "sys/fs/cgroup/unified"]
                folders = _levels(mounts, path, "cpu.stat")
            elif "cpu" in controllers.split(","):
                folders = _levels([root / "sys/fs/cgroup" / name for name in _V1_MOUNTS], path, "cpu.stat")
            else:
                continue
            if folders:
                return cls(folders, old=bool(controllers))
        return cls()

    def cores(self) -> float:
        """How many cores may be used at a time; infinite without a limit."""
        return min((self._quota(folder) for folder in self.folders), default=_UNLIMITED)

    def throttled(self) -> float:
        """Seconds for which these groups were stopped by their limits so far: of the one that was it longest."""
        return max((self._throttled(folder) for folder in self.folders), default=0.0)

    def _quota(self, folder: Path) -> float:
        if self.old:
            quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        else:
            quota, _, period = _read(folder / "cpu.max").partition(" ")
        try:
            cores = int(quota) / int(period)
        except (ValueError, ZeroDivisionError):  # "max", or no such file
            return _UNLIMITED
        return cores if cores > 0 else _UNLIMITED

    def _throttled(self, folder: Path) -> float:
        key, unit = ("throttled_time ", 1e9) if self.old else ("throttled_usec ", 1e6)
        for line in _read_again(folder / "cpu.stat").splitlines():
            if line.startswith(key):
                return int(line.split()[1]) / unit
        return 0.0


def _levels(mounts: list[Path], path: str, needed: str) -> tuple[Path, ...]:
    """The folders of a group and those around it, below the first mount that knows any.

    In a container the path may be the host's, of which the container sees nothing: its own group is the mount itself then.
    """
    for mount in mounts:
        inner = Path(path.strip("/"))
        found = [mount / each for each in (inner, *inner.parents)]
        found = [folder for folder in found if (folder / needed).is_file()]
        if found:
            return tuple(dict.fromkeys(found))
    return ()


def allowed_cores(cgroup: Cgroup) -> float:
    """The cores that this process may use: by its affinity, and by the limits of its control groups."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return min(float(len(affinity(0)) if affinity else os.cpu_count() or 1), cgroup.cores())


def busy_seconds(root: Path = _ROOT) -> tuple[float, float] | None:
    """CPU seconds that the cores which this process may use have worked, for whomever, and those that there were.

    Only differences of two readings mean something. None where the kernel does not tell.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    if affinity is None:
        return None
    mine = {f"cpu{core}" for core in affinity(0)}
    worked = there = 0
    for line in _read_again(root / "proc/stat").splitlines():
        name, *rest = line.split()
        if name in mine:
            ticks = [int(value) for value in rest[:8]]  # guests are part of user already
            there += sum(ticks)
            worked += sum(ticks) - ticks[3] - ticks[4]  # idle, and idle while a disk is waited for
    rate = os.sysconf("SC_CLK_TCK")
    return (worked / rate, there / rate) if there else None


def waited_seconds(root: Path = _ROOT) -> float:
    """How long the main thread, that of the event loop, was ready to run and had to wait for a core so far."""
    try:
        return int(_read_again(root / "proc/self/schedstat").split()[1]) / 1e9
    except (IndexError, ValueError):
        return 0.0


def local_ports(root: Path = _ROOT) -> int:
    """How many connections to one address and port can be open: each has a local port of its own."""
    try:
        low, high = map(int, _read(root / "proc/sys/net/ipv4/ip_local_port_range").split())
    except ValueError:
        low, high = _PORTS_BY_DEFAULT
    return high - low + 1


def closing_ports(root: Path = _ROOT) -> int:
    """Local ports of connections that have just been closed (TIME_WAIT), for a minute each; 0 where nobody tells."""
    for line in _read_again(root / "proc/net/sockstat").splitlines():
        words = line.split()
        if words[:1] == ["TCP:"] and "tw" in words:
            return int(words[words.index("tw") + 1])
    return 0


def file_limit() -> int | None:
    """How many files this process may have open; None without a limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def open_files() -> int:
    """How many files this process has open, sockets included; 0 where nobody tells."""
    for place in ("/proc/self/fd", "/dev/fd"):
        try:
            return len(os.listdir(place))  # noqa: PTH208 - names only, as cheap as can be
        except OSError as exc:
            if exc.errno == errno.EMFILE:  # none is left to look with: that is the answer
                return file_limit() or 0
    return 0


def resident_bytes(root: Path = _ROOT) -> float:
    """Resident memory of this process."""
    try:
        return float(int(_read_again(root / "proc/self/statm").split()[1]) * os.sysconf("SC_PAGE_SIZE"))
    except (IndexError, ValueError):
        # Where there is no /proc: the peak, in bytes on macOS.
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _read_again(path: Path) -> str:
    """Read a file that is read for each slot: it stays open, as later no descriptor may be left to open it with."""
    try:
        return os.pread(_descriptor(path), _MOST_READ, 0).decode("ascii", errors="replace")
    except OSError:
        return ""


@cache
def _descriptor(path: Path) -> int:
    """Open a file for the life of this process."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
