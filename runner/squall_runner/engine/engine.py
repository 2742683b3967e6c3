"""The engine: the load of one runner process, from the first check to the last request.

It implements `squall_runner.load.Load` for the agent, which obeys the hub. What is hard about it is ending: a stop has
to hold from the moment `stop` returns, `drive` has to return whatever a user's function does, and nothing may be
left running.
"""

from __future__ import annotations

import asyncio
import gc
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from squall.spec.quantities import seconds
from squall.spec.secrets import Secrets
from squall_runner.auth import Tokens
from squall_runner.engine.build import Builder
from squall_runner.engine.chains import make_chain
from squall_runner.engine.control import Control, Timeline
from squall_runner.engine.ending import until_done
from squall_runner.engine.examples import Examples
from squall_runner.engine.limits import make_room
from squall_runner.engine.manifest import make_network, read_manifest
from squall_runner.engine.observe import SelfObservation
from squall_runner.engine.once import RequestLog, run_once
from squall_runner.engine.preflight import Connectivity, check_permitted, check_reachable, make_connectivity
from squall_runner.engine.scenario import ScenarioLoad, Shared
from squall_runner.engine.traffic import Traffic, make_traffic
from squall_runner.executors import Executor, make_executor
from squall_runner.load import LoadError
from squall_runner.recording import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.hub.protocol import Assignment, Level
    from squall.metrics.snapshot import Snapshot
    from squall_runner.evm.chain import Chain
    from squall_runner.http import Network
    from squall_runner.load import Hooks
    from squall_runner.resilience.hosts import Resilience
    from squall_runner.steps.context import Observer
    from squall_runner.steps.program import Program


class Engine:
    """The load of one runner.

    Args:
        assignment: What this runner was given.
        attempt: A word that is new for every process.
        hooks: How the load speaks up.
        clock: Nanoseconds, monotonic.
        observer: Who watches every step, if anybody; think steps then take no time.
    """

    def __init__(
        self,
        assignment: Assignment,
        *,
        attempt: str,
        hooks: Hooks,
        clock: Callable[[], int] = time.monotonic_ns,
        observer: Observer | None = None,
    ) -> None:
        self._assignment = assignment
        self._attempt = attempt
        self._hooks = hooks
        self._clock_ns = clock
        self._clock = time.monotonic if clock is time.monotonic_ns else lambda: clock() / 1e9
        self._observer = observer
        self._secrets = Secrets(assignment.secrets)
        self._tokens: Tokens | None = None
        self._traffic: Traffic | None = None
        self._aborted = False
        self._tags_cut = False
        self._recorder = Recorder(assignment.runner, attempt)
        self._control = Control()
        self._grace = 0.0
        self._scenarios: list[ScenarioLoad] = []
        self._executors: list[Executor] = []
        self._timeline: Timeline | None = None
        self._connectivity: Connectivity | None = None
        self._observation: SelfObservation | None = None
        self._resilience: Resilience | None = None
        self._network: Network | None = None
        self._chain: Chain | None = None
        self._setup: Program | None = None
        self._teardown: Program | None = None

    @property
    def last_request_ns(self) -> int:
        """`time.monotonic_ns` when the last request was sent; 0 before any."""
        return int(self._control.last_request * 1e9)

    def mask(self, text: str) -> str:
        """Hide secrets in a text: those of the manifest, and the tokens that were got with them."""
        return self._secrets.mask(text) if self._tokens is None else self._tokens.mask(text)

    # -- before the load --------------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Compile, open data and files, see whether the target is there; see `Load.prepare`."""
        try:
            await self._prepare()
        except LoadError as error:
            raise LoadError(error.reason, self.mask(error.message), self.mask(error.hint)) from error

    async def _prepare(self) -> None:
        self._manifest = manifest = read_manifest(self._assignment)
        self._network = network = make_network(manifest, self._clock, self._assignment)
        self._tokens = tokens = Tokens(
            network,
            timeout=seconds(manifest.spec.http.timeout),
            clock=self._clock,
            recorder=self._recorder,
            note=self._hooks.note,
            mask=self._secrets.mask,
        )
        self._traffic = make_traffic(
            manifest.spec.outputs, self._hooks.lines, self._assignment, manifest.plan.shards
        )
        if manifest.spec.evm is not None:
            self._chain = make_chain(
                manifest,
                network,
                self._assignment,
                recorder=self._recorder,
                control=self._control,
                clock=self._clock,
                note=self._hooks.note,
                trying=self._observer is not None,
            )
        self._compile(network, tokens)
        self._observation = SelfObservation(self._recorder, network, self._control, note=self._hooks.note)
        self._make_room()
        await self._preflight(network)
        if self._chain is not None:
            await self._chain.start()
        await tokens.fetch()
        tokens.start()
        gc.collect()
        gc.freeze()  # programs and plans live as long as the process: no collection needs to walk through them
        self._observation.start()

    def _compile(self, network: Network, tokens: Tokens) -> None:
        """Make programs of the manifest's steps, in the order in which names become known."""
        examples = Examples(self._hooks.note, self.mask)
        self._once_examples = Examples(self._hooks.note, self.mask)
        builder = Builder(
            self._manifest,
            recorder=self._recorder,
            control=self._control,
            examples=examples,
            hooks=replace(self._hooks, abort=self._abort),
            clock=self._clock,
            tokens=tokens,
            observer=self._observer,
            traffic=self._traffic,
            chain=self._chain,
        )
        self._resilience = builder.resilience
        builder.open_data()
        http = self._manifest.spec.http
        self._shared = Shared(
            run=self._assignment.run,
            attempt=self._attempt,
            base=dict(self._manifest.base),
            recorder=self._recorder,
            control=self._control,
            examples=examples,
            network=network,
            clock=self._clock,
            wall=time.time,
            cookies=http.cookies,
            reset=http.reset_between_iterations,
            abort=self._abort,
            note=self._hooks.note,
            traffic=self._traffic,
        )
        log = RequestLog(self._hooks.note, self.mask)
        self._setup = builder.setup(self._once_examples, log)
        self._scenarios = builder.scenarios(self._shared, self._assignment.shards)
        self._teardown = builder.teardown(self._once_examples, log)

    def _abort(self, reason: str, message: str) -> None:
        """Ask to end the run, once: thousands of VUs may meet the same failure before the answer comes."""
        if not self._aborted:
            self._aborted = True
            self._hooks.abort(reason, self.mask(message))

    def _make_room(self) -> None:
        if self._observer is not None:
            return  # a single VU is tried
        manifest, assignment = self._manifest, self._assignment
        make_room(
            manifest.spec,
            manifest.plan,
            manifest.targets,
            assignment.shards,
            alone=not assignment.exit_with_parent,
            note=self._hooks.note,
        )

    async def _preflight(self, network: Network) -> None:
        manifest = self._manifest
        origins = {target.origin.key: target.origin for target in manifest.targets}
        await check_permitted(network, origins.values())
        self._connectivity = make_connectivity(manifest, network, probe=self._hooks.probe, mask=self.mask)
        if self._connectivity is None:
            await check_reachable(network, origins.values())
        else:
            await self._connectivity.require()

    async def setup(self) -> dict[str, Any]:
        """Run the setup steps; returns what they extracted. See `Load.setup`."""
        if self._chain is not None:
            await self._chain.fund()
            self._chain.begin()
        if self._setup is None:
            return {}
        values = await self._once(self._setup, "setup", self._control)
        if self._chain is not None:
            await self._chain.look_for_contracts()
        try:
            msgspec.msgpack.encode(values)
        except (TypeError, ValueError, OverflowError) as error:
            message = f"what setup extracted cannot be sent to all runners: {error}"
            raise LoadError("SetupFailed", message, "let python steps return plain data") from error
        return values

    def use_setup(self, values: dict[str, Any]) -> None:
        """Take over what setup has extracted, here or on another runner."""
        self._shared.base.update(values)

    async def _once(self, program: Program, name: str, control: Control | None) -> dict[str, Any]:
        block = self._manifest.spec.setup if name == "setup" else self._manifest.spec.teardown
        assert block is not None, "it was compiled from this"
        return await run_once(
            program,
            self._shared,
            name=name,
            shard=self._assignment.shards[0] if self._assignment.shards else 0,
            seconds=seconds(block.timeout),
            examples=self._once_examples,
            control=control,
            chain=self._chain,
        )

    # -- the load ---------------------------------------------------------------------------------------------

    async def drive(self, start_ns: int) -> None:
        """Drive the load; see `Load.drive`."""
        if self._control.stopped:
            return
        if self._chain is not None:
            self._chain.begin()
        self._timeline = timeline = Timeline(self._clock_ns, start_ns)
        self._executors = [
            make_executor(scenario, shard, timeline, self._control)
            for scenario in self._scenarios
            for shard in self._assignment.shards
            if scenario.plan.share_for(shard) is not None
        ]
        unfollow = [scenario.follow(timeline) for scenario in self._scenarios]
        watch = self._watch()
        runs = {asyncio.create_task(executor.run()) for executor in self._executors}
        try:
            await until_done(runs, self._control, self.stop, lambda: self._grace, self._hooks.note)
        finally:
            for end in unfollow:
                end()
            if watch is not None:
                watch.cancel()
            if self._chain is not None:
                await self._chain.end()
        for run in runs:
            if run.done() and not run.cancelled() and (error := run.exception()) is not None:
                raise error
        await self._last_probe()

    def _watch(self) -> asyncio.Task[None] | None:
        if self._connectivity is None or 0 not in self._assignment.shards:
            return None
        return asyncio.create_task(self._connectivity.watch())

    async def _last_probe(self) -> None:
        """After a stop: is the target still there?"""
        if not self._control.stopped or self._connectivity is None or 0 not in self._assignment.shards:
            return
        await self._connectivity.tell_soon()

    def level(self, order: Level) -> None:
        """Go to a level of a search for capacity; see `Load.level`."""
        for scenario in self._scenarios:
            known = scenario.level
            if scenario.plan.name == order.scenario and (known is None or order.number > known.number):
                scenario.level = order

    def stop(self, grace_seconds: float) -> None:
        """No new request from now on; see `Load.stop`."""
        if self._control.stopped and grace_seconds >= self._grace:
            return
        self._grace = grace_seconds
        self._control.stop(grace_seconds)
        if self._tokens is not None:
            self._tokens.halt()
        if self._chain is not None:
            self._chain.stop()
        if self._timeline is not None:
            self._timeline.wake()

    # -- for trying a manifest --------------------------------------------------------------------------------

    @property
    def has_setup(self) -> bool:
        """Whether the manifest has setup steps."""
        return self._setup is not None

    @property
    def has_teardown(self) -> bool:
        """Whether the manifest has teardown steps."""
        return self._teardown is not None

    @property
    def has_chain(self) -> bool:
        """Whether the manifest has a chain."""
        return self._chain is not None

    @property
    def scenario_names(self) -> tuple[str, ...]:
        """The scenarios that this runner carries, in the manifest's order."""
        return tuple(scenario.plan.name for scenario in self._scenarios)

    async def iterate_once(self, name: str) -> str:
        """Run one iteration of a scenario: `completed`, `failed`, `interrupted`, or `no data`."""
        scenario = next(scenario for scenario in self._scenarios if scenario.plan.name == name)
        shard = next(s for s in self._assignment.shards if scenario.plan.share_for(s) is not None)
        return await scenario.iterate_once(shard)

    # -- during and after the load ----------------------------------------------------------------------------

    def measure(self, slot: int) -> Snapshot:
        """Everything measured so far; see `Load.measure`."""
        for executor in self._executors:
            executor.account()
        if self._resilience is not None:
            self._resilience.account()
        if self._observation is not None:
            self._observation.read()
        if self._traffic is not None:
            self._traffic.account()
        if self._chain is not None:
            self._chain.account()
        if not self._tags_cut and (warning := self._recorder.limit.warning()):
            self._tags_cut = True
            self._hooks.note("warning", "TagsDropped", message=warning)
        return self._recorder.measure(slot)

    async def teardown(self) -> None:
        """Run the teardown steps; see `Load.teardown`."""
        chain = self._chain
        if chain is not None:
            await chain.reopen()
        try:
            if self._teardown is not None:
                if self._tokens is not None:
                    await self._tokens.freshen()
                await self._once(self._teardown, "teardown", None)
        finally:
            if chain is not None:
                await chain.sweep()

    async def close(self) -> None:
        """Let go of everything."""
        self.stop(0)
        if self._observation is not None:
            await self._observation.stop()
        if self._tokens is not None:
            await self._tokens.close()
        if self._chain is not None:
            await self._chain.close()
        if self._network is not None:
            await self._network.close()
        gc.unfreeze()
