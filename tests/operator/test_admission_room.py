"""Whether nodes could take the pods of a run."""

from __future__ import annotations

from typing import Any

import pytest

from squall_operator.admission.room import Demand, Room, cpus, demand_of, room_of, too_large
from squall_operator.checked import check
from squall_operator.settings import RunnerDefaults

DEFAULTS = RunnerDefaults(image="i", cpu=2)


def node(cpu: str, *, ready: str = "True", **spec: Any) -> dict[str, Any]:
    conditions = [{"type": "MemoryPressure", "status": "True"}, {"type": "Ready", "status": ready}]
    return {"spec": spec, "status": {"allocatable": {"cpu": cpu}, "conditions": conditions}}


@pytest.mark.parametrize(
    ("amount", "number"), [("250m", 0.25), ("4", 4), (4, 4), ("1.5", 1.5), ("2k", 2000), ("", 0), ("x", 0)]
)
def test_amounts(amount: object, number: float) -> None:
    assert cpus(amount) == pytest.approx(number)


def test_only_nodes_that_take_pods_count() -> None:
    control_plane = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
    soft = {"key": "a", "effect": "PreferNoSchedule"}
    nodes = [
        node("4"),
        node("3500m", taints=[soft]),
        node("64", ready="Unknown"),
        node("64", unschedulable=True),
        node("64", taints=[control_plane]),
    ]
    assert room_of(nodes) == Room(largest=4, total=7.5)
    assert room_of([]) == Room(largest=0, total=0)


@pytest.mark.parametrize(
    ("demand", "says"),
    [
        (Demand(2, 4.0), ""),
        (Demand(1, 4.5), "the largest node has 4"),
        (Demand(3, 3.0), "3 pods of 3 CPUs ask for 9, and all nodes together have 8"),
    ],
)
def test_what_does_not_fit_is_told(demand: Demand, says: str) -> None:
    told = list(too_large(demand, Room(largest=4, total=8)))
    assert [says in each for each in told] == ([True] if says else [])


@pytest.mark.parametrize(
    ("resources", "each"),
    [
        (None, 2.0),
        ({"requests": {"cpu": "500m"}, "limits": {"cpu": "1"}}, 0.5),
        ({"limits": {"cpu": 3}}, 3.0),
        ({"requests": {"memory": "1Gi"}, "limits": None}, 0.0),
    ],
)
def test_a_demand_is_what_the_scheduler_will_see(resources: Any, each: float) -> None:
    scenario = {"name": "s", "executor": "constant-vus", "vus": 9, "duration": "1s"}
    scenario["steps"] = [{"http": {"url": "http://a/"}}]
    spec: dict[str, Any] = {"scenarios": [scenario], "shards": 5, "runner": {"shardsPerPod": 2}}
    if resources is not None:
        spec["runner"]["resources"] = {key: value for key, value in resources.items() if value is not None}
    body = {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": "t"},
        "spec": spec,
    }
    checked = check(body, DEFAULTS)
    assert checked.test is not None, checked.problems
    assert checked.plan is not None
    assert demand_of(checked.test.model.spec, checked.plan.pods, DEFAULTS) == Demand(3, each)


def test_where_all_nodes_come_on_demand_nothing_is_told() -> None:
    assert list(too_large(Demand(100, 100.0), room_of([]))) == []
