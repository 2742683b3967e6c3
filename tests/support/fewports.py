"""Load in a network of its own with a handful of local ports: what port exhaustion looks like, without harm to the machine.

Run as a program: it leaves the machine's network for an empty one with nothing but a loopback of its own, whose range of local
ports is tiny, drives an engine against a target in there, and prints what was measured as JSON. It ends with `NO_NETWORK`
where it is not allowed to.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import json
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any, Final

from support.driving import Told, drive, manifest, target

NO_NETWORK: Final = 77
VUS: Final = 30
PORTS: Final = 10
SECONDS: Final = 1
_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_UP_AND_RUNNING = 0x41


def _leave_network() -> None:
    """Moves this process into a network of its own.

    Raises:
        OSError: The system does not allow it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", _UP_AND_RUNNING))


def _few_ports() -> None:
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(f"40000 {40000 + PORTS - 1}")


async def _load() -> dict[str, Any]:
    told = Told()
    async with target() as server:
        _few_ports()
        load: dict[str, Any] = {"executor": "constant-vus", "vus": VUS, "duration": f"{SECONDS}s"}
        steps: list[dict[str, Any]] = [
            {"name": "hit", "http": {"url": f"{server.url}/"}},
            {"think": {"duration": "10ms"}},
        ]
        # An absolute URL: that a base URL needs more ports than there are would be told before the load.
        begun = time.process_time()
        measured = await drive(manifest(server.url, steps, **load), told)
        spent = time.process_time() - begun
    failed, total = measured.rate("http_req_failed", step="hit")
    return {
        "failed": failed,
        "total": total,
        "errors": measured.count("http_req_errors", error="connect_failed"),
        "iterations": measured.count("iterations"),
        "cpu": spent,
        "notes": [fields for _, _, fields in told.notes],
    }


def main() -> int:
    """Prints what was measured."""
    try:
        _leave_network()
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return NO_NETWORK
    sys.stdout.write(json.dumps(asyncio.run(_load())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
