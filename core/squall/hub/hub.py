"""The hub as a part of a process: runs are added, their runners connect, each ends with an outcome.

    hub = Hub(key, folder=None)
    url = await hub.start("127.0.0.1", 0)
    run = hub.add_run(RunSpec(run="r1", manifest=manifest, runners=((0, 1), (2, 3))))
    ...                                   # runner processes are started with hub.token("r1") and url
    async for state in run.watch(): ...
    await run.finished()
    run.outcome.summary.verdict.result
    await hub.close()

With a folder, each run has one below it until it is forgotten, and a hub that is started again there takes its runs up where they were.

Who adds a run forgets it when it is of no use any more. But whoever that was may be gone: so a hub that stands alone looks itself for what
has finished long ago.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from squall.errors import SquallError, UsageError
from squall.hub import journal
from squall.hub.driver import Run
from squall.hub.limits import SECOND
from squall.hub.model import RunSpec
from squall.hub.server import application
from squall.hub.tally import Tally, totals_of
from squall.hub.tokens import run_token
from squall.logs import events

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from squall.export.model import RemoteWrite
    from squall.hub.certificates import Certificates
    from squall.hub.driver import LogLine

_RUN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
SHUTDOWN_SECONDS: Final = 2.0
IDLE_SECONDS: Final = 30.0
"""Who connects says something whole within this time, or is sent away: nobody holds connections that others need."""
SWEEP_SECONDS: Final = 1.0
"""How often is looked for runs that are to be forgotten."""


class HubClock:
    """Unix time in nanoseconds that never goes backwards or jumps while this process lives."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def __call__(self) -> int:
        """The time now."""
        return time.monotonic_ns() + self._offset_ns


class Hub:
    """Holds runs, and serves their runners and those who ask.

    Args:
        key: The installation's key: who has it may add, stop and read all runs.
        folder: Where runs are kept, to be taken up by another process; None when that is not wanted.
        log: Called with level, event and fields of everything that belongs to a run's log; the run is among the fields.
        clock: Unix time in nanoseconds.
        remote_write: Where the metrics of all runs are pushed, and how; None for nowhere.
        keep_seconds: How long a run that has finished is kept when nobody forgets it; None for ever.
    """

    def __init__(
        self,
        key: bytes,
        *,
        folder: Path | None = None,
        log: LogLine | None = None,
        clock: Callable[[], int] | None = None,
        remote_write: RemoteWrite | None = None,
        keep_seconds: float | None = None,
    ) -> None:
        self.key = key
        self.runs: dict[str, Run] = {}
        self.tally = Tally()
        self._unwanted: set[str] = set()
        """Runs that are ending, and to be forgotten then."""
        self._keep_seconds = keep_seconds
        self._sweeper: asyncio.Task[None] | None = None
        self._folder = folder
        self._log = log
        self._clock = clock or HubClock()
        self._remote_write = remote_write
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int, certificates: Certificates | None = None) -> str:
        """Take up the runs that are kept, then listen; returns the base URL. Port 0 takes any that is free.

        Args:
            host: To listen on.
            port: Likewise.
            certificates: For TLS; None for none.

        Raises:
            UsageError: The address cannot be listened on.
        """
        self._restore()
        runner = web.AppRunner(
            application(self),
            access_log=None,
            shutdown_timeout=SHUTDOWN_SECONDS,
            keepalive_timeout=IDLE_SECONDS,
        )
        await runner.setup()
        site = web.TCPSite(runner, host, port, ssl_context=certificates.context if certificates else None)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            raise UsageError(
                f"cannot listen on {host}:{port}: {error.strerror}", "choose another address"
            ) from error
        self._runner = runner
        self._sweeper = asyncio.create_task(self._sweep_now_and_then())
        bound = runner.addresses[0]
        return f"{'https' if certificates else 'http'}://{bound[0]}:{bound[1]}"

    @property
    def pushes(self) -> bool:
        """Whether the metrics of runs are pushed."""
        return self._remote_write is not None

    def token(self, run: str) -> str:
        """The token of a run's runners."""
        return run_token(self.key, run)

    def add_run(self, spec: RunSpec) -> Run:
        """Take on a run; its runners may connect from now on. Adding the same run again changes nothing.

        Raises:
            UsageError: Its id is malformed, or taken by another run, or by one that is to be forgotten when it has ended.
            SquallError: Its manifest cannot be run.
            ValueError: Its manifest is not one.
        """
        if not _RUN_ID.fullmatch(spec.run):
            raise UsageError(f"{spec.run!r} is no id of a run", "use letters, digits, '.', '_' and '-'")
        if not spec.runners or not all(spec.runners):
            raise UsageError("a run needs runners, and each of them shards")
        known = self.runs.get(spec.run)
        if known is not None:
            if spec.run in self._unwanted:
                raise UsageError(f"run {spec.run!r} is ending, and forgotten then", "add it again after that")
            if known.spec.manifest != spec.manifest or known.spec.runners != spec.runners:
                raise UsageError(f"run {spec.run!r} exists, and is another")
            return known
        run = self._run(spec)
        self.runs[spec.run] = run
        run.open()
        return run

    def _run(self, spec: RunSpec) -> Run:
        return Run(
            spec,
            clock=self._clock,
            folder=self._kept(spec),
            log=self._log,
            remote_write=self._remote_write,
        )

    def _kept(self, spec: RunSpec) -> Path | None:
        return self._folder / spec.run if self._folder is not None else None

    def forget(self, run: str) -> bool:
        """Let go of a run that has finished, and of what was kept of it here. False when it has not finished.

        Raises:
            KeyError: There is no such run.
        """
        known = self.runs[run]
        if not known.is_finished:
            return False
        del self.runs[run]
        self._unwanted.discard(run)
        known.let_go()
        self.tally.forgotten += totals_of(known)
        folder = self._kept(known.spec)
        if folder is not None:
            # Else a hub that serves for months fills its disk, and takes up every run there ever was when it is started again.
            shutil.rmtree(folder, ignore_errors=True)
        return True

    def forget_at_end(self, run: str) -> bool:
        """Let go of a run as soon as it has finished. False when it is not ending.

        Raises:
            KeyError: There is no such run.
        """
        if not self.runs[run].is_ending:
            return False
        self._unwanted.add(run)
        return True

    def sweep(self) -> tuple[str, ...]:
        """Let go of what has finished and is not wanted, or was kept for long enough; returns these runs."""
        due = [name for name, run in self.runs.items() if name in self._unwanted or self._is_old(run)]
        return tuple([name for name in due if self.forget(name)])

    def _is_old(self, run: Run) -> bool:
        ended = run.state.ended_ns
        if self._keep_seconds is None or ended is None:
            return False
        return self._clock() - ended >= self._keep_seconds * SECOND

    async def _sweep_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sweep()

    def _restore(self) -> None:
        """Take up what an earlier process has left; a journal that makes no sense costs its own run only."""
        if self._folder is None or not self._folder.is_dir():
            return
        for path in sorted(self._folder.glob(f"*/{journal.NAME}")):
            if not path.is_file():
                continue
            try:
                records = list(journal.read(path))
                spec = _spec_of(records)
                if spec is None or spec.run in self.runs:
                    continue
                run = self._run(spec)
                run.restore(records)
            except (OSError, ValueError, KeyError, TypeError, msgspec.ValidationError, SquallError) as error:
                if self._log is not None:
                    message = f"{path} cannot be taken up: {error}"
                    self._log("error", events.JOURNAL_UNUSABLE, {"run": path.parent.name, "message": message})
                continue
            self.runs[spec.run] = run
            run.open()

    async def close(self) -> None:
        """Stop serving. Runs that have not finished stay as they are in their journals."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        for run in self.runs.values():
            await run.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None


def _spec_of(records: list[dict[str, Any]]) -> RunSpec | None:
    for record in records:
        if record["kind"] == "run":
            return msgspec.convert(record["spec"], RunSpec)
    return None
