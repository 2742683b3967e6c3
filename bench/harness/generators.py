"""The generators: how each is told to do the same thing, and one measured run of one of them.

Everything that belongs to a generator shares one core, for Squall also the command and the hub: "on one core" means the
whole of it. The target has the other core, together with the bench itself, which sleeps.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.tools import fetch, libraries
from harness.watch import Window, tree, watch

from squall.errors import SquallError
from squall.report.folder import read_summary

if TYPE_CHECKING:
    from harness.target import Target

    from squall.report.model import Summary

SCRIPTS = Path(__file__).parent.parent / "engine"
TARGET_CORE, GENERATOR_CORE = 0, 1
_BEGIN_SECONDS = 90.0
"""k6 takes its time to make ten thousand VUs."""
_END_SECONDS = 60.0


class MeasuringError(RuntimeError):
    """A generator did not do what it should; the message holds the end of its output."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of one generator.

    Attributes:
        window: What happened while it was watched.
        total: Requests of the whole run, as the target saw them.
        summary: Squall's own summary.
        reported: k6's own summary.
    """

    window: Window
    total: int
    summary: Summary | None = None
    reported: dict[str, dict[str, float]] | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """When a run is watched.

    Attributes:
        load: How long it sends requests, in seconds; 0 when the script alone knows.
        warm: From the first request to the moment when watching begins.
        watched: How long it is watched.
    """

    load: int = 6
    warm: float = 1.5
    watched: float = 4.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where one run keeps its files."""

    folder: Path

    @property
    def results(self) -> Path:
        """Of Squall."""
        return self.folder / "results"

    @property
    def report(self) -> Path:
        """Of k6."""
        return self.folder / "k6.json"


Command = list[str]
Maker = Callable[[Place], Command]
"""Makes the command of a run that keeps its files in a place."""


def squall(script: str, url: str, load: int, place: Place, *, options: tuple[str, ...] = ()) -> Command:
    """`squall run` with a manifest; one runner process unless the options say otherwise."""
    command = [sys.executable, "-m", "squall.cli.main", "run", str(SCRIPTS / "squall" / f"{script}.yaml")]
    command += ["--results", str(place.results), "--var", f"baseUrl={url}"]
    command += ["--duration", f"{load}s"] if load else []
    return [*command, *(options if "--processes" in options else ("--processes", "1", *options))]


def k6(script: str, url: str, load: int, place: Place) -> Command:
    """`k6 run` with a script."""
    command = [str(fetch("k6")), "run", "--quiet", "--no-usage-report", "--address", ""]
    command += ["--summary-export", str(place.report), "-e", f"BASE_URL={url}", "-e", f"DURATION={load}s"]
    return [*command, str(SCRIPTS / "k6" / f"{script}.js")]


def wrk(script: str, url: str, load: int, _: Place) -> Command:
    """`wrk` with a script, one thread."""
    return [
        str(fetch("wrk")), "-t", "1", "-c", "100", "-d", f"{load}s", "-s", str(SCRIPTS / "wrk" / f"{script}.lua"), url,
    ]  # fmt: skip


def locust(script: str, url: str, load: int, _: Place) -> Command:
    """`locust` with a script, in one process."""
    command = [str(fetch("locust")), "-f", str(SCRIPTS / "locust" / f"{script}.py"), "--headless", "-H", url]
    return [
        *command,
        "-u",
        "100",
        "-r",
        "100",
        "-t",
        f"{load + 1}s",
        "--only-summary",
        "--loglevel",
        "WARNING",
    ]


def measure(
    command: Maker,
    target: Target,
    timing: Timing,
    *,
    cores: str = str(GENERATOR_CORE),
    during: Callable[[int], None] = lambda _: None,
) -> Measured:
    """Run a generator on the given cores and watch it.

    Args:
        command: What is run, given a place for its files.
        target: What it sends its requests to.
        timing: When it is watched.
        cores: As `taskset -c` has them.
        during: Called when it has been watched, while it still runs, with its process id.

    Raises:
        MeasuringError: It sends nothing, or fails.
    """
    with tempfile.TemporaryDirectory(prefix="squall-bench-") as name:
        place = Place(Path(name))
        before = target.requests()
        output = place.folder / "output"
        with output.open("wb") as file:
            process = subprocess.Popen(
                ["taskset", "-c", cores, *command(place)],
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd=place.folder, start_new_session=True,
                env={**os.environ, "LD_LIBRARY_PATH": libraries()},
            )  # fmt: skip
        try:
            _wait_for_load(process, target, before, output)
            time.sleep(timing.warm)
            window = watch(process.pid, target, timing.watched)
            during(process.pid)
            process.wait(timing.load + _END_SECONDS)
        except subprocess.TimeoutExpired:
            raise MeasuringError(f"it does not end: {' '.join(process.args)}") from None  # type: ignore[arg-type]
        finally:
            _end(process)
        return Measured(window, target.requests() - before, *_own_words(place, output))


def _wait_for_load(process: subprocess.Popen[bytes], target: Target, before: int, output: Path) -> None:
    deadline = time.monotonic() + _BEGIN_SECONDS
    while target.requests() <= before:
        if process.poll() is not None or time.monotonic() > deadline:
            raise MeasuringError(f"no request came:\n{output.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


def _own_words(place: Place, output: Path) -> tuple[Summary | None, dict[str, dict[str, float]] | None]:
    if place.results.is_dir():
        try:
            return read_summary(next(place.results.iterdir())), None
        except (StopIteration, SquallError):
            raise MeasuringError(f"no summary:\n{output.read_text(errors='replace')[-2000:]}") from None
    return None, json.loads(place.report.read_bytes())["metrics"] if place.report.exists() else None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End whatever is left of a run."""
    if process.poll() is None:
        for pid in tree(process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    process.wait()
