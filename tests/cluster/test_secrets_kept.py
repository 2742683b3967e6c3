"""Values of Secrets reach the requests of a run, and nothing that anybody can read without the right to read Secrets."""

from __future__ import annotations

import gzip
import json
from base64 import b64decode, b64encode
from pathlib import Path

import pytest
from support.cluster.operated import ENDED, Installation, manifest, scenario, until
from support.cluster.podprocesses import runner_pids
from support.kubeclient import ApiError, Json

pytestmark = [pytest.mark.node, pytest.mark.matrix, pytest.mark.timeout(300)]

CANARY = "canary-hunter2"
READ = ("configmaps", "events", "pods")
"""What a viewer of the namespace may read of its core; Secrets are what such a one may not."""

STEPS = [
    {
        "name": "refused",
        "onError": "continue",
        "http": {
            "url": "http://127.0.0.1:1/${var.password}",
            "headers": {"Authorization": "Bearer ${var.password}"},
        },
    },
    {
        "name": "strict",
        "onError": "continue",
        "http": {"url": "/?p=${var.password}", "headers": {"X-Key": "${var.password}"}},
        "extract": {"missing": {"jsonPath": "$.nothing"}},
    },
    {"think": {"duration": "100ms"}},
]


def unfolded(body: Json) -> bytes:
    """An object as text, what it holds compressed included."""
    texts = [json.dumps(body).encode()]
    for packed in (body.get("binaryData") or {}).values():
        data = b64decode(packed)
        texts.append(gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data)
    return b"\n".join(texts)


def logged(squall: Installation, log: str) -> bool:
    """Whether the API server gives a log: it does once the pod's status knows of the container, which may be after the load began."""
    try:
        return bool(squall.kube.text(log))
    except ApiError:
        return False


def test_no_secret_is_seen_on_the_cluster(squall: Installation) -> None:
    vault = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "vault"}}
    squall.kube.apply(
        squall.core("secrets", "vault"), {**vault, "data": {"key": b64encode(CANARY.encode()).decode()}}
    )
    test = manifest(
        "canary",
        shards=1,
        variables=[{"name": "password", "secret": {"name": "vault", "key": "key"}}],
        scenarios=[{**scenario("10s"), "steps": STEPS}],
    )
    squall.apply(test)
    run = squall.wait("canary", "Running")["run"]["id"]
    seen: dict[str, bytes] = {}
    (pod,) = squall.pods(run)
    processes = [Path(f"/proc/{number}") for number in runner_pids(pod)]
    for process in processes:
        seen[f"{process}"] = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    log = f"{squall.core('pods', pod['metadata']['name'])}/log?container=runner"
    for kind in READ:
        for item in squall.kube.get(squall.core(kind))["items"]:
            seen[f"{kind}/{item['metadata']['name']}"] = unfolded(item)
    jobs = f"/apis/batch/v1/namespaces/{squall.namespace}/jobs"
    seen["jobs"] = json.dumps(squall.kube.get(jobs)).encode()
    token = squall.kube.get(squall.core("secrets", run))
    seen["the run's own Secret"] = b"".join(b64decode(value) for value in token["data"].values())
    until(lambda: logged(squall, log), 8, lambda: f"{squall.pods(run)[0]['status']}")
    seen["log of the pod"] = squall.kube.text(log).encode()
    status = squall.wait("canary", *ENDED)
    seen["LoadTest"] = json.dumps(squall.kube.get(squall.path("canary"))).encode()
    report = squall.kube.get(squall.core("configmaps", status["history"][0]["report"]))
    seen["report"] = unfolded(report)
    for item in squall.kube.get(squall.core("events"))["items"]:
        seen[f"events/{item['metadata']['name']}"] = unfolded(item)
    for path in squall._folder.rglob("*"):
        if path.is_file() and path.suffix in (".log", ".jsonl"):
            seen[str(path)] = path.read_bytes()
    # Both steps have failed in a way that shows what was sent, so there was something to hide.
    assert b"refused" in seen["report"]
    assert b"strict" in seen["report"]
    assert any(name.endswith("hub.log") for name in seen)
    assert [name for name, text in seen.items() if CANARY.encode() in text] == []
