"""From a manifest to something that can run: everything that can be wrong in it is found here, before any load.

What remains of it at this place is opening data, compiling steps with the names that are known at each place, and making series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall.expr import ExpressionError, Scope, compile_template
from squall.plan.data import data_share, uses_data
from squall.spec.language import WALLET
from squall_runner.data import Feeder, RowsError, open_rows
from squall_runner.engine.manifest import base_scope
from squall_runner.engine.scenario import ScenarioLoad
from squall_runner.load import LoadError
from squall_runner.resilience.hosts import Resilience
from squall_runner.resilience.targets import make_failover
from squall_runner.steps.context import Context
from squall_runner.steps.program import Program, compile_steps
from squall_runner.steps.wallet import compile_wallet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from squall.plan.model import ScenarioPlan
    from squall.spec.structs import Scenario, Step
    from squall_runner.auth import Tokens
    from squall_runner.data import Rows
    from squall_runner.engine.control import Control
    from squall_runner.engine.examples import Examples
    from squall_runner.engine.manifest import Manifest
    from squall_runner.engine.scenario import Shared
    from squall_runner.engine.traffic import Traffic
    from squall_runner.evm.chain import Chain
    from squall_runner.load import Hooks
    from squall_runner.recording import Recorder
    from squall_runner.resilience.failover import Failover
    from squall_runner.steps.context import Observer


class Builder:
    """Compiles the parts of a manifest.

    Args:
        manifest: What to compile.
        recorder: Where measurements go.
        control: Whether the load may go on.
        examples: Where failures leave their messages.
        hooks: How the load speaks up.
        clock: Seconds, monotonic.
        tokens: The OAuth2 tokens that requests show.
        observer: Who watches every step, if anybody.
        traffic: Logs iterations and requests, if the manifest asks for it.
        chain: What this process has of the manifest's chain, if it has one.
    """

    def __init__(
        self,
        manifest: Manifest,
        *,
        recorder: Recorder,
        control: Control,
        examples: Examples,
        hooks: Hooks,
        clock: Callable[[], float],
        tokens: Tokens,
        observer: Observer | None = None,
        traffic: Traffic | None = None,
        chain: Chain | None = None,
    ) -> None:
        self._manifest = manifest
        self._chain = chain
        self._recorder = recorder
        self._control = control
        self._examples = examples
        self._hooks = hooks
        self._clock = clock
        self._tokens = tokens
        self._observer = observer
        self._traffic = traffic
        self.resilience = Resilience(
            manifest.spec.http,
            shards=manifest.plan.shards,
            recorder=recorder,
            note=hooks.note,
            clock=clock,
        )
        self._failover = self._make_failover()
        self.rows: dict[str, Rows] = {}
        self._setup_names: frozenset[str] = frozenset()

    def _make_failover(self) -> Failover | None:
        spec = self._manifest.spec.http.failover
        if spec is None:
            return None
        return make_failover(
            spec,
            [target.origin for target in self._manifest.targets],
            recorder=self._recorder,
            note=self._hooks.note,
            clock=self._clock,
        )

    def open_data(self) -> None:
        """Open all data files.

        Raises:
            LoadError: One is missing or malformed.
        """
        for data in self._manifest.spec.data:
            name = data.csv or data.jsonl or ""
            path = self._manifest.files.get(name)
            if path is None:
                message = f"data {data.name}: there is no file {name!r} in spec.files"
                raise LoadError("FileMissing", message, "add it to spec.files")
            try:
                self.rows[data.name] = open_rows(
                    path, "csv" if data.csv else "jsonl", delimiter=data.delimiter
                )
            except RowsError as error:
                raise LoadError("DataInvalid", f"data {data.name}: {error.message}", error.hint) from error

    def _feeders(self, shard: int) -> dict[str, Feeder]:
        """The feeders of a shard by name, of the data that its scenarios use; they share them."""
        manifest = self._manifest
        shares = {
            data.name: data_share(manifest.spec, manifest.plan, data.name, shard)
            for data in manifest.spec.data
        }
        return {
            data.name: Feeder(
                data.name,
                self.rows[data.name],
                order=data.order,
                when_exhausted=data.when_exhausted,
                shard=share.index,
                shards=share.count,
            )
            for data in manifest.spec.data
            if (share := shares[data.name]) is not None
        }

    def setup(self, examples: Examples, observer: Observer) -> Program | None:
        """Compile setup; what it extracts is known to everything that is compiled afterwards."""
        block = self._manifest.spec.setup
        if block is None:
            return None
        program = self._compile(block.steps, self._scope(data=False), self._once("setup", examples, observer))
        self._setup_names = program.names
        return program

    def teardown(self, examples: Examples, observer: Observer) -> Program | None:
        """Compile teardown, after setup."""
        block = self._manifest.spec.teardown
        if block is None:
            return None
        return self._compile(block.steps, self._scope(data=False), self._once("teardown", examples, observer))

    def scenarios(self, shared: Shared, shards: Sequence[int]) -> list[ScenarioLoad]:
        """Compile those that have something to do on these shards, after setup.

        Args:
            shared: What they share.
            shards: Those of this runner.
        """
        manifest = self._manifest
        feeders = {shard: self._feeders(shard) for shard in shards}
        loads = []
        for scenario, plan in zip(manifest.spec.scenarios, manifest.plan.scenarios, strict=True):
            own = {shard: feeders[shard] for shard in shards if plan.share_for(shard) is not None}
            if own:
                loads.append(self._scenario(scenario, plan, shared, own))
        return loads

    def _scenario(
        self, scenario: Scenario, plan: ScenarioPlan, shared: Shared, feeders: dict[int, dict[str, Feeder]]
    ) -> ScenarioLoad:
        tags = tuple(
            (name, compile_template(text, self._scope()).render(self._manifest.base))
            for name, text in (scenario.tags or {}).items()
        )
        used = self._used_data(scenario)
        scope, ctx = self._scope(), self._context(scenario.name, tags)
        run = self._compile(scenario.steps, scope, ctx)
        chain = self._chain if self._chain is not None and self._chain.wanted_by(scenario) else None
        if chain is not None:
            run = run.after(compile_wallet(chain, ctx))
        last = None
        if scenario.finally_steps:
            last = self._compile(scenario.finally_steps, scope.with_names(run.names), ctx)
        rows = {shard: tuple(known[name] for name in used) for shard, known in feeders.items()}
        return ScenarioLoad(
            plan, shared, tags=tags, program=run, last=last, feeders=rows if used else {}, chain=chain
        )

    def _compile(self, steps: Sequence[Step], scope: Scope, ctx: Context) -> Program:
        try:
            return compile_steps(steps, scope, ctx)
        except ExpressionError as error:
            raise LoadError("ManifestInvalid", f"{ctx.scenario}: {error.message}", error.hint) from error

    def _used_data(self, scenario: Scenario) -> tuple[str, ...]:
        """The data that a scenario names: an iteration takes a row of these, and of no others."""
        return tuple(data.name for data in self._manifest.spec.data if uses_data(scenario, data.name))

    def _scope(self, *, data: bool = True) -> Scope:
        """The names that are known to steps; only iterations have rows of data."""
        opened = self.rows if data else {}
        columns = {name: frozenset(rows.columns) or None for name, rows in opened.items()}
        scope = base_scope(self._manifest.base, self._manifest.secrets).with_names(self._setup_names)
        if self._manifest.spec.evm is not None and self._manifest.spec.evm.wallets is not None:
            scope = scope.with_names([WALLET])
        return Scope(names=scope.names, variables=scope.variables, data=columns, secrets=scope.secrets)

    def _once(self, name: str, examples: Examples, observer: Observer) -> Context:
        """The context of setup or teardown: watched, and no part of the load's metrics."""
        return self._context(name, (), examples=examples, observer=observer, measured=False)

    def _context(
        self,
        scenario: str,
        tags: tuple[tuple[str, str], ...],
        *,
        examples: Examples | None = None,
        observer: Observer | None = None,
        measured: bool = True,
    ) -> Context:
        manifest = self._manifest
        return Context(
            scenario=scenario,
            tags=tags,
            http=manifest.spec.http,
            targets=manifest.targets,
            constants=manifest.base,
            files=manifest.files,
            recorder=self._recorder,
            control=self._control,
            examples=examples or self._examples,
            abort=self._hooks.abort,
            note=self._hooks.note,
            clock=self._clock,
            tokens=self._tokens,
            resilience=self.resilience,
            failover=self._failover,
            observer=self._observer or observer,
            traffic=self._traffic if measured else None,
            measured=measured,
            pauses=self._observer is None,
            chain=self._chain,
        )
