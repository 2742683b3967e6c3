"""Each right of the operator is taken away in turn, on a real API server, and the operator says which one is missing and for what."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.controlplane import ControlPlane, write_kubeconfig
from support.hooked import (
    NAMESPACE,
    OPERATOR,
    TESTS,
    Hooked,
    Roles,
    give_operator_its_rights,
    load_test,
    objects_of,
    until,
)
from support.kubeclient import Json
from support.kubes import client_of
from support.rights import DEPLOY, Right, rights, rules_of

from squall_operator import rights as asked
from squall_operator.settings import RunnerDefaults, Settings, WebhookSettings

SECONDS = 20
TEAM = "squall-rights"
EGRESS = [
    each["value"]
    for each in yaml.safe_load((DEPLOY / "components" / "run-egress" / "rights.yaml").read_text("utf-8"))
]
_WEBHOOK = WebhookSettings(address=("127.0.0.1", 0), host="x", configuration="squall", namespace=NAMESPACE)


@dataclass(frozen=True, slots=True)
class Mode:
    """A kind of installation.

    Attributes:
        user: What the operator is to the API server.
        settings: Of the operator.
        home: Its own namespace.
        roles: By their names: the rules, and the namespace that they are for.
    """

    user: str
    settings: Settings
    home: str
    roles: dict[str, tuple[list[Json], str]]

    def every(self) -> Iterator[tuple[str, Right]]:
        """Each right with the role that gives it, in a fixed order."""
        for role, (rules, _) in self.roles.items():
            yield from ((role, right) for right in sorted(rights(rules)))

    def give(self, roles: Roles, *, but: Right | None = None) -> None:
        """Give all rights but one."""
        for name, (rules, namespace) in self.roles.items():
            kept = [rule_of(right) for right in sorted(rights(rules)) if right != but]
            roles.give(self.user, f"{self.home}-{name}", kept, namespace)


def rule_of(right: Right) -> Json:
    """The rule that gives one right."""
    resource, name, verb = right
    plural, _, group = resource.partition(".")
    rule: Json = {"apiGroups": [group], "resources": [plural], "verbs": [verb]}
    return {**rule, "resourceNames": [name]} if name else rule


def _mode(folder: str, home: str, **settings: Any) -> Mode:
    own = rules_of(DEPLOY / folder / "operator-role.yaml", "squall-operator") + EGRESS
    roles = {
        "operator": (own, home if folder == "namespaced" else ""),
        "policies": (rules_of(DEPLOY / "shared" / "policies.yaml", "squall-policies"), ""),
        "leader": (rules_of(DEPLOY / "base" / "lease.yaml", "squall-leader"), home),
    }
    if folder == "everywhere":
        roles |= {"webhook": (objects_of("ClusterRole"), ""), "certificate": (objects_of("Role"), home)}
    whole = Settings(
        hubs=("http://hub",), hub_key=b"k", runner=RunnerDefaults(image="runner"), egress=True, **settings
    )
    return Mode(f"rights-{folder}", whole, home, roles)


MODES = {
    "everywhere": _mode("everywhere", NAMESPACE, webhook=_WEBHOOK),
    "namespaced": _mode("namespaced", TEAM, namespaces=(TEAM,)),
}
CASES = [(mode, *each) for mode, made in MODES.items() for each in made.every()]


def title(right: asked.Right) -> Right:
    """A right of the operator's own table in the words of roles."""
    plural, group = right.need.resource, right.need.group
    return (f"{plural}.{group}".rstrip("."), right.need.name, right.verb)


@pytest.mark.parametrize("mode", MODES)
def test_what_is_asked_for_is_what_the_roles_give(mode: str) -> None:
    made = MODES[mode]
    wanted = asked.needed(made.settings, made.home)
    assert {title(each) for each in wanted} == {right for _, right in made.every()}
    assert len(wanted) == len(set(wanted))
    for rules, namespace in made.roles.values():
        where = {each.namespace for each in wanted if title(each) in rights(rules)}
        assert namespace in where, f"{rules} are given in {namespace!r} and asked for in {where}"


def test_who_keeps_the_certificate_elsewhere_reads_no_secret() -> None:
    given = WebhookSettings(
        address=("127.0.0.1", 0), host="", configuration="squall", namespace="x", files=(Path("c"), Path("k"))
    )
    settings = Settings(hubs=(), hub_key=b"k", runner=RunnerDefaults(image="runner"), webhook=given)
    wanted = {title(each) for each in asked.needed(settings, "x")}
    assert {verb for resource, _, verb in wanted if resource == "secrets"} == {"create", "delete"}
    assert not any("networkpolicies" in resource or "webhook" in resource for resource, *_ in wanted)


@pytest.fixture(scope="module")
def roles(control_plane: ControlPlane) -> Iterator[Roles]:
    control_plane.client.create("/api/v1/namespaces", {"metadata": {"name": TEAM}})
    given = Roles(control_plane.client)
    for mode in MODES.values():
        mode.give(given)
    yield given
    given.close()


@pytest.fixture(scope="module")
def kubeconfigs(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("kubeconfigs")
    found = {}
    for name, mode in MODES.items():
        pair = control_plane.authority.issue(f"rights-{name}", name=mode.user)
        found[name] = write_kubeconfig(folder / name, control_plane.url, control_plane.authority, pair)
    return found


@pytest.mark.control_plane
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(filter(None, (case[0], *case[2]))))
async def test_the_one_right_that_is_missing_is_named(
    control_plane: ControlPlane,
    roles: Roles,
    kubeconfigs: dict[str, Path],
    case: tuple[str, str, Right],
) -> None:
    name, role, right = case
    mode = MODES[name]
    rules, namespace = mode.roles[role]
    path = f"{mode.home}-{role}"
    kept = [rule_of(each) for each in sorted(rights(rules)) if each != right]
    wanted = asked.needed(mode.settings, mode.home)
    try:
        roles.give(mode.user, path, kept, namespace)
        async with client_of(control_plane, kubeconfigs[name]) as kube, asyncio.timeout(SECONDS):
            found = await asked.missing(kube, wanted)
            # The server hears of changed roles a moment later, those of the case before included.
            while list(map(title, found)) != [right]:
                await asyncio.sleep(0.02)
                found = await asked.missing(kube, wanted)
    finally:
        roles.give(mode.user, path, [rule_of(each) for each in sorted(rights(rules))], namespace)
    resource, named, verb = right
    plural, _, group = resource.partition(".")
    plural, _, part = plural.partition("/")
    shown = (
        f"{plural}.{group}".rstrip(".") + (f"/{part}" if part else "") + (f" named {named}" if named else "")
    )
    where = f" in namespace {namespace}" if namespace else ""
    assert asked.explain(found) == (
        f"the operator may not {verb} {shown}{where} ({found[0].need.why}); "
        "give it the roles that docs/operations.md names"
    )


def lacking(hooked: Hooked, *gone: Right) -> None:
    """Give the operator of the whole cluster its role without some rights."""
    rules = rules_of(DEPLOY / "everywhere" / "operator-role.yaml", "squall-operator")
    kept = [rule_of(each) for each in sorted(rights(rules)) if each not in gone]
    hooked.roles.give(OPERATOR, "hooked-operator", kept)


@pytest.mark.control_plane
def test_an_operator_waits_for_what_it_needs_and_tells_of_what_is_taken_away(
    control_plane: ControlPlane, crds: dict[str, Json], tmp_path: Path
) -> None:
    del crds
    jobs, events = ("jobs.batch", "", "create"), ("events", "", "create")
    status = ("loadtests/status.squall.dev", "", "patch")
    hooked = Hooked(control_plane, tmp_path)

    def says(text: str) -> None:
        until(lambda: text in hooked.told(), hooked.told)

    try:
        give_operator_its_rights(hooked.roles)
        lacking(hooked, jobs, events)
        hooked.start()
        says("the operator may not create jobs.batch (they make the pods of runs); give it the roles")
        assert "may not create events" not in hooked.told(), "it would go without"
        assert '"leader"' not in hooked.told()
        lacking(hooked, events)
        says("the operator may not create events (it tells people, and learns why pods do not come)")
        says('"leader"')
        lacking(hooked, status)
        broken = load_test("broken", suspend=True)
        control_plane.client.create(TESTS, broken)
        says("the operator may not patch loadtests.squall.dev/status (it says how they are)")
        assert '"round_failed"' in hooked.told()
    finally:
        hooked.close()
