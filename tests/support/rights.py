"""Who may do what: as role files say it, as the documentation says it, and as an API server judges it."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml
from support.documentation import section, tables
from support.kubeclient import Json, KubeClient
from support.manifests import ROOT

DEPLOY = ROOT / "deploy"
OPERATIONS = ROOT / "docs" / "operations.md"
Right = tuple[str, str, str]
"""Resource with its API group, one name or none, verb."""


def objects(path: Path) -> list[Json]:
    """The objects of a file."""
    return [each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each]


def rules_of(path: Path, name: str) -> list[Json]:
    """The rules of a role in a file."""
    found = [
        each for each in objects(path) if each["kind"].endswith("Role") and each["metadata"]["name"] == name
    ]
    assert len(found) == 1, f"{path} has {len(found)} roles {name}"
    return list(found[0]["rules"])


def rights(rules: Iterable[Json]) -> set[Right]:
    """Each single right that rules give."""
    return {
        (f"{resource}.{group}".rstrip("."), name, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }


def documented(heading: str) -> dict[str, set[Right]]:
    """By who has them: the rights that a table of docs/operations.md names."""
    found: dict[str, set[Right]] = {}
    who = ""
    for first, resources, verbs, why in next(iter(tables(section(OPERATIONS, heading))))[1:]:
        who = first or who
        assert why, f"{resources}: nobody is told why"
        for resource in resources.split(", "):
            plain, _, name = resource.partition(" named ")
            plain = re.sub(r"^(\w+)\.([\w.]+)/(\w+)$", r"\1/\3.\2", plain)  # people put the subresource last
            found.setdefault(who, set()).update((plain, name, verb) for verb in verbs.split(", "))
    return found


def allowed(client: KubeClient, user: str, right: Right, namespace: str = "") -> bool:
    """Whether an API server lets somebody do something, in a namespace or everywhere."""
    resource, name, verb = right
    plural, _, group = resource.partition(".")
    plural, _, subresource = plural.partition("/")
    wanted = {"verb": verb, "group": group, "resource": plural, "subresource": subresource}
    groups = ["system:authenticated"]
    if user.startswith("system:serviceaccount:"):
        groups += ["system:serviceaccounts", f"system:serviceaccounts:{user.split(':')[2]}"]
    attributes = {**wanted, "namespace": namespace, "name": name}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "groups": groups, "resourceAttributes": attributes},
    }
    answer = client.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])


def every(verbs: Iterable[str], *resources: str) -> Iterator[Right]:
    """Each of these verbs on each of these resources."""
    return ((resource, "", verb) for verb in verbs for resource in resources)
