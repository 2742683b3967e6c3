"""A GitOps controller and the operator write the same object for ever, and neither ever takes from the other or sees a difference.

Server-side apply is what Flux does, and Argo CD with `ServerSideApply=true`: each field has an owner, kept by the API server. So what is to be
known is what the server says: owners, generations, resource versions.
"""

import copy
from typing import Any

import pytest
from support import lifecycle
from support.controlplane import ControlPlane
from support.gitops import argo_health
from support.kubeclient import Json
from support.lifecycle import GITOPS, Life, life
from support.manifests import collection, good_manifests

from squall.kube.api import KubeError
from squall.kube.runs import AGAIN, DONE
from squall.remote.cluster import MANAGER as CLI
from squall_operator.events import FIELD_MANAGER as OPERATOR
from squall_operator.model import HubView, Pods

pytestmark = pytest.mark.control_plane

EXAMPLES = {name: each for name, each in good_manifests().items() if name.endswith("/loadtest.yaml")}
OF_THE_SERVER = {"creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"}


def owned(body: Json) -> dict[tuple[str, str, str], set[str]]:
    """The fields that each manager owns, by manager, operation and subresource; leaves as dotted paths."""
    return {
        (each["manager"], each["operation"], each.get("subresource", "")): set(_paths(each["fieldsV1"]))
        for each in body["metadata"]["managedFields"]
    }


def _paths(fields: Json, above: str = "") -> Any:
    for key, below in fields.items():
        if key == ".":
            continue
        path = f"{above}.{key.removeprefix('f:')}".removeprefix(".")
        yield from _paths(below, path) if set(below) - {"."} else [path]


async def _same_for_both(one: Life) -> None:
    """Applying what is in Git changes nothing, whatever the operator has written since."""
    before = await one.get()
    for _ in range(3):
        after = await one.apply()
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert after == before


@pytest.mark.parametrize("annotations", [None, {AGAIN: "release-42"}])
async def test_they_write_in_turns_and_nothing_is_lost(
    control_plane: ControlPlane, crds: Json, annotations: Json | None
) -> None:
    async with life(control_plane) as one:
        await one.apply(annotations=annotations)
        await _same_for_both(one)
        await one.run()
        await _same_for_both(one)
        body = await one.look(hub=one.hub_ends("Passed", reason="ThresholdsHeld"))
        await _same_for_both(one)
        await one.look(hub=HubView(), pods=Pods())
        await _same_for_both(one)
        assert body["metadata"]["generation"] == 1
        assert body["status"]["phase"] == "Passed"
        assert body["metadata"]["annotations"][DONE].endswith(" Passed")
        assert body["spec"] == one.manifest["spec"]
        fields = owned(body)
        assert set(fields) == {(GITOPS, "Apply", ""), (OPERATOR, "Apply", "status"), (OPERATOR, "Update", "")}
        assert fields[OPERATOR, "Update", ""] == {f"metadata.annotations.{DONE}"}
        assert all(path.startswith("status.") for path in fields[OPERATOR, "Apply", "status"])
        of_git = fields[GITOPS, "Apply", ""]
        assert all(path.startswith(("spec.", f"metadata.annotations.{AGAIN}")) for path in of_git)
        assert (f"metadata.annotations.{AGAIN}" in of_git) is (annotations is not None)


async def test_what_git_no_longer_says_goes_and_what_the_operator_says_stays(
    control_plane: ControlPlane, crds: Json
) -> None:
    async with life(control_plane) as one:
        await one.apply(spec={"historyLimit": 3}, annotations={AGAIN: "1", "team": "shop"})
        await one.end("Passed", reason="ThresholdsHeld")
        del one.manifest["spec"]["historyLimit"], one.manifest["metadata"]["annotations"]["team"]
        body = await one.apply()
        assert "historyLimit" not in body["spec"]
        assert set(body["metadata"]["annotations"]) == {AGAIN, DONE}
        assert body["status"]["phase"] == "Passed"


async def test_the_operator_never_asks_for_a_field_of_git(control_plane: ControlPlane, crds: Json) -> None:
    """Without force the server would refuse what belongs to somebody else: the operator's writes pass without."""
    async with life(control_plane) as one, lifecycle.client(control_plane, OPERATOR) as operator:
        body = await one.run()
        status = {key: body[key] for key in ("apiVersion", "kind", "status")} | {
            "metadata": {
                key: body["metadata"][key] for key in ("name", "namespace", "uid", "resourceVersion")
            }
        }
        again = await operator.apply(f"{one.path}/status", status, force=False)
        assert again["metadata"]["resourceVersion"] == body["metadata"]["resourceVersion"]
        body = await one.end("Passed")
        async with lifecycle.client(control_plane, GITOPS) as controller:
            same = await controller.apply(one.path, one.manifest, force=False)
        assert same["metadata"]["resourceVersion"] == body["metadata"]["resourceVersion"]


# -- people beside them ---------------------------------------------------------------------------------------


def _suspended(one: Life) -> Json:
    return {key: one.manifest[key] for key in ("apiVersion", "kind", "metadata")} | {
        "spec": {"suspend": True}
    }


async def test_a_stop_from_the_command_line_holds_when_git_says_nothing_of_suspend(
    control_plane: ControlPlane, crds: Json
) -> None:
    async with life(control_plane) as one, lifecycle.client(control_plane, CLI) as person:
        await one.run()
        await person.merge(one.path, {"spec": {"suspend": True}})
        body = await one.apply()
        assert body["spec"]["suspend"] is True
        assert (await one.look())["status"]["phase"] == "Stopping"


async def test_it_is_taken_back_when_git_says_otherwise(control_plane: ControlPlane, crds: Json) -> None:
    async with (
        life(control_plane, spec={"suspend": False}) as one,
        lifecycle.client(control_plane, CLI) as person,
    ):
        with pytest.raises(KubeError, match=f'conflict with "{GITOPS}".*suspend'):
            await person.apply(one.path, _suspended(one), force=False)
        await person.merge(one.path, {"spec": {"suspend": True}})
        assert (await one.apply())["spec"]["suspend"] is False


async def test_a_run_that_somebody_asked_for_is_no_difference_to_git(
    control_plane: ControlPlane, crds: Json
) -> None:
    async with life(control_plane) as one, lifecycle.client(control_plane, "kubectl-annotate") as person:
        await one.end("Passed")
        await person.merge(one.path, {"metadata": {"annotations": {AGAIN: "by hand"}}})
        body = await one.apply()
        assert body["metadata"]["annotations"][AGAIN] == "by hand"
        body = await one.look(hub=HubView(), pods=Pods())
        assert body["status"]["phase"] == "Launching"
        assert argo_health(body)[0] == "Progressing"


# -- drift ----------------------------------------------------------------------------------------------------


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize("name", list(EXAMPLES))
async def test_what_is_stored_is_what_is_in_git(control_plane: ControlPlane, crds: Json, name: str) -> None:
    """No default, no normal form, nothing left out: neither three-way nor server-side differences are ever seen."""
    manifest = EXAMPLES[name]
    path = f"{collection(manifest)}/{manifest['metadata']['name']}"
    async with lifecycle.client(control_plane, GITOPS) as controller:
        try:
            await controller.apply(path, copy.deepcopy(manifest))
            stored = await controller.get(path)
            stored["metadata"] = {
                key: value for key, value in stored["metadata"].items() if key not in OF_THE_SERVER
            }
            assert stored == manifest | {"metadata": {"namespace": "default"} | manifest["metadata"]}
            would_be = await controller.apply(path, manifest, dry_run=True)
            assert would_be == await controller.get(path)
        finally:
            await controller.delete(path)
