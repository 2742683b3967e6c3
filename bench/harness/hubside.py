"""A hub of its own, and simulated runners for all of its runs, each a process on a core of its own."""

from __future__ import annotations

import json
import os
import secrets
import sys
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.processes import Process, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent
_READY_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class HubSide:
    """A hub that is served by nobody but the bench.

    Attributes:
        url: Its base URL.
        key: Opens its API.
        folder: Holds its state, and what simulated runners have heard.
    """

    url: str
    key: str
    folder: Path
    hub: Process

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Call the hub's API."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            headers={"Authorization": f"Bearer {self.key}"},
            data=None if body is None else json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            content = response.read()
        return json.loads(content) if content else None

    def heard(self) -> list[dict[str, Any]]:
        """What the simulated runners have heard that were let go."""
        return heard(self.folder / "fleet.jsonl")


def heard(log: Path) -> list[dict[str, Any]]:
    """The lines of a fleet's log."""
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def start_fleet(
    hub: str, key_file: Path, log: Path, *, core: int | None = None, within: float = 0.0
) -> Process:
    """Start a process that is all runners of a hub; those of a run all come within some seconds."""
    pinned = ["taskset", "-c", str(core)] if core is not None else []
    command = [*pinned, sys.executable, "-m", "support.fakefleet"]
    command += ["--hub", hub, "--key-file", str(key_file), "--log", str(log), "--within", str(within)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    return Process(command, log=log.with_suffix(".err"), environment=environment)


@contextmanager
def running_hub(folder: Path, *, core: int, fleet_core: int) -> Iterator[HubSide]:
    """Run both until the end of the block."""
    key, (port,) = secrets.token_hex(16), free_ports(1)
    key_file = folder / "key"
    key_file.write_text(key, encoding="ascii")
    command = ["taskset", "-c", str(core), sys.executable, "-m", "squall.hub"]
    command += ["--listen", f"127.0.0.1:{port}", "--key-file", str(key_file)]
    command += ["--state-dir", str(folder / "hub")]
    side = HubSide(f"http://127.0.0.1:{port}", key, folder, Process(command, log=folder / "hub.log"))
    try:
        side.hub.wait_until(lambda: _serves(side), timeout=_READY_SECONDS)
        fleet = start_fleet(side.url, key_file, folder / "fleet.jsonl", core=fleet_core)
        try:
            yield side
        finally:
            fleet.stop()
    finally:
        side.hub.stop()


def _serves(side: HubSide) -> bool:
    try:
        return bool(side.ask("GET", "/v1/runs"))
    except OSError:
        return False
