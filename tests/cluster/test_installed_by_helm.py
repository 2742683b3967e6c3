"""Squall installed by its chart, and brought up to date, back and away while a run goes on.

The chart looks after the whole cluster here, and its CRDs are the cluster's, so nobody else may test on it meanwhile.
"""

from collections.abc import Callable, Iterator

import pytest
from support.cluster.access import Access
from support.cluster.charted import Charted
from support.cluster.installed import HUB
from support.cluster.operated import ENDED, scenario, until
from support.kubeclient import ApiError, Json
from support.manifests import committed_crds

pytestmark = [
    pytest.mark.node,
    pytest.mark.matrix,
    pytest.mark.alone,
    pytest.mark.timeout(300, func_only=True),
]

NAMESPACE = "squall-system"
LIMIT = {"metric": "http_req_failed", "expression": "rate<1%"}
SECONDS = 45


@pytest.fixture(scope="module")
def release(access: Access, images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Charted]:
    """The steps of docs/install.md, with TLS for the hub and a policy for everybody."""
    del images
    policy = {"enabled": True, "spec": {"maxShards": 10}}
    squall = Charted(
        access,
        tmp_path_factory.mktemp("charted"),
        NAMESPACE,
        hub={"tls": {"enabled": True}},
        defaultPolicy=policy,
    )
    try:
        squall.make_namespace(NAMESPACE)
        squall.make_volume()
        squall.apply("--wait", "--timeout=150s")
        yield squall
    finally:
        squall.close()
        for crd in committed_crds():
            squall.kubectl.attempt("delete", "crd", crd["metadata"]["name"], "--ignore-not-found")


@pytest.fixture(scope="module")
def team(release: Charted) -> str:
    """A namespace of somebody who runs LoadTests."""
    return release.make_namespace()


def passed(release: Charted, team: str, name: str) -> Json:
    """Wait for the good end of a run that was not to be disturbed; returns its summary."""
    status = release.wait_for(name, team, *ENDED)
    assert status["phase"] == "Passed", f"{status}\n{release.told()}"
    summary = release.summary(status, team)
    assert summary["timings"]["loadSeconds"] == pytest.approx(SECONDS, abs=2)
    assert summary["lostRunners"] == []
    return summary


def pods(release: Charted) -> dict[str, str]:
    """The uids of the installation's pods."""
    items = release.kube.get(f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]
    return {each["metadata"]["name"]: each["metadata"]["uid"] for each in items}


def test_it_is_ready_when_helm_says_so(release: Charted, team: str) -> None:
    release.start("first", team, thresholds=[LIMIT])
    status = release.wait_for("first", team, *ENDED)
    assert status["phase"] == "Passed", f"{status}\n{release.told()}"
    assert status["run"]["hub"] == f"https://{HUB.removesuffix('-0')}.{NAMESPACE}.svc:4180"


def test_what_is_wrong_is_refused_at_once(release: Charted, team: str) -> None:
    """By the webhook, which knows the policy that came with the chart."""
    with pytest.raises(ApiError, match="11 shards are more than the 10 that are allowed"):
        release.start("large", team, shards=11)


def goes_on(release: Charted, team: str, name: str, change: Callable[[], None]) -> None:
    """Change the release under load, so that both the operator's pods and the hub's are others afterwards."""
    release.start(name, team, thresholds=[LIMIT], scenarios=[scenario(f"{SECONDS}s")])
    release.wait_for(name, team, "Running")
    before = pods(release)
    change()
    release.wait()
    until(lambda: not set(pods(release).values()) & set(before.values()), 60, release.told)
    passed(release, team, name)


def test_a_run_goes_on_through_upgrade_and_rollback(release: Charted, team: str) -> None:
    options = ("--set", "operator.logLevel=debug", "--set", "hub.podAnnotations.changed=yes")
    goes_on(release, team, "upgraded", lambda: release.apply(*options))
    goes_on(release, team, "rolled-back", lambda: release.rollback(1))
    assert release.status("first", team)["phase"] == "Passed"
    assert release.kube.get("/apis/squall.dev/v1alpha1/loadtestpolicies/default")["spec"] == {"maxShards": 10}


def test_load_ends_and_load_tests_stay_when_it_is_uninstalled(release: Charted, team: str) -> None:
    safety = {"lostControl": "10s", "saturation": {"tolerated": "100%"}}
    release.start("orphan", team, scenarios=[scenario("5m")], safety=safety)
    run = release.wait_for("orphan", team, "Running")["run"]["id"]
    release.remove()
    path = f"/api/v1/namespaces/{team}/pods?labelSelector=squall.dev/run%3D{run}"

    def ended() -> bool:
        return all(each["status"]["phase"] == "Failed" for each in release.kube.get(path)["items"])

    until(ended, 60, lambda: str(release.kube.get(path)))
    until(lambda: not pods(release), 60, lambda: str(pods(release)))
    assert release.status("first", team)["phase"] == "Passed"
    # Nobody answers for the webhook any more, and nobody is asked.
    release.kubectl("annotate", "loadtest", "first", "-n", team, "seen=yes")
    release.kubectl("delete", "loadtest", "first", "-n", team)
