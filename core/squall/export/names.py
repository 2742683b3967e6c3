"""What series and labels are called in Prometheus.

Two metrics with one name would be two samples of one series, and a receiver refuses all that comes with them. So names are given out once,
by one who knows all that are taken: those of the catalogue, and those that Squall has for the run itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from squall.metrics.names import Kind, prometheus_name, prometheus_rate_total

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from squall.metrics.names import Catalogue, Metric

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Names and values, sorted by name."""
FamilyKind = Literal["counter", "gauge", "histogram"]

PREFIX: Final = "squall_"
SHARD_PREFIX: Final = "squall_shard_"
"""Of the series that runners push: with the names of the fleet's, a sum over both would count everything twice."""
MAX_LABEL: Final = 1024
"""Bytes of a label's value; receivers refuse longer ones, and all that comes with them (Mimir's limit is 2048 by default)."""

_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_]")


@dataclass(frozen=True, slots=True)
class Family:
    """Series of one name.

    Attributes:
        name: In Prometheus.
        kind: How its values are to be read.
        help: One sentence.
        labels: Beside those that all series have; for the reference only.
    """

    name: str
    kind: FamilyKind
    help: str
    labels: tuple[str, ...] = ()


class Point(NamedTuple):
    """A value that is no measurement: something about the run itself."""

    family: Family
    labels: Labels
    value: float


class Names:
    """The families of the metrics of one run.

    Args:
        catalogue: All metrics.
        taken: Names that are none of theirs.
        prefix: In place of `squall_`.
    """

    def __init__(self, catalogue: Catalogue, taken: Iterable[str] = (), prefix: str = PREFIX) -> None:
        self._families: dict[str, tuple[Family, ...]] = {}
        used = set(taken)
        # Squall's own come first, so that no manifest changes what they are called.
        for metric in sorted(catalogue.values(), key=lambda each: each.custom):
            families = tuple(_free(family, used) for family in families_of(metric, prefix))
            self._families[metric.name] = families

    def of(self, metric: str) -> tuple[Family, ...]:
        """The families of a metric: one, or of a rate the hits and all."""
        return self._families[metric]

    def all(self) -> tuple[Family, ...]:
        """Every family."""
        return tuple(family for families in self._families.values() for family in families)


def families_of(metric: Metric, prefix: str = PREFIX) -> tuple[Family, ...]:
    """What a metric is in Prometheus, if nobody else has the name."""
    name = prefix + prometheus_name(metric).removeprefix(PREFIX)
    if metric.kind is Kind.RATE:
        every = prefix + prometheus_rate_total(metric).removeprefix(PREFIX)
        hits = f"The numerator. {metric.description}"
        return Family(name, "counter", hits), Family(
            every, "counter", f"The denominator. {metric.description}"
        )
    kinds: Mapping[Kind, FamilyKind] = {
        Kind.COUNTER: "counter",
        Kind.GAUGE: "gauge",
        Kind.TREND: "histogram",
    }
    return (Family(name, kinds[metric.kind], metric.description),)


def _free(family: Family, used: set[str]) -> Family:
    name = family.name
    while used.intersection(_occupied(name, family.kind)):
        name += "_"
    used.update(_occupied(name, family.kind))
    return Family(name, family.kind, family.help)


def _occupied(name: str, kind: FamilyKind) -> tuple[str, ...]:
    return (name, f"{name}_bucket", f"{name}_sum", f"{name}_count") if kind == "histogram" else (name,)


def label_name(tag: str, reserved: Collection[str] = ()) -> str:
    """A tag's name as a label: only what Prometheus allows, and `exported_` before it where the name means something else."""
    name = _NOT_IN_NAMES.sub("_", tag) or "_"
    if name[0].isdigit():
        name = f"_{name}"
    if name.startswith("__") or name == "le" or name in reserved:
        name = f"exported_{name.lstrip('_')}"
    return name


def labels_of(tags: Iterable[tuple[str, str]], reserved: Collection[str] = ()) -> Labels:
    """Tags as labels, sorted by name; those without a value are left out, as to Prometheus they are not there."""
    found: dict[str, str] = {}
    for tag, value in tags:
        name = label_name(tag, reserved)
        while name in found:
            name += "2"
        if value:
            found[name] = _label_value(value)
    return tuple(sorted(found.items()))


def _label_value(text: str) -> str:
    """A text as UTF-8 that is not too long; names of files may hold what is none."""
    return text.encode(errors="replace")[:MAX_LABEL].decode(errors="ignore")
