"""What `outputs` can get wrong: an address that is none, files that are not there, labels that mean something else already, a log of nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from squall.spec.quantities import fraction
from squall.spec.tree import Leaf, MapNode, find, text_at
from squall.spec.wording import show

if TYPE_CHECKING:
    from squall.spec.checks import Checks
    from squall.spec.tree import Path

RESERVED: Final = frozenset(
    {
        *("loadtest", "namespace", "run", "shard", "scenario", "stage", "step", "method", "status", "error"),
        *(
            "check",
            "host",
            "overflow",
            "le",
            "threshold",
            "state",
            "phase",
            "unit",
            "result",
            "cause",
            "reason",
        ),
        *("tier", "group", "source", "expression", "severity", "version", "shards"),
    }
)
"""Labels that Squall itself sets."""


def check_outputs(checks: Checks) -> None:
    """Check `spec.outputs`."""
    output: Path = ("spec", "outputs", "prometheus")
    _check_url(checks, (*output, "remoteWriteUrl"))
    for key in ("caFile", "certFile"):
        checks.file_name((*output, "tls", key))
    labels = find(checks.root, *output, "labels")
    for name in labels.items if isinstance(labels, MapNode) else ():
        if name in RESERVED:
            message = f"{show(name)} is a label that Squall sets"
            checks.report((*output, "labels", name), message, "choose another name", key=True)
    schema, form = find(checks.root, *output, "histogramSchema"), text_at(checks.root, *output, "histograms")
    if schema is not None and form == "classic":
        message = "classic histograms have no schema"
        hint = "leave histogramSchema out, or write histograms: native"
        checks.report((*output, "histogramSchema"), message, hint, key=True)
    _check_logs(checks, ("spec", "outputs", "logs"))


def _check_logs(checks: Checks, path: Path) -> None:
    """Find what would log nothing although it was asked for."""
    iterations: Path = (*path, "iterations")
    if find(checks.root, *iterations) is None:
        return
    level, sample = text_at(checks.root, *path, "level"), _written(checks, (*iterations, "sample"))
    if level == "error":
        message = "with this level no iteration is ever logged"
        checks.report((*path, "level"), message, "write level: warning for failures alone, or level: info")
    if _written(checks, (*iterations, "failures")) is not False:
        return
    if sample is not None and _share(sample) == 0:
        message = "no iteration is in the sample, and failures are left out: nothing would be logged"
        checks.report((*iterations, "sample"), message, "write for example 1%, or leave out failures: false")
    if level == "warning":
        message = "what is logged at this level is failures, and they are left out: nothing would be logged"
        checks.report((*path, "level"), message, "write level: info, or leave out failures: false")


def _written(checks: Checks, path: Path) -> object:
    """The scalar at a path, of whatever kind."""
    leaf = find(checks.root, *path)
    return leaf.value if isinstance(leaf, Leaf) else None


def _share(written: object) -> float:
    """A share as a number; what is none, or a variable, counts as some."""
    try:
        return fraction(str(written))
    except ValueError:
        return 1.0


def _check_url(checks: Checks, path: Path) -> None:
    text = text_at(checks.root, *path)
    if text is None or "${" in text:
        return
    try:
        parts = urlsplit(text)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        message = f"{show(text)} is not where anything could be pushed"
        checks.report(path, message, "write for example http://prometheus:9090/api/v1/write")
    elif "@" in parts.netloc:
        message = "credentials in a URL end up in logs"
        checks.report(
            path, message, "write them into outputs.prometheus.auth, best as a variable from a Secret"
        )
