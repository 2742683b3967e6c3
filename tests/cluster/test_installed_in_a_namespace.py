"""Squall installed for one namespace, with its hub behind TLS, and what becomes of a run when pods of the installation go.

Nothing of it is seen outside of its namespace, so it lives beside others on a cluster that is shared.
"""

import secrets
from collections.abc import Iterator

import pytest
from support.certificates import Authority
from support.cluster.access import Access
from support.cluster.installed import HUB, Installed
from support.cluster.operated import ENDED, RESTRICTED, scenario, until
from support.manifests import ROOT

pytestmark = [pytest.mark.node, pytest.mark.matrix, pytest.mark.timeout(300, func_only=True)]


@pytest.fixture(scope="module")
def installed(access: Access, images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """The steps of docs/operations.md, in their order."""
    del images
    folder = tmp_path_factory.mktemp("installed")
    team = f"squall-{secrets.token_hex(3)}"
    squall = Installed(access, folder, "namespaced", team, components=["hub-tls"])
    try:
        squall.kubectl("apply", "-k", str(ROOT / "deploy" / "shared"))
        squall.make_namespace(team)
        squall.make_key()
        authority = Authority(folder)
        pair = authority.issue("hub", name="squall-hub", hosts=(f"squall-hub.{team}.svc",))
        files = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": authority.certificate}
        parts = [f"--from-file={name}={path}" for name, path in files.items()]
        squall.kubectl("create", "secret", "generic", "squall-hub-tls", "-n", team, *parts)
        squall.make_volume()
        squall.apply()
        yield squall
    finally:
        squall.kubectl.attempt("delete", "clusterrolebinding", f"squall-policies-{team}")
        squall.close()


@pytest.fixture(scope="module")
def ready(installed: Installed) -> Installed:
    """The installation once the cluster's administrator has done the last step."""
    # Until then it waits, and says for what: no operator works without knowing the policies.
    team = installed.namespace
    until(lambda: "may not list loadtestpolicies" in installed.told(), 90, installed.told)
    deployment = f"/apis/apps/v1/namespaces/{team}/deployments/squall-operator"
    assert not installed.kube.get(deployment)["status"].get("readyReplicas")
    role, account = "--clusterrole=squall-policies", f"--serviceaccount={team}:squall-operator"
    installed.kubectl("create", "clusterrolebinding", f"squall-policies-{team}", role, account)
    installed.wait()
    return installed


def hub_uid(squall: Installed) -> str:
    return str(squall.kube.get(f"/api/v1/namespaces/{squall.namespace}/pods/{HUB}")["metadata"]["uid"])


def test_it_runs_what_is_in_its_namespace_and_leaves_others_alone(ready: Installed) -> None:
    other = ready.make_namespace()
    ready.start("theirs", other, shards=1)
    ready.start("ours", ready.namespace)
    status = ready.wait_for("ours", ready.namespace, *ENDED)
    assert status["phase"] == "Passed", f"{status}\n{ready.told()}"
    assert status["run"]["hub"] == f"https://squall-hub.{ready.namespace}.svc:4180"
    assert ready.status("theirs", other) == {}
    labels = ready.kube.get(f"/api/v1/namespaces/{ready.namespace}")["metadata"]["labels"]
    assert labels.items() >= RESTRICTED.items()


def test_it_obeys_policies(ready: Installed) -> None:
    policy = {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTestPolicy",
        "metadata": {"name": ready.namespace},
        "spec": {"namespaces": [ready.namespace], "maxShards": 1},
    }
    path = f"/apis/squall.dev/v1alpha1/loadtestpolicies/{ready.namespace}"
    ready.kube.apply(path, policy)
    try:
        ready.start("large", ready.namespace)
        status = ready.wait_for("large", ready.namespace, *ENDED)
        assert (status["phase"], status["conditions"][0]["reason"]) == ("Rejected", "PolicyViolated")
    finally:
        ready.kube.delete(path)


@pytest.mark.parametrize("force", [False, True])
def test_the_leader_is_deleted_and_another_takes_over(ready: Installed, force: bool) -> None:
    name, team = f"leader-{force}".lower(), ready.namespace
    ready.start(name, team, shards=1, scenarios=[scenario("30s")])
    ready.wait_for(name, team, "Running")
    leader = ready.leader()
    options = ("--force", "--grace-period=0") if force else ()
    ready.kubectl("delete", "pod", leader, "-n", team, "--wait=false", *options)
    until(lambda: ready.leader() not in ("", leader), 40, ready.told)
    status = ready.wait_for(name, team, *ENDED)
    assert status["phase"] == "Passed", status
    assert ready.summary(status, team)["timings"]["loadSeconds"] == pytest.approx(30, abs=2)
    ready.wait()


@pytest.mark.parametrize("force", [False, True])
def test_the_hub_is_deleted_and_the_run_goes_on(ready: Installed, force: bool) -> None:
    name, team = f"hub-{force}".lower(), ready.namespace
    ready.start(name, team, scenarios=[scenario("30s")])
    ready.wait_for(name, team, "Running")
    first = hub_uid(ready)
    options = ("--force", "--grace-period=0") if force else ()
    ready.kubectl("delete", "pod", HUB, "-n", team, "--wait=false", *options)
    status = ready.wait_for(name, team, *ENDED)
    assert status["phase"] == "Passed", f"{status}\n{ready.told()}"
    assert hub_uid(ready) != first
    summary = ready.summary(status, team)
    assert summary["timings"]["loadSeconds"] == pytest.approx(30, abs=2)
    assert summary["lostRunners"] == []
    count = next(row for row in summary["metrics"] if row["metric"] == "http_reqs" and not row["tags"])
    # Two VUs with 200 ms between their requests, for all of the 30 s: what was sent while there was no hub is counted as well.
    assert count["values"]["count"] > 200


def test_a_breach_of_long_ago_outlives_the_hubs_pod(ready: Installed) -> None:
    """Runners replay the last seconds alone, so what was broken before them is known from the hub's volume only."""
    bad = {**scenario("5s", "/500"), "name": "bad", "gracefulStop": "1s"}
    good = {**scenario("60s"), "name": "good"}
    # Runners keep 10 s of windows, 20 s without a hub, and 5 s of slack.
    safety = {"lostControl": "20s", "saturation": {"tolerated": "100%"}}
    threshold = {"metric": "http_req_failed", "expression": "rate<1%", "over": "3s"}
    team = ready.namespace
    ready.start("breach", team, scenarios=[bad, good], thresholds=[threshold], safety=safety, shards=1)
    ready.wait_for("breach", team, "Running")

    def elapsed() -> float:
        return float((ready.status("breach", team).get("live") or {}).get("elapsedSeconds", 0))

    until(lambda: elapsed() > 44, 90, lambda: str(ready.status("breach", team)))
    ready.kubectl("delete", "pod", HUB, "-n", team, "--wait=false")
    status = ready.wait_for("breach", team, *ENDED)
    assert status["phase"] == "Failed", status


def test_load_ends_where_the_installation_is_removed(ready: Installed) -> None:
    """Nobody tells the runners anything any more: they stop by themselves, and their namespace can go."""
    team = ready.namespace
    saturation = {"tolerated": "100%"}
    safety = {"lostControl": "10s", "saturation": saturation}
    ready.start("orphan", team, scenarios=[scenario("5m")], safety=safety)
    run = ready.wait_for("orphan", team, "Running")["run"]["id"]
    ready.remove()
    pods = f"/api/v1/namespaces/{team}/pods?labelSelector=squall.dev/run%3D{run}"

    def ended() -> bool:
        items = ready.kube.get(pods)["items"]
        return [pod["status"]["phase"] for pod in items] == ["Failed", "Failed"]

    until(ended, 60, lambda: str(ready.kube.get(pods)))
    assert ready.status("orphan", team)["phase"] == "Running", "nobody is there to say otherwise"
    ready.kubectl("delete", "namespace", team, "--wait=false")
    ready.gone(f"/api/v1/namespaces/{team}")
