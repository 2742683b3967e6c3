"""`runner.template`: what is merged, what is refused, and that nothing which is merged has more privileges than a restricted pod."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squall_operator.manifests.template import TemplateError, apply_template

BASE: dict[str, Any] = {
    "metadata": {"labels": {"squall.dev/run": "r"}, "annotations": {"keep": "me"}},
    "spec": {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True},
        "containers": [{"name": "runner", "image": "i", "volumeMounts": [{"name": "run"}]}],
        "volumes": [{"name": "run"}],
    },
}


def merged(template: dict[str, Any], *, host_network: bool = False) -> dict[str, Any]:
    return apply_template(BASE, template, host_network=host_network)


def side(**fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "side", "image": "s", **fields}]}}


def runner(**fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "runner", **fields}]}}


def secured(**context: Any) -> dict[str, Any]:
    return side(securityContext=context)


@pytest.mark.parametrize(
    ("template", "place"),
    [
        ({"kind": "Pod"}, "kind"),
        ({"metadata": {"name": "x"}}, "metadata.name"),
        ({"metadata": {"labels": {"squall.dev/run": "other"}}}, "squall.dev/run"),
        ({"metadata": {"labels": {"app.kubernetes.io/name": "x"}}}, "app.kubernetes.io/name"),
        (
            {"metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/a": "unconfined"}}},
            "apparmor",
        ),
        ({"spec": {"hostPID": True}}, "spec.hostPID"),
        ({"spec": {"hostNetwork": True}}, "spec.hostNetwork"),
        ({"spec": {"securityContext": {}}}, "spec.securityContext"),
        ({"spec": {"automountServiceAccountToken": True}}, "spec.automountServiceAccountToken"),
        ({"spec": {"restartPolicy": "Always"}}, "spec.restartPolicy"),
        ({"spec": {"ephemeralContainers": []}}, "spec.ephemeralContainers"),
        ({"spec": {"volumes": [{"name": "a", "hostPath": {"path": "/"}}]}}, "volumes[0].hostPath"),
        ({"spec": {"volumes": [{"name": "a", "nfs": {}}]}}, "volumes[0].nfs"),
        ({"spec": {"volumes": [{"name": "run", "emptyDir": {}}]}}, "volumes[0].name"),
        (
            {"spec": {"volumes": [{"name": "a", "projected": {"sources": [{"serviceAccountToken": {}}]}}]}},
            "serviceAccountToken",
        ),
        ({"spec": {"containers": [{"name": "runner", "image": "evil"}]}}, "containers[0].image"),
        (
            {"spec": {"containers": [{"name": "runner", "securityContext": {}}]}},
            "containers[0].securityContext",
        ),
        ({"spec": {"initContainers": [{"name": "runner"}]}}, "initContainers[0].name"),
        (side(lifecycle={}), "containers[0].lifecycle"),
        (side(ports=[{"containerPort": 1, "hostPort": 1}]), "hostPort"),
        (side(livenessProbe={"httpGet": {"host": "10.0.0.1", "port": 1}}), "livenessProbe.httpGet.host"),
        (side(startupProbe={"tcpSocket": {"host": "10.0.0.1", "port": 1}}), "startupProbe.tcpSocket.host"),
        (secured(privileged=True), "privileged"),
        (secured(allowPrivilegeEscalation=True), "allowPrivilegeEscalation"),
        (secured(runAsUser=0), "runAsUser"),
        (secured(runAsNonRoot=False), "runAsUser"),
        (secured(capabilities={"add": ["SYS_ADMIN"], "drop": ["ALL"]}), "capabilities.add"),
        (secured(capabilities={"drop": ["NET_RAW"]}), "capabilities.drop"),
        (secured(capabilities={"add": ["NET_BIND_SERVICE"]}), "capabilities.drop"),
        (secured(seccompProfile={"type": "Unconfined"}), "seccompProfile"),
        (secured(appArmorProfile={"type": "Unconfined"}), "appArmorProfile"),
        (secured(procMount="Unmasked"), "procMount"),
        (secured(seLinuxOptions={}), "seLinuxOptions"),
        (runner(env=[{"name": "PYTHONPATH", "value": "/evil"}]), "containers[0].env: PYTHONPATH"),
        (runner(env=[{"name": "A"}, {"name": "LD_PRELOAD", "value": "/evil/x.so"}]), "env: LD_PRELOAD"),
        (runner(env=[{"name": "PATH", "value": "/evil"}]), "env: PATH"),
        (runner(env=[{"name": "OPENSSL_CONF", "value": "/evil/openssl.cnf"}]), "env: OPENSSL_CONF"),
        (runner(env=[{"name": "JOB_COMPLETION_INDEX", "value": "7"}]), "env: JOB_COMPLETION_INDEX"),
        *(
            (runner(env=[{"name": name, "value": "evil.example"}]), f"env: {name}")
            for name in ("HOSTALIASES", "LOCALDOMAIN", "RES_OPTIONS", "RESOLV_HOST_CONF")
        ),
        (runner(envFrom=[{"configMapRef": {"name": "m"}}]), "containers[0].envFrom"),
        (runner(envFrom=[{"prefix": "LD", "configMapRef": {"name": "m"}}]), "containers[0].envFrom"),
        *(
            (runner(volumeMounts=[{"name": "own", "mountPath": path}]), f"volumeMounts: {path} ")
            for path in (
                "/",
                "/etc/squall/run/run.json",
                "/etc",
                "/opt/squall-code/squall_runner",
                "/tmp/x",
                "/usr/lib",
                "//lib64",
                "/data/../usr",
                "var/lib/squall",
                "./bin/",
            )
        ),
        (runner(volumeMounts=[{"name": "scratch", "mountPath": "/data"}]), "the volume scratch is"),
        (side(volumeMounts=[{"name": "run", "mountPath": "/data"}]), "the volume run is"),
        (side(volumeMounts=[{"name": "scratch", "mountPath": "/data"}]), "the volume scratch is"),
        ({"spec": ["hostPID"]}, "shape"),
        (runner(env=["A"]), "shape"),
        (runner(volumeMounts=[{"name": "own", "mountPath": 5}]), "shape"),
        ({"spec": {"containers": ["runner"]}}, "shape"),
        ({"spec": {"containers": 1}}, "shape"),
        ({"spec": {"volumes": [1]}}, "shape"),
    ],
)
def test_what_is_refused_is_named(template: dict[str, Any], place: str) -> None:
    with pytest.raises(TemplateError) as refused:
        merged(template)
    assert place in refused.value.message


def test_what_is_merged() -> None:
    mounted = {"name": "own", "mountPath": "/data"}
    anything = {
        "env": [{"name": "PYTHONPATH", "value": "/x"}],
        "envFrom": [{"secretRef": {"name": "s"}}],
        "volumeMounts": [{"name": "own", "mountPath": "/usr"}],
    }
    found = merged(
        {
            "metadata": {"labels": {"team": "a"}, "annotations": {"keep": "not", "more": "b"}},
            "spec": {
                "nodeSelector": {"pool": "load"},
                "volumes": [{"name": "own", "emptyDir": {}}],
                "containers": [
                    {"name": "runner", "env": [{"name": "A"}], "volumeMounts": [mounted]},
                    {"name": "side", "image": "s", **anything},
                ],
                "initContainers": [{"name": "first", "image": "f"}],
            },
        }
    )
    assert found["metadata"] == {
        "labels": {"team": "a", "squall.dev/run": "r"},
        "annotations": {"keep": "me", "more": "b"},
    }
    spec = found["spec"]
    assert spec["nodeSelector"] == {"pool": "load"}
    assert [each["name"] for each in spec["volumes"]] == ["run", "own"]
    own, other = spec["containers"]
    assert own["env"] == [{"name": "A"}]
    assert own["volumeMounts"] == [{"name": "run"}, mounted]
    assert other.items() >= anything.items(), "other containers have nothing to keep"
    restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert other["securityContext"] == spec["initContainers"][0]["securityContext"] == restricted
    assert BASE["spec"]["volumes"] == [{"name": "run"}], "the base is left as it is"


def test_the_nodes_network_where_the_installation_allows_it() -> None:
    spec = merged({"spec": {"hostNetwork": True}}, host_network=True)["spec"]
    assert (spec["hostNetwork"], spec["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")


flags = st.sampled_from([True, False, None])
contexts: st.SearchStrategy[Any] = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "privileged": flags,
        "allowPrivilegeEscalation": flags,
        "runAsNonRoot": flags,
        "runAsUser": st.sampled_from([0, 1000, None]),
        "procMount": st.sampled_from(["Default", "Unmasked"]),
        "seccompProfile": st.none()
        | st.fixed_dictionaries({"type": st.sampled_from(["RuntimeDefault", "Unconfined"])}),
        "capabilities": st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "add": st.none() | st.lists(st.sampled_from(["NET_BIND_SERVICE", "SYS_ADMIN"]), max_size=2),
                "drop": st.none() | st.lists(st.sampled_from(["ALL", "NET_RAW"]), max_size=2),
            },
        ),
    },
)
containers: st.SearchStrategy[Any] = st.none() | st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["runner", "side"])},
        optional={"image": st.just("i"), "securityContext": contexts, "env": st.none() | st.just([])},
    ),
    max_size=3,
)
templates: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "metadata": st.none()
        | st.dictionaries(st.sampled_from(["labels", "annotations", "name"]), st.none()),
        "spec": st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "containers": containers,
                "initContainers": containers,
                "hostNetwork": flags,
                "hostPID": flags,
                "securityContext": contexts,
                "volumes": st.none()
                | st.lists(
                    st.dictionaries(st.sampled_from(["name", "hostPath", "emptyDir", "nfs"]), st.just({})),
                    max_size=2,
                ),
            },
        ),
    },
)


@settings(max_examples=300, deadline=None)
@given(templates)
def test_nothing_that_is_merged_is_privileged(template: dict[str, Any]) -> None:
    try:
        spec = merged(template)["spec"]
    except TemplateError:
        return
    assert not spec.get("hostNetwork")
    assert not spec.get("hostPID")
    assert spec["securityContext"] == {"runAsNonRoot": True}
    assert spec["automountServiceAccountToken"] is False
    assert all(not {"hostPath", "nfs"} & set(volume) for volume in spec["volumes"])
    assert spec["containers"][0]["image"] == "i"
    for container in (*spec["containers"][1:], *(spec.get("initContainers") or ())):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"]["drop"] == ["ALL"]
        assert set(context["capabilities"].get("add") or ()) <= {"NET_BIND_SERVICE"}
        assert not context.get("privileged")
        assert context.get("runAsUser") != 0
        assert context.get("runAsNonRoot") is not False
        assert context.get("procMount") is None
        assert (context.get("seccompProfile") or {}).get("type") != "Unconfined"
