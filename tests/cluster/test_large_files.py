"""Files that no single object can hold, against a real API server: what arrives, whose it is, and what is left of former ones."""

import random
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
from support.controlplane import ControlPlane, write_kubeconfig
from support.kubeclient import Json
from support.kubes import client_of
from support.playedoperator import Stage, until

from squall.hub.assignment import unpack
from squall.remote import sending
from squall.remote.cluster import Cluster
from squall.remote.delivering import adopt, make, sweep
from squall.remote.seen import key_of
from squall.remote.sending import Parcel, pack
from squall.spec.files import LocalFile

pytestmark = pytest.mark.control_plane

FILE = "rows.csv"
USUAL = ["get", "list", "watch", "create", "patch"]
PASSED = {"result": "Passed", "reason": "ThresholdsHeld"}


def manifest(**file: Json | str) -> Json:
    step = {"http": {"url": "/${data.rows.value}"}}
    scenario = {"name": "look", "executor": "constant-vus", "vus": 1, "duration": "5s", "steps": [step]}
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": "shop"},
        "spec": {
            "http": {"baseUrl": "http://127.0.0.1:8080"},
            "files": [{"name": FILE, **(file or {"path": FILE})}],
            "data": [{"name": "rows", "csv": FILE}],
            "scenarios": [scenario],
        },
    }


def rows(seed: int, count: int = 40_000) -> bytes:
    """About 63 bytes a row, of which compression saves less than half."""
    chance = random.Random(seed)
    return "\n".join(["value", *(chance.randbytes(31).hex() for _ in range(count))]).encode()


def sent(stage: Stage, body: Json, kind: str = "configMap") -> tuple[bytes, list[Json]]:
    """The file that a LoadTest names, put together again, and the objects that it is in."""
    (file,) = body["spec"]["files"]
    assert set(file) == {"name", kind}
    reference = file[kind]
    plural, data = ("configmaps", "binaryData") if kind == "configMap" else ("secrets", "data")
    pieces = [
        stage.kube.get(stage.core(plural, f"{reference['name']}-{number}"))
        for number in range(reference["pieces"])
    ]
    return unpack(
        [b64decode(each[data][reference["key"]]) for each in pieces], reference["sizeBytes"]
    ), pieces


def names(stage: Stage, plural: str = "configmaps") -> set[str]:
    """What has been sent and is there."""
    found = stage.kube.get(stage.core(plural) + "?labelSelector=squall.dev/content")["items"]
    return {each["metadata"]["name"] for each in found}


def owned(stage: Stage, body: Json, plural: str = "configmaps") -> bool:
    found = stage.kube.get(stage.core(plural) + "?labelSelector=squall.dev/content")["items"]
    owners = [[owner["uid"] for owner in each["metadata"].get("ownerReferences", [])] for each in found]
    return bool(found) and owners == [[body["metadata"]["uid"]]] * len(found)


@pytest.mark.parametrize("kind", ["configMap", "secret"])
def test_the_pieces_arrive_and_belong_to_the_load_test(stage: Stage, kind: str) -> None:
    content = rows(1)
    (stage.folder / FILE).write_bytes(content)
    here = {"path": FILE} if kind == "configMap" else {"secret": {"name": "theirs", "key": "k"}}
    file = stage.write(manifest(**here))
    command = stage.squall("run", "--cluster", file, "--file", f"{FILE}={stage.folder / FILE}")
    body = stage.applied("shop")
    plural = f"{kind.lower()}s"
    assert sent(stage, body, kind)[0] == content
    pieces = body["spec"]["files"][0][kind]["pieces"]
    assert pieces == len(names(stage, plural)) == 2
    until(lambda: owned(stage, body, plural), lambda: command.output)


def test_what_compression_makes_small_is_one_piece(stage: Stage) -> None:
    content = b"value\n" + b"the same\n" * 1_000_000
    (stage.folder / FILE).write_bytes(content)
    stage.squall("run", "--cluster", stage.write(manifest()))
    found, pieces = sent(stage, stage.applied("shop"))
    assert found == content
    assert len(pieces) == 1


def test_another_version_replaces_the_one_before_and_the_same_again_changes_nothing(stage: Stage) -> None:
    file = stage.write(manifest())
    seen: list[set[str]] = []
    key = ""
    for seed in (1, 2, 2):
        content = rows(seed)
        (stage.folder / FILE).write_bytes(content)
        command = stage.squall("run", "--cluster", file)
        body = stage.applied("shop", key)
        key = key_of(body)
        assert sent(stage, body)[0] == content
        stage.ends("shop", stage.runs("shop"), None, **PASSED)
        assert command.end() == 0, command.output
        assert "warning" not in command.output
        assert owned(stage, body), "also what had been there before"
        seen.append(names(stage))
    assert seen[0].isdisjoint(seen[1]), "nothing is left of the former version"
    assert seen[1] == seen[2]
    assert [len(each) for each in seen] == [2, 2, 2]


@asynccontextmanager
async def sender(plane: ControlPlane, stage: Stage) -> AsyncIterator[Cluster]:
    async with client_of(plane) as client:
        yield Cluster(client, stage.namespace)


def parcel(stage: Stage, content: bytes) -> Parcel:
    """Ten pieces at least."""
    with patch.object(sending, "PIECE_BYTES", len(content) // 20):
        file = LocalFile(FILE, None, content, len(content))
        return pack(manifest(), stage.namespace, {FILE: file}, {}, frozenset())


async def test_a_sending_that_broke_off_does_no_harm_and_goes_with_the_next(
    control_plane: ControlPlane, stage: Stage
) -> None:
    """The LoadTest comes after everything that it names, so this is all that an interrupted one can leave."""
    async with sender(control_plane, stage) as cluster:
        await make(cluster, parcel(stage, rows(3, 1000)))
    orphans = names(stage)
    assert len(orphans) > 10
    (stage.folder / FILE).write_bytes(rows(4))
    stage.squall("run", "--cluster", stage.write(manifest()))
    body = stage.applied("shop")
    until(lambda: names(stage).isdisjoint(orphans), lambda: str(names(stage)))
    until(lambda: owned(stage, body), lambda: str(names(stage)))
    assert sent(stage, body)[0] == rows(4)


async def test_two_who_send_at_the_same_time_take_nothing_from_each_other(
    control_plane: ControlPlane, stage: Stage
) -> None:
    mine, theirs = (parcel(stage, rows(seed, 1000)) for seed in (5, 6))
    said: list[str] = []
    async with sender(control_plane, stage) as cluster:
        path = cluster.path("shop")
        await make(cluster, mine)
        await make(cluster, theirs)
        first = await cluster.kube.apply(path, theirs.manifest)
        await adopt(cluster, theirs, first)
        await sweep(cluster, theirs, None, first, said.append)
        assert len(names(stage)) == len(theirs.objects), "what I have sent is gone before I could name it"
        applied = await cluster.kube.apply(path, mine.manifest)
        await sweep(cluster, theirs, None, first, said.append)
        await adopt(cluster, mine, applied)
        assert names(stage) >= {each["metadata"]["name"] for each in (*mine.objects, *theirs.objects)}
        assert owned(stage, applied)
        assert sent(stage, applied)[0] == rows(5, 1000)
        await sweep(cluster, mine, first, applied, said.append)
    assert names(stage) == {each["metadata"]["name"] for each in mine.objects}
    assert said == []


async def test_who_may_not_take_anything_away_is_told_and_runs_all_the_same(
    control_plane: ControlPlane, stage: Stage, tmp_path: Path
) -> None:
    user = control_plane.authority.issue("sender", name="sender")
    write_kubeconfig(tmp_path / "kubeconfig", control_plane.url, control_plane.authority, user)
    rules = [
        {"apiGroups": ["squall.dev"], "resources": ["loadtests"], "verbs": USUAL},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "patch"]},
    ]
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{stage.namespace}"
    meta = {"name": "sender"}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta, "rules": rules}
    group = "rbac.authorization.k8s.io"
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": meta,
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "sender"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "sender"}],
    }
    stage.kube.create(f"{rbac}/roles", role)
    stage.kube.create(f"{rbac}/rolebindings", binding)
    (stage.folder / FILE).write_bytes(rows(7, 100))
    command = stage.squall(
        "run", "--cluster", stage.write(manifest()), KUBECONFIG=str(tmp_path / "kubeconfig")
    )
    stage.applied("shop")
    command.says("is applied")
    assert "warning: files that were sent before stay until the LoadTest is deleted" in command.output
    stage.ends("shop", stage.runs("shop"), None, **PASSED)
    assert command.end() == 0, command.output


def test_what_a_manifest_names_stays_whoever_has_sent_it(stage: Stage) -> None:
    """The manifest of a results folder names what was sent for it."""
    (stage.folder / FILE).write_bytes(rows(5))
    first = stage.squall("run", "--cluster", stage.write(manifest()))
    body = stage.applied("shop")
    stage.ends("shop", stage.runs("shop"), None, **PASSED)
    assert first.end() == 0
    (folder,) = (stage.folder / "results").iterdir()
    again = stage.squall("run", "--cluster", str(folder / "manifest.yaml"))
    later = stage.applied("shop", key_of(body))
    again.says("is applied")
    stage.ends("shop", stage.runs("shop"), None, **PASSED)
    assert again.end() == 0, again.output
    assert sent(stage, later)[0] == rows(5)
