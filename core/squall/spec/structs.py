"""The models of a LoadTest as plain structs, see `squall.spec.received`.

Generated from the models by `python -m squall.spec.generate`; do not edit.
"""

# fmt: off

from typing import Any, Literal

import msgspec


class Struct(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Base of all of them."""


class KeyRef(Struct, frozen=True, kw_only=True):
    """See `squall.spec.loadtest.KeyRef`."""

    name: str
    key: str


class Variable(Struct, frozen=True, kw_only=True):
    """See `squall.spec.loadtest.Variable`."""

    name: str
    value: int | str | None = None
    secret: KeyRef | None = None
    env: str | None = None


class FileRef(Struct, frozen=True, kw_only=True):
    """See `squall.spec.loadtest.FileRef`."""

    name: str
    key: str
    pieces: int | None = None
    size_bytes: int | None = None


class VolumeFile(Struct, frozen=True, kw_only=True):
    """See `squall.spec.loadtest.VolumeFile`."""

    claim_name: str
    path: str


class File(Struct, frozen=True, kw_only=True):
    """See `squall.spec.loadtest.File`."""

    name: str
    path: str | None = None
    inline: str | None = None
    config_map: FileRef | None = None
    secret: FileRef | None = None
    volume_claim: VolumeFile | None = None


class Data(Struct, frozen=True, kw_only=True):
    """See `squall.spec.loadtest.Data`."""

    name: str
    csv: str | None = None
    jsonl: str | None = None
    delimiter: str = ","
    order: Literal["sequential", "random", "unique"] = "sequential"
    when_exhausted: Literal["recycle", "stop", "fail"] | None = None


class Tls(Struct, frozen=True, kw_only=True):
    """See `squall.spec.http.Tls`."""

    ca_file: str | None = None
    cert_file: str | None = None
    server_name: str | None = None
    insecure_skip_verify: bool = False


class BasicAuth(Struct, frozen=True, kw_only=True):
    """See `squall.spec.http.BasicAuth`."""

    username: str
    password: str


class OAuth2(Struct, frozen=True, kw_only=True):
    """See `squall.spec.http.OAuth2`."""

    token_url: str
    client_id: str
    client_secret: str
    scopes: list[str] | None = None
    audience: str | None = None
    credentials: Literal["header", "body"] = "header"
    refresh_before: str = "30s"


class Auth(Struct, frozen=True, kw_only=True):
    """See `squall.spec.http.Auth`."""

    basic: BasicAuth | None = None
    bearer: str | None = None
    oauth2: OAuth2 | None = None


class Proxy(Struct, frozen=True, kw_only=True):
    """See `squall.spec.http.Proxy`."""

    url: str
    auth: BasicAuth | None = None
    no_proxy: list[str] = []


class Failover(Struct, frozen=True, kw_only=True):
    """See `squall.spec.http.Failover`."""

    failures: int | str = 3
    retry_after: str = "10s"


class Backoff(Struct, frozen=True, kw_only=True):
    """See `squall.spec.http.Backoff`."""

    factor: str = "1"
    max: str = "30s"
    jitter: int | str = "0%"


class Retry(Struct, frozen=True, kw_only=True):
    """See `squall.spec.http.Retry`."""

    max_retries: int = 2
    errors: list[Literal["connect", "reset", "timeout", "protocol"]] = msgspec.field(default_factory=lambda: ["connect", "reset", "timeout"])
    statuses: list[str] | None = None
    methods: list[str] | None = None
    initial: str = "100ms"
    backoff: Backoff = Backoff(factor="2", jitter="50%", max="10s")
    budget: int | str = "20%"


class RateLimit(Struct, frozen=True, kw_only=True):
    """See `squall.spec.http.RateLimit`."""

    host: str | None = None
    rate: int | str | None = None
    time_unit: str = "1s"
    burst: int | str | None = None
    spacing: str | None = None


class CircuitBreaker(Struct, frozen=True, kw_only=True):
    """See `squall.spec.http.CircuitBreaker`."""

    error_rate: int | str = "50%"
    window: str = "10s"
    min_requests: int | str = 20
    open_for: str = "5s"
    probes: int | str = 3


class HttpDefaults(Struct, frozen=True, kw_only=True):
    """See `squall.spec.http.HttpDefaults`."""

    base_url: str | None = None
    base_urls: list[str] | None = None
    balancing: Literal["round-robin", "random", "per-vu"] = "round-robin"
    timeout: str = "30s"
    connect_timeout: str = "10s"
    headers: dict[str, str] | None = None
    max_redirects: int = 10
    max_body_size: int | str = "64MiB"
    cookies: bool = True
    keep_alive: bool = True
    reset_between_iterations: bool = False
    tls: Tls | None = None
    auth: Auth | None = None
    proxy: Proxy | None = None
    shared_connections: int | str | None = None
    failover: Failover | None = None
    retry: Retry | None = None
    rate_limits: list[RateLimit] = []
    circuit_breaker: CircuitBreaker | None = None


class Endpoint(Struct, frozen=True, kw_only=True):
    """See `squall.spec.evm.Endpoint`."""

    name: str
    url: str
    web_socket: str | None = None
    headers: dict[str, str] | None = None
    rate: int | str | None = None


class Batching(Struct, frozen=True, kw_only=True):
    """See `squall.spec.evm.Batching`."""

    max: int = 50
    wait: str = "2ms"


class RpcRetry(Struct, frozen=True, kw_only=True):
    """See `squall.spec.evm.RpcRetry`."""

    max_retries: int = 3
    initial: str = "100ms"
    backoff: Backoff = Backoff(factor="2", jitter="50%", max="10s")
    budget: int | str = "20%"


class Rpc(Struct, frozen=True, kw_only=True):
    """See `squall.spec.evm.Rpc`."""

    timeout: str = "10s"
    batch: Batching | None = None
    retry: RpcRetry = RpcRetry()
    circuit_breaker: CircuitBreaker = CircuitBreaker()
    max_head_lag: int | str = 5


class Contract(Struct, frozen=True, kw_only=True):
    """See `squall.spec.evm.Contract`."""

    name: str
    address: str | None = None
    abi: str | None = None
    signatures: list[str] | None = None


class Wallets(Struct, frozen=True, kw_only=True):
    """See `squall.spec.evm.Wallets`."""

    seed: str | None = None
    keys: str | None = None
    count: int | str = 1000
    per: Literal["vu", "iteration"] = "vu"
    order: Literal["sequential", "random", "fewestPending"] = "sequential"
    when_exhausted: Literal["recycle", "stop", "fail"] = "recycle"
    max_in_flight: int | str = 16


class Funding(Struct, frozen=True, kw_only=True):
    """See `squall.spec.evm.Funding`."""

    keys: list[str]
    amount: str = "0.1"
    refill_below: str | None = None
    ahead: int | str = 200
    batch: int = 100
    max_pending: int = 8
    multicall: str = "0xcA11bde05977b3631167028862bE2a173976CA11"
    deploy_multicall: bool = False
    wait: str = "30s"
    sweep: bool = True
    sweep_timeout: str = "5m"


class Gas(Struct, frozen=True, kw_only=True):
    """See `squall.spec.evm.Gas`."""

    policy: Literal["fixed", "precomputed", "estimateOnce", "estimate"] = "estimateOnce"
    limit: int | str | None = None
    limits: dict[str, int | str] | None = None
    margin: int | str = "20%"
    retries: int = 2


class Fees(Struct, frozen=True, kw_only=True):
    """See `squall.spec.evm.Fees`."""

    type: Literal["eip1559", "legacy"] = "eip1559"
    max_fee: str | None = None
    priority_fee: str | None = None
    headroom: str = "2"
    limit: str | None = None
    replace_after: str | None = None
    bump: int | str = "15%"
    max_replacements: int = 3


class NodeWording(Struct, frozen=True, kw_only=True):
    """See `squall.spec.evm.NodeWording`."""

    contains: str
    means: Literal["alreadyKnown", "nonceTooLow", "nonceTooHigh", "underpriced", "replacementUnderpriced", "insufficientFunds", "poolFull", "rateLimited"]


class Evm(Struct, frozen=True, kw_only=True):
    """See `squall.spec.evm.Evm`."""

    chain_id: int | str | None = None
    endpoints: list[Endpoint]
    rpc: Rpc = Rpc()
    contracts: list[Contract] = []
    wallets: Wallets | None = None
    funding: Funding | None = None
    gas: Gas = Gas()
    fees: Fees = Fees()
    pre_sign: int | str = 0
    poll_interval: str = "500ms"
    confirmations: int | str = 0
    wordings: list[NodeWording] = []


class Part(Struct, frozen=True, kw_only=True):
    """See `squall.spec.http.Part`."""

    name: str
    value: str | None = None
    file: str | None = None
    filename: str | None = None
    content_type: str | None = None


class Http(Struct, frozen=True, kw_only=True):
    """See `squall.spec.http.Http`."""

    method: str = "GET"
    url: str
    query: dict[str, str] | None = None
    headers: dict[str, str] | None = None
    auth: Auth | None = None
    json_body: Any = msgspec.field(name="json", default=None)
    form: dict[str, str] | None = None
    multipart: list[Part] | None = None
    raw: str | None = None
    file: str | None = None
    timeout: str | None = None
    expect_status: list[str] | None = None
    retry: Retry | None = None
    max_redirects: int | None = None


class Poll(Struct, frozen=True, kw_only=True):
    """See `squall.spec.steps.Poll`."""

    http: Http
    until: str
    fail_when: str | None = None
    interval: str = "1s"
    backoff: Backoff | None = None
    deadline: str = "5m"


class Think(Struct, frozen=True, kw_only=True):
    """See `squall.spec.steps.Think`."""

    duration: str | None = None
    min: str | None = None
    max: str | None = None
    mean: str | None = None
    distribution: Literal["exponential"] = "exponential"


class Group(Struct, frozen=True, kw_only=True):
    """See `squall.spec.steps.Group`."""

    steps: list["Step"]


class If(Struct, frozen=True, kw_only=True):
    """See `squall.spec.steps.If`."""

    condition: str
    then: list["Step"]
    else_steps: list["Step"] | None = msgspec.field(name="else", default=None)


class Choice(Struct, frozen=True, kw_only=True):
    """See `squall.spec.steps.Choice`."""

    name: str | None = None
    weight: int | str = 1
    steps: list["Step"]


class Repeat(Struct, frozen=True, kw_only=True):
    """See `squall.spec.steps.Repeat`."""

    times: int | str | None = None
    while_condition: str | None = msgspec.field(name="while", default=None)
    limit: int | str = 1000
    index: str | None = None
    steps: list["Step"]


class Branch(Struct, frozen=True, kw_only=True):
    """See `squall.spec.steps.Branch`."""

    name: str | None = None
    steps: list["Step"]


class Parallel(Struct, frozen=True, kw_only=True):
    """See `squall.spec.steps.Parallel`."""

    branches: list[Branch]


class Python(Struct, frozen=True, kw_only=True):
    """See `squall.spec.steps.Python`."""

    file: str | None = None
    module: str | None = None
    function: str
    args: dict[str, Any] | None = None
    outputs: list[str] | None = None
    timeout: str = "30s"


class EvmCall(Struct, frozen=True, kw_only=True):
    """See `squall.spec.evmsteps.EvmCall`."""

    contract: str | None = None
    to: str | None = None
    function: str
    args: Any = None
    block: str = "latest"
    result: str | None = None


class EvmTransaction(Struct, frozen=True, kw_only=True):
    """See `squall.spec.evmsteps.EvmTransaction`."""

    contract: str | None = None
    to: str | None = None
    function: str | None = None
    args: Any = None
    data: str | None = None
    value: str = "0"
    gas: Gas | None = None
    fees: Fees | None = None
    wait: Literal["accepted", "included", "confirmed"] = "included"
    allow_revert: bool = False
    timeout: str = "2m"
    result: str | None = None


class EvmDeploy(Struct, frozen=True, kw_only=True):
    """See `squall.spec.evmsteps.EvmDeploy`."""

    contract: str
    bytecode: str | None = None
    args: Any = None
    value: str = "0"
    gas: Gas | None = None
    fees: Fees | None = None
    timeout: str = "2m"
    result: str | None = None


class EvmWaitReceipt(Struct, frozen=True, kw_only=True):
    """See `squall.spec.evmsteps.EvmWaitReceipt`."""

    hash: str
    confirmations: int | str | None = None
    allow_revert: bool = False
    timeout: str = "2m"
    result: str | None = None


class EvmWaitEvent(Struct, frozen=True, kw_only=True):
    """See `squall.spec.evmsteps.EvmWaitEvent`."""

    contract: str | None = None
    address: str | None = None
    event: str
    where: dict[str, Any] | None = None
    condition: str | None = None
    from_block: str | None = None
    extract: dict[str, str] | None = None
    timeout: str = "2m"
    result: str | None = None


class EvmBalance(Struct, frozen=True, kw_only=True):
    """See `squall.spec.evmsteps.EvmBalance`."""

    of: str | None = None
    result: str


class EvmRpc(Struct, frozen=True, kw_only=True):
    """See `squall.spec.evmsteps.EvmRpc`."""

    method: str
    params: list[Any] = []
    result: str | None = None


class EvmSign(Struct, frozen=True, kw_only=True):
    """See `squall.spec.evmsteps.EvmSign`."""

    message: str | None = None
    typed_data: Any = None
    result: str


class EvmPace(Struct, frozen=True, kw_only=True):
    """See `squall.spec.evmsteps.EvmPace`."""

    gas_per_second: int | str | None = None
    mempool_blocks: int | str | None = None
    gas: int | str | None = None


class EvmStep(Struct, frozen=True, kw_only=True):
    """See `squall.spec.evmsteps.EvmStep`."""

    call: EvmCall | None = None
    transaction: EvmTransaction | None = None
    deploy: EvmDeploy | None = None
    wait_receipt: EvmWaitReceipt | None = None
    wait_event: EvmWaitEvent | None = None
    balance: EvmBalance | None = None
    rpc: EvmRpc | None = None
    sign: EvmSign | None = None
    pace: EvmPace | None = None


class Encrypt(Struct, frozen=True, kw_only=True):
    """See `squall.spec.evmsteps.Encrypt`."""

    data: str
    message: str | None = None
    password: str | None = None
    public_key: str | None = None
    encoding: Literal["bytes", "base64", "hex"] = "bytes"
    result: str


class Decrypt(Struct, frozen=True, kw_only=True):
    """See `squall.spec.evmsteps.Decrypt`."""

    data: str
    message: str | None = None
    password: str | None = None
    encoding: Literal["bytes", "text"] = "text"
    result: str


class Generate(Struct, frozen=True, kw_only=True):
    """See `squall.spec.evmsteps.Generate`."""

    size: int | str
    result: str


class Extractor(Struct, frozen=True, kw_only=True):
    """See `squall.spec.steps.Extractor`."""

    json_path: str | None = None
    header: str | None = None
    regex: str | None = None
    cookie: str | None = None
    default: Any = msgspec.UNSET
    all: bool = False


class Record(Struct, frozen=True, kw_only=True):
    """See `squall.spec.steps.Record`."""

    trend: str | None = None
    counter: str | None = None
    rate: str | None = None
    gauge: str | None = None
    value: str | None = None


class Step(Struct, frozen=True, kw_only=True):
    """See `squall.spec.steps.Step`."""

    name: str | None = None
    http: Http | None = None
    poll: Poll | None = None
    think: Think | None = None
    group: Group | None = None
    if_step: If | None = msgspec.field(name="if", default=None)
    choose: list[Choice] | None = None
    repeat: Repeat | None = None
    parallel: Parallel | None = None
    set: dict[str, Any] | None = None
    check: dict[str, str] | None = None
    python: Python | None = None
    evm: EvmStep | None = None
    encrypt: Encrypt | None = None
    decrypt: Decrypt | None = None
    generate: Generate | None = None
    checks: dict[str, str] | None = None
    extract: dict[str, Extractor] | None = None
    record: Record | None = None
    tags: dict[str, str] | None = None
    on_error: Literal["continue", "endIteration", "abortRun"] = "endIteration"


class StepBlock(Struct, frozen=True, kw_only=True):
    """See `squall.spec.steps.StepBlock`."""

    steps: list[Step]
    timeout: str = "1m"


class Stage(Struct, frozen=True, kw_only=True):
    """See `squall.spec.scenarios.Stage`."""

    name: str | None = None
    duration: str
    target: int | str


class LevelThreshold(Struct, frozen=True, kw_only=True):
    """See `squall.spec.scenarios.LevelThreshold`."""

    metric: str
    expression: str


class CapacitySearch(Struct, frozen=True, kw_only=True):
    """See `squall.spec.scenarios.CapacitySearch`."""

    by: Literal["rate", "vus"]
    start: int | str
    max: int | str
    growth: int | str = "50%"
    settle: str = "2s"
    hold: str = "10s"
    confirmations: int = 1
    precision: int | str = "5%"
    cooldown: str = "30s"
    thresholds: list[LevelThreshold]


class Placement(Struct, frozen=True, kw_only=True):
    """See `squall.spec.scenarios.Placement`."""

    shards: str


class Scenario(Struct, frozen=True, kw_only=True):
    """See `squall.spec.scenarios.Scenario`."""

    name: str
    executor: Literal["constant-vus", "ramping-vus", "per-vu-iterations", "shared-iterations", "constant-arrival-rate", "ramping-arrival-rate", "capacity"]
    vus: int | str | None = None
    duration: str | None = None
    stages: list[Stage] | None = None
    start_vus: int | str | None = msgspec.field(name="startVUs", default=None)
    iterations: int | str | None = None
    max_duration: str | None = None
    rate: int | str | None = None
    start_rate: int | str | None = None
    time_unit: str | None = None
    pre_allocated_vus: int | str | None = msgspec.field(name="preAllocatedVUs", default=None)
    max_vus: int | str | None = msgspec.field(name="maxVUs", default=None)
    arrivals: Literal["uniform", "poisson"] | None = None
    seed: int | str | None = None
    when_saturated: Literal["drop", "queue"] | None = None
    search: CapacitySearch | None = None
    max_iterations: int | str | None = None
    start_time: str = "0s"
    graceful_stop: str = "30s"
    graceful_ramp_down: str | None = None
    placement: Placement | None = None
    tags: dict[str, str] | None = None
    steps: list[Step]
    finally_steps: list[Step] | None = msgspec.field(name="finally", default=None)


class Threshold(Struct, frozen=True, kw_only=True):
    """See `squall.spec.loadtest.Threshold`."""

    name: str | None = None
    metric: str | None = None
    query: str | None = None
    expression: str
    relative_to: str | None = None
    abort_on_fail: bool = False
    over: str | None = None
    for_time: str | None = msgspec.field(name="for", default=None)
    after: str | None = None
    min_samples: int | str | None = None
    severity: Literal["fail", "warn"] = "fail"
    no_data: Literal["fail", "pass"] = "fail"


class Tier(Struct, frozen=True, kw_only=True):
    """See `squall.spec.loadtest.Tier`."""

    name: str
    group: str | None = None
    thresholds: list[Threshold]


class ShareLimits(Struct, frozen=True, kw_only=True):
    """See `squall.spec.loadtest.ShareLimits`."""

    warn: int | str | None = None
    stop: int | str | None = None


class DurationLimits(Struct, frozen=True, kw_only=True):
    """See `squall.spec.loadtest.DurationLimits`."""

    warn: str | None = None
    stop: str | None = None


class RateLimits(Struct, frozen=True, kw_only=True):
    """See `squall.spec.loadtest.RateLimits`."""

    warn: int | str | None = None
    stop: int | str | None = None


class Connectivity(Struct, frozen=True, kw_only=True):
    """See `squall.spec.loadtest.Connectivity`."""

    url: str
    interval: str = "5s"
    timeout: str = "5s"
    failures: int | str = 1


class Saturation(Struct, frozen=True, kw_only=True):
    """See `squall.spec.loadtest.Saturation`."""

    loop_lag: str = "50ms"
    lateness: str = "100ms"
    delivered: int | str = "90%"
    tolerated: int | str = "10%"


class Safety(Struct, frozen=True, kw_only=True):
    """See `squall.spec.loadtest.Safety`."""

    max_duration: str = "24h"
    lost_control: str = "60s"
    on_runner_loss: Literal["fail", "continue"] = "fail"
    stop_grace: str = "500ms"
    window: str = "10s"
    after: str = "0s"
    min_samples: int | str = 10
    error_rate: ShareLimits | None = None
    response_time: DurationLimits | None = None
    throughput: RateLimits | None = None
    consecutive_failures: int | str | None = None
    connectivity: Connectivity | None = None
    saturation: Saturation = Saturation()


class RunnerPods(Struct, frozen=True, kw_only=True):
    """See `squall.spec.loadtest.RunnerPods`."""

    shards_per_pod: int | str = 1
    image: str | None = None
    resources: dict[str, Any] | None = None
    template: dict[str, Any] | None = None


class ReceiverAuth(Struct, frozen=True, kw_only=True):
    """See `squall.spec.outputs.ReceiverAuth`."""

    basic: BasicAuth | None = None
    bearer: str | None = None


class PrometheusOutput(Struct, frozen=True, kw_only=True):
    """See `squall.spec.outputs.PrometheusOutput`."""

    remote_write_url: str
    auth: ReceiverAuth | None = None
    tenant: str | None = None
    tls: Tls | None = None
    histograms: Literal["native", "classic"] = "native"
    histogram_schema: int = 6
    labels: dict[str, str] | None = None
    per_shard: bool = False
    max_series: int = 10000
    buffer: int | str = "8MiB"


class LoggedIterations(Struct, frozen=True, kw_only=True):
    """See `squall.spec.outputs.LoggedIterations`."""

    sample: int | str = "1%"
    failures: bool = True
    requests: bool = True
    max_per_second: int | str = 100


class LogsOutput(Struct, frozen=True, kw_only=True):
    """See `squall.spec.outputs.LogsOutput`."""

    level: Literal["debug", "info", "warning", "error"] | None = None
    iterations: LoggedIterations | None = None


class Outputs(Struct, frozen=True, kw_only=True):
    """See `squall.spec.outputs.Outputs`."""

    prometheus: PrometheusOutput | None = None
    logs: LogsOutput | None = None


class Variant(Struct, frozen=True, kw_only=True):
    """See `squall.spec.loadtest.Variant`."""

    name: str
    spec: dict[str, Any]


class LoadTestSpec(Struct, frozen=True, kw_only=True):
    """See `squall.spec.loadtest.LoadTestSpec`."""

    variables: list[Variable] = []
    files: list[File] = []
    data: list[Data] = []
    http: HttpDefaults = HttpDefaults()
    evm: Evm | None = None
    setup: StepBlock | None = None
    scenarios: list[Scenario]
    teardown: StepBlock | None = None
    thresholds: list[Threshold] = []
    tiers: list[Tier] = []
    safety: Safety = Safety()
    shards: int | str = 1
    runner: RunnerPods | None = None
    outputs: Outputs | None = None
    variants: list[Variant] = []
    suspend: bool = False
    ttl_seconds_after_finished: int | None = None
    history_limit: int | None = None


class LoadTest(Struct, frozen=True, kw_only=True):
    """See `squall.spec.loadtest.LoadTest`."""

    api_version: Literal["squall.dev/v1alpha1"] = "squall.dev/v1alpha1"
    kind: Literal["LoadTest"] = "LoadTest"
    metadata: dict[str, Any]
    spec: LoadTestSpec
    status: dict[str, Any] | None = None
