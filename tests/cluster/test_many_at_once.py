"""Twenty LoadTests at once under a policy that lets three run: a queue in the order of their coming, and a halt for all of them."""

import pytest
from support.cluster.operated import ENDED, Installation, manifest, scenario, until
from support.kubeclient import Json

pytestmark = [pytest.mark.node, pytest.mark.matrix, pytest.mark.timeout(600)]

COUNT, AT_ONCE = 20, 3
ACTIVE = ("Launching", "Starting", "Running", "Stopping")


def statuses(squall: Installation) -> dict[str, Json]:
    """The status of every LoadTest of these tests."""
    items = squall.kube.get(squall.path())["items"]
    return {item["metadata"]["name"]: item.get("status") or {} for item in items}


@pytest.fixture
def crowd(squall: Installation) -> Installation:
    """A namespace with nothing else in it."""
    return squall.beside()


def test_twenty_at_once_and_three_may_run(crowd: Installation) -> None:
    names = [f"many-{number:02}" for number in range(COUNT)]
    most, positions = 0, set()
    with crowd.policy(maxConcurrentRuns=AT_ONCE):
        for name in names:
            crowd.apply(manifest(name, shards=1, scenarios=[scenario("2s")]))

        def done() -> bool:
            nonlocal most
            known = statuses(crowd)
            most = max(most, sum(each.get("phase") in ACTIVE for each in known.values()))
            positions.update(each["queuePosition"] for each in known.values() if "queuePosition" in each)
            return all(each.get("phase") in ENDED for each in known.values())

        until(done, 400, lambda: f"{ {name: each.get('phase') for name, each in statuses(crowd).items()} }")
    known = statuses(crowd)
    assert {each["phase"] for each in known.values()} == {"Passed"}
    assert most == AT_ONCE
    assert {1, 2, 5, 10} <= positions
    # Whoever came before the others of its second was seen may have begun; from then on it goes by age and name.
    begun = sorted(names, key=lambda name: (known[name]["run"]["acceptedAt"], name))
    assert begun[AT_ONCE:] == [name for name in names if name not in begun[:AT_ONCE]]


def test_a_halt_in_the_middle_of_them(crowd: Installation) -> None:
    names = [f"halt-{number:02}" for number in range(COUNT)]
    with crowd.policy(maxConcurrentRuns=AT_ONCE) as path:
        for name in names:
            crowd.apply(manifest(name, shards=1, scenarios=[scenario("60s")]))

        def phases() -> list[str]:
            return sorted(str(each.get("phase")) for each in statuses(crowd).values())

        until(lambda: phases().count("Running") == AT_ONCE, 120, lambda: f"{phases()}")
        crowd.kube.merge_patch(path, {"spec": {"halt": True}})
        until(lambda: phases().count("Aborted") == AT_ONCE, 60, lambda: f"{phases()}")
        known = statuses(crowd)
        assert phases().count("Queued") == COUNT - AT_ONCE
        for each in known.values():
            assert each["phase"] == "Queued" or each["verdict"]["cause"] == "policy"
        reasons = {each["reason"] for status in known.values() for each in status["conditions"]}
        assert reasons == {"Halted"}
        for status in known.values():
            if "run" in status:
                crowd.wait_until_gone(status["run"]["id"])
        crowd.kube.merge_patch(path, {"spec": {"halt": False}})
        until(lambda: phases().count("Running") == AT_ONCE, 120, lambda: f"{phases()}")
        assert phases().count("Aborted") == AT_ONCE, "what was halted stays over"
        crowd.kube.delete(crowd.path())
        until(lambda: not statuses(crowd), 60, lambda: f"{phases()}")
