"""Argo CD, Flux and whoever goes by kstatus see each state of Squall's resources for what it is.

The scripts and expressions are those of `deploy/`; the objects are real: applied by a GitOps controller's name, judged by the operator's own
decision, written by its own hand and read back from a real API server.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, get_args

import pytest
import structlog
import yaml
from support import lifecycle
from support.controlplane import ControlPlane
from support.documentation import section, tables
from support.gitops import ARGO_PATCH, argo_health, argo_scripts, flux_expressions, flux_status, kstatus
from support.kubeclient import Json, KubeClient
from support.lifecycle import Life, life
from support.manifests import ROOT, collection, good_manifests

from squall.kube.runs import AGAIN
from squall.spec.kinds import KINDS
from squall_operator.cache import LOAD_TESTS, SCHEDULES, Cache
from squall_operator.events import FIELD_MANAGER, Events
from squall_operator.model import Allowance, HubView, Pods
from squall_operator.status import Phase
from squall_operator.telemetry import Telemetry
from squall_operator.timetable import Timetable

pytestmark = pytest.mark.control_plane


@dataclass(frozen=True)
class State:
    """A state of a LoadTest, how it is reached, and what is to be seen of it.

    Attributes:
        phase: As the status has it.
        flux: What Flux makes of it by the expressions.
        kstatus: What tools make of it that know kstatus only.
        says: A part of Argo CD's message.
    """

    name: str
    phase: str | None
    reach: Callable[[Life], Awaitable[Any]]
    argo: str
    flux: str
    kstatus: str
    says: str


async def _nothing(one: Life) -> None:
    del one


async def _replaced(one: Life) -> None:
    await one.run()
    await one.apply(spec={"shards": 1})


async def _being_replaced(one: Life) -> None:
    await _replaced(one)
    await one.look()


async def _passed_then(one: Life, **changed: Any) -> None:
    await one.end("Passed", reason="ThresholdsHeld")
    await one.apply(**changed)


async def _passed_then_seen(one: Life, **changed: Any) -> None:
    await _passed_then(one, **changed)
    await one.look(hub=HubView(), pods=Pods())


async def _stopped_by_suspend(one: Life) -> None:
    await one.run()
    await one.apply(spec={"suspend": True})
    await one.look()
    await one.look(hub=one.hub_ends("Aborted", cause="user", reason="Suspended", message="spec.suspend"))


async def _stopping(one: Life) -> None:
    await one.run()
    await one.apply(spec={"suspend": True})
    await one.look()


async def _held(one: Life) -> None:
    await one.apply(spec={"suspend": True})
    await one.look()


async def _let_go(one: Life) -> None:
    await _held(one)
    await one.apply(spec={"suspend": False})


async def _back(one: Life) -> None:
    await _passed_then_seen(one, spec={"shards": 1})
    await one.look(hub=one.hub_ends("Failed", reason="ThresholdsBroken"))
    await one.apply(spec={"shards": 2})
    await one.look(hub=HubView(), pods=Pods())


async def _asked_by_hand_and_taken_back(one: Life) -> None:
    await one.apply(annotations={AGAIN: "by hand"})
    await one.end("Passed", reason="ThresholdsHeld")
    del one.manifest["metadata"]["annotations"]
    await one.apply()
    await one.look(hub=HubView(), pods=Pods())


async def _emptied(one: Life) -> None:
    await one.end("Passed", reason="ThresholdsHeld")
    await one.empty_status()
    await one.look(hub=HubView(), pods=Pods())


PROGRESSING = ("Progressing", "InProgress", "InProgress")
DEGRADED = ("Degraded", "Failed", "Failed")
HEALTHY = ("Healthy", "Current", "Current")
SUSPENDED = ("Suspended", "InProgress", "InProgress")

STATES = [
    # kstatus knows of no status that there should be one; the expressions make Flux wait, which it does while they fail.
    State("not yet seen", None, _nothing, "Progressing", "Unknown", "Current", "has not seen it yet"),
    State("no hub", "Queued", lambda one: one.look(hubs=()), *PROGRESSING, "no hub"),
    State(
        "others first",
        "Queued",
        lambda one: one.look(allowance=Allowance(ahead=2)),
        *PROGRESSING,
        "2 other runs",
    ),
    State(
        "halted",
        "Queued",
        lambda one: one.look(allowance=Allowance(halted="stop-all")),
        *PROGRESSING,
        "stop-all",
    ),
    State("held", "Suspended", _held, *SUSPENDED, "spec.suspend"),
    State("let go, not yet seen", "Suspended", _let_go, *PROGRESSING, "last change"),
    State(
        "wrong",
        "Rejected",
        lambda one: one.look(plan=None, problems=("spec.scenarios[0]: no such executor",)),
        *DEGRADED,
        "no such executor",
    ),
    State(
        "forbidden",
        "Rejected",
        lambda one: one.look(allowance=lifecycle.forbidden("a policy allows 1 shard")),
        *DEGRADED,
        "1 shard",
    ),
    State("accepted", "Launching", lambda one: one.look(), *PROGRESSING, "launched"),
    State("pods are coming", "Starting", lambda one: one.start(), *PROGRESSING, "waiting for all runners"),
    State("load", "Running", lambda one: one.run(), *PROGRESSING, "the load is on"),
    State("being stopped", "Stopping", _stopping, *PROGRESSING, "spec.suspend stops what runs"),
    State("edited under load, not yet seen", "Running", _replaced, *PROGRESSING, "last change"),
    State("edited under load", "Stopping", _being_replaced, *PROGRESSING, "asks for another run"),
    State(
        "passed", "Passed", lambda one: one.end("Passed", reason="ThresholdsHeld"), *HEALTHY, "ThresholdsHeld"
    ),
    State(
        "failed",
        "Failed",
        lambda one: one.end("Failed", reason="ThresholdsBroken", message="p(95) was 3 s"),
        *DEGRADED,
        "p(95) was 3 s",
    ),
    State(
        "invalid",
        "Invalid",
        lambda one: one.end("Invalid", reason="GeneratorSaturated", message="loop lag"),
        *DEGRADED,
        "loop lag",
    ),
    State(
        "aborted",
        "Aborted",
        lambda one: one.end("Aborted", cause="threshold", reason="ThresholdBroken", message="rate was 9 %"),
        *DEGRADED,
        "rate was 9 %",
    ),
    State("stopped by suspend", "Aborted", _stopped_by_suspend, *DEGRADED, "Suspended"),
    State(
        "error", "Error", lambda one: one.end("Error", reason="RunnerLost", message="gone"), *DEGRADED, "gone"
    ),
    State(
        "edited, not yet seen",
        "Passed",
        lambda one: _passed_then(one, spec={"shards": 1}),
        *PROGRESSING,
        "last change",
    ),
    State(
        "edited",
        "Launching",
        lambda one: _passed_then_seen(one, spec={"shards": 1}),
        *PROGRESSING,
        "launched",
    ),
    State(
        "edited beside the run, not yet seen",
        "Passed",
        lambda one: _passed_then(one, spec={"historyLimit": 2}),
        *PROGRESSING,
        "last change",
    ),
    State(
        "edited beside the run",
        "Passed",
        lambda one: _passed_then_seen(one, spec={"historyLimit": 2}),
        *HEALTHY,
        "ThresholdsHeld",
    ),
    State(
        "suspended when it is over",
        "Passed",
        lambda one: _passed_then_seen(one, spec={"suspend": True}),
        *HEALTHY,
        "ThresholdsHeld",
    ),
    State(
        "asked to run again",
        "Launching",
        lambda one: _passed_then_seen(one, annotations={AGAIN: "2"}),
        *PROGRESSING,
        "launched",
    ),
    State("back to an earlier commit", "Launching", _back, *PROGRESSING, "launched"),
    State(
        "asked to run again, and that taken back",
        "Launching",
        _asked_by_hand_and_taken_back,
        *PROGRESSING,
        "launched",
    ),
    State("emptied by somebody", "Passed", _emptied, *HEALTHY, "Passed"),
]


@pytest.mark.parametrize("state", STATES, ids=[each.name for each in STATES])
async def test_a_state_of_a_load_test(control_plane: ControlPlane, crds: Json, state: State) -> None:
    async with life(control_plane) as one:
        await state.reach(one)
        body = await one.get()
        assert body.get("status", {}).get("phase") == state.phase
        health, message = argo_health(body)
        assert (health, flux_status(body), kstatus(body)) == (state.argo, state.flux, state.kstatus), message
        assert state.says in message


def test_every_phase_has_a_state() -> None:
    assert {state.phase for state in STATES if state.phase} == set(get_args(Phase))


@pytest.mark.parametrize("broken", [{}, {"conditions": []}, {"observedGeneration": 1, "conditions": []}])
async def test_a_status_that_somebody_has_broken_never_looks_like_an_end(
    control_plane: ControlPlane, crds: Json, broken: Json
) -> None:
    async with life(control_plane) as one, lifecycle.client(control_plane, "somebody") as somebody:
        body = await somebody.merge(f"{one.path}/status", {"status": broken})
        assert argo_health(body)[0] == "Progressing"
        assert flux_status(body) in ("InProgress", "Unknown")


@pytest.mark.parametrize("result", ["Passed", "Failed", "Aborted"])
async def test_the_end_of_a_run_that_is_not_asked_for_any_more_is_no_end(
    control_plane: ControlPlane, crds: Json, result: str
) -> None:
    """Else an edit under load shows, for a moment, the old run's verdict as that of the new generation."""
    async with life(control_plane) as one:
        await one.run()
        await one.apply(spec={"shards": 1})
        body = await one.look(hub=one.hub_ends(result, reason="Replaced"))
        assert body["status"]["phase"] == result
        assert body["status"]["observedGeneration"] == body["metadata"]["generation"] == 2
        assert (argo_health(body)[0], flux_status(body), kstatus(body)) == PROGRESSING
        assert (await one.look(hub=HubView(), pods=Pods()))["status"]["phase"] == "Launching"


# -- schedules and policies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "seen", "says"),
    [
        ({}, HEALTHY, "made on time"),
        ({"suspend": True}, HEALTHY, "spec.suspend"),
        ({"schedule": "0 0 30 2 *"}, DEGRADED, "spec.schedule"),
        ({"timeZone": "Europe/Atlantis"}, DEGRADED, "spec.timeZone"),
    ],
)
async def test_a_state_of_a_schedule(
    control_plane: ControlPlane, crds: Json, change: Json, seen: tuple[str, str, str], says: str
) -> None:
    manifest = good_manifests()["tests/manifests/schedule.yaml"]
    manifest |= {"metadata": {"name": "seen-from-git"}, "spec": manifest["spec"] | {"schedule": "@yearly"}}
    path = f"{collection(manifest)}/{manifest['metadata']['name']}"
    async with (
        lifecycle.client(control_plane, lifecycle.GITOPS) as controller,
        lifecycle.client(control_plane, FIELD_MANAGER) as operator,
    ):
        await controller.delete(path)
        body = await controller.apply(path, manifest)
        assert argo_health(body) == ("Progressing", "the operator has not seen it yet")
        assert flux_status(body) == "Unknown"
        await _looked_at(operator, body)
        changed = await controller.apply(path, manifest | {"spec": manifest["spec"] | change})
        if change:
            assert argo_health(changed) == ("Progressing", "the operator has not seen the last change yet")
            assert (flux_status(changed), kstatus(changed)) == ("InProgress", "InProgress")
            await _looked_at(operator, changed)
        body = await operator.get(path)
        health, message = argo_health(body)
        await controller.delete(path)
        assert (health, flux_status(body), kstatus(body)) == seen
        assert says in message


async def _looked_at(operator: Any, body: Json) -> None:
    """Have the operator look at a schedule once."""
    seen, telemetry = Cache(), Telemetry(structlog.get_logger())
    seen.put(SCHEDULES, body)
    events = Events(operator, time.time)
    timetable = Timetable(
        kube=operator, seen=seen, events=events, telemetry=telemetry, clock=time.monotonic, wall=time.time
    )
    await timetable.look((body["metadata"]["namespace"], body["metadata"]["name"]))
    assert not list(seen.all(LOAD_TESTS))


@pytest.mark.parametrize(("halt", "says"), [(False, "kept"), (True, "halts all load tests")])
def test_a_policy_counts_at_once(crds: Json, kube: KubeClient, halt: bool, says: str) -> None:
    manifest = good_manifests()["tests/manifests/policy.yaml"]
    path = f"{collection(manifest)}/{manifest['metadata']['name']}"
    body = kube.apply(path, manifest | {"spec": manifest["spec"] | {"halt": halt}})
    kube.delete(path)
    assert argo_health(body)[0] == "Healthy"
    assert says in argo_health(body)[1]
    assert (flux_status(body), kstatus(body)) == ("Current", "Current")


# -- the files ------------------------------------------------------------------------------------------------


def test_every_kind_has_its_health() -> None:
    assert set(argo_scripts()) == set(flux_expressions()) == set(KINDS)
    assert {each["apiVersion"] for each in flux_expressions().values()} == {"squall.dev/v1alpha1"}


def test_the_patch_of_argo_cd_touches_nothing_else() -> None:
    patch = yaml.safe_load(ARGO_PATCH.read_text(encoding="utf-8"))
    assert (patch["kind"], patch["metadata"]["name"]) == ("ConfigMap", "argocd-cm")
    assert all(key.startswith("resource.customizations.health.squall.dev_") for key in patch["data"])
    assert all(isinstance(text, str) for text in patch["data"].values())


def test_the_page_tells_the_same() -> None:
    """Each row of the table on what controllers see is what the states above have shown."""
    table = tables(section(ROOT / "docs" / "gitops.md", "What they see"))[0]
    by_phase = {phase: tuple(cells) for phases, *cells in table[1:] for phase in phases.split(", ")}
    assert set(get_args(Phase)) <= set(by_phase)
    for state in STATES:
        if state.says == "last change":
            assert by_phase["and the spec has been changed since"] == PROGRESSING
        elif state.phase is None:
            assert by_phase["not yet seen by the operator"] == ("Progressing", "waits", "Current")
        else:
            assert by_phase[state.phase] == (state.argo, state.flux, state.kstatus), state.name
