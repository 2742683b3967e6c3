"""What is compared has to be the same: every generator sends the same requests, with the same credentials and bodies."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from harness import generators
from harness.generators import SCRIPTS, Place
from harness.tools import cached, libraries
from harness.watch import memory, tree, watch

from squall.report.folder import read_summary
from squall.validation import load_one

ANSWERS: dict[str, tuple[int, dict[str, Any]]] = {
    "/item": (200, {"id": 17}),
    "/api/auth/login": (200, {"token": "a-token-of-the-counting-server", "userId": 7}),
    "/api/nft/mint": (201, {"nftId": 4711, "status": "minted"}),
    "/api/marketplace/list": (201, {"listingId": 815, "nftId": 4711, "status": "listed"}),
}
GET = [("GET", "/item", "", None)]
FLOW = [
    ("POST", "/api/auth/login", "", {"email": "user1@example.com", "password": "secret"}),
    ("POST", "/api/nft/mint", "Bearer a-token-of-the-counting-server", {"assetId": 1, "title": "Bench"}),
    (
        "POST",
        "/api/marketplace/list",
        "Bearer a-token-of-the-counting-server",
        {"nftId": 4711, "priceUSD": 10},
    ),
]
Seen = list[tuple[str, str, str, Any]]


class Handler(BaseHTTPRequestHandler):
    """Answers like the benchmark's nginx and notes every request."""

    protocol_version = "HTTP/1.1"
    seen: Seen

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        authorization = self.headers.get("Authorization", "")
        self.seen.append((self.command, self.path, authorization, json.loads(body) if body else None))
        if body:
            assert self.headers["Content-Type"].startswith("application/json")
        status, answer = ANSWERS[self.path]
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = answer

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def target() -> Iterator[tuple[str, Seen]]:
    seen: Seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Noting", (Handler,), {"seen": seen}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sent_by(command: list[str], folder: Path, seen: Seen) -> Seen:
    """Run a generator for a moment; what it has sent."""
    done = subprocess.run(
        command, check=False, cwd=folder, capture_output=True, text=True, timeout=60,
        env={**os.environ, "LD_LIBRARY_PATH": libraries()},
    )  # fmt: skip
    assert seen, done.stdout + done.stderr
    return seen


@pytest.mark.parametrize("name", [path.name for path in sorted((SCRIPTS / "squall").glob("*.yaml"))])
def test_manifests_are_valid_and_have_no_warnings(name: str) -> None:
    assert not load_one(SCRIPTS / "squall" / name).warnings


@pytest.mark.parametrize(
    ("tool", "script"),
    [
        *((tool, "get") for tool in ("squall", "k6", "locust", "wrk")),
        *((tool, "flow") for tool in ("squall", "k6", "locust")),
    ],
)
def test_generators_send_the_same_requests(tool: str, script: str, tmp_path: Path) -> None:
    expected = GET if script == "get" else FLOW
    if tool != "squall" and cached(tool) is None:
        pytest.skip(f"{tool} is not in the cache: `make bench-engine` fetches it")
    with target() as (url, seen):
        place = Place(tmp_path)
        if tool == "squall":
            command = generators.squall(script, url, 1, place, options=("--vus", "1"))
        elif tool == "k6":
            command = [*generators.k6(script, url, 1, place), "--vus", "1", "--iterations", "1"]
        elif tool == "locust":
            command = [each if each != "100" else "1" for each in generators.locust(script, url, 1, place)]
        else:
            command = [each if each != "100" else "1" for each in generators.wrk(script, url, 1, place)]
        assert sent_by(command, tmp_path, seen)[: len(expected)] == expected
        if tool == "k6":
            assert len(seen) == len(expected), "an iteration sends nothing else"
            checks = json.loads(place.report.read_bytes())["metrics"]["checks"]
            assert (checks["passes"], checks["fails"]) == (len(expected) * (1 if script == "get" else 2), 0)


def test_squall_checks_as_much_as_the_others(tmp_path: Path) -> None:
    with target() as (url, seen):
        place = Place(tmp_path)
        sent_by(generators.squall("flow", url, 1, place, options=("--vus", "1")), tmp_path, seen)
    summary = read_summary(next(place.results.iterdir()))
    assert len(summary.checks) == 6
    assert all(check.passes > 0 and check.fails == 0 for check in summary.checks)


def test_watching_sees_children_and_their_memory() -> None:
    command = [
        "sh",
        "-c",
        "python3 -c 'import time; a = bytearray(40_000_000); print(1, flush=True); time.sleep(60)' & wait",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        try:
            process.stdout.readline()
            pids = tree(process.pid)
            assert len(pids) == 2
            assert memory(pids) > 40_000_000 > memory(pids[:1])
        finally:
            for pid in reversed(pids):
                os.kill(pid, 9)


class Counted:
    """A target of which only the count and the process are asked."""

    def __init__(self) -> None:
        self.counts = iter([100, 350])
        self.process = type("Self", (), {"pid": os.getpid()})()

    def requests(self) -> int:
        return next(self.counts)


def test_a_window_is_counted_by_the_target() -> None:
    window = watch(os.getpid(), Counted(), 0.05)  # type: ignore[arg-type]
    assert window.requests == 250
    assert window.rate == pytest.approx(250 / window.seconds)
