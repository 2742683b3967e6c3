"""From an assignment to something that can run: everything that can be wrong is found here, before any load.

The manifest arrives validated and with its variables resolved, secrets apart. What remains is opening files and
data, compiling steps with the names that are known at each place, and making series.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squall.expr import ExpressionError, Scope, compile_template
from squall.plan.compile import compile_plan
from squall.plan.data import data_share, uses_data
from squall.spec.language import WALLET
from squall.spec.quantities import seconds, size_bytes
from squall.spec.received import received
from squall.spec.secrets import Secrets
from squall_runner.data import Feeder, RowsError, open_rows
from squall_runner.engine.limits import shared_connections
from squall_runner.http import Limits, Network, NetworkOptions, Proxy, TlsOptions, parse_url
from squall_runner.load import LoadError
from squall_runner.resilience.hosts import Resilience
from squall_runner.resilience.targets import make_failover
from squall_runner.steps.context import Context, Target
from squall_runner.steps.program import Program, compile_steps
from squall_runner.steps.wallet import compile_wallet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from squall.hub.protocol import Assignment
    from squall.plan.model import TestPlan
    from squall.spec.structs import HttpDefaults, LoadTestSpec, Scenario, Step
    from squall_runner.auth import Tokens
    from squall_runner.data import Rows
    from squall_runner.engine.control import Control
    from squall_runner.engine.examples import Examples
    from squall_runner.engine.traffic import Traffic
    from squall_runner.evm.chain import Chain
    from squall_runner.load import Hooks
    from squall_runner.recording import Recorder
    from squall_runner.resilience.failover import Failover
    from squall_runner.steps.context import Observer


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest, ready to be compiled on this machine.

    Attributes:
        name: The LoadTest's.
        spec: The effective spec.
        plan: Its schedule.
        files: Where each of `spec.files` lies.
        secrets: Values never to be shown.
        base: What every environment holds: variables and the run.
        targets: The base URLs.
    """

    name: str
    spec: LoadTestSpec
    plan: TestPlan
    files: dict[str, Path]
    secrets: Secrets
    base: dict[str, Any]
    targets: tuple[Target, ...]


def read_manifest(assignment: Assignment) -> Manifest:
    """Take in what the runner was given.

    Raises:
        LoadError: The manifest is not valid.
        PlanError: Its plan is impossible.
    """
    try:
        test = received(assignment.manifest)
    except ValueError as error:
        raise LoadError("ManifestInvalid", str(error), "check it with `squall validate`") from error
    name = str(test.metadata["name"])
    base = {
        "var": {**assignment.variables, **assignment.secrets},
        "run": {"id": assignment.run, "name": name},
    }
    return Manifest(
        name=name,
        spec=test.spec,
        plan=compile_plan(test.spec),
        files={name: Path(path) for name, path in assignment.files.items()},
        secrets=Secrets(assignment.secrets),
        base=base,
        targets=_targets(test.spec.http, base, base_scope(base)),
    )


def base_scope(base: dict[str, Any], secrets: Secrets | None = None) -> Scope:
    """The names that are known everywhere."""
    return Scope(variables=frozenset(base["var"]), secrets=frozenset(secrets or ()))


def _targets(http: HttpDefaults, base: dict[str, Any], scope: Scope) -> tuple[Target, ...]:
    urls = http.base_urls or ([http.base_url] if http.base_url else [])
    found = []
    for text in urls:
        url = compile_template(text, scope.with_secrets()).render(base)
        try:
            origin, path = parse_url(url)
        except ValueError as error:
            raise LoadError(
                "RequestInvalid", f"spec.http.baseUrl: {error}", "write for example http://host:8080"
            ) from error
        found.append(Target(origin, path.decode("ascii").rstrip("/")))
    return tuple(found)


def make_network(manifest: Manifest, clock: Callable[[], float], assignment: Assignment) -> Network:
    """The network with the manifest's settings, for a runner that carries these shards and keeps these policies.

    Raises:
        LoadError: A file that TLS needs is not there, or the proxy is none.
    """
    http, tls = manifest.spec.http, TlsOptions()
    if http.tls is not None:
        tls = TlsOptions(
            ca_file=_tls_file(manifest, http.tls.ca_file),
            cert_file=_tls_file(manifest, http.tls.cert_file),
            server_name=http.tls.server_name or "",
            insecure_skip_verify=http.tls.insecure_skip_verify,
        )
    options = NetworkOptions(
        limits=Limits(
            max_body_bytes=size_bytes(http.max_body_size), max_discarded_bytes=size_bytes(http.max_body_size)
        ),
        connect_timeout=seconds(http.connect_timeout),
        tls=tls,
        max_redirects=http.max_redirects,
        proxy=_proxy(manifest),
        shared_connections=shared_connections(http, manifest.plan, assignment.shards),
        allowed_hosts=assignment.allowed_hosts,
    )
    network = Network(options, clock=clock)
    origins = [target.origin for target in manifest.targets]
    if options.proxy is not None:
        origins.append(options.proxy.origin)
    if tls != TlsOptions() or any(origin.tls for origin in origins):
        network.prepare_tls()
    return network


def _proxy(manifest: Manifest) -> Proxy | None:
    spec = manifest.spec.http.proxy
    if spec is None:
        return None
    scope = base_scope(manifest.base, manifest.secrets).with_secrets()

    def rendered(text: str) -> str:
        return compile_template(text, scope).render(manifest.base)

    auth = spec.auth
    credentials = (rendered(auth.username), rendered(auth.password)) if auth is not None else None
    try:
        return Proxy.of(rendered(spec.url), credentials, spec.no_proxy)
    except ValueError as error:
        raise LoadError(
            "RequestInvalid", f"spec.http.proxy: {error}", "write for example http://proxy:3128"
        ) from error


def _tls_file(manifest: Manifest, name: str | None) -> str:
    if name is None:
        return ""
    path = manifest.files.get(name)
    if path is None or not path.is_file():
        raise LoadError("FileMissing", f"spec.http.tls: the file {name!r} is not there", "check spec.files")
    return str(path)


@dataclass(frozen=True, slots=True)
class ScenarioPrograms:
    """A compiled scenario.

    Attributes:
        tags: Its own tags.
        run: One iteration.
        run_finally: What runs after every iteration.
        data: The data its iterations use.
        chain: Where its VUs get wallets; None where they need none.
    """

    tags: tuple[tuple[str, str], ...]
    run: Program
    run_finally: Program | None
    data: tuple[str, ...]
    chain: Chain | None = None


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

    def feeders(self, shard: int) -> dict[str, Feeder]:
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

    def scenario(self, scenario: Scenario) -> ScenarioPrograms:
        """Compile a scenario, after setup."""
        tags = tuple(
            (name, compile_template(text, self._scope()).render(self._manifest.base))
            for name, text in (scenario.tags or {}).items()
        )
        used = self._used_data(scenario)
        scope, ctx = self._scope(), self._context(scenario.name, tags)
        run = self._compile(scenario.steps, scope, ctx)
        chain = self._chain
        wallets = chain is not None and chain.wanted_by(scenario)
        if chain is not None and wallets:
            run = run.after(compile_wallet(chain, ctx))
        last = None
        if scenario.finally_steps:
            last = self._compile(scenario.finally_steps, scope.with_names(run.names), ctx)
        return ScenarioPrograms(tags, run, last, used, chain if wallets else None)

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
