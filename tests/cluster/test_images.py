"""The images that users get: a hub and pods of runners as an operator would make them, under the strictest rules Kubernetes has.

The manifests are written by hand here, so that they say what the images need and nothing else. The load stays within each pod: its
target is a second container of the pod, on the pod's own 127.0.0.1.
"""

import base64
import json
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from support.cluster.built import IMAGES, image_archive
from support.cluster.cluster import Cluster
from support.cluster.operated import LISTENS
from support.kubeclient import Json
from support.podfolder import contents

from squall.hub.assignment import pods
from squall.hub.model import RunSpec
from squall.hub.tokens import run_token

pytestmark = pytest.mark.node

NAMESPACE = "images"
CORE = f"/api/v1/namespaces/{NAMESPACE}"
KEY = "an-installation's-key"
PASSWORD = "hunter2"
PORT = 4180
MOUNTED = "/etc/squall/run"
SECONDS = 90.0
SHARDS, PER_POD, PROCESSES = 3, 2, 2
COMMANDS = {"operator": "squall-operator", "runner": "squall-runner", "runner-evm": "squall-runner"}
RUNNERS = ("runner", "runner-evm")
SIGNS = """
import coincurve, cryptography.hazmat.primitives, eth_abi
key = coincurve.PrivateKey((1).to_bytes(32, "big"))
signed = key.sign_recoverable(bytes(32), hasher=None)
assert coincurve.PublicKey.from_signature_and_message(signed, bytes(32), hasher=None) == key.public_key
print(eth_abi.encode(["bytes"], [key.public_key.format()]).hex())
"""
"""Signs, and encodes the public key that belongs to the private key 1."""
BASE_POINT = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
"""That key: secp256k1's base point (SEC 2, 2.4.1)."""
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
TARGET = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        known = self.headers["X-Secret"] == "hunter2" and self.headers["X-Row"] == "a@example.com"
        self.send_response(200 if known else 403)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *words):
        pass
ThreadingHTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def namespace(cluster: Cluster, images: None, evm_image: None) -> Cluster:
    """The cluster with a namespace that lets nothing in but what is restricted."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    cluster.plane.client.create("/api/v1/namespaces", body)
    return cluster


@pytest.mark.parametrize("target", IMAGES)
def test_an_image_says_what_it_is_and_who_it_runs_as(namespace: Cluster, target: str) -> None:
    del namespace
    with tarfile.open(image_archive(target)) as archive:
        (manifest,) = _member(archive, "manifest.json")
        config = _member(archive, manifest["Config"])["config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == [COMMANDS[target]]
    assert config["Labels"]["org.opencontainers.image.title"] == f"squall-{target}"


@pytest.mark.parametrize("target", IMAGES)
def test_a_command_answers_under_the_strictest_rules(namespace: Cluster, target: str) -> None:
    name = f"help-{target}"
    _create_pod(namespace, name, _container(target, args=["--help"]))
    _wait(lambda: _phase(namespace, name) == "Succeeded", lambda: _told(namespace, name))
    assert f"usage: {COMMANDS[target]}" in _log(namespace, name).lower()


@pytest.mark.parametrize("target", RUNNERS)
def test_what_evm_steps_need_is_in_the_image_that_is_for_them(namespace: Cluster, target: str) -> None:
    name = f"evm-{target}"
    _create_pod(namespace, name, _container(target, command=["python", "-c", SIGNS]))
    _wait(lambda: _phase(namespace, name) in ("Succeeded", "Failed"), lambda: _told(namespace, name))
    told = _log(namespace, name)
    assert BASE_POINT in told if target == "runner-evm" else "No module named 'coincurve'" in told, told


def test_a_pod_that_was_given_nothing_says_so(namespace: Cluster) -> None:
    _create_pod(namespace, "lost", _container("runner", args=["--pod", "/nowhere"]))
    _wait(lambda: _phase(namespace, "lost") == "Failed", lambda: _told(namespace, "lost"))
    status = namespace.plane.client.get(f"{CORE}/pods/lost")["status"]["containerStatuses"][0]
    assert status["state"]["terminated"]["exitCode"] == 104
    assert "/nowhere/run.json cannot be read" in _log(namespace, "lost")


def test_pods_of_an_indexed_job_carry_a_run_through(namespace: Cluster) -> None:
    hub = _start_hub(namespace)
    runners = tuple(process for pod in pods(SHARDS, PER_POD, PROCESSES) for process in pod)
    spec = RunSpec(run="r1", manifest=_manifest(), runners=runners)
    assert _ask(hub, "PUT", "/v1/runs/r1", msgspec.json.encode(spec))[0] == 201
    _start_runners(namespace)

    def told() -> str:
        return f"{_ask(hub, 'GET', '/v1/runs/r1')}\n{_told(namespace, 'job-name=r1')}"

    _wait(lambda: _ask(hub, "GET", "/v1/runs/r1/summary")[0] == 200, told)
    summary = _ask(hub, "GET", "/v1/runs/r1/summary")[1]
    assert summary["verdict"]["result"] == "Passed", told()
    count = next(row for row in summary["metrics"] if row["metric"] == "http_reqs" and not row["tags"])
    assert count["values"]["count"] == 100
    _wait(lambda: _phases(namespace, "job-name=r1") == ["Succeeded", "Succeeded"], told)


def _member(archive: tarfile.TarFile, name: str) -> Any:
    file = archive.extractfile(name)
    assert file is not None
    return json.load(file)


def _manifest() -> dict[str, Any]:
    headers = {"X-Secret": "${var.password}", "X-Row": "${data.users.email}"}
    step = {"name": "get", "http": {"url": "http://127.0.0.1:8080/", "headers": headers}}
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": "in-pods"},
        "spec": {
            "shards": SHARDS,
            "variables": [{"name": "password", "secret": {"name": "target", "key": "password"}}],
            "files": [{"name": "users.csv", "path": "users.csv"}],
            "data": [{"name": "users", "csv": "users.csv"}],
            "scenarios": [
                {
                    "name": "s",
                    "executor": "constant-arrival-rate",
                    "rate": 20,
                    "duration": "5s",
                    "preAllocatedVUs": 10,
                    "steps": [step],
                }
            ],
            "thresholds": [{"metric": "http_req_failed", "expression": "rate<1%"}],
        },
    }


def _container(target: str, **parts: Any) -> Json:
    return {
        "name": "main",
        "image": IMAGES[target],
        "imagePullPolicy": "Never",
        "securityContext": RESTRICTED,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    } | parts


def _pod(container: Json, **parts: Any) -> Json:
    return (
        {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
        }
        | {"volumes": [{"name": "tmp", "emptyDir": {}}, *parts.pop("volumes", [])]}
        | parts
    )


def _create_pod(cluster: Cluster, name: str, container: Json, **parts: Any) -> None:
    metadata = {"name": name, "labels": {"app": name}}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": _pod(container, **parts)}
    cluster.plane.client.create(f"{CORE}/pods", body)


def _create(cluster: Cluster, kind: str, name: str, **parts: Any) -> None:
    body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}} | parts
    cluster.plane.client.create(f"{CORE}/{kind.lower()}s", body)


def _start_hub(cluster: Cluster) -> str:
    """Run a hub behind a Service; returns the URL under which this machine reaches it."""
    _create(cluster, "Secret", "hub", stringData={"key": KEY})
    ports = [{"port": PORT}]
    _create(cluster, "Service", "hub", spec={"selector": {"app": "hub"}, "ports": ports})
    command = ["python", "-m", "squall.hub", "--listen", f"0.0.0.0:{PORT}"]
    command += ["--key-file", "/etc/squall/key", "--state-dir", "/var/lib/squall"]
    mounts = [
        {"name": "tmp", "mountPath": "/tmp"},
        {"name": "state", "mountPath": "/var/lib/squall"},
        {"name": "key", "mountPath": "/etc/squall", "readOnly": True},
    ]
    ready = {"httpGet": {"path": "/healthz", "port": PORT}, "periodSeconds": 1}
    volumes = [{"name": "state", "emptyDir": {}}, {"name": "key", "secret": {"secretName": "hub"}}]
    _create_pod(
        cluster,
        "hub",
        _container("operator", command=command, volumeMounts=mounts, readinessProbe=ready),
        volumes=volumes,
    )
    _wait(lambda: _is_ready(cluster, "hub"), lambda: _told(cluster, "app=hub"))
    address = cluster.plane.client.get(f"{CORE}/pods/hub")["status"]["podIP"]
    return f"http://{address}:{PORT}"


def _start_runners(cluster: Cluster) -> None:
    made = contents(
        _manifest(),
        hub=f"http://hub.{NAMESPACE}.svc.cluster.local:{PORT}",
        token=run_token(KEY.encode(), "r1"),
        shards=SHARDS,
        shards_per_pod=PER_POD,
        processes_per_pod=PROCESSES,
        secrets={"password": PASSWORD},
        packed={"users.csv": b"email\na@example.com\n"},
    )
    keys = {path: path.replace("/", "_") for path in made}
    secret = {path: data.decode() for path, data in made.items() if path in {"token", "secrets/password"}}
    shown = {path: data for path, data in made.items() if path not in secret}
    _create(cluster, "Secret", "r1", stringData={keys[path]: text for path, text in secret.items()})
    binary = {keys[path]: base64.b64encode(data).decode() for path, data in shown.items()}
    _create(cluster, "ConfigMap", "r1", binaryData=binary)
    sources = [
        {kind: {"name": "r1", "items": [{"key": keys[path], "path": path} for path in paths]}}
        for kind, paths in (("configMap", shown), ("secret", secret))
    ]
    mounts = [
        {"name": "tmp", "mountPath": "/tmp"},
        {"name": "run", "mountPath": MOUNTED, "readOnly": True},
    ]
    target = _container("runner", command=["python", "-c", TARGET]) | {
        "name": "target",
        "restartPolicy": "Always",
        "startupProbe": {
            "exec": {"command": ["python", "-c", LISTENS]},
            "periodSeconds": 1,
            "failureThreshold": 60,
        },
    }
    pod = _pod(
        _container("runner", args=["--pod", MOUNTED], volumeMounts=mounts),
        initContainers=[target],
        volumes=[{"name": "run", "projected": {"sources": sources}}],
    )
    body = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "r1"},
        "spec": {
            "completionMode": "Indexed",
            "completions": 2,
            "parallelism": 2,
            "backoffLimit": 0,
            "template": {"spec": pod},
        },
    }
    cluster.plane.client.create(f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs", body)


def _ask(hub: str, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(hub + path, body, {"Authorization": f"Bearer {KEY}"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def _list(cluster: Cluster, selector: str) -> list[Json]:
    items: list[Json] = cluster.plane.client.get(f"{CORE}/pods?labelSelector={selector}")["items"]
    return items


def _phases(cluster: Cluster, selector: str) -> list[str]:
    return [pod["status"]["phase"] for pod in _list(cluster, selector)]


def _phase(cluster: Cluster, name: str) -> str:
    return _phases(cluster, f"app={name}")[0]


def _is_ready(cluster: Cluster, name: str) -> bool:
    conditions = _list(cluster, f"app={name}")[0]["status"].get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _log(cluster: Cluster, name: str) -> str:
    return cluster.plane.client.text(f"{CORE}/pods/{name}/log?container=main")


def _told(cluster: Cluster, selector: str) -> str:
    """What pods say of themselves, for the message of a test that fails."""
    told = []
    for pod in _list(cluster, selector if "=" in selector else f"app={selector}"):
        name = pod["metadata"]["name"]
        told.append(f"{name}: {json.dumps(pod['status'], indent=1)}")
        if pod["status"]["phase"] != "Pending":
            told.append(_log(cluster, name))
    return "\n".join(told)


def _wait(holds: Callable[[], bool], told: Callable[[], str]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, told()
        time.sleep(0.1)
