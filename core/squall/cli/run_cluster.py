"""`squall run --cluster`: the same manifest, options and report as on one machine; the load comes from pods."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from squall.cli.cluster import Where, on_cluster
from squall.cli.run import options_of, show_end

if TYPE_CHECKING:
    from pathlib import Path

    from squall.cli.options import ManifestChanges
    from squall.remote.cluster import Cluster
    from squall.remote.sending import Parcel
    from squall.validation import EffectiveManifest

_BY_THE_CLUSTER = ("has no value here", "is not here")
"""Warnings about what the cluster has: Secrets, ConfigMaps and volumes of the namespace."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line, as given."""

    file: str
    results: Path
    changes: ManifestChanges
    limit: float | None
    force: bool
    baseline: Path | None
    limits: tuple[str, ...]


def run_there(where: Where, asked: Asked) -> int:
    """Run on a cluster; returns the verdict's exit code.

    Raises:
        SquallError: The manifest is wrong, or the cluster does not take it.
    """
    from squall.validation import load_one

    test = load_one(asked.file, asked.changes.options(complete=False))

    async def work(cluster: Cluster) -> int:
        return await _run(cluster, test, asked)

    return on_cluster(Where(_namespace(where, test), where.context), work)


def _namespace(where: Where, test: EffectiveManifest) -> str:
    """The namespace that is meant.

    Raises:
        UsageError: The manifest and the command line name two.
    """
    from squall.errors import UsageError

    written = str(test.data["metadata"].get("namespace") or "")
    if written and where.namespace and written != where.namespace:
        raise UsageError(
            f"the manifest names the namespace {written}, the command line {where.namespace}",
            "leave one of them away",
        )
    return where.namespace or written


async def _run(cluster: Cluster, test: EffectiveManifest, asked: Asked) -> int:
    import msgspec

    from squall.remote.run import RemoteRun, run_on_cluster
    from squall.remote.view import view_for
    from squall.report.comparison import check_limits, judged, parse_limits
    from squall.report.folder import read_summary
    from squall.report.terminal import terminal

    limits = parse_limits(asked.limits)
    before = read_summary(asked.baseline) if asked.baseline else None
    if before is not None:
        check_limits(before, limits)
    console = terminal(sys.stdout)
    for warning in test.warnings:
        if not any(part in warning for part in _BY_THE_CLUSTER):
            console.print(f"warning: {warning}", style="yellow", markup=False)
    request = RemoteRun(
        parcel=_parcel(cluster, test, asked.changes),
        results=asked.results,
        limit=asked.limit,
        force=asked.force,
    )
    view = view_for(console)
    outcome, folder = await run_on_cluster(cluster, request, view)
    summary = await cluster.final(outcome.report, view.tell) if outcome.report else None
    if summary is None:
        console.print(f"{test.name}: {outcome.message}", markup=False, soft_wrap=True)
        console.print(f"there is no report; the manifest is in {folder.path}", markup=False, soft_wrap=True)
        return outcome.exit_code
    summary = msgspec.structs.replace(summary, options=options_of(asked.changes))
    if before is not None:
        summary = judged(before, summary, limits)
    problems = folder.write(summary)
    show_end(summary, folder, problems, console, before=before, limits=limits)
    return summary.verdict.exit_code


def _parcel(cluster: Cluster, test: EffectiveManifest, changes: ManifestChanges) -> Parcel:
    from squall.remote.sending import pack

    given = frozenset(name for name, _ in changes.files)
    return pack(test.data, cluster.namespace, test.files, test.secrets, given)
