"""Carries out what the state machine of one run decides: sockets, disk, clock, Prometheus.

Nothing is decided here. Events are handed to the state machine with the time, and its actions are done in order, so that
what must be durable is on the disk before anybody is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from squall.hub import outcome, protocol
from squall.hub.asking import Asking
from squall.hub.connections import Connections, dismiss
from squall.hub.keeping import Keeping
from squall.hub.limits import SECOND
from squall.hub.live import live_state
from squall.hub.members import Refused
from squall.hub.model import Judged, Log, Record, Send, Stopping
from squall.hub.prepared import prepare
from squall.hub.turns import Rest
from squall.hub.watched import Watched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from squall.export.exporter import Exporter
    from squall.export.model import RemoteWrite
    from squall.hub.connection import Connection
    from squall.hub.model import Action, Cause, RunSpec
    from squall.hub.pushing import Pushing
    from squall.report.model import LiveState
    from squall.spec.loadtest import LoadTest

LogLine = Callable[[str, str, dict[str, Any]], None]
"""Run, level, event, fields."""


class Run:
    """One run of a hub.

    Args:
        spec: What to run.
        clock: Unix time in nanoseconds.
        folder: Where the journal goes, so that another process can take the run up; None for nowhere.
        log: Called with what belongs to the log.
        remote_write: Where metrics are pushed, and how; None for nowhere.

    Raises:
        SquallError: The manifest cannot be run.
        ValueError: The manifest is not one.
    """

    def __init__(
        self,
        spec: RunSpec,
        *,
        clock: Callable[[], int],
        folder: Path | None = None,
        log: LogLine | None = None,
        remote_write: RemoteWrite | None = None,
    ) -> None:
        self.spec = spec
        made = prepare(spec, clock())
        self.name = made.test.name
        self.plan, self.catalogue, self.state = made.plan, made.catalogue, made.state
        self.outcome: outcome.Outcome | None = None
        """Everything about the run, once it has finished."""
        self.rest = Rest()
        """Kept by its runners before each thing that they say."""
        self._defect: Exception | None = None
        self._clock = clock
        self._log = log
        namespace = str(made.test.metadata.get("namespace", ""))
        self._context = {"loadtest": self.name, "namespace": namespace, "run": spec.run}
        self._keeping = Keeping(folder, Path(spec.folder) if spec.folder else None, self._warn)
        self._connections = Connections()
        self._pushing = self._make_pushing(remote_write, made.test)
        self._concluded = False
        self._tasks: list[asyncio.Task[None]] = []
        self._wake = asyncio.Event()
        self._planned_ns = 0
        self._done = asyncio.Event()
        self._restored = False
        self._shown: object = None
        self._watched = Watched(live_state(self.state, self.plan, self.name, clock()))

    # -- for whoever started it -------------------------------------------------------------------------------

    @property
    def is_finished(self) -> bool:
        """Whether all is over and `outcome` is there."""
        return self._done.is_set()

    @property
    def is_ending(self) -> bool:
        """Whether there is no load any more, or will be none in a moment: stopped, tearing down, or finished."""
        return self.state.stopping is not None or self.state.phase in ("teardown", "finished")

    async def finished(self) -> None:
        """Wait until all is over, teardown included, and `outcome` is there.

        Raises:
            Exception: What has broken in the hub itself, and so has ended the run; the outcome says no more than that.
        """
        await self._done.wait()
        if self._defect is not None:
            raise self._defect

    @property
    def live(self) -> LiveState:
        """The run as it stands."""
        return self._watched.now

    def watch(self) -> AsyncIterator[LiveState]:
        """The run's states as they change; a slow reader misses some, never the last."""
        return self._watched.states(lambda: self.is_finished)

    def stop(
        self, cause: Cause = "user", reason: str = "Stopped", message: str = "stopped by a user"
    ) -> None:
        """End the load now, tear down, report."""
        self._take(self.state.stop, Stopping(cause=cause, reason=reason, message=message))

    def kill(self) -> None:
        """End all at once, without teardown; what was measured is still reported."""
        self._take(self.state.kill)

    def runner_exited(self, index: int, code: int) -> None:
        """The process of a runner has ended with this exit code, negative for a signal."""
        self._take(self.state.exited, index, code)

    def runner_gone(self, index: int, reason: str, message: str) -> None:
        """A runner is no more, and why.

        Raises:
            Refused: There is no such runner.
        """
        self._take(self.state.gone, index, reason, message)

    # -- for whoever looks after the hub ----------------------------------------------------------------------

    @property
    def connected(self) -> int:
        """How many runners are connected."""
        return len(self._connections)

    @property
    def journal_lost(self) -> bool:
        """Whether another process would not know the run, as the disk has refused its journal."""
        return self._keeping.journal_lost

    @property
    def exporter(self) -> Exporter | None:
        """What pushes the run's metrics, if anything does."""
        return None if self._pushing is None else self._pushing.exporter

    @property
    def lag_seconds(self) -> float:
        """How far judging is behind; see `RunState.lag_ns`."""
        return self.state.lag_ns(self._clock()) / SECOND

    # -- for the server ---------------------------------------------------------------------------------------

    def attach(self, hello: protocol.Hello, connection: Connection) -> None:
        """A runner has connected and said hello.

        Raises:
            Refused: It has no place in this run.
        """
        if self._defect is not None:
            dismiss(connection, outcome.HUB_DEFECT)
            return
        self.state.check(hello, self._clock())
        self._connections.add(hello.runner, connection)
        self._take(self.state.hello, hello)

    def received(self, runner: int, connection: Connection, message: protocol.FromRunner) -> None:
        """A runner has sent something.

        Raises:
            ValueError: It makes no sense.
        """
        if self._connections.current(runner, connection):
            seldom = isinstance(message, protocol.Measured | protocol.Pong)
            self._take(self.state.received, runner, message, refuses=ValueError, seldom=seldom)

    def refuse(self, runner: int, connection: Connection, problem: str) -> None:
        """A runner has sent what makes no sense; see `RunEnding.refused`."""
        if self._connections.current(runner, connection):
            self._take(self.state.refused, runner, problem)

    def detach(self, runner: int, connection: Connection) -> None:
        """A connection has ended."""
        if self._connections.current(runner, connection):
            self._connections.remove(runner)
            self._take(self.state.disconnected, runner)

    # -- life -------------------------------------------------------------------------------------------------

    def restore(self, records: list[dict[str, Any]]) -> None:
        """Take up the run where another hub process has left it."""
        self._restored = True
        self.state.restore(records, self._clock())
        for record in records:
            if record["kind"] == "end":
                self.outcome = msgspec.convert(record["outcome"], outcome.Outcome)
                self.state.ended_ns = int(record["at"])
            if record["kind"] == "pushed" and self._pushing is not None:
                self._pushing.restore(int(record["slot"]))
            if record["kind"] == "series":
                self._keeping.restore(int(record["slot"]))

    def open(self) -> None:
        """Begin to watch the clock; needs a running event loop."""
        self._keeping.open()
        if not self._restored:
            self._do(Record("run", {"spec": msgspec.to_builtins(self.spec)}, durable=True))
        if self.outcome is not None:
            self._done.set()
            self._act()
            return
        self._tasks = [asyncio.create_task(self._tick())]
        if self._pushing is not None:
            self._pushing.start()
        if self.state.judge.queries and not self.spec.prometheus_url:
            text = "thresholds on queries cannot be judged: no Prometheus is known (`squall run --prometheus-url`)"
            self._warn("NoPrometheus", text)
        elif self.state.judge.queries:
            asking = Asking(self.spec.prometheus_url, self.state, self._clock, self._act)
            self._tasks.append(asyncio.create_task(asking.run()))
        self._act()

    async def close(self) -> None:
        """Let go of everything; runners that are connected hear what was still to be said to them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._connections.close()
        if self._pushing is not None:
            await self._pushing.close()
        self.let_go()

    def let_go(self) -> None:
        """Let go of the files; harmless when repeated."""
        self._keeping.close()

    async def _tick(self) -> None:
        while not self.is_finished and not self._concluded:
            self._wake.clear()
            self._planned_ns = self.state.due_ns
            pause = (self._planned_ns - self._clock()) / SECOND
            try:
                async with asyncio.timeout(max(0.0, pause)):
                    await self._wake.wait()
            except TimeoutError:
                self._take(self.state.tick)

    def _break_off(self, error: Exception) -> None:
        """The hub itself is broken: no load may go on without it, and whoever waits for the run must hear of it.

        The state machine may be what is broken, and is not asked any more.
        """
        if self.is_finished:
            return
        self._defect = error
        text = f"{type(error).__name__}: {error}"
        self._write_log("error", outcome.HUB_DEFECT, {"message": text})
        self._connections.dismiss(outcome.HUB_DEFECT)
        now, state = self._clock(), self.state
        state.phase, state.ended_ns = "finished", now
        state.timeline.add(state.seconds(now), "error", outcome.HUB_DEFECT, text)
        self.outcome = outcome.defect(self.spec, state, self.plan, self.name, text)
        self._keep_end(self.outcome)
        self._done.set()
        self._watched.show(msgspec.structs.replace(self.live, phase="finished", stop_reason=text))
        self._wake.set()

    # -- doing ------------------------------------------------------------------------------------------------

    def _take(
        self,
        event: Callable[..., None],
        *what: object,
        refuses: type[Exception] = Refused,
        seldom: bool = False,
    ) -> None:
        """Hand an event to the state machine with the time, and do what it wants done.

        Args:
            event: One of its methods.
            what: Its arguments, but for the time.
            refuses: What it raises when the event makes no sense, which is no defect.
            seldom: See `_act`.

        Raises:
            Exception: Of the kind that was named.
        """
        if self._defect is not None:
            return
        try:
            event(*what, self._clock())
        except Exception as error:
            if isinstance(error, refuses):
                raise
            self._break_off(error)
        finally:
            self._act(seldom=seldom)

    def _act(self, *, seldom: bool = False) -> None:
        """Do what the state machine wants done, then tell those who watch.

        Args:
            seldom: What has happened comes thousands of times a second and changes little: unless it has made the state
                machine do something that is seen, nothing is looked at.
        """
        if self._defect is None:
            try:
                self._do_all(seldom=seldom)
            except Exception as error:  # noqa: BLE001 - a run must not hang because of a defect
                self._break_off(error)

    def _do_all(self, *, seldom: bool) -> None:
        judged = False
        while actions := self.state.take():
            for action in actions:
                judged |= isinstance(action, Judged)
                seldom &= isinstance(action, Send)
                self._do(action)
        if seldom:
            return
        if self.state.phase == "finished" and self.outcome is None:
            self._conclude()
            if self.outcome is None:
                return  # the rest is being pushed; until it is, the run is not shown as finished
        shown = (
            self.state.phase,
            tuple(member.phase() for member in self.state.members),
            self.outcome is None,
            len(self.state.timeline.events),
        )
        if judged or shown != self._shown:
            self._shown = shown
            self._show()
        if self.state.due_ns < self._planned_ns or self.is_finished:
            self._wake.set()

    def _show(self) -> None:
        """Have those who watch see how it stands."""
        self._watched.show(live_state(self.state, self.plan, self.name, self._clock()))

    def _do(self, action: Action) -> None:
        match action:
            case Send(runner, message):
                self._connections.send(runner, message)
            case Record(kind, fields, durable):
                self._keeping.record(kind, fields, durable=durable)
            case Log(level, event, fields):
                self._write_log(level, event, fields)
            case Judged(slot):
                self._keeping.judged(slot, self.state.store.view(slot))
                if self._pushing is not None and self._pushing.judged(slot):
                    self._keeping.record("pushed", {"slot": slot}, durable=False)

    def _write_log(self, level: str, event: str, fields: dict[str, Any]) -> None:
        if self._log is not None:
            self._log(level, event, {**self._context, **fields, **self._context})

    def _warn(self, event: str, text: str) -> None:
        self.state.note("warning", event, text, self._clock())

    def _conclude(self) -> None:
        if self._concluded:
            return
        self._concluded = True
        self._wake.set()
        self._keeping.flush()
        ended = outcome.conclude(self.spec, self.state, self.plan, self.catalogue, self.name)
        self._keep_end(ended)
        if self._pushing is None:
            self.outcome = ended
            self._done.set()
        else:
            self._tasks.append(asyncio.create_task(self._push_the_rest(self._pushing, ended)))

    def _keep_end(self, ended: outcome.Outcome) -> None:
        fields = {"at": self.state.ended_ns, "outcome": msgspec.to_builtins(ended)}
        self._keeping.record("end", fields, durable=True)

    # -- pushing metrics --------------------------------------------------------------------------------------

    def _make_pushing(self, settings: RemoteWrite | None, test: LoadTest) -> Pushing | None:
        if settings is None:
            return None
        from squall.hub.pushing import open_pushing  # noqa: PLC0415 - what it needs is loaded by those who push

        return open_pushing(
            settings, test, self.plan, self.catalogue, self.state, clock=self._clock, noted=self._act
        )

    async def _push_the_rest(self, pushing: Pushing, ended: outcome.Outcome) -> None:
        """Push how the run ended, then let everybody know that it has."""
        try:
            summary = await pushing.finish(ended.summary)
            if summary is not ended.summary:
                ended = msgspec.structs.replace(ended, summary=summary)
                self._keep_end(ended)
        finally:
            self.outcome = ended
            self._done.set()
            self._show()
            self._act()
