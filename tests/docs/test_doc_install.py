"""What docs/operations.md says of an installation is what the manifests below deploy/ make."""

from __future__ import annotations

import re

import yaml
from support.documentation import blocks, section
from support.rights import DEPLOY, OPERATIONS, documented, objects, rights, rules_of

from squall.hub import receiver
from squall.spec.crd import RESOURCES
from squall_operator.main import main as operator

PROMETHEUS = OPERATIONS.with_name("prometheus.md")
EVERYWHERE = DEPLOY / "everywhere" / "operator-role.yaml"


def test_the_table_of_rights_is_what_the_roles_give() -> None:
    people = DEPLOY / "shared" / "people.yaml"
    assert documented("Who may do what") == {
        "operator": rights(rules_of(EVERYWHERE, "squall-operator")),
        "operator, in its own namespace": rights(rules_of(DEPLOY / "base" / "lease.yaml", "squall-leader")),
        "operator, everywhere": rights(rules_of(DEPLOY / "shared" / "policies.yaml", "squall-policies")),
        "view": rights(rules_of(people, "squall-view")),
        "edit": rights(rules_of(people, "squall-edit")),
    }


def test_no_role_is_left_out_of_the_table() -> None:
    roles = {
        each["metadata"]["name"]
        for path in DEPLOY.glob("*/*.yaml")
        for each in objects(path)
        if each.get("kind") in ("Role", "ClusterRole")
    }
    assert roles == {"squall-operator", "squall-leader", "squall-policies", "squall-view", "squall-edit"}


def test_both_operators_have_the_same_rights() -> None:
    namespaced = rules_of(DEPLOY / "namespaced" / "operator-role.yaml", "squall-operator")
    assert rights(namespaced) == rights(rules_of(EVERYWHERE, "squall-operator"))


def test_every_kind_is_installed() -> None:
    crds = yaml.safe_load((DEPLOY.parent / "crds" / "Kustomization").read_text(encoding="utf-8"))
    assert crds["resources"] == sorted(path.name for path in (DEPLOY.parent / "crds").glob("*.yaml"))
    assert len(crds["resources"]) == len(RESOURCES)


def test_the_variables_that_are_set_are_options_of_the_operator() -> None:
    known = {
        f"SQUALL_{option[2:].replace('-', '_').upper()}" for each in operator.params for option in each.opts
    }
    # Of the hub, those for pushing metrics are variables as well.
    known |= {f"SQUALL_REMOTE_WRITE_{name.upper().replace('-', '_')}" for name, _, _ in receiver.OPTIONS}
    told = OPERATIONS.read_text(encoding="utf-8") + PROMETHEUS.read_text(encoding="utf-8")
    for path in DEPLOY.rglob("*.yaml"):
        told += path.read_text(encoding="utf-8")
    found = set(re.findall(r"SQUALL_[A-Z_]+", told))
    assert len(found) > 5
    assert found <= known


def test_what_is_applied_is_there() -> None:
    text = "\n".join(block.text for block in blocks("console", "") if block.page == OPERATIONS)
    paths = re.findall(r"(?:\.\./|-[fk] )(deploy\S*?)(?=[\]\s])", text)
    assert len(paths) > 6
    for path in paths:
        assert (DEPLOY.parent / path).exists(), path


def test_names_of_secrets_are_those_that_are_mounted() -> None:
    text = section(OPERATIONS, "Install") + "".join(block.text for block in blocks("console"))
    mounted = {
        name
        for path in DEPLOY.glob("*/**/*.yaml")
        for name in re.findall(r"secretName: ([a-z-]+)", path.read_text(encoding="utf-8"))
    }
    assert mounted == {"squall-key", "squall-hub-tls", "squall-remote-write"}
    assert "Secret `squall-remote-write`" in PROMETHEUS.read_text(encoding="utf-8")
    for name in mounted - {"squall-remote-write"}:  # which is only there for receivers that want credentials
        assert f"create secret generic {name} " in text
