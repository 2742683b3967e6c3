"""`LoadTestPolicy`: what a cluster allows load tests to do (operator only)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from squall.spec.base import API_VERSION, Duration, Model
from squall.spec.loadtest import Metadata

Limit = Annotated[int, Field(ge=0, le=2**53 - 1)]
Pattern = Annotated[str, Field(min_length=1, max_length=253)]


class LoadTestPolicySpec(Model):
    """Limits; a LoadTest has to keep all of every policy that selects its namespace."""

    namespaces: Annotated[list[Pattern], Field(max_length=200)] | None = None
    """Names or wildcards (`team-*`); by default every namespace."""
    allowed_hosts: Annotated[list[Pattern], Field(max_length=500)] | None = None
    """Names, wildcards (`*.test.example`) or networks (`10.0.0.0/8`) that load may go to."""
    max_shards: Limit | None = None
    """The most shards of one LoadTest."""
    max_vus: Annotated[Limit | None, Field(alias="maxVUs")] = None
    """The most VUs of one LoadTest at any moment."""
    max_rate: Limit | None = None
    """Iterations per second."""
    max_duration: Duration | None = None
    """The longest a LoadTest may last."""
    images: Annotated[list[Pattern], Field(max_length=100)] | None = None
    """Wildcards of runner images."""
    required_labels: Annotated[list[Pattern], Field(max_length=50)] | None = None
    """Keys of labels that every LoadTest must have."""
    allow_python: bool = True
    """Whether `python` steps may be used."""
    max_concurrent_runs: Limit | None = None
    """How many runs there may be at once."""
    halt: bool = False
    """Stops everything now, and lets nothing start."""


class LoadTestPolicy(Model):
    """What load tests may do."""

    api_version: Literal["squall.dev/v1alpha1"] = API_VERSION
    kind: Literal["LoadTestPolicy"] = "LoadTestPolicy"
    metadata: Metadata
    spec: LoadTestPolicySpec
    status: (
        Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]
        | None
    ) = None
