"""What a command line (or whoever else starts a test) changes about a manifest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Changes to a LoadTest.

    They apply in this order: variants, sets, variables, vus / duration / stages, scenarios, time scale.

    Attributes:
        variants: Names of `spec.variants`, merged in this order.
        sets: `path=value`; see `squall.spec.sets`.
        vus: See `squall.spec.overrides`, as for the next two.
        duration: A Go-style duration.
        stages: `duration:target` each.
        scenarios: Keep only these; all of them when empty.
        variables: Values for `spec.variables` by name.
        files: Local paths for entries of `spec.files` by name, whatever the manifest says of them.
        time_scale: Multiplies the durations of the schedule; see `squall.spec.timescale`.
        environ: The environment that `variables[].env` may name; empty where there is none to trust.
        complete: Whether everything that a local run needs must be there (secrets, cluster files). Without it, what
            is absent becomes a warning.
        directory: Where `files[].path` begins for manifests that come from no file; by default the manifest's own
            directory, and the working directory for standard input.
        all_variants: Whether every variant of the manifest is checked too, when none is chosen.
        read_files: Whether `files[].path` is looked up at all; on a cluster the files have been sent along.
    """

    variants: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    vus: int | None = None
    duration: str | None = None
    stages: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    time_scale: float = 1.0
    environ: Mapping[str, str] = field(default_factory=dict)
    complete: bool = True
    directory: Path | None = None
    all_variants: bool = False
    read_files: bool = True

    @property
    def changes_manifest(self) -> bool:
        """Whether more than variables and files is given: what only a LoadTest can take."""
        return bool(
            self.variants
            or self.sets
            or self.vus is not None
            or self.duration is not None
            or self.stages
            or self.scenarios
            or self.time_scale != 1
        )
