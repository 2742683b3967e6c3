"""Where a run's metrics and logs go beside its report."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from squall.spec.base import Model, Percent, PositiveInt, Size, Text, one_of
from squall.spec.http import BasicAuth, Tls


class ReceiverAuth(Model):
    """How pushing authenticates."""

    rules = (one_of("basic", "bearer"),)

    basic: BasicAuth | None = None
    bearer: Text | None = None
    """A token, sent as `Authorization: Bearer ...`; may hold `${var.x}`, best a variable from a Secret."""


LabelName = Annotated[str, Field(max_length=128, pattern="^[A-Za-z][A-Za-z0-9_]*$")]
LabelValue = Annotated[str, Field(min_length=1, max_length=256)]


class PrometheusOutput(Model):
    """Where metrics are pushed while the run goes on, by Prometheus remote write 1.0.

    `squall run` pushes the series of the whole fleet here, and with `perShard` each runner its own. On a cluster the hub pushes
    to the installation's receiver, whatever stands here; what stands here is where runners push with `perShard`.
    """

    remote_write_url: Text
    """An endpoint for Prometheus remote write; may hold `${var.x}`, but no secret."""
    auth: ReceiverAuth | None = None
    tenant: Text | None = None
    """Sent as `X-Scope-OrgID`, for receivers with several tenants; may hold `${var.x}`."""
    tls: Tls | None = None
    histograms: Literal["native", "classic"] = "native"
    """How trends are pushed: with all their buckets, or with a few fixed ones for receivers without native histograms."""
    histogram_schema: Annotated[int, Field(ge=0, le=6)] = 6
    """Of native histograms: 2^schema buckets for each power of two. 6 is how they are measured (0.55 % off at most); each one
    less halves the buckets and doubles the error."""
    labels: Annotated[dict[LabelName, LabelValue], Field(max_length=32)] | None = None
    """Added to every series; values may hold `${var.x}`."""
    per_shard: bool = False
    """Have each runner push its own series too, as `squall_shard_...` with the label `shard`."""
    max_series: Annotated[int, Field(ge=100, le=1_000_000)] = 10_000
    """The most series that the hub pushes, and each runner; what comes beyond is counted with fewer labels."""
    buffer: Size = "8MiB"
    """What may wait for a receiver that is away, in the hub and in each runner; of more, the oldest is dropped."""


class LoggedIterations(Model):
    """Iterations that runners write to their log as a whole: `flow_start`, each `request`, `flow_complete`."""

    sample: Percent = "1%"
    """The share of the iterations. Which ones they are follows from the run's id, the VU and its iteration."""
    failures: bool = True
    """Each request and each iteration that fails besides, whether the sample holds it or not."""
    requests: bool = True
    """Requests too; without them only how iterations begin and end."""
    max_per_second: PositiveInt = 100
    """The most lines a second of the whole run, of which each shard has its share. Of more, their number is logged."""


class LogsOutput(Model):
    """What is logged of this test, and how much of it."""

    level: Literal["debug", "info", "warning", "error"] | None = None
    """Lines below it are left out; by default the installation's or the environment's word, else `info`."""
    iterations: LoggedIterations | None = None
    """Without it, runners log no single iteration or request."""


class Outputs(Model):
    """Where metrics and logs go beside the report."""

    prometheus: PrometheusOutput | None = None
    logs: LogsOutput | None = None
