"""Whether the nodes of a cluster could ever take the pods of a run.

Only what no waiting will change is worth a warning: a pod that is larger than any node, or more pods than all nodes together could take if they
were empty. What else is on the nodes, the scheduler knows; that nodes may be added, the warning says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from squall.spec.loadtest import LoadTestSpec
    from squall_operator.settings import RunnerDefaults

_SUFFIXES: Final = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3}
"""Of amounts of CPUs, as far as anybody has so many or so few (k8s.io/apimachinery, resource.Quantity)."""
_KEEPS_OUT: Final = ("NoSchedule", "NoExecute")


@dataclass(frozen=True, slots=True)
class Demand:
    """What a run asks for: pods, and the CPUs that each of them requests for its runners."""

    pods: int
    cpus: float


@dataclass(frozen=True, slots=True)
class Room:
    """What nodes have, if they were empty: how many CPUs the largest has, and all together."""

    largest: float
    total: float


def demand_of(spec: LoadTestSpec, pods: int, defaults: RunnerDefaults) -> Demand:
    """What a run asks for. Whatever a template adds beside the runners comes on top."""
    resources = (spec.runner.resources if spec.runner else None) or {}
    for kind in ("requests", "limits"):  # without a request, Kubernetes takes the limit for one
        amount = (resources.get(kind) or {}).get("cpu")
        if amount is not None:
            return Demand(pods, cpus(amount))
    return Demand(pods, 0.0 if resources else float(defaults.cpu))


def room_of(nodes: Iterable[Mapping[str, Any]]) -> Room:
    """What the nodes have that take pods without being asked in a special way."""
    sizes = [cpus(node["status"]["allocatable"]["cpu"]) for node in nodes if _takes_pods(node)]
    return Room(max(sizes, default=0.0), sum(sizes))


def too_large(demand: Demand, room: Room) -> Iterator[str]:
    """Warnings about a run that the nodes cannot take; none where there are no nodes until somebody needs them."""
    if not room.total:
        return
    if demand.cpus > room.largest:
        yield (
            f"a runner pod asks for {demand.cpus:g} CPUs, and the largest node has {room.largest:g}: "
            "unless a larger one is added, no pod is scheduled"
        )
    elif demand.pods * demand.cpus > room.total:
        yield (
            f"{demand.pods} pods of {demand.cpus:g} CPUs ask for {demand.pods * demand.cpus:g}, and all nodes together have "
            f"{room.total:g}: unless some are added, the run does not start"
        )


def cpus(amount: object) -> float:
    """An amount of CPUs, such as `250m`; 0 for what is none, as others will say that."""
    text = str(amount)
    factor = _SUFFIXES.get(text[-1:], 0.0)
    try:
        return float(text[:-1]) * factor if factor else float(text)
    except ValueError:
        return 0.0


def _takes_pods(node: Mapping[str, Any]) -> bool:
    spec, conditions = node.get("spec") or {}, node["status"].get("conditions") or ()
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    kept_out = any(taint["effect"] in _KEEPS_OUT for taint in spec.get("taints") or ())
    return ready and not kept_out and not spec.get("unschedulable")
