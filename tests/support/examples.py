"""The product as a user meets it: the command, the bundled target, a target that keeps a log, and what a run leaves.

Nothing here reaches into the product: commands are processes, targets are servers on real sockets, and what a run has done is
read from its results folder and from what the target has seen.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import subprocess
import sys
import threading
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from click.testing import CliRunner
from support.processes import Process

from squall.cli.main import cli
from squall.report.figures import find
from squall.report.folder import read_summary
from squall.report.model import MetricSummary, Summary

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
PLATFORM = EXAMPLES / "nft-platform" / "loadtest.yaml"
DATA_PORTABILITY = EXAMPLES / "data-portability" / "loadtest.yaml"
"""Runs against a network of its own, not against the bundled platform."""
CHAIN_CAPACITY = EXAMPLES / "chain-capacity.yaml"
"""Runs against a chain alone."""
ON_CHAINS = (CHAIN_CAPACITY, DATA_PORTABILITY)
"""Those have tests of their own."""
FULL_FLOW = EXAMPLES / "nft-platform" / "full-flow.yaml"
SQUALL = (sys.executable, "-m", "squall.cli.main")
SETTINGS = {"NFT_PASSWORD": "loadtest", "AUTH_TOKEN": "demo-token"}
MARK = "PYTHONSQUALLTESTMARK"
"""Runners are given only some variables of the environment; those of Python are among them."""
PATIENT = (
    "--set=safety.saturation.loopLag=1h",
    "--set=safety.saturation.lateness=1h",
    "--set=safety.saturation.delivered=1%",
)
"""Whether the machine is busy with other things is not what tests of whole runs are about."""
READY_SECONDS = 30.0
RUN_SECONDS = 100.0


@dataclass(frozen=True, slots=True)
class Platform:
    """The bundled target, running."""

    url: str

    def counts(self) -> dict[str, int]:
        """How many users, assets, NFTs, listings and subscriptions it holds."""
        with urllib.request.urlopen(f"{self.url}/health", timeout=10) as answer:
            held: dict[str, int] = json.load(answer)["counts"]
            return held


@contextmanager
def running_platform(folder: Path, *options: str) -> Iterator[Platform]:
    """The bundled target on a free port, with these options, until the end of the block."""
    log = folder / f"platform-{uuid.uuid4().hex[:8]}.log"
    log.touch()
    command = [sys.executable, str(EXAMPLES / "targets" / "nft_platform"), "--port", "0", *options]
    process = Process(command, log=log)
    try:
        process.wait_until(lambda: log.read_text().endswith("\n"), timeout=READY_SECONDS, every=0.02)
        yield Platform(log.read_text().splitlines()[0].removeprefix("listening on "))
    finally:
        process.stop()


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str


def squall(*arguments: str | Path, cwd: Path, url: str = "", stdin: str = "") -> Done:
    """Run `squall` to its end; fails when it leaves a process behind."""
    return command(*SQUALL, *map(str, arguments), cwd=cwd, url=url, stdin=stdin)


def command(*arguments: str, cwd: Path, url: str = "", stdin: str = "") -> Done:
    """Run a program to its end, with the settings of the examples; fails when it leaves a process behind."""
    mark = uuid.uuid4().hex
    done = subprocess.run(
        arguments,
        cwd=cwd,
        env=environment(url, mark),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert marked_processes(mark) == []
    return Done(done.returncode, done.stdout, done.stderr)


def look(*arguments: str | Path, url: str = "", stdin: str = "") -> Done:
    """Run a command that only reads, within this process, which is much faster."""
    result = CliRunner().invoke(
        cli, [*map(str, arguments)], input=stdin, env=environment(url), standalone_mode=False
    )
    if result.exception is not None:
        raise result.exception
    code = result.return_value if isinstance(result.return_value, int) else result.exit_code
    return Done(code, result.stdout, result.stderr)


def environment(url: str = "", mark: str = "") -> dict[str, str]:
    """The environment in which the examples work against the target at `url`."""
    plain = {
        name: value
        for name, value in os.environ.items()
        if name not in {"COLUMNS", "NO_COLOR", "FORCE_COLOR"}
    }
    return plain | SETTINGS | ({"BASE_URL": url} if url else {}) | {MARK: mark}


def marked_processes(mark: str) -> list[str]:
    """The processes that were started, however indirectly, with this mark; none where there is no /proc."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it has ended, or is not ours
    return found


@dataclass(frozen=True, slots=True)
class Ran:
    """A run that has ended: what was printed, and its results folder."""

    done: Done
    folder: Path

    @property
    def code(self) -> int:
        """The exit code."""
        return self.done.code

    @property
    def summary(self) -> Summary:
        """What summary.json says."""
        return read_summary(self.folder)

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest as run."""
        loaded: dict[str, Any] = yaml.safe_load((self.folder / "manifest.yaml").read_text())
        return loaded

    def log(self) -> list[dict[str, Any]]:
        """The lines of log.jsonl."""
        return [json.loads(line) for line in (self.folder / "log.jsonl").read_text().splitlines()]

    def series(self) -> list[dict[str, Any]]:
        """The rows of series.jsonl.gz."""
        with gzip.open(self.folder / "series.jsonl.gz", "rt") as rows:
            return [json.loads(row) for row in rows]

    def values(self, metric: str, **tags: str) -> dict[str, float]:
        """The figures of a metric in the summary; fails when it is not there."""
        row = find(self.summary.metrics, metric, **tags)
        assert row is not None, f"{metric} {tags} is not in the summary"
        return row.values

    def count(self, metric: str, **tags: str) -> int:
        """How much a counter counted, or how many values a trend has; 0 when it is not there."""
        row = find(self.summary.metrics, metric, **tags)
        return int(row.values["count"]) if row else 0

    def cut(self, metric: str, *names: str) -> list[MetricSummary]:
        """The rows of a metric that have exactly these tags."""
        return [row for row in self.summary.metrics if row.metric == metric and set(row.tags) == set(names)]

    def explain(self) -> str:
        """What to read when the run was not as expected."""
        return f"exit code {self.code}\n{self.done.out}\n{self.done.err}"


def run(manifest: str | Path, *options: str | Path, cwd: Path, url: str = "") -> Ran:
    """`squall run` with results in a new folder below `cwd`; the manifest is a path, or a text."""
    results = cwd / f"results-{uuid.uuid4().hex[:8]}"
    text = manifest if isinstance(manifest, str) else ""
    file = manifest if isinstance(manifest, Path) else "-"
    done = squall("run", file, "--results", results, *PATIENT, *options, cwd=cwd, url=url, stdin=text)
    folders = list(results.iterdir()) if results.is_dir() else []
    assert len(folders) == 1, f"{len(folders)} results folders\n{done.out}\n{done.err}"
    return Ran(done, folders[0])


@dataclass(frozen=True, slots=True)
class Seen:
    """A request, as the target saw it."""

    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]


@dataclass(slots=True)
class LoggingTarget:
    """A target that remembers every request and answers with one JSON document."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)

    def to(self, path: str) -> list[Seen]:
        """The requests to a path."""
        return [each for each in self.seen if each.path == path]

    def headers(self, path: str, name: str) -> list[str]:
        """The values of a header field in the requests to a path, in order."""
        return [each.headers.get(name, "") for each in self.to(path)]


@contextmanager
def logging_target(answer: Callable[[Seen], Any] = lambda _: {"ok": True}) -> Iterator[LoggingTarget]:
    """A target with a log on a free port, in a thread of its own."""
    target = LoggingTarget()
    started = threading.Event()
    loop = asyncio.new_event_loop()
    stopped = asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        await request.read()
        one = Seen(request.method, request.path, request.headers, request.query)
        target.seen.append(one)
        return web.json_response(answer(one))

    async def serve() -> None:
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        target.url = "http://{}:{}".format(*runner.addresses[0][:2])
        started.set()
        await stopped.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert started.wait(READY_SECONDS)
    try:
        yield target
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(READY_SECONDS)
        loop.close()
