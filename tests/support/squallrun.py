"""`squall run` as its users have it: a process of its own, with its runners, its results folder and its exit code.

Each gets a folder for temporary files of its own, and the environment variable that names it marks everything it ever starts,
also after it has died itself: so a test can prove that nothing is left, and whatever a defect does leave behind is
ended with the test.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec
import yaml
from support.countingtarget import CountingTarget

from squall.report.model import Summary

END_SECONDS = 45.0
"""Longer than any run here may take on a busy machine."""
_POLL_SECONDS = 0.02
_TAKE_TERMINAL = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
"""A process becomes the leader of its terminal, and then what it was meant to be."""


def manifest(url: str | None, **parts: Any) -> dict[str, Any]:
    """A LoadTest of four VUs on two shards for two seconds, with parts of its spec replaced or added.

    `vus`, `duration` and `steps` are those of its one scenario.
    """
    scenario = {
        "name": "visit",
        "executor": "constant-vus",
        "vus": parts.pop("vus", 4),
        "duration": parts.pop("duration", "2s"),
        "steps": parts.pop("steps", [{"name": "get", "http": {"url": "/"}}, {"think": {"duration": "20ms"}}]),
    }
    http = ({"baseUrl": url} if url else {}) | parts.pop("http", {})
    safety = {"maxDuration": "40s"} | parts.pop("safety", {})
    spec = {"shards": 2, "http": http, "scenarios": [scenario], "safety": safety} | parts
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": "fault"},
        "spec": spec,
    }


def step(name: str, **http: Any) -> dict[str, Any]:
    """An `http` step."""
    return {"name": name, "http": http}


@dataclass(frozen=True, slots=True)
class Ended:
    """A finished `squall run`.

    Attributes:
        code: Its exit code, negative for a signal.
        out: What it printed, both streams together.
        folder: Its results folder; None when it made none.
    """

    code: int
    out: str
    folder: Path | None

    @property
    def said(self) -> str:
        """What it printed, without frames and line breaks."""
        return " ".join(self.out.replace("│", " ").split())

    @property
    def results(self) -> Path:
        """The results folder."""
        assert self.folder is not None, f"no results folder:\n{self.out}"
        return self.folder

    @property
    def summary(self) -> Summary:
        """What summary.json holds."""
        return msgspec.json.decode((self.results / "summary.json").read_bytes(), type=Summary)

    @property
    def log(self) -> list[dict[str, Any]]:
        """The lines of log.jsonl."""
        return [json.loads(line) for line in (self.results / "log.jsonl").read_text().splitlines()]

    def count(self, metric: str = "http_reqs", **tags: str) -> float:
        """A counter of the summary; 0 when there is none."""
        rows = self.summary.metrics
        return next((r.values["count"] for r in rows if r.metric == metric and r.tags == tags), 0)

    def outcome(self) -> tuple[int, str, str, str]:
        """Exit code, result, cause and reason, once they agree with each other and with what people are shown."""
        verdict = self.summary.verdict
        report = (self.results / "report.md").read_text()
        assert verdict.exit_code == self.code, self.out
        assert verdict.result in report, report
        assert (self.results / "junit.xml").exists()
        assert self.code == 0 or verdict.message.split()[0] in self.out
        assert "Traceback" not in self.out, self.out
        return self.code, verdict.result, verdict.cause, verdict.reason


class SquallRun:
    """One `squall run`.

    Args:
        folder: Where manifest, output and results go.
        test: The manifest.
        arguments: More arguments.
        processes: Runner processes.
        environ: Environment variables besides the test's own.
        stdout: Where standard output goes, when not to a file with standard error.
        terminal: A pseudo-terminal's lower end, which becomes its controlling terminal and its standard streams.
    """

    def __init__(
        self,
        folder: Path,
        test: dict[str, Any],
        *arguments: str,
        processes: int = 1,
        environ: dict[str, str] | None = None,
        stdout: IO[bytes] | int | None = None,
        terminal: int | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.results = folder / "results"
        self._output = folder / "output"
        self._temporary = folder / "temporary"
        self._temporary.mkdir()
        file = folder / "loadtest.yaml"
        file.write_text(yaml.safe_dump(test, sort_keys=False))
        command = [] if terminal is None else [sys.executable, "-c", _TAKE_TERMINAL]
        command += [sys.executable, "-m", "squall.cli.main", "run", str(file), "--processes", str(processes)]
        if "--results" not in arguments:
            command += ["--results", str(self.results)]
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.DEVNULL if terminal is None else terminal,
                stdout=terminal if terminal is not None else (output if stdout is None else stdout),
                stderr=output if terminal is None else terminal,
                env=os.environ | {"TMPDIR": str(self._temporary)} | (environ or {}),
                start_new_session=True,
                preexec_fn=_mind_signals,  # noqa: PLW1509 - two calls of C, before any thread exists
            )
        self.pid = self.process.pid

    # -- while it runs ----------------------------------------------------------------------------------------

    def output(self) -> str:
        """What it has printed so far."""
        return self._output.read_text(errors="replace")

    def wait_for_output(self, text: str) -> None:
        """Wait until it has printed something."""
        self.wait_until(lambda: text in self.output(), f"{text!r} in its output")

    def wait_for_requests(self, target: CountingTarget, count: int, path: str | None = None) -> None:
        """Wait until the target has seen so many requests, of all or for one path."""
        self.wait_until(lambda: target.count(path) >= count, f"{count} requests for {path or 'anything'}")

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for something that happens while it runs.

        Raises:
            AssertionError: It did not happen in time, or the process ended before.
        """
        deadline = time.monotonic() + END_SECONDS
        while not condition():
            assert self.process.poll() is None, f"it ended before {what}:\n{self.output()}"
            assert time.monotonic() < deadline, f"waited in vain for {what}:\n{self.output()}"
            time.sleep(_POLL_SECONDS)

    def runners(self, count: int) -> list[int]:
        """The process ids of its runners, as soon as there are so many, in no particular order."""

        def found() -> list[int]:
            return [pid for pid in self.members() if b"squall_runner" in _command_line(pid)]

        self.wait_until(lambda: len(found()) >= count, f"{count} runners")
        return found()

    def members(self) -> list[int]:
        """All living processes that it has started."""
        return [pid for pid in marked(f"TMPDIR={self._temporary}".encode()) if pid != self.pid]

    def signal(self, number: int) -> None:
        """Send a signal to the `squall run` process alone."""
        self.process.send_signal(number)

    def signal_group(self, number: int) -> None:
        """Send a signal to its process group, as terminals, shells and `timeout` do."""
        os.killpg(self.pid, number)

    # -- at its end -------------------------------------------------------------------------------------------

    def ended(self, seconds: float = END_SECONDS) -> Ended:
        """Wait for its end, and see that it has left nothing behind.

        Raises:
            AssertionError: It hangs, or processes of it are still there.
        """
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"squall run does not end:\n{self.output()}") from None
        self.nothing_left()
        return Ended(code, self.output(), self._results_folder())

    def nothing_left(self, seconds: float = 0.0) -> None:
        """See that no process of it is there, or any more within some seconds.

        Raises:
            AssertionError: There is one.
        """
        deadline = time.monotonic() + seconds
        while left := self.members():
            commands = [_command_line(pid).replace(b"\0", b" ") for pid in left]
            assert time.monotonic() < deadline, f"still running: {commands}"
            time.sleep(_POLL_SECONDS)

    def _results_folder(self) -> Path | None:
        found = sorted(self.results.glob("*")) if self.results.is_dir() else []
        return found[0] if found else None

    def close(self) -> None:
        """End whatever is still there; harmless when nothing is."""
        for pid in (*self.members(), *([self.pid] if self.process.poll() is None else ())):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


class Squall:
    """Starts `squall run` processes in a test's folder and ends what is left of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs: list[SquallRun] = []

    def __call__(self, test: dict[str, Any], *arguments: str, **options: Any) -> SquallRun:
        """Start one; the arguments are those of `SquallRun`."""
        run = SquallRun(self._folder / f"run-{len(self._runs)}", test, *arguments, **options)
        self._runs.append(run)
        return run

    def close(self) -> None:
        """End all of them."""
        for run in self._runs:
            run.close()


def _mind_signals() -> None:
    """Whoever runs the tests may ignore signals, which children inherit; a user's shell does not."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def marked(variable: bytes) -> list[int]:
    """The living processes that were started with this variable in their environment; zombies are none."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and variable in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def stopped(pid: int) -> bool:
    """Whether a process has been stopped by a signal."""
    # The name before the state may hold anything.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("T")


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
