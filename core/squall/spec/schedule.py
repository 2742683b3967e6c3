"""`LoadTestSchedule`: a LoadTest that is made anew at the times a cron expression names (operator only)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from squall.spec.base import API_VERSION, Model
from squall.spec.loadtest import LoadTestSpec, Metadata

Labels = Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=64)]


class TemplateMetadata(Model):
    """Labels and annotations of the LoadTests that are made."""

    labels: Labels | None = None
    """Labels of each LoadTest."""
    annotations: Labels | None = None
    """Annotations of each LoadTest."""


class LoadTestTemplate(Model):
    """The LoadTest that is made."""

    metadata: TemplateMetadata | None = None
    spec: LoadTestSpec


class LoadTestScheduleSpec(Model):
    """When, and what."""

    schedule: Annotated[str, Field(min_length=5, max_length=100, pattern=r"^(@[a-z]+|\S+(\s+\S+){4})$")]
    """Five cron fields, or `@daily` and its kind."""
    time_zone: Annotated[str, Field(max_length=64)] = "Etc/UTC"
    """A name of the IANA time zone database."""
    concurrency_policy: Literal["Allow", "Forbid", "Replace"] = "Forbid"
    """When the run before is still going: start beside it, leave this one out, or stop the one before."""
    starting_deadline_seconds: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """A start that was missed is made up for within this many seconds; without it, whenever possible."""
    successful_runs_history_limit: Annotated[int, Field(ge=0, le=100)] = 3
    """How many passed LoadTests are kept."""
    failed_runs_history_limit: Annotated[int, Field(ge=0, le=100)] = 3
    """How many LoadTests with another verdict are kept."""
    suspend: bool = False
    """Makes no new LoadTests; those there are go on."""
    load_test_template: LoadTestTemplate


class LoadTestSchedule(Model):
    """LoadTests on a schedule."""

    api_version: Literal["squall.dev/v1alpha1"] = API_VERSION
    kind: Literal["LoadTestSchedule"] = "LoadTestSchedule"
    metadata: Metadata
    spec: LoadTestScheduleSpec
    status: (
        Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]
        | None
    ) = None
