"""What somebody at a terminal sees while a run goes on, and what a pipe gets instead."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.examples import (
    RUN_SECONDS,
    SQUALL,
    LoggingTarget,
    environment,
    logging_target,
    marked_processes,
    run,
)

MANIFEST = """
apiVersion: squall.dev/v1alpha1
kind: LoadTest
metadata: {name: watched}
spec:
  variables: [{name: baseUrl, value: "http://127.0.0.1:9", env: BASE_URL}]
  http: {baseUrl: "${var.baseUrl}"}
  scenarios:
    - name: visitors
      executor: ramping-vus
      stages: [{name: up, duration: 900ms, target: 3}, {name: hold, duration: 1100ms, target: 3}]
      steps: [{name: get, http: {url: /}}, {think: {duration: 20ms}}]
  thresholds:
    - {metric: http_req_failed, expression: "rate<1%"}
"""
SHOW_CURSOR, HIDE_CURSOR = "\x1b[?25h", "\x1b[?25l"


@pytest.fixture
def target() -> Iterator[LoggingTarget]:
    with logging_target() as running:
        yield running


def on_terminal(manifest: Path, url: str, folder: Path) -> tuple[int, str, bool]:
    """Run at a terminal of 40 lines of 120: exit code, all that was written, and whether its settings are as before."""
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        before = termios.tcgetattr(theirs)
        mark = uuid.uuid4().hex
        process = subprocess.Popen(
            [*SQUALL, "run", str(manifest)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=folder,
            env=environment(url, mark) | {"TERM": "xterm-256color"},
        )
        written = bytearray()
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            ready, _, _ = select.select([ours], [], [], 0.1)
            if ready:
                written += os.read(ours, 65536)
            elif process.poll() is not None:
                break
        code = process.wait(timeout=10)
        assert marked_processes(mark) == []
        return code, written.decode(), termios.tcgetattr(theirs) == before
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_terminal_shows_progress_and_is_given_back(target: LoggingTarget, tmp_path: Path) -> None:
    manifest = tmp_path / "watched.yaml"
    manifest.write_text(MANIFEST)
    code, written, same = on_terminal(manifest, target.url, tmp_path)
    assert code == 0, written
    assert same
    assert written.rfind(HIDE_CURSOR) < written.rfind(SHOW_CURSOR)
    live, _, report = written.rpartition(SHOW_CURSOR)
    for part in ("visitors", "running", "VUs", "req/s", "p95", "http_req_failed"):
        assert part in live, part
    assert "up" in live
    assert "hold" in live
    # It is renewed in place: the cursor goes up, and what was there is erased.
    assert "\x1b[1A" in live
    assert "\x1b[2K" in live
    assert "Passed" in report
    (results,) = (tmp_path / "results").iterdir()
    assert f"results: results/{results.name}" in report
    assert len(target.seen) > 0


def test_a_pipe_gets_plain_lines(target: LoggingTarget, tmp_path: Path) -> None:
    ran = run(MANIFEST, cwd=tmp_path, url=target.url)
    assert ran.code == 0, ran.explain()
    assert "\x1b" not in ran.done.out
    lines = ran.done.out.splitlines()
    assert "watched: running" in lines
    assert any(line.startswith("0s/2s") and "visitors [up]" in line for line in lines)
    assert lines.index("watched: running") < lines.index("watched: finished")
    assert ran.done.err == ""
