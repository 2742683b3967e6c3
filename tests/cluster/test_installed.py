"""Squall installed for a whole cluster as the documentation says.

Operator and hub run in pods here, with the configuration that a cluster gives them, behind a Service, probed, restricted and with no more
rights than they are given. This operator takes every LoadTest that there is, and the CRDs go at the end, so nobody else may test on this
cluster meanwhile.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from support.cluster.access import Access
from support.cluster.installed import Installed
from support.cluster.operated import ENDED, scenario, until
from support.manifests import ROOT, committed_crds
from support.rights import allowed

pytestmark = [pytest.mark.node, pytest.mark.alone, pytest.mark.timeout(300, func_only=True)]
matrix = pytest.mark.matrix

NAMESPACE = "squall-system"
COLLECTED = timedelta(seconds=45)
_PEOPLE = (
    ("view", frozenset({"get"})),
    ("edit", frozenset({"get", "create", "patch", "delete"})),
)


@pytest.fixture(scope="module")
def installed(access: Access, images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """The steps of docs/operations.md, in their order."""
    del images
    squall = Installed(access, tmp_path_factory.mktemp("installed"), "", NAMESPACE)
    try:
        squall.kubectl("apply", "-f", str(ROOT / "deploy" / "everywhere" / "namespace.yaml"))
        squall.make_key()
        squall.make_volume()
        squall.apply()
        squall.wait()
        yield squall
    finally:
        squall.close()


@pytest.fixture(scope="module")
def team(installed: Installed) -> str:
    """A namespace of somebody who runs LoadTests."""
    return installed.make_namespace()


def test_a_load_test_passes_where_squall_was_just_installed(installed: Installed, team: str) -> None:
    limit = {"metric": "http_req_failed", "expression": "rate<1%"}
    installed.start("first", team, thresholds=[limit])
    status = installed.wait_for("first", team, *ENDED)
    assert status["phase"] == "Passed", installed.told()
    assert status["run"]["hub"] == f"http://squall-hub.{NAMESPACE}.svc:4180"
    assert installed.summary(status, team)["shards"] == 2
    assert installed.leader() in installed.operators()
    restarts = "jsonpath={.items[*].status.containerStatuses[*].restartCount}"
    told = installed.kubectl("get", "pods", "-n", NAMESPACE, "-o", restarts)
    assert told.split() == ["0", "0", "0"], installed.told()


@matrix
def test_people_have_the_rights_of_their_roles(installed: Installed, team: str) -> None:
    for role, may in _PEOPLE:
        who = f"{role}-of-{team}"
        installed.kubectl("create", "rolebinding", who, "-n", team, f"--clusterrole={role}", f"--user={who}")

        def can(verb: str, resource: str, who: str = who) -> bool:
            return allowed(installed.kube, who, (resource, "", verb), team)

        def has_all(can: Callable[[str, str], bool] = can, may: frozenset[str] = may) -> bool:
            return all(can(verb, "loadtests.squall.dev") for verb in may)

        # A controller adds our rights to Kubernetes' roles, a moment after ours were made.
        until(has_all, 20, lambda role=role: role)  # type: ignore[misc]
        for verb in ("create", "patch", "delete"):
            assert can(verb, "loadtests.squall.dev") == (verb in may)
            assert can(verb, "loadtestschedules.squall.dev") == (verb in may)
            assert not can(verb, "loadtests/status.squall.dev")
            assert not can(verb, "loadtestpolicies.squall.dev")


@matrix
def test_nothing_is_stuck_when_all_of_it_is_removed_during_a_run(installed: Installed, team: str) -> None:
    installed.start("orphan", team, scenarios=[scenario("5m")])
    run = installed.wait_for("orphan", team, "Running")["run"]["id"]
    # Kubernetes' garbage collector looks for new kinds every 30 s: of what it has not seen it does not know what belongs to whom.
    seen = (
        f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{committed_crds()[0]['metadata']['name']}"
    )
    made = datetime.fromisoformat(installed.kube.get(seen)["metadata"]["creationTimestamp"])
    until(lambda: datetime.now(UTC) - made > COLLECTED, 60, lambda: str(made))
    installed.remove()
    pods = f"/api/v1/namespaces/{team}/pods?labelSelector=squall.dev/run%3D{run}"
    until(lambda: not installed.kube.get(pods)["items"], 90, lambda: str(installed.kube.get(pods)))
    for crd in committed_crds():
        name = crd["metadata"]["name"]
        installed.gone(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")
    installed.gone(f"/api/v1/namespaces/{NAMESPACE}")
    installed.kubectl("delete", "namespace", team, "--wait=false")
    installed.gone(f"/api/v1/namespaces/{team}")
