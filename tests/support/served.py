"""What operator and hub serve as metrics, as families: what rules may look at, and what the documentation tells of."""

import structlog
from prometheus_client import Metric

from squall.export.model import Receiver, RemoteWrite
from squall.hub.hub import Hub
from squall.hub.telemetry import registry_of
from squall_operator.telemetry import Telemetry

ENDINGS = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_count", "_sum"),
    "info": ("_info",),
}
"""What the names of samples have beyond that of their family."""


def families() -> dict[str, list[Metric]]:
    """The families of each, without those of any process."""
    hub = Hub(b"k", remote_write=RemoteWrite(receiver=Receiver(url="http://127.0.0.1:1/write")))
    registries = {"operator": Telemetry(structlog.get_logger()).registry, "hub": registry_of(hub)}
    return {
        part: [each for each in registry.collect() if each.name.startswith("squall_")]
        for part, registry in registries.items()
    }


def names() -> set[str]:
    """The names of all their samples."""
    return {
        f"{each.name}{ending}"
        for found in families().values()
        for each in found
        for ending in ENDINGS[each.type]
    }
