"""The webhook as a real API server calls it: over TLS, with the rights of deploy/, for users who are what their certificates say."""

import copy
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import yaml
from support.controlplane import ControlPlane, client_of_user
from support.hooked import (
    CONFIGURATIONS,
    NAMESPACE,
    POLICIES,
    SECRET,
    TESTS,
    WEBHOOK,
    Hooked,
    configuration,
    hooked,
    load_test,
    refusal,
    until,
)
from support.kubeclient import Json, KubeClient

from squall.kube.runs import BESIDE

pytestmark = [pytest.mark.control_plane, pytest.mark.timeout(180, func_only=True)]

SECRETS = [{"name": "password", "secret": {"name": "nft", "key": "password"}}]


@pytest.fixture(scope="module")
def hook(
    control_plane: ControlPlane, crds: dict[str, Json], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hooked]:
    """Two operators, of which the first is called."""
    del crds
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "hooked"},
        "status": {"allocatable": {"cpu": "2"}, "conditions": [{"type": "Ready", "status": "True"}]},
    }
    control_plane.client.create("/api/v1/nodes", node)
    # A new node is tainted until a controller finds it ready, and there is none here.
    control_plane.client.merge_patch("/api/v1/nodes/hooked", {"spec": {"taints": None}})
    try:
        with hooked(control_plane, tmp_path_factory.mktemp("hooked")) as found:
            for _ in range(2):
                found.start()
            found.call(found.operators[0][1])
            yield found
    finally:
        control_plane.client.delete("/api/v1/nodes/hooked")


@pytest.fixture(scope="module")
def jane(control_plane: ControlPlane, hook: Hooked) -> Iterator[KubeClient]:
    """Somebody who may write LoadTests and nothing else."""
    rules = [{"apiGroups": ["squall.dev"], "resources": ["*"], "verbs": ["*"]}]
    hook.roles.give("jane", "hooked-jane", rules)
    with client_of_user(control_plane, "jane") as client:
        yield client


def schedule(name: str, **spec: object) -> Json:
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTestSchedule",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"schedule": "0 3 1 1 *", "loadTestTemplate": {"spec": {**load_test("x")["spec"], **spec}}},
    }


def policy(name: str, **spec: object) -> Json:
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTestPolicy",
        "metadata": {"name": name},
        "spec": spec,
    }


def test_what_is_right_goes_in_and_what_is_wrong_does_not(hook: Hooked) -> None:
    assert refusal(hook.kube, load_test("right"), dry_run=False) == ""
    assert hook.kube.warnings == []
    wrong = load_test("wrong")
    wrong["spec"]["scenarios"][0]["steps"] += [
        {"http": {"url": "/${nothing}"}},
        {"http": {"url": "ftp://a/"}},
    ]
    told = refusal(hook.kube, wrong, dry_run=False)
    assert told.startswith('400: admission webhook "loadtests.squall.dev" denied the request: 2 problems\n')
    assert "- spec.scenarios[0].steps[1].http.url (look): " in told
    assert "- spec.scenarios[0].steps[2].http.url (look): " in told
    assert not hook.kube.exists(f"{TESTS}/wrong")


def test_a_schedule_is_judged_by_what_it_would_make(hook: Hooked) -> None:
    assert refusal(hook.kube, schedule("right")) == ""
    limits = [{"metric": "no_such_metric", "expression": "rate<1%"}]
    assert "- spec.loadTestTemplate.spec.thresholds[0].metric" in refusal(
        hook.kube, schedule("wrong", thresholds=limits)
    )


def test_a_dry_run_is_judged_like_any_other_and_changes_nothing(hook: Hooked) -> None:
    assert refusal(hook.kube, load_test("dry")) == ""
    assert "denied the request" in refusal(hook.kube, load_test("dry", data=[{"name": "a", "csv": "b"}]))
    assert not hook.kube.exists(f"{TESTS}/dry")


def test_an_author_is_warned(hook: Hooked) -> None:
    amounts = {"requests": {"cpu": "3"}, "limits": {"cpu": "3"}}
    assert refusal(hook.kube, load_test("large", thresholds=[], runner={"resources": amounts})) == ""
    assert [each.partition(":")[0] for each in hook.kube.warnings] == [
        "spec.thresholds",
        "a runner pod asks for 3 CPUs, and the largest node has 2",
    ]


def test_a_policy_counts_at_once_and_holds_nobody_who_was_let_in(hook: Hooked) -> None:
    first = load_test("policed")
    assert refusal(hook.kube, first, dry_run=False) == ""
    hook.kube.apply(f"{POLICIES}/tight", policy("tight", maxVUs=3, requiredLabels=["team"]))
    try:
        told = refusal(hook.kube, load_test("another"))
        assert told.startswith("403:")
        assert "4 VUs are more than the 3 that are allowed (LoadTestPolicy tight)" in told
        assert "the label team is required (LoadTestPolicy tight)" in told
        assert "denied" in refusal(hook.kube, load_test("policed", shards=2))
        assert "denied" in refusal(hook.kube, schedule("policed"))
        # What was let in may be held, let go, kept, labelled and deleted.
        for spec in ({"suspend": True}, {"suspend": False, "historyLimit": 3}):
            assert refusal(hook.kube, load_test("policed", **spec), dry_run=False) == ""
        labelled = copy.deepcopy(first)
        labelled["metadata"]["finalizers"] = ["squall.dev/test"]
        assert refusal(hook.kube, labelled, dry_run=False) == ""
        hook.kube.delete(f"{TESTS}/policed")
        gone = {"metadata": {"finalizers": None}, "spec": {"shards": 3}}
        hook.kube.merge_patch(f"{TESTS}/policed", gone)
        assert not hook.kube.exists(f"{TESTS}/policed")
    finally:
        hook.kube.delete(f"{POLICIES}/tight")
    assert refusal(hook.kube, load_test("another")) == ""


def test_a_policy_is_checked_and_its_author_warned(hook: Hooked) -> None:
    assert refusal(hook.kube, policy("odd", allowedHosts=["http://shop.example"])) == ""
    assert "spec.allowedHosts[0]" in hook.kube.warnings[0]


def test_a_secret_takes_the_right_to_get_it(hook: Hooked, jane: KubeClient) -> None:
    told = refusal(jane, load_test("hers", variables=SECRETS))
    assert "- spec.variables[0].secret: jane may not get the Secret nft in namespace default" in told
    assert "loadTestTemplate.spec.variables[0].secret: jane may not" in refusal(
        jane, schedule("hers", variables=SECRETS)
    )
    assert refusal(jane, load_test("hers")) == ""
    rule = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["nft"], "verbs": ["get"]}
    hook.roles.give("jane", "hooked-jane-nft", [rule], NAMESPACE)
    mine = load_test("hers", variables=SECRETS)
    until(lambda: refusal(jane, mine) == "", lambda: refusal(jane, mine))
    pulls = {"template": {"spec": {"imagePullSecrets": [{"name": "nft"}, {"name": "other"}]}}}
    told = refusal(jane, load_test("hers", variables=SECRETS, runner=pulls))
    assert "Secret other" in told
    assert "Secret nft" not in told
    assert refusal(hook.kube, load_test("theirs", variables=SECRETS, runner=pulls)) == ""


def test_an_account_takes_the_right_to_act_as_it(hook: Hooked, jane: KubeClient) -> None:
    robot = load_test("robot", runner={"template": {"spec": {"serviceAccountName": "robot"}}})
    assert "jane may not impersonate the ServiceAccount robot" in refusal(jane, robot)
    rule = {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["impersonate"]}
    hook.roles.give("jane", "hooked-jane-robot", [rule], NAMESPACE)
    until(lambda: refusal(jane, robot) == "", lambda: refusal(jane, robot))


def test_whoever_edits_answers_for_all_of_it(hook: Hooked, jane: KubeClient) -> None:
    """Else a Secret that somebody else may use could be sent wherever an editor likes."""
    other = [{"name": "token", "secret": {"name": "vault", "key": "k"}}]
    assert refusal(hook.kube, load_test("shared", variables=other), dry_run=False) == ""
    assert "jane may not get the Secret vault" in refusal(
        jane, load_test("shared", variables=other, shards=2)
    )
    assert refusal(jane, load_test("shared", variables=other, suspend=True)) == ""
    hook.kube.delete(f"{TESTS}/shared")


def test_all_replicas_share_one_certificate(hook: Hooked) -> None:
    secret = hook.kube.get(SECRET)
    assert set(secret["data"]) == {"tls.crt", "tls.key"}
    stored = hook.kube.get(f"{CONFIGURATIONS}/squall")
    assert {each["clientConfig"]["caBundle"] for each in stored["webhooks"]} == {secret["data"]["tls.crt"]}
    first, second = hook.operators
    hook.call(second[1])
    assert hook.kube.get(SECRET)["metadata"]["resourceVersion"] == secret["metadata"]["resourceVersion"]
    # Whichever of the two leads: each of them answers while the other is gone.
    first[0].kill()
    assert refusal(hook.kube, load_test("right", shards=2)) == ""
    first[0].start_again()
    hook.call(first[1])
    second[0].kill()
    assert refusal(hook.kube, load_test("right", shards=2)) == ""
    second[0].start_again()


def test_what_is_lost_or_spoilt_comes_back(hook: Hooked) -> None:
    before = hook.kube.get(SECRET)
    hook.kube.delete(SECRET)
    hook.operators[0][0].start_again()
    until(lambda: hook.kube.exists(SECRET), hook.told)
    assert hook.kube.get(SECRET)["data"] != before["data"]
    hook.until_called()


def test_a_certificate_that_somebody_else_keeps_is_taken_up_when_it_changes(
    hook: Hooked, control_plane: ControlPlane
) -> None:
    first = control_plane.authority.issue("kept", name="webhook", hosts=("127.0.0.1",))
    files = ("--webhook-cert-file", str(first.certificate), "--webhook-key-file", str(first.key))
    process, url = hook.start(*files)
    try:
        # cert-manager's injector writes what is to be trusted; here the test does.
        bundle = b64encode(control_plane.authority.certificate.read_bytes()).decode()
        hook.kube.apply(f"{CONFIGURATIONS}/kept", _kept(url, bundle))
        hook.kube.delete(f"{CONFIGURATIONS}/squall")
        address = ("127.0.0.1", int(urlsplit(url).port or 0))
        until(lambda: _listens(address), hook.told)  # another replica may answer before
        hook.until_called()
        assert ssl.get_server_certificate(address) == first.certificate.read_text(encoding="ascii")
        control_plane.authority.issue("kept", name="webhook", hosts=("127.0.0.1",))
        assert ssl.get_server_certificate(address) == first.certificate.read_text(encoding="ascii")
        assert "the certificate was renewed" in process.log.read_text(encoding="utf-8")
        hook.until_called()
    finally:
        hook.kube.delete(f"{CONFIGURATIONS}/kept")
        process.stop()
        hook.operators.pop()
        hook.call(hook.operators[0][1])


def _listens(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address).close()
    except ConnectionRefusedError:
        return False
    return True


def _kept(url: str, bundle: str) -> Json:
    made = configuration(url)
    for each in made["webhooks"]:
        each["clientConfig"]["caBundle"] = bundle
    return {**made, "metadata": {"name": "kept"}}


def test_nobody_there(hook: Hooked) -> None:
    """What deploy/ says: LoadTests wait, whatever was let in can be stopped, and policies come through."""
    assert refusal(hook.kube, load_test("left"), dry_run=False) == ""
    (process, url), other = hook.operators
    other[0].stop()
    process.stop()
    try:
        told = refusal(hook.kube, load_test("new"))
        assert told.startswith("500:")
        assert 'failed calling webhook "loadtests.squall.dev"' in told
        assert "failed calling webhook" in refusal(hook.kube, load_test("left", shards=2))
        assert refusal(hook.kube, load_test("left", suspend=True), dry_run=False) == ""
        hook.kube.merge_patch(f"{TESTS}/left", {"metadata": {"labels": {"a": "b"}}})
        hook.kube.merge_patch(f"{TESTS}/left/status", {"status": {"phase": "Suspended"}})
        assert refusal(hook.kube, policy("stop", halt=True)) == ""
        hook.kube.delete(f"{TESTS}/left")
        hook.kube.apply(f"{CONFIGURATIONS}/squall", _ignoring(hook.kube.get(f"{CONFIGURATIONS}/squall")))
        until(lambda: refusal(hook.kube, load_test("new")) == "", lambda: "it is not ignored")
    finally:
        process.start_again()
        other[0].start_again()
        hook.call(url)


def _ignoring(stored: Json) -> Json:
    webhooks = [{**each, "failurePolicy": "Ignore"} for each in stored["webhooks"]]
    head = {key: stored[key] for key in ("apiVersion", "kind")}
    return {**head, "metadata": {"name": "squall"}, "webhooks": webhooks}


def test_the_api_server_leaves_out_what_the_operator_would_not_judge() -> None:
    text = (WEBHOOK / "configuration.yaml").read_text(encoding="utf-8")
    for each in yaml.safe_load(text)["webhooks"]:
        (changed,) = (one for one in each["matchConditions"] if one["name"] == "is-another-test")
        names = {"'" + key + "'" for key in BESIDE}
        listed = changed["expression"].split("key in [")[1].split("]")[0]
        assert set(listed.split(", ")) == names
        assert changed["expression"].count(f"[{listed}]") == 2
        assert all("status" not in resource for rule in each["rules"] for resource in rule["resources"])
        assert all(rule["operations"] == ["CREATE", "UPDATE"] for rule in each["rules"])


def test_a_right_that_is_missing_is_told(hook: Hooked) -> None:
    role = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/roles/hooked-secret"
    rules = hook.kube.get(role)["rules"]
    (process, _), _ = hook.operators
    hook.kube.merge_patch(role, {"rules": []})
    try:
        process.start_again()

        def told() -> bool:
            return 'cannot get resource \\"secrets\\"' in process.log.read_text(encoding="utf-8")

        until(told, hook.told)
    finally:
        hook.kube.merge_patch(role, {"rules": rules})
    hook.until_called()
