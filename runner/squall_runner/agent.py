"""The part of a runner that obeys: it connects to the hub, starts and stops the load when told, and reports each second.

What it must never do is go on sending when nobody is in control any more. So there is a watchdog, apart from everything
else: a timer that fires ten times a second and compares clocks. An event loop runs due timers before it resumes any task, so after a
freeze (a stopped process, a paused machine) the watchdog is asked before the load gets to send anything.

Everything it tells the hub can be told again, since connections break: snapshots are in the retention, all other
facts in `_facts`, and each new connection begins by repeating what the hub lacks.
"""

from __future__ import annotations

import asyncio
import secrets
import time
import traceback
from collections import deque
from typing import TYPE_CHECKING, Any, Final, cast

from squall.errors import ExitCode, SquallError
from squall.hub import protocol
from squall.hub.limits import SECOND, Limits
from squall.logs import events
from squall.metrics.retention import Retention
from squall.spec.received import received
from squall_runner.blocks import set_up, tear_down
from squall_runner.link import SILENCE_SECONDS, Link
from squall_runner.load import Hooks, LoadError
from squall_runner.tasks import done_before, settle

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.logs.log import Log
    from squall_runner.load import Load
    from squall_runner.pushing import ShardPushing

EXIT_OK: Final = 0
EXIT_CRASH: Final = 1
EXIT_TERMINATED: Final = 143
"""Told to terminate by a signal before its load was over, as shells show it: whoever runs pods makes another one for such an end."""
EXIT_LOST_CONTROL: Final = 70
"""The hub could not be reached for `safety.lostControl`, or has no place for this runner any more, or the process that started this one is gone."""
WATCH_SECONDS: Final = 0.1
LINGER_SECONDS: Final = 5.0
"""After being told to terminate by a signal: how long to wait for the hub's goodbye, beyond the grace of the stop."""
SETTLE_SECONDS: Final = 3.0
"""After the end: how long tasks that were told to end may take for it."""
NOTES: Final = 200
"""Notes kept while there is no connection; of more, the oldest are dropped."""


class Agent:
    """One runner process.

    Args:
        assignment: What it was given.
        make_load: Makes the load of an assignment, an attempt and hooks.
        clock: Nanoseconds, monotonic.
        log: This process's own log, if it has one.

    Raises:
        ValueError: The manifest is not one.
    """

    def __init__(
        self,
        assignment: protocol.Assignment,
        make_load: Callable[[protocol.Assignment, str, Hooks], Load],
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        log: Log | None = None,
    ) -> None:
        self.assignment = assignment
        self._log = log
        test = received(assignment.manifest)
        self.limits = Limits.of(test.spec)
        self._output = test.spec.outputs.prometheus if test.spec.outputs else None
        self._test = test
        self._attempt = secrets.token_hex(8)
        self._clock = clock
        self._make_load = make_load
        self._load: Load | None = None
        self._retention = Retention(self.limits.keep_slots, self.limits.anchors)
        self._slot = -1
        self._facts: dict[str, bytes] = {}
        self._notes: deque[bytes] = deque(maxlen=NOTES)
        self._welcome = False
        self._start_ns: int | None = None
        self._stopped = ""
        self._finished = False
        self._code = EXIT_OK
        self.problem = ""
        """Why it left before it was told to, for a message to people: the hub may never hear of it."""
        self._heard_ns = self._seen_ns = clock()
        self._start = asyncio.Event()
        self._ended = asyncio.Event()
        self._exit = asyncio.Event()
        self._pushing: ShardPushing | None = None
        self._last_push: asyncio.Task[None] | None = None
        self._setup: asyncio.Task[None] | None = None
        self._teardown: asyncio.Task[None] | None = None
        url = assignment.hub.rstrip("/") + protocol.PATH.format(run=assignment.run)
        self._link = Link(
            url,
            assignment.token,
            hello=self._hello,
            heard=self._hear,
            certificates=assignment.hub_ca,
            silence_seconds=min(SILENCE_SECONDS, self.limits.lost_control_ns / SECOND / 2),
        )

    # -- life -------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Live until told goodbye, or until nobody is in control; returns the exit code."""
        loop = asyncio.get_running_loop()
        self._heard_ns = self._seen_ns = self._clock()
        watch = loop.call_later(WATCH_SECONDS, self._watch)
        link = asyncio.create_task(self._keep_linked())
        life = asyncio.create_task(self._live())
        try:
            await self._exit.wait()
            self._halt(0)
            await asyncio.wait([life], timeout=self.limits.stop_grace_ns / SECOND + 1)
            if self._last_push is not None and self._code != EXIT_LOST_CONTROL:
                await asyncio.wait([self._last_push])  # for a few seconds at most
            await self._link.flush()
        finally:
            self._exit.set()
            watch.cancel()
            tasks = [
                task
                for task in (link, life, self._setup, self._teardown, self._last_push)
                if task is not None
            ]
            for task in tasks:
                task.cancel()
            await settle(tasks, SETTLE_SECONDS)
            if self._load is not None:
                await self._load.close()
        return self._code

    async def _keep_linked(self) -> None:
        await self._link.run()
        self._leave(EXIT_LOST_CONTROL, self._link.problem)

    async def _live(self) -> None:
        """From preparation to the end of the load; crashes are told, not lost."""
        try:
            self._load = self._make_load(self.assignment, self._attempt, self._hooks())
            self._pushing = self._make_pushing()
            await self._prepare_and_drive(self._load)
        except SquallError as error:
            if error.exit_code is ExitCode.MANIFEST and not isinstance(error, LoadError):
                self._code = ExitCode.MANIFEST  # of a LoadError the hub knows by its reason what it means
            reason = getattr(error, "reason", "BadManifest")
            text = f"{error.message}; {error.hint}" if error.hint else error.message
            self._fail(reason, text)
        except Exception as error:  # noqa: BLE001 - whatever the load does wrong, the hub must hear of it
            self._code = EXIT_CRASH
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno} of {where.filename})"
            self._fail("RunnerCrashed", text)
        finally:
            self._finish()

    async def _prepare_and_drive(self, load: Load) -> None:
        if not await done_before(self._ended, load.prepare()) or self._stopped:
            return
        self._tell("ready", protocol.Ready())
        self._say("info", events.RUNNER_READY, shards=list(self.assignment.shards))
        if not await done_before(self._ended, self._start.wait()) or self._stopped:
            return
        assert self._start_ns is not None, "the event is set with it"
        if self._pushing is not None:
            self._pushing.start(self._start_ns)
        marks = asyncio.create_task(self._mark(self._start_ns))
        try:
            await load.drive(self._start_ns)
        finally:
            marks.cancel()
            await asyncio.gather(marks, return_exceptions=True)

    async def _mark(self, start_ns: int) -> None:
        """Tell the real start, then measure at the end of every slot."""
        await self._sleep_until(start_ns)
        now = self._clock()
        self._tell("started", protocol.Started(now))
        self._say("info", events.RUNNER_STARTED)
        while True:
            slot = max((now - start_ns) // SECOND, self._slot + 1)
            await self._sleep_until(start_ns + (slot + 1) * SECOND)
            now = self._clock()
            self._measure((now - start_ns) // SECOND - 1)

    async def _sleep_until(self, moment_ns: int) -> None:
        while (left := moment_ns - self._clock()) > 0:  # noqa: ASYNC110 - timers may fire a little early
            await asyncio.sleep(left / SECOND)

    def _measure(self, slot: int) -> None:
        if self._load is not None and self._start_ns is not None and slot > self._slot:
            self._slot = slot
            snapshot = self._load.measure(slot)
            frame = self._retention.add(snapshot)
            if self._welcome:
                self._link.send(protocol.measured(frame))
            if self._pushing is not None:
                self._pushing.measured(snapshot)

    def _finish(self) -> None:
        """The load has ended, however: send what is left, then say so."""
        self._finished = True
        now = self._clock()
        if self._start_ns is not None and now > self._start_ns:
            self._measure((now - self._start_ns) // SECOND)
        last = self._load.last_request_ns if self._load is not None else 0
        # A load that ended because nobody was in control has not finished: the hub must miss this runner.
        if self._log is not None and self._log.problem:
            self._note(
                "warning", events.LOG_LOST, message=f"runner {self.assignment.runner}: {self._log.problem}"
            )
        self._say("info", events.RUNNER_FINISHED)
        if self._code != EXIT_LOST_CONTROL and ("failed" not in self._facts or self._start_ns is not None):
            self._tell("finished", protocol.Finished(last))
        if self._pushing is not None and self._start_ns is not None:
            self._last_push = asyncio.create_task(self._pushing.finish())

    # -- pushing its own series -------------------------------------------------------------------------------

    def _make_pushing(self) -> ShardPushing | None:
        if self._output is None or not self._output.per_shard:
            return None
        from squall_runner.pushing import ShardPushing  # noqa: PLC0415 - what it needs is loaded by those who push

        return ShardPushing(self._output, self._test, self.assignment, clock=self._clock, note=self._note)

    # -- control ----------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """See whether anybody is still in control; runs before any task does after a freeze."""
        if self._exit.is_set():
            return
        now = self._clock()
        gap, self._seen_ns = now - self._seen_ns, now
        if max(gap, now - self._heard_ns) > self.limits.lost_control_ns:
            self._leave(EXIT_LOST_CONTROL, self._link.problem)
            return
        if self._start_ns is not None and now - self._start_ns >= self.limits.max_duration_ns:
            self._reach_deadline()
        asyncio.get_running_loop().call_later(WATCH_SECONDS, self._watch)

    def _reach_deadline(self) -> None:
        if not self._stopped and not self._finished:
            text = "a runner has reached safety.maxDuration"
            self._tell("abort", protocol.Abort("Deadline", text, "deadline"))
            self._stop("Deadline", self.limits.stop_grace_ns)

    def _leave(self, code: int, why: str) -> None:
        """End this process: no more load from now on, then exit."""
        if not self._exit.is_set():
            self._code = code
            self.problem = why if code else ""
            self._note("error" if code else "info", events.RUNNER_LEAVES, message=why)
            self._stopped = self._stopped or "LostControl"
            self._exit.set()
        self._halt(0)

    def _stop(self, reason: str, grace_ns: int) -> None:
        if not self._stopped:
            self._say("info", events.RUNNER_STOPS, reason=reason)
        self._stopped = self._stopped or reason
        self._halt(grace_ns)

    def _halt(self, grace_ns: int) -> None:
        self._ended.set()
        if self._setup is not None:
            self._setup.cancel()  # without effect when it is done
        if self._load is not None:
            self._load.stop(grace_ns / SECOND)

    def terminate(self) -> None:
        """A signal asks the process to end: tell the hub, stop, and wait for its goodbye, but not for ever."""
        if self._facts.get("terminated"):
            self._leave(self._code, "told to terminate again")
            return
        if not self._finished:
            self._code = EXIT_TERMINATED
        text = f"runner {self.assignment.runner} was told to terminate"
        self._tell("terminated", protocol.Leaving(text))
        self._stop("Terminated", self.limits.stop_grace_ns)
        patience = self.limits.stop_grace_ns / SECOND + LINGER_SECONDS
        asyncio.get_running_loop().call_later(patience, self._leave, self._code, "told to terminate")

    def orphaned(self) -> None:
        """The process that started this one is gone, or needs it no longer and its goodbye is still on the way."""
        if self._finished:
            self._exit.set()
        else:
            self._leave(EXIT_LOST_CONTROL, "the process that started this runner is gone")
            if self._start_ns is None:
                self.problem = ""  # it was let go before its load: nothing that anybody has to hear of

    # -- what the hub says ------------------------------------------------------------------------------------

    def _hear(self, message: protocol.FromHub) -> None:  # noqa: PLR0912 - one branch for each message
        self._heard_ns = self._clock()
        match message:
            case protocol.Ping(sent_ns):
                self._link.send(protocol.encode(protocol.Pong(sent_ns, self._heard_ns)))
            case protocol.Welcome(last_slot):
                self._repeat(last_slot)
            case protocol.Setup():
                self._setup = self._setup or asyncio.create_task(self._run_setup())
            case protocol.SetupValues(values):
                if self._load is not None and self._start_ns is None:
                    self._load.use_setup(values)
            case protocol.Start(at_ns):
                if self._start_ns is None:
                    self._start_ns = at_ns
                    self._start.set()
            case protocol.Level():
                if self._load is not None:
                    self._load.level(message)
            case protocol.Stop(reason, grace_ns):
                self._stop(reason, grace_ns)
            case protocol.Teardown():
                self._teardown = self._teardown or asyncio.create_task(self._run_teardown())
            case protocol.Goodbye():
                self._exit.set()
            case protocol.Ack():
                pass  # having been heard is all there is to it

    def _hello(self) -> protocol.Hello:
        self._welcome = False
        return protocol.Hello(
            version=protocol.VERSION,
            runner=self.assignment.runner,
            attempt=self._attempt,
            shards=self.assignment.shards,
            now_ns=self._clock(),
            started_ns=self._start_ns,
            finished=self._finished,
            stopped=self._stopped,
        )

    def _repeat(self, last_slot: int) -> None:
        """Send what the hub does not have: snapshots first, as `finished` must come after the last."""
        self._welcome = True
        for frame in self._retention.replay(last_slot if last_slot >= 0 else None):
            self._link.send(protocol.measured(frame))
        for fact in self._facts.values():
            self._link.send(fact)
        while self._notes:
            self._link.send(self._notes.popleft())

    async def _run_setup(self) -> None:
        assert self._load is not None, "the hub asks a runner that is ready"
        self._tell("setup", await set_up(self._load))

    async def _run_teardown(self) -> None:
        done = await tear_down(self._load)
        if self._test.spec.evm is not None:
            self._measure(self._slot + 1)  # what it has cost to give back a chain's money
        self._tell("teardown", done)

    # -- what the hub is told ---------------------------------------------------------------------------------

    def _tell(self, name: str, fact: protocol.Message) -> None:
        """Tell a fact now, and again on every new connection."""
        self._facts[name] = protocol.encode(fact)
        if self._welcome:
            self._link.send(self._facts[name])

    def _fail(self, reason: str, message: str) -> None:
        self._tell("failed", protocol.Failed(reason, message))
        self._say("error", events.RUNNER_FAILED, reason=reason, message=message)

    def _say(self, level: str, event: str, **fields: Any) -> None:
        """Write to this process's own log, if it has one."""
        if self._log is not None:
            self._log.tell(level, event, fields)

    def _hooks(self) -> Hooks:
        return Hooks(
            lines=self._log.lines if self._log is not None else None,
            note=self._note,
            abort=lambda reason, message: self._tell("abort", protocol.Abort(reason, message)),
            probe=lambda ok, message: self._pass_on(protocol.Probe(ok, self._clock(), message)),
        )

    def _note(self, level: str, event: str, **fields: Any) -> None:
        self._say(level, event, **fields)
        self._pass_on(protocol.Note(cast("protocol.Severity", level), event, fields, self._clock()))

    def _pass_on(self, message: protocol.Message) -> None:
        frame = protocol.encode(message)
        if self._welcome and self._link.connected:
            self._link.send(frame)
        else:
            self._notes.append(frame)
