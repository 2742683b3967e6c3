"""nginx as the target, on a core of its own, and what it knows about the load: how much came, and how long it took."""

from __future__ import annotations

import http.client
import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.tools import fetch
from support.certificates import Authority
from support.processes import Process, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIGURATION = Path(__file__).parent.parent / "engine" / "nginx"
_READY_SECONDS = 10.0


@dataclass(slots=True)
class Target:
    """A running nginx.

    Attributes:
        http: Its base URL.
        https: The same over TLS.
        logged: The same with a log of how long the target took for each request.
        process: Its main process.
    """

    http: str
    https: str
    logged: str
    process: Process
    folder: Path
    _asked: int = field(default=0)

    def requests(self) -> int:
        """How many requests have come since it was started, besides those of this method."""
        connection = http.client.HTTPConnection(self.http.removeprefix("http://"), timeout=5)
        try:
            connection.request("GET", "/status", headers={"Connection": "close"})
            numbers = connection.getresponse().read().split(b"\n")[2].split()
        finally:
            connection.close()
        self._asked += 1
        return int(numbers[2]) - self._asked

    def times(self) -> list[float]:
        """How long it took for each request to `logged`, in seconds, by its own log (which counts milliseconds)."""
        return [float(line) for line in (self.folder / "times.log").read_text(encoding="ascii").split()]

    def forget_times(self) -> None:
        """Begin the log anew."""
        os.truncate(self.folder / "times.log", 0)


@contextmanager
def running_target(folder: Path, core: int) -> Iterator[Target]:
    """Run nginx on one core, with its files in a folder."""
    ports = free_ports(3)
    names = dict(zip(("@HTTP@", "@HTTPS@", "@LOGGED@"), map(str, ports), strict=True))
    text = (CONFIGURATION / "target.conf").read_text(encoding="utf-8")
    for name, value in ({"@FOLDER@": str(folder)} | names).items():
        text = text.replace(name, value)
    (folder / "target.conf").write_text(text, encoding="utf-8")
    (folder / "answers.conf").write_bytes((CONFIGURATION / "answers.conf").read_bytes())
    Authority(folder).issue("server", name="bench", hosts=("127.0.0.1",))
    program = str(fetch("nginx"))
    # As root, workers become `nobody`, who may not enter a temporary directory of root.
    command = ["taskset", "-c", str(core), program, "-p", str(folder), "-c", "target.conf"]
    if os.geteuid() == 0:
        command += ["-g", "user root;"]
    process = Process(command, log=folder / "nginx.log")
    target = Target(
        http=f"http://127.0.0.1:{ports[0]}",
        https=f"https://127.0.0.1:{ports[1]}",
        logged=f"http://127.0.0.1:{ports[2]}",
        process=process,
        folder=folder,
    )
    try:
        process.wait_until(lambda: _answers(target), timeout=_READY_SECONDS)
        yield target
    finally:
        process.stop()


def _answers(target: Target) -> bool:
    try:
        return target.requests() >= 0
    except OSError:
        return False
