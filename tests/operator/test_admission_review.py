"""What the webhook says of a request: a table of manifests, and what is wrong, forbidden, worth a warning or has to be asked about."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from squall.hub.tokens import run_token
from squall.validation import ManifestError, Options, load_text
from squall_operator import policies
from squall_operator.admission.references import Reference, references_of
from squall_operator.admission.review import (
    MOST_REFERENCES,
    SHOWN,
    Findings,
    allow,
    is_admitted_already,
    missing_right,
    read_request,
    refuse,
    review,
)
from squall_operator.admission.room import Demand
from squall_operator.checked import check
from squall_operator.manifests.inputs import RunInputs, build_inputs
from squall_operator.manifests.job import build_job
from squall_operator.manifests.owned import Owner
from squall_operator.settings import RunnerDefaults

DEFAULTS = RunnerDefaults(image="registry.example/runner:1", cpu=2)
LIMIT = [{"metric": "http_req_failed", "expression": "rate<1%"}]


def load_test(**spec: Any) -> dict[str, Any]:
    scenario = {"name": "look", "executor": "constant-vus", "vus": 4, "duration": "10s"}
    scenario |= {"steps": [{"name": "home", "http": {"url": "/"}}]}
    base = {"http": {"baseUrl": "http://shop.test.example"}, "scenarios": [scenario], "thresholds": LIMIT}
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": "shop", "namespace": "team-a"},
        "spec": {**base, **spec},
    }


def schedule(test: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTestSchedule",
        "metadata": {"name": "nightly", "namespace": "team-a"},
        "spec": {"schedule": "0 3 * * *", "loadTestTemplate": {"spec": test["spec"]}, **spec},
    }


def policy(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTestPolicy",
        "metadata": {"name": "p"},
        "spec": spec,
    }


def asked(body: dict[str, Any], old: dict[str, Any] | None = None) -> dict[str, Any]:
    """As an API server asks."""
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u-1",
            "kind": {"group": "squall.dev", "version": "v1alpha1", "kind": body["kind"]},
            "namespace": body["metadata"].get("namespace", ""),
            "operation": "UPDATE" if old else "CREATE",
            "userInfo": {"username": "jane", "groups": ["team-a"]},
            "object": body,
            "oldObject": old,
        },
    }


def found(body: dict[str, Any], *known: dict[str, Any], old: dict[str, Any] | None = None) -> Findings:
    by_name = {f"p{number}": policies.read(each) for number, each in enumerate(known)}
    return review(read_request(asked(body, old)), by_name, DEFAULTS)


# -- what is wrong --------------------------------------------------------------------------------------------


def test_what_is_right_is_let_in_without_a_word() -> None:
    assert found(load_test()) == Findings(demand=Demand(pods=1, cpus=2.0))
    assert found(schedule(load_test())).problems == ()
    assert found(policy(allowedHosts=["10.0.0.0/8", "::1", "*.test.example", "*"], halt=True)) == Findings()


def test_all_problems_come_as_validate_lists_them() -> None:
    body = load_test(
        scenarios=[
            {
                "name": "look",
                "executor": "constant-vus",
                "vus": 0,
                "duration": "10x",
                "steps": [{"http": {"url": "/${nothing}"}, "thinks": 1}],
            }
        ]
    )
    with pytest.raises(ManifestError) as refused:
        load_text(yaml.safe_dump(body), Options(complete=False), file="spec")
    told = refuse(read_request(asked(body)), found(body))["response"]
    message = told["status"]["message"]
    assert not told["allowed"]
    assert len(refused.value.problems) > 3
    for problem in refused.value.problems:
        assert f"- {problem.explained}" in message
        assert problem.render().endswith(problem.explained)
    assert message.startswith(f"{len(refused.value.problems)} problems\n")
    assert "spec.scenarios[0].duration (look):" in message


def test_a_manifest_with_very_many_problems_gets_an_answer_of_a_size_that_can_be_read() -> None:
    steps = [{"http": {"url": f"/${{nothing{number}}}"}} for number in range(SHOWN + 7)]
    body = load_test(
        scenarios=[
            {"name": "s", "executor": "constant-vus", "vus": 1, "duration": "1s", "steps": steps[:100]},
            {"name": "t", "executor": "constant-vus", "vus": 1, "duration": "1s", "steps": steps[100:]},
        ]
    )
    message = refuse(read_request(asked(body)), found(body))["response"]["status"]["message"]
    assert message.startswith(f"{SHOWN + 7} problems\n")
    assert message.endswith("and 7 more")
    assert message.count("\n- ") == SHOWN


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (load_test(shards=0), "spec.shards"),
        (load_test(files=[{"name": "a", "path": "a.csv"}]), "spec.files[0].path"),
        (load_test(runner={"template": {"spec": {"hostPID": True}}}), "spec.runner.template"),
        (load_test(runner={"template": {"spec": {"imagePullSecrets": ["a"]}}}), "spec.runner.template"),
        (load_test(runner={"resources": {"limits": {"cpu": "many"}}}), "spec.runner.resources"),
        (schedule(load_test(), schedule="61 * * * *"), "spec.schedule"),
        (schedule(load_test(), timeZone="Nowhere/City"), "spec.timeZone"),
        (schedule(load_test(shards=0)), "spec.loadTestTemplate.spec.shards"),
        (
            schedule(load_test(runner={"template": {"spec": {"hostPID": True}}})),
            "spec.loadTestTemplate.spec.runner.template",
        ),
        (policy(maxDuration="long"), "spec.maxDuration"),
        (policy(maxVU=1), "spec.maxVU"),
    ],
)
def test_problems_name_their_place(body: dict[str, Any], path: str) -> None:
    assert [each.path for each in found(body).problems] == [path]


def test_every_problem_of_a_template_is_one_of_its_own() -> None:
    template = {"spec": {"hostPID": True, "hostIPC": True}}
    assert len(found(load_test(runner={"template": template})).problems) == 2


# -- policies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [load_test, lambda **spec: schedule(load_test(**spec))])
def test_policies_are_kept_where_they_select(wrap: Any) -> None:
    violated = found(
        wrap(), {"spec": {"maxVUs": 3}}, {"spec": {"allowedHosts": ["other.example"]}}
    ).violations
    assert len(violated) == 2
    assert "4 VUs are more than the 3 that are allowed (LoadTestPolicy p0)" in violated
    assert found(wrap(), {"spec": {"maxVUs": 3, "namespaces": ["team-b"]}}).violations == ()
    assert "not understood" in found(wrap(), {"spec": {"ofLater": 1}}).violations[0]


def test_labels_of_a_schedule_are_those_of_what_it_makes() -> None:
    wants = {"spec": {"requiredLabels": ["team"]}}
    body = schedule(load_test())
    assert found(body, wants).violations
    body["spec"]["loadTestTemplate"]["metadata"] = {"labels": {"team": "a"}}
    assert found(body, wants).violations == ()


def test_problems_and_what_is_forbidden_come_together() -> None:
    answer = refuse(read_request(asked(load_test())), Findings(violations=("a", "b")), ["c"])["response"]
    assert (answer["status"]["code"], answer["status"]["reason"]) == (403, "Forbidden")
    assert answer["status"]["message"] == "3 problems\n- a\n- b\n- c"
    wrong = refuse(read_request(asked(load_test(shards=0))), found(load_test(shards=0)))["response"]
    assert (wrong["status"]["code"], wrong["status"]["reason"]) == (400, "BadRequest")


# -- warnings -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (load_test(thresholds=[]), "nothing fails this run"),
        (load_test(http={"baseUrl": "https://a", "tls": {"insecureSkipVerify": True}}), "spec.http.tls"),
        (
            load_test(outputs={"prometheus": {"remoteWriteUrl": "http://prom/api"}}),
            "outputs.prometheus is for one machine",
        ),
        (
            load_test(thresholds=[{**LIMIT[0], "over": "5m"}]),
            "the window of 5m is longer than the run",
        ),
        (schedule(load_test(thresholds=[])), "nothing fails this run"),
        (policy(allowedHosts=["http://shop.example"]), "spec.allowedHosts[0]"),
        (policy(allowedHosts=["a", "10.0.0.0/33"]), "spec.allowedHosts[1]"),
        (policy(allowedHosts=["shop.example:8080"]), "covers no host"),
    ],
)
def test_what_an_author_should_know(body: dict[str, Any], says: str) -> None:
    (warning,) = found(body).warnings
    assert says in warning


def test_a_halt_is_told_and_does_not_refuse() -> None:
    halted = found(load_test(), {"spec": {"halt": True}})
    assert (halted.violations, halted.problems) == ((), ())
    assert "p0 halts all load tests" in halted.warnings[0]


def test_who_edits_during_a_run_is_told_what_becomes_of_it() -> None:
    old = {**load_test(), "status": {"run": {"id": "shop-1", "phase": "Running"}}}
    assert "shop-1 is active" in found(load_test(shards=2), old=old).warnings[0]
    old["status"]["run"]["phase"] = "Finished"
    assert found(load_test(shards=2), old=old).warnings == ()


def test_a_warning_is_one_line_that_nobody_cuts() -> None:
    told = allow(read_request(asked(load_test())), ["a\n  b", "x" * 1000, "a b"])["response"]["warnings"]
    assert told[0] == "a b"
    assert len(told) == 3
    assert all(len(each) <= 256 and "\n" not in each for each in told)


# -- what was let in before -----------------------------------------------------------------------------------

RIGHT = load_test()


def with_metadata(**metadata: Any) -> dict[str, Any]:
    return {**RIGHT, "metadata": {**RIGHT["metadata"], **metadata}}


@pytest.mark.parametrize(
    ("new", "admitted"),
    [
        (RIGHT, True),
        (load_test(suspend=True), True),
        (load_test(suspend=False, historyLimit=3, ttlSecondsAfterFinished=60), True),
        (with_metadata(labels={"a": "b"}, finalizers=[]), True),
        (with_metadata(annotations={"squall.dev/run": "2"}), True),
        ({**RIGHT, "status": {"phase": "Running"}}, True),
        ({**load_test(shards=2), "metadata": {**RIGHT["metadata"], "deletionTimestamp": "x"}}, True),
        (load_test(shards=2), False),
        (load_test(suspend=True, shards=2), False),
        (load_test(thresholds=[]), False),
    ],
)
def test_what_changes_nothing_that_is_judged_is_not_judged(new: dict[str, Any], admitted: bool) -> None:
    assert is_admitted_already(read_request(asked(new, RIGHT))) is admitted
    assert is_admitted_already(read_request(asked(new))) is False


@pytest.mark.parametrize(
    "review",
    [
        None,
        [],
        {},
        {"request": None},
        {"request": {"uid": "u"}},
        {"request": {"uid": "u", "kind": {"kind": "LoadTest"}, "object": None}},
        {"request": {"uid": "u", "kind": {"kind": "LoadTest"}, "object": {"metadata": {}, "spec": {}}}},
        asked({**RIGHT, "spec": None}),
        asked({**RIGHT, "kind": "Pod"}),
        asked({**RIGHT, "apiVersion": "v1"}),
    ],
)
def test_what_is_no_review_of_ours_is_an_error(review: Any) -> None:
    with pytest.raises(ValueError, match=r"AdmissionReview|Squall's kinds"):
        read_request(review)


def test_the_answer_names_the_question() -> None:
    request = read_request(asked(RIGHT))
    for answer in (allow(request), refuse(request, Findings(violations=("a",)))):
        assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
        assert answer["response"]["uid"] == "u-1"


# -- what pods use --------------------------------------------------------------------------------------------

EVERYWHERE = load_test(
    variables=[
        {"name": "plain", "value": 1},
        {"name": "password", "secret": {"name": "of-variable", "key": "k"}},
    ],
    files=[
        {"name": "a.csv", "inline": "x"},
        {"name": "b.csv", "secret": {"name": "of-file", "key": "k"}},
        {"name": "c.csv", "secret": {"name": "in-pieces", "key": "k", "pieces": 2, "sizeBytes": 9}},
    ],
    runner={
        "template": {
            "spec": {
                "serviceAccountName": "robot",
                "imagePullSecrets": [{"name": "of-registry"}],
                "volumes": [
                    {"name": "v", "secret": {"secretName": "of-volume"}},
                    {
                        "name": "w",
                        "projected": {
                            "sources": [{"configMap": {"name": "c"}}, {"secret": {"name": "of-source"}}]
                        },
                    },
                    {"name": "x", "emptyDir": {}},
                ],
                "initContainers": [
                    {"name": "i", "image": "i", "envFrom": [{"secretRef": {"name": "of-init"}}]}
                ],
                "containers": [
                    {
                        "name": "runner",
                        "env": [
                            {"name": "A", "value": "1"},
                            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "of-env", "key": "k"}}},
                        ],
                    },
                    {
                        "name": "side",
                        "image": "i",
                        "env": [
                            {"name": "C", "valueFrom": {"secretKeyRef": {"name": "of-side", "key": "k"}}}
                        ],
                    },
                ],
            }
        }
    },
)


def test_every_place_that_names_something_is_found() -> None:
    assert [(each.kind, each.name, each.path) for each in found(EVERYWHERE).references] == [
        ("Secret", "of-variable", "spec.variables[1].secret"),
        ("Secret", "of-file", "spec.files[1].secret"),
        ("Secret", "in-pieces-0", "spec.files[2].secret"),
        ("Secret", "in-pieces-1", "spec.files[2].secret"),
        ("ServiceAccount", "robot", "spec.runner.template.spec.serviceAccountName"),
        ("Secret", "of-registry", "spec.runner.template.spec.imagePullSecrets[0]"),
        ("Secret", "of-volume", "spec.runner.template.spec.volumes[0].secret"),
        ("Secret", "of-source", "spec.runner.template.spec.volumes[1].projected.sources[1].secret"),
        ("Secret", "of-env", "spec.runner.template.spec.containers[0].env[1].valueFrom.secretKeyRef"),
        ("Secret", "of-side", "spec.runner.template.spec.containers[1].env[0].valueFrom.secretKeyRef"),
        ("Secret", "of-init", "spec.runner.template.spec.initContainers[0].envFrom[0].secretRef"),
    ]
    within = found(schedule(EVERYWHERE)).references
    assert [each.name for each in within] == [each.name for each in found(EVERYWHERE).references]
    assert within[0].path == "spec.loadTestTemplate.spec.variables[1].secret"


@pytest.mark.parametrize("body", [EVERYWHERE, load_test()], ids=["secrets everywhere", "none"])
def test_pods_use_nothing_that_was_not_asked_about(body: dict[str, Any]) -> None:
    """Against the Job itself: whatever in it is a Secret or an account, but for the run's own token."""
    checked = check(body, DEFAULTS)
    assert checked.test is not None
    assert checked.plan is not None
    owner, spec = Owner(namespace="team-a", name="shop", uid="u"), checked.test.model.spec
    given = RunInputs(
        run="shop-1",
        hub="http://hub",
        hub_ca="",
        token=run_token(b"k", "shop-1"),
        manifest=checked.test.data,
        spec=spec,
        variables={},
        processes=1,
    )
    inputs = build_inputs(owner, given)
    job = build_job(owner, "shop-1", spec, inputs, pods=1, start_seconds=1, defaults=DEFAULTS)
    used = {(each.kind, each.name) for each in references_of(spec)}
    assert _used(job["spec"]["template"]["spec"]) - {("Secret", "shop-1")} == used


def _used(value: Any, key: str = "") -> set[tuple[str, str]]:
    """Whatever looks like a Secret or an account, wherever it is."""
    names: set[tuple[str, str]] = set()
    if isinstance(value, dict):
        if key.lower().startswith("secret"):
            names |= {("Secret", value[each]) for each in ("name", "secretName") if each in value}
        if "serviceAccountName" in value:
            names.add(("ServiceAccount", value["serviceAccountName"]))
        for inner, each in value.items():
            names |= _used(each, inner)
    elif isinstance(value, list):
        for each in value:
            names |= {("Secret", each["name"])} if key == "imagePullSecrets" else _used(each, key)
    return names


def test_the_account_that_pods_have_anyway_needs_no_right() -> None:
    template = {"spec": {"serviceAccountName": "default"}}
    assert found(load_test(runner={"template": template})).references == ()


def test_nobody_has_the_api_server_asked_without_end() -> None:
    body = copy.deepcopy(EVERYWHERE)
    pulls = [{"name": f"s{number}"} for number in range(MOST_REFERENCES + 1)]
    body["spec"]["runner"]["template"]["spec"]["imagePullSecrets"] = pulls
    many = found(body)
    assert many.references == ()
    assert "more than 256" in many.problems[0].message
    same = copy.deepcopy(EVERYWHERE)
    same["spec"]["runner"]["template"]["spec"]["imagePullSecrets"] = [{"name": "s"}] * (MOST_REFERENCES + 1)
    assert found(same).problems == ()


def test_a_missing_right_is_told_with_its_place() -> None:
    told = missing_right(Reference("Secret", "nft", "spec.variables[0].secret"), "jane", "team-a")
    assert told.startswith("spec.variables[0].secret: jane may not get the Secret nft in namespace team-a\n")
    told = missing_right(Reference("ServiceAccount", "robot", "x"), "jane", "team-a")
    assert "jane may not impersonate the ServiceAccount robot" in told
