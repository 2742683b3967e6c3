"""`LoadTest`: everything one load test is, in one resource."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from squall.spec.base import (
    API_VERSION,
    MAX_BLOB,
    Count,
    Duration,
    Identifier,
    Label,
    Model,
    Name,
    Percent,
    PositiveInt,
    Rule,
    Text,
    at_most_one_of,
    one_of,
    together,
)
from squall.spec.evm import Evm
from squall.spec.http import HttpDefaults
from squall.spec.outputs import Outputs
from squall.spec.scenarios import Scenario
from squall.spec.steps import StepBlock

MAX_PIECES = 32
"""Of all files of a test together. Each piece is an object of up to 1 MiB in the cluster's etcd, whose database for everything has 2 GiB
unless somebody has given it more; and every pod waits until its kubelet has fetched all of them."""
MAX_UNPACKED_BYTES = 256 * 1024 * 1024
"""Of all files of a test that are in pieces: each pod unpacks them onto its node's disk."""

Metadata = Annotated[dict[str, Any], Field(json_schema_extra={"type": "object"})]


class KeyRef(Model):
    """A key of a ConfigMap or a Secret of the same namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """The name of the ConfigMap or the Secret."""
    key: Annotated[str, Field(min_length=1, max_length=253)]
    """The key in its data."""


class Variable(Model):
    """A value that the manifest uses as `${var.name}`.

    Sources, the first that has it: `--var`, the environment variable `env` (on one machine), `value` or
    `secret`.
    """

    named_list: ClassVar[bool] = True

    rules = (at_most_one_of("value", "secret"),)

    name: Identifier
    """The name in `${var.name}`."""
    value: int | Text | None = None
    """The value, or its default where `env` or `--var` give another."""
    secret: KeyRef | None = None
    """A Secret's key: used only inside requests, masked wherever anything is printed."""
    env: Annotated[str, Field(max_length=128, pattern="^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """The environment variable that gives or overrides the value on one machine."""


class FileRef(KeyRef):
    """A key of a ConfigMap or a Secret of the same namespace that holds a file.

    What is too large for one object (1 MiB) lies in several: compressed by gzip and cut into `pieces`, the first in `NAME-0`, the
    next in `NAME-1` and so on, each under `key`.
    """

    rules = (together("pieces", "sizeBytes"),)

    pieces: Annotated[int, Field(ge=1, le=MAX_PIECES)] | None = None
    """How many objects the file is cut into; without it, it lies in one as it is. All files of a test together have at
    most 32."""
    size_bytes: Annotated[int, Field(ge=0, le=MAX_UNPACKED_BYTES)] | None = None
    """How large the file is when it is put together again: neither more nor less is taken."""


class VolumeFile(Model):
    """A file in a PersistentVolumeClaim of the same namespace."""

    claim_name: Annotated[str, Field(min_length=1, max_length=253)]
    """The name of the PersistentVolumeClaim."""
    path: Text
    """The path of the file within the volume."""


class File(Model):
    """An asset of the test: data, an image to upload, Python steps."""

    named_list: ClassVar[bool] = True

    rules = (one_of("path", "inline", "configMap", "secret", "volumeClaim"),)

    name: Name
    """What the rest of the manifest calls the file."""
    path: Text | None = None
    """Relative to the manifest; the command line reads it and sends it along."""
    inline: Annotated[str, Field(max_length=MAX_BLOB)] | None = None
    """The content itself, for small files."""
    config_map: FileRef | None = None
    secret: FileRef | None = None
    volume_claim: VolumeFile | None = None


class Data(Model):
    """Rows that iterations use as `${data.name.column}`: each iteration takes one row."""

    named_list: ClassVar[bool] = True

    rules = (
        one_of("csv", "jsonl"),
        Rule(
            "!has(self.order) || self.order != 'unique' || !has(self.whenExhausted) || self.whenExhausted != 'recycle'",
            "rows that are used only once cannot be recycled: with order: unique, write whenExhausted: stop or fail",
            lambda data, given: (
                not (
                    {"order", "whenExhausted"} <= given
                    and data.order == "unique"
                    and data.when_exhausted == "recycle"
                )
            ),
            {
                "not": {
                    "properties": {"order": {"const": "unique"}, "whenExhausted": {"const": "recycle"}},
                    "required": ["order", "whenExhausted"],
                }
            },
        ),
    )

    name: Identifier
    """The name in `${data.name.column}`."""
    csv: Name | None = None
    """The name of a file: CSV (RFC 4180) with a header row."""
    jsonl: Name | None = None
    """The name of a file: one JSON object a line."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    """What separates the columns of a CSV file."""
    order: Literal["sequential", "random", "unique"] = "sequential"
    """`sequential`: each shard goes through its own share of the rows in order; `random`: any row at any time;
    `unique`: no row is ever used twice in the run."""
    when_exhausted: Literal["recycle", "stop", "fail"] | None = None
    """After the last row: begin again (the default, not for `unique`), stop the scenario (the default for `unique`),
    or abort the run."""


class Threshold(Model):
    """A condition on a metric that the run has to meet."""

    rules = (
        one_of("metric", "query"),
        Rule(
            "!has(self.relativeTo) || !has(self.query)",
            "a query is relative to nothing: relativeTo belongs to metric",
            lambda _, given: not {"relativeTo", "query"} <= given,
            {"not": {"anyOf": [{"required": ["query", "relativeTo"]}]}},
        ),
    )

    name: Label | None = None
    """What reports call it; by default metric and expression."""
    metric: Text | None = None
    """A metric, with a selector of tags where wanted: `http_req_duration{scenario:signup}`."""
    query: Text | None = None
    """PromQL on the system under test; one value (the largest of a vector's). Where to ask is the installation's or
    the command line's word."""
    expression: Annotated[str, Field(min_length=1, max_length=128)]
    """`p(95)<500ms`, `rate<1%`, `count>=100`; with `query`: `value<2e9`; with `relativeTo`: `p(95)<1.5x`."""
    relative_to: Text | None = None
    """Another metric selector; the limit is then a multiple of the same aggregation over it."""
    abort_on_fail: bool = False
    """Stop the run as soon as it is broken."""
    over: Duration | None = None
    """A sliding window; without it, the whole run."""
    for_time: Annotated[Duration | None, Field(alias="for")] = None
    """Broken only when violated without a break for this long."""
    after: Duration | None = None
    """What comes before is left out."""
    min_samples: Count | None = None
    """With fewer samples it is not judged."""
    severity: Literal["fail", "warn"] = "fail"
    """Whether it fails the run when it is broken, or only warns."""
    no_data: Literal["fail", "pass"] = "fail"
    """The outcome when there never was anything to judge."""


Thresholds = Annotated[list[Threshold], Field(max_length=100)]


class Tier(Model):
    """A named set of thresholds; the first tier that holds is the run's grade."""

    named_list: ClassVar[bool] = True

    name: Name
    """What the report says when this tier is reached."""
    group: Name | None = None
    """Tiers of one group are graded for themselves, such as those of one metric; without it, the run as a whole."""
    thresholds: Thresholds


class ShareLimits(Model):
    """A share to warn at, and one to stop at."""

    warn: Percent | None = None
    """Above this the run goes on with a warning."""
    stop: Percent | None = None
    """Above this the run is stopped."""


class DurationLimits(Model):
    """A duration to warn at, and one to stop at."""

    warn: Duration | None = None
    """Above this the run goes on with a warning."""
    stop: Duration | None = None
    """Above this the run is stopped."""


class RateLimits(Model):
    """A rate per second below which to warn, and one below which to stop."""

    warn: Count | None = None
    """Below this the run goes on with a warning."""
    stop: Count | None = None
    """Below this the run is stopped."""


class Connectivity(Model):
    """A request that must succeed before the load, and again and again during it."""

    url: Text
    """Absolute, or a path below `baseUrl`."""
    interval: Duration = "5s"
    """From one request to the next."""
    timeout: Duration = "5s"
    """A request that takes longer has failed."""
    failures: PositiveInt = 1
    """This many failures one after the other stop the run."""


class Saturation(Model):
    """When the generator itself is too busy for its numbers to be trusted (verdict Invalid)."""

    loop_lag: Duration = "50ms"
    """p99 of the event loop's lag within a second."""
    lateness: Duration = "100ms"
    """p99 of how late arrivals start within a second."""
    delivered: Percent = "90%"
    """Less than this of the planned arrivals, for reasons within the generator."""
    tolerated: Percent = "10%"
    """The share of the run's seconds that may be saturated."""


class Safety(Model):
    """What ends a run early, for the sake of the target and of everybody else."""

    max_duration: Duration = "24h"
    """No run outlives this."""
    lost_control: Duration = "60s"
    """A runner that has not reached its hub for this long stops its load."""
    on_runner_loss: Literal["fail", "continue"] = "fail"
    """When a runner is lost: end the run with an error, or go on with those that are left."""
    stop_grace: Duration = "500ms"
    """On a stop, requests in flight are cancelled after this."""
    window: Duration = "10s"
    """The sliding window of the limits below."""
    after: Duration = "0s"
    """Before this the limits below are not judged."""
    min_samples: Count = 10
    """With fewer requests in the window the limits below are not judged; throughput always is."""
    error_rate: ShareLimits | None = None
    response_time: DurationLimits | None = None
    """Limits on the mean of `http_req_duration`."""
    throughput: RateLimits | None = None
    """Requests per second."""
    consecutive_failures: PositiveInt | None = None
    """This many failed iterations one after the other stop the run."""
    connectivity: Connectivity | None = None
    """Without it, that the target accepts connections is checked once, before the load."""
    saturation: Saturation = Saturation()


class RunnerPods(Model):
    """How runner pods look. Acts on a cluster only."""

    shards_per_pod: PositiveInt = 1
    """How many shards one pod carries, with a process per CPU."""
    image: Text | None = None
    """The image of the runner, when not the installation's."""
    resources: (
        Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]
        | None
    ) = None
    """Requests and limits as in a container; whole CPUs with requests = limits keep the numbers honest."""
    template: (
        Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]
        | None
    ) = None
    """An allow-listed part of PodTemplateSpec, merged last."""


class Variant(Model):
    """A preset: a partial spec that is merged over this one.

    Lists of named things merge by name, unnamed lists are replaced.
    """

    named_list: ClassVar[bool] = True

    name: Name
    """The name for `--variant`."""
    spec: Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]
    """The part of the spec that is different."""


class LoadTestSpec(Model):
    """What is run, against what, and what must hold."""

    variables: Annotated[list[Variable], Field(max_length=200)] = []
    files: Annotated[list[File], Field(max_length=100)] = []
    data: Annotated[list[Data], Field(max_length=50)] = []
    http: HttpDefaults = HttpDefaults()
    evm: Evm | None = None
    setup: StepBlock | None = None
    """Runs once per run, before the load; what it extracts reaches every shard."""
    scenarios: Annotated[list[Scenario], Field(min_length=1, max_length=50)]
    teardown: StepBlock | None = None
    """Runs once per run, after the load, also after a stop."""
    thresholds: Thresholds = []
    tiers: Annotated[list[Tier], Field(max_length=30)] = []
    safety: Safety = Safety()
    shards: PositiveInt = 1
    """Logical shares of the load; the same number on a laptop and on a cluster."""
    runner: RunnerPods | None = None
    outputs: Outputs | None = None
    variants: Annotated[list[Variant], Field(max_length=50)] = []
    suspend: bool = False
    """Holds what has not started and stops what runs. Acts on a cluster only."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """When a finished run's Job is pruned. Acts on a cluster only."""
    history_limit: Annotated[int, Field(ge=0, le=100)] | None = None
    """How many runs' reports are kept. Acts on a cluster only."""


class LoadTest(Model):
    """A load test."""

    api_version: Literal["squall.dev/v1alpha1"] = API_VERSION
    kind: Literal["LoadTest"] = "LoadTest"
    metadata: Metadata
    spec: LoadTestSpec
    status: (
        Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]
        | None
    ) = None

    @property
    def name(self) -> str:
        """The resource's name."""
        return str(self.metadata["name"])
