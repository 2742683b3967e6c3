"""The chart says the same as the manifests below deploy/, keeps in step with options, and refuses values that mean nothing."""

import json
import re
import shlex
import textwrap
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from support.documentation import Block, blocks
from support.helm import CHART, RELEASE, Helm, given, parsed
from support.kubebin import KubeBinariesError, binaries
from support.kubeclient import Json
from support.kubectl import Kubectl
from support.leftout import missing, skip_if_left_out
from support.manifests import ROOT
from support.rights import DEPLOY

from squall import __version__
from squall.hub import receiver
from squall.validation import Options, load_text
from squall_operator.main import main as operator

pytestmark = [pytest.mark.control_plane, pytest.mark.timeout(120, func_only=True)]

VALUES = sorted((Path(__file__).parent / "chart_values").glob("*.yaml"))
SETS = [each.stem for each in VALUES]
IMAGES: Json = {
    "operator": {"repository": "registry.example/operator", "tag": "1"},
    "runner": {"repository": "registry.example/runner", "tag": "2"},
    "runnerEvm": {"repository": "registry.example/runner-evm", "tag": "3"},
}
OWN_LABELS = {
    "app.kubernetes.io/instance",
    "app.kubernetes.io/version",
    "app.kubernetes.io/managed-by",
    "helm.sh/chart",
}
WITHOUT_CRDS = ("--set", "crds.enabled=false")
REMOTE_WRITE = "http://prometheus-operated.monitoring.svc:9090/api/v1/write"


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """`helm` without a cluster; building it the first time counts against no test's time limit."""
    skip_if_left_out("control-plane")
    try:
        binaries(["helm", "kubectl"])
    except KubeBinariesError as error:
        missing("control-plane", str(error))
    return Helm(tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="module")
def made(helm: Helm) -> dict[str, list[Json]]:
    """By set of values: what the chart makes of it, but for the CRDs, which are large and always the same."""
    return {each.stem: helm.objects("--values", str(each), *WITHOUT_CRDS) for each in VALUES}


# -- beside the kustomizations ---------------------------------------------------------------------------------


def kustomized(place: Path, folders: list[str], components: list[str], namespace: str) -> dict[str, Json]:
    """What a user's own kustomization makes."""
    name, tag = IMAGES["operator"]["repository"], IMAGES["operator"]["tag"]
    images = [
        f"SQUALL_{variable}_IMAGE={IMAGES[key]['repository']}:{IMAGES[key]['tag']}"
        for key, variable in (("runner", "RUNNER"), ("runnerEvm", "RUNNER_EVM"))
    ]
    options = [{"name": "squall-options", "behavior": "merge", "literals": images}]
    # Kustomize resolves relative paths only, and links are followed.
    (place / "deploy").symlink_to(DEPLOY)
    written = {
        "namespace": namespace,
        "resources": [f"deploy/{each}" for each in folders],
        "components": [f"deploy/components/{each}" for each in components],
        "images": [{"name": "squall-operator", "newName": name, "newTag": tag}],
        "configMapGenerator": options,
    }
    (place / "kustomization.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")
    text = Kubectl()("kustomize", "--load-restrictor=LoadRestrictionsNone", str(place))
    return comparable(parsed(text), namespace)


def comparable(objects: list[Json], namespace: str) -> dict[str, Json]:
    """Objects by what they are, without what only says where they come from."""
    found = {}
    for each in objects:
        if each["kind"] != "Namespace":
            told = _without_origin(each, namespace)
            found[f"{told['kind']} {told['metadata']['name']}"] = told
    return found


def _without_origin(each: Json, namespace: str) -> Json:
    # Kustomize gives a ConfigMap another name with another content; Helm gives pods another annotation.
    text = re.sub(r'"(squall-(?:options|remote-write))-[a-z0-9]{10}"', r'"\1"', json.dumps(each))
    made: Json = json.loads(text)
    metadata = made["metadata"]
    metadata["labels"] = {
        key: value for key, value in metadata.get("labels", {}).items() if key not in OWN_LABELS
    }
    _drop(metadata, "annotations", "helm.sh/resource-policy")
    if made["kind"] == "ConfigMap":
        made["data"] = {key: value for key, value in made["data"].items() if not _is_default(key, value)}
    if "rules" in made:
        made["rules"].sort(key=json.dumps)
    if made["kind"] in ("Deployment", "StatefulSet"):
        template = made["spec"]["template"]
        _drop(template["metadata"], "annotations", "checksum/options", "checksum/remote-write")
        _unordered(template["spec"], namespace)
    if made["kind"] in ("ConfigMap", "CustomResourceDefinition"):
        metadata.pop("labels", None)  # those that are generated have none
    return made


def _drop(metadata: Json, key: str, *names: str) -> None:
    kept = {name: value for name, value in metadata.pop(key, {}).items() if name not in names}
    if kept:
        metadata[key] = kept


def _unordered(pod: Json, namespace: str) -> None:
    """Lists whose order means nothing, by name; the pod's own namespace as it will be."""
    pod["volumes"] = {each["name"]: each for each in pod["volumes"]}
    (container,) = pod["containers"]
    container["ports"] = {each["name"]: each for each in container["ports"]}
    container["volumeMounts"] = {each["name"]: each for each in container["volumeMounts"]}
    variables = {each["name"]: each for each in container.get("env", []) if not _is_default(*_told(each))}
    for name, each in variables.items():
        if each.get("valueFrom") == {"fieldRef": {"fieldPath": "metadata.namespace"}}:
            variables[name] = {"name": name, "value": namespace}
    container["env"] = variables


def _told(variable: Json) -> tuple[str, str]:
    return variable["name"], str(variable.get("value", ""))


def _is_default(variable: str, value: str) -> bool:
    """Whether an option of the operator or of pushing would be the same without being said."""
    for each in operator.params:
        if isinstance(each, click.Option) and variable in _variables(each):
            context = click.Context(operator)
            given = value.split() if each.multiple else value
            return bool(each.type_cast_value(context, given) == each.get_default(context))
    if variable.startswith("SQUALL_REMOTE_WRITE_"):
        name = variable.removeprefix("SQUALL_REMOTE_WRITE_").lower().replace("_", "-")
        meaning = next(text for option, _, text in receiver.OPTIONS if option == name)
        return f"(default: {value})" in meaning
    return False


def _variables(option: click.Parameter) -> list[str]:
    return [f"SQUALL_{name[2:].replace('-', '_').upper()}" for name in option.opts]


TLS: Json = {"tls": {"enabled": True, "existingSecret": "squall-hub-tls"}}
SAME: dict[str, tuple[list[str], list[str], str, Json]] = {
    "default": (["shared", "everywhere"], [], "squall-system", {}),
    "every component": (
        ["everywhere"],
        ["hub-tls", "hub-remote-write", "hub-without-volume", "monitoring", "workload-alerts", "run-egress"],
        "squall-system",
        {
            "crds": {"enabled": False},
            "rbac": {"shared": False},
            "networkPolicy": {"runs": True},
            "monitoring": {"monitor": "PodMonitor", "alerts": True, "workloadAlerts": True},
            "hub": {**TLS, "persistence": {"enabled": False}, "remoteWrite": {"url": REMOTE_WRITE}},
        },
    ),
    "one namespace": (
        ["namespaced"],
        ["hub-tls"],
        "squall-team",
        {
            "watchNamespaces": ["squall-team"],
            "crds": {"enabled": False},
            "rbac": {"shared": False, "bindPolicies": False},
            "webhook": {"enabled": False},
            "hub": TLS,
        },
    ),
    "webhook by cert-manager": (
        ["everywhere"],
        ["webhook-cert-manager"],
        "squall-system",
        {
            "crds": {"enabled": False},
            "rbac": {"shared": False},
            "webhook": {"certManager": {"enabled": True}},
        },
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_it_makes_the_same_as_kustomize(case: str, helm: Helm, tmp_path: Path) -> None:
    folders, components, namespace, values = SAME[case]
    expected = kustomized(tmp_path, folders, components, namespace)
    rendered = helm.objects(*given(tmp_path, {**values, "images": IMAGES}), namespace=namespace)
    found = comparable(rendered, namespace)
    assert found.keys() == expected.keys()
    for name, each in expected.items():
        assert found[name] == each, name


# -- in step with options --------------------------------------------------------------------------------------


def data_of(objects: list[Json], name: str) -> dict[str, str]:
    return next(
        dict(each["data"])
        for each in objects
        if each["kind"] == "ConfigMap" and each["metadata"]["name"] == name
    )


def test_every_option_of_the_operator_can_be_chosen(made: dict[str, list[Json]]) -> None:
    chosen: set[str] = set()
    for objects in made.values():
        chosen |= set(data_of(objects, "squall-options"))
        (deployment,) = (each for each in objects if each["kind"] == "Deployment")
        chosen |= {each["name"] for each in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}
    options = {
        name for each in operator.params if isinstance(each, click.Option) for name in _variables(each)
    }
    # Where the operator listens is what its port and its probes say.
    assert options - chosen == {"SQUALL_LISTEN", "SQUALL_VERSION", "SQUALL_HELP"} & options


def test_what_is_said_to_be_the_default_is_it(made: dict[str, list[Json]]) -> None:
    options = data_of(made["default"], "squall-options")
    assert len(options) > 5
    for name, value in options.items():
        assert _is_default(name, value) or name in {"SQUALL_RUNNER_IMAGE", "SQUALL_RUNNER_EVM_IMAGE"}, name


def test_pushing_takes_every_option_of_the_hub(helm: Helm, made: dict[str, list[Json]]) -> None:
    known = {f"SQUALL_REMOTE_WRITE_{name.upper().replace('-', '_')}" for name, _, _ in receiver.OPTIONS}
    options = data_of(made["remote-write"], "squall-remote-write")
    assert set(options) == known
    assert options["SQUALL_REMOTE_WRITE_MAX_SERIES"] == "1000000"
    assert options["SQUALL_REMOTE_WRITE_LABELS"] == "cluster=test,team=1"
    plain = data_of(
        helm.objects("--set", f"hub.remoteWrite.url={REMOTE_WRITE}", *WITHOUT_CRDS), "squall-remote-write"
    )
    assert [name for name, value in plain.items() if not _is_default(name, value)] == [
        "SQUALL_REMOTE_WRITE_URL"
    ]


def test_versions_are_those_of_the_package(made: dict[str, list[Json]]) -> None:
    images = [
        container["image"]
        for each in made["default"]
        for container in each.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])
    ]
    assert images == [f"squall-operator:{__version__}"] * 2


@pytest.mark.parametrize("values", SETS)
def test_variables_are_made_of_those_before_them(made: dict[str, list[Json]], values: str) -> None:
    """Kubernetes leaves `$(NAME)` as it is where NAME comes later."""
    for each in made[values]:
        known: set[str] = set()
        for container in each.get("spec", {}).get("template", {}).get("spec", {}).get("containers", []):
            for variable in container.get("env", []):
                assert set(re.findall(r"\$\((\w+)\)", variable.get("value", ""))) <= known, variable
                known.add(variable["name"])


# -- what values mean ------------------------------------------------------------------------------------------


def test_it_is_good_by_helms_own_judgement(helm: Helm) -> None:
    for values in VALUES:
        helm("lint", "--strict", str(CHART), "--values", str(values))


@pytest.mark.parametrize("values", VALUES, ids=SETS)
def test_the_same_values_make_the_same_bytes(helm: Helm, values: Path) -> None:
    options = ("--values", str(values), *(WITHOUT_CRDS if values.stem != "default" else ()))
    assert helm.render(*options) == helm.render(*options)


@pytest.mark.parametrize("values", SETS)
def test_no_two_objects_have_one_name(made: dict[str, list[Json]], values: str) -> None:
    names = [
        (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in made[values]
    ]
    assert len(names) == len(set(names))


def test_labels_of_ones_own_do_not_change_what_selects(made: dict[str, list[Json]]) -> None:
    for each in made["own"]:
        labels = each["metadata"]["labels"]
        assert labels.items() >= {"team": "platform", "app.kubernetes.io/name": "squall"}.items()
        assert each["metadata"]["annotations"]["example.com/owner"] == "platform"
        if each["kind"] in ("Deployment", "StatefulSet"):
            template = each["spec"]["template"]
            assert template["metadata"]["labels"].items() >= each["spec"]["selector"]["matchLabels"].items()
            assert template["metadata"]["labels"]["team"] == "platform"
            assert not {"runAsUser", "runAsGroup", "fsGroup"} & template["spec"]["securityContext"].keys()


def test_several_hubs_are_reached_each_by_its_own_name(helm: Helm) -> None:
    objects = helm.objects("--set", "hub.replicas=3,hub.tls.enabled=true", *WITHOUT_CRDS)
    services = {
        each["metadata"]["name"]: each["spec"]["selector"]
        for each in objects
        if each["kind"] == "Service" and each["metadata"]["name"].startswith("squall-hub")
    }
    pods = {name: each["statefulset.kubernetes.io/pod-name"] for name, each in services.items()}
    assert pods == {
        "squall-hub": "squall-hub-0",
        "squall-hub-1": "squall-hub-1",
        "squall-hub-2": "squall-hub-2",
    }
    (deployment,) = (each for each in objects if each["kind"] == "Deployment")
    (urls,) = (
        each["value"]
        for each in deployment["spec"]["template"]["spec"]["containers"][0]["env"]
        if each["name"] == "SQUALL_HUB"
    )
    assert urls.split() == [f"https://{name}.$(SQUALL_LEASE_NAMESPACE).svc:4180" for name in services]


@pytest.mark.parametrize("values", SETS)
def test_nothing_secret_is_made_where_there_is_no_cluster_to_ask(
    made: dict[str, list[Json]], values: str
) -> None:
    assert not [
        each for each in made[values] if each["kind"] == "Secret" and each.keys() & {"data", "stringData"}
    ]


def test_a_policy_follows_the_crds_that_come_with_it(helm: Helm) -> None:
    values = next(each for each in VALUES if each.stem == "policy")

    def policy(*options: str) -> Json:
        objects = helm.objects("--values", str(values), *WITHOUT_CRDS, *options)
        return next(each for each in objects if each["kind"] == "LoadTestPolicy")

    assert policy()["metadata"]["annotations"]["helm.sh/hook"] == "post-install,post-upgrade,post-rollback"
    known = policy("--api-versions", "squall.dev/v1alpha1/LoadTestPolicy")
    assert "annotations" not in known["metadata"]
    assert known["spec"] == yaml.safe_load(values.read_text(encoding="utf-8"))["defaultPolicy"]["spec"]


REFUSED: dict[str, tuple[Mapping[str, Any], list[str]]] = {
    "a key that is not one": ({"operator": {"replica": 2}}, ["operator", "replica"]),
    "a key at the top that is not one": ({"opertaor": {}}, ["opertaor"]),
    "a text for a number": ({"operator": {"replicas": "two"}}, ["operator/replicas", "string", "integer"]),
    "no replicas": ({"operator": {"replicas": 0}}, ["operator/replicas", "minimum"]),
    "a word that is not one of those": ({"operator": {"logLevel": "loud"}}, ["operator/logLevel", "debug"]),
    "a digest that is none": ({"images": {"runner": {"digest": "abc"}}}, ["images/runner/digest", "pattern"]),
    "a name for a list": ({"watchNamespaces": "team-a"}, ["watchNamespaces", "array"]),
    "a policy that means nothing": (
        {"defaultPolicy": {"spec": {"maxUsers": 1}}},
        ["defaultPolicy/spec", "maxUsers"],
    ),
    "a port that is none": ({"networkPolicy": {"apiServerPorts": [70000]}}, ["apiServerPorts/0", "maximum"]),
    "a hub that cannot reach what it asks": (
        {"networkPolicy": {"enabled": True}, "operator": {"prometheusUrl": "http://prometheus:9090"}},
        ["networkPolicy.hubEgress is empty", "operator.prometheusUrl"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_values_that_mean_nothing_are_refused(case: str, helm: Helm, tmp_path: Path) -> None:
    values, words = REFUSED[case]
    done = helm.attempt("template", "squall", str(CHART), *given(tmp_path, dict(values)))
    assert done.returncode != 0
    for word in words:
        assert word in done.stderr, done.stderr


def test_it_can_be_part_of_another_chart(helm: Helm, tmp_path: Path) -> None:
    """Helm gives such a chart values that nobody has written."""
    (tmp_path / "Chart.yaml").write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v2",
                "name": "platform",
                "version": "1.0.0",
                "dependencies": [
                    {
                        "name": "squall",
                        "version": __version__,
                        "repository": f"file://{CHART}",
                        "condition": "squall.enabled",
                    }
                ],
            }
        ),
        encoding="utf-8",
    )
    helm("dependency", "update", str(tmp_path))
    text = helm("template", "platform", str(tmp_path), "--set", "squall.enabled=true,global.anything=1")
    assert "name: squall-operator" in text


def test_what_is_packed_is_what_is_needed(helm: Helm, tmp_path: Path) -> None:
    helm("package", str(CHART), "--destination", str(tmp_path))
    (archive,) = tmp_path.glob("squall-*.tgz")
    assert archive.name == f"squall-{__version__}.tgz"
    # A release is kept in a Secret, with the chart and all that was made of it; a Secret holds 1 MiB.
    assert archive.stat().st_size < 200 * 1024
    assert (ROOT / "helm" / "squall" / "README.md").is_file()


# -- what the documentation shows ------------------------------------------------------------------------------

_TYPED = [
    shlex.split(line)
    for block in blocks("console")
    for line in block.text.splitlines()
    if line.startswith("helm ")
]


@pytest.mark.parametrize("words", _TYPED, ids=" ".join)
def test_a_command_of_the_documentation_could_be_typed(helm: Helm, words: list[str]) -> None:
    known = set(re.findall(r"--[a-z-]+", helm(words[1], "--help")))
    assert {each for each in words if each.startswith("--")} <= known
    if words[1] in ("install", "upgrade"):
        options = [word for pair in pairwise(words) if pair[0] in ("--set", "--namespace") for word in pair]
        helm("template", RELEASE, str(CHART), *options)


@pytest.mark.parametrize(
    "block",
    [each for each in blocks("") if each.text.startswith("# values.yaml\n")],
    ids=lambda each: each.place,
)
def test_values_of_the_documentation_mean_something(helm: Helm, tmp_path: Path, block: Block) -> None:
    assert helm.objects(*given(tmp_path, yaml.safe_load(block.text)), *WITHOUT_CRDS)


def test_the_notes_show_a_load_test_that_is_right(helm: Helm, tmp_path: Path) -> None:
    told = helm("install", RELEASE, str(CHART), "--dry-run=client", "--namespace", "ours", *WITHOUT_CRDS)
    notes = told.partition("NOTES:\n")[2]
    shown = re.search(r"<<END\n(.*?)\n  END\n", notes, re.DOTALL)
    assert shown is not None
    (resource,) = load_text(textwrap.dedent(shown[1]), Options(), file="NOTES.txt")
    assert resource.kind == "LoadTest"
