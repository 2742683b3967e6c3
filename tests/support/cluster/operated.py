"""Squall on the test cluster: a hub and an operator as processes beside it, runners as real pods.

The operator and the hub run on the machine, where a test can kill, freeze and restart them at the moment it wants; runners run where users'
run. Load goes to a target within each runner's own pod.
"""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.cluster.built import IMAGES
from support.cluster.cluster import Cluster
from support.kubeclient import Json, KubeClient
from support.manifests import committed_crds
from support.processes import Process, free_ports

BIN = Path(__file__).resolve().parents[3] / ".venv" / "bin"
ENDED = ("Passed", "Failed", "Invalid", "Aborted", "Error", "Rejected")
TARGET = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(int(self.path.strip("/") or 200))
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
"""
_LISTENS = "import socket; socket.create_connection(('127.0.0.1', 8080), 1)"


class Installation:
    """A hub and operators for a cluster."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.kube: KubeClient = cluster.plane.client
        self._folder = folder
        self._key = folder / "key"
        self._key.write_text(secrets.token_hex(16), encoding="ascii")
        self._hub_port, *self._health_ports = free_ports(4)
        self.hub: Process | None = None
        self.operators: list[Process] = []

    @property
    def hub_url(self) -> str:
        """Where pods reach the hub."""
        return f"http://{self.cluster.plane.address}:{self._hub_port}"

    def install_crds(self) -> None:
        """Make Squall's kinds known."""
        for crd in committed_crds():
            name, group = crd["metadata"]["name"], crd["spec"]["group"]
            self.kube.apply(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}", crd)
            self._wait_for_kind(f"/apis/{group}/v1alpha1/{crd['spec']['names']['plural']}")

    def _wait_for_kind(self, served: str) -> None:
        until(lambda: self.kube.exists(served), 30, lambda: f"{served} is not served")

    def start_hub(self) -> Process:
        """Start the hub, or start it again over what the last one has left."""
        address = f"{self.cluster.plane.address}:{self._hub_port}"
        options = [
            "--listen",
            address,
            "--key-file",
            str(self._key),
            "--state-dir",
            str(self._folder / "hub"),
        ]
        self.hub = Process([str(BIN / "python"), "-m", "squall.hub", *options], log=self._folder / "hub.log")
        return self.hub

    def start_operator(self, *options: str) -> Process:
        """Start one operator more."""
        number = len(self.operators)
        command = [str(BIN / "squall-operator"), "--hub", self.hub_url, "--key-file", str(self._key)]
        command += ["--runner-image", IMAGES["runner"], "--runner-pull-policy", "Never"]
        command += ["--runner-memory", "256Mi", "--listen", f"127.0.0.1:{self._health_ports[number % 3]}"]
        operator = Process(
            [*command, *options],
            log=self._folder / f"operator-{number}.log",
            environment={**os.environ, "KUBECONFIG": str(self.cluster.plane.kubeconfig)},
        )
        self.operators.append(operator)
        return operator

    def stop(self) -> None:
        """End all processes."""
        for process in (*self.operators, self.hub):
            if process is not None:
                process.stop()

    # -- LoadTests --------------------------------------------------------------------------------------------

    def apply(self, manifest: Json) -> Json:
        """Apply a LoadTest, or another of Squall's kinds."""
        return self.kube.apply(_path(manifest), manifest)

    def status(self, name: str, namespace: str = "default") -> Json:
        """The status of a LoadTest; empty before there is any."""
        return dict(self.kube.get(load_test(name, namespace)).get("status") or {})

    def wait(self, name: str, *phases: str, seconds: float = 90.0, namespace: str = "default") -> Json:
        """Wait until a LoadTest is in one of the phases; returns its status."""
        found: Json = {}

        def there() -> bool:
            found.update(self.status(name, namespace))
            return found.get("phase") in phases

        until(there, seconds, lambda: f"{name} is {found.get('phase')}: {found.get('message')}")
        return found

    def pods(self, run: str, namespace: str = "default") -> list[Json]:
        """The pods of a run."""
        path = f"/api/v1/namespaces/{namespace}/pods?labelSelector=squall.dev/run%3D{run}"
        return list(self.kube.get(path)["items"])

    def left(self, run: str, namespace: str = "default") -> list[str]:
        """What is still there of a run, its report excepted."""
        found = []
        for path in ("apis/batch/v1", "api/v1", "api/v1", "api/v1", "apis/policy/v1"):
            for plural in {"apis/batch/v1": ["jobs"], "apis/policy/v1": ["poddisruptionbudgets"]}.get(
                path, ["pods", "secrets", "configmaps"]
            ):
                query = f"labelSelector=squall.dev/run%3D{run},!squall.dev/report"
                items = self.kube.get(f"/{path}/namespaces/{namespace}/{plural}?{query}")["items"]
                found += [f"{plural}/{item['metadata']['name']}" for item in items]
        return sorted(set(found))

    def events(self, name: str, namespace: str = "default") -> list[str]:
        """The reasons of the Events about a LoadTest."""
        items = self.kube.get(f"/api/v1/namespaces/{namespace}/events")["items"]
        return [
            item["reason"]
            for item in items
            if item["involvedObject"].get("kind") == "LoadTest" and item["involvedObject"]["name"] == name
        ]


@contextmanager
def installation(cluster: Cluster, folder: Path) -> Iterator[Installation]:
    """A hub and one operator, until the end of the block."""
    squall = Installation(cluster, folder)
    try:
        squall.install_crds()
        squall.start_hub()
        squall.start_operator()
        yield squall
    finally:
        squall.stop()


def load_test(name: str, namespace: str = "default") -> str:
    """The path of a LoadTest."""
    return f"/apis/squall.dev/v1alpha1/namespaces/{namespace}/loadtests/{name}"


def _path(manifest: Json) -> str:
    metadata = manifest["metadata"]
    plural = f"{manifest['kind'].lower()}s".replace("policys", "policies")
    within = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    return f"/apis/{manifest['apiVersion']}{within}/{plural}/{metadata['name']}"


def manifest(name: str, *, namespace: str = "default", template: Json | None = None, **spec: Any) -> Json:
    """A LoadTest whose pods have a target of their own, and which sends little."""
    target = {
        "name": "target",
        "image": IMAGES["runner"],
        "imagePullPolicy": "Never",
        "restartPolicy": "Always",
        "command": ["python3", "-c", TARGET],
        "startupProbe": {
            "exec": {"command": ["python3", "-c", _LISTENS]},
            "periodSeconds": 1,
            "failureThreshold": 60,
        },
    }
    pods = {"initContainers": [target], "nodeSelector": None} | (template or {})
    base: Json = {
        "shards": 2,
        "http": {"baseUrl": "http://127.0.0.1:8080"},
        # The machine of the tests is small and busy: what is tried here is control, not speed.
        "safety": {"saturation": {"tolerated": "100%"}},
        "scenarios": [
            {
                "name": "look",
                "executor": "constant-vus",
                "vus": 2,
                "duration": "5s",
                "steps": [{"name": "home", "http": {"url": "/"}}, {"think": {"duration": "200ms"}}],
            }
        ],
        "runner": {
            "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "256Mi"}},
            "template": {"spec": {key: value for key, value in pods.items() if value is not None}},
        },
    }
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {**base, **spec},
    }


def until(holds: Callable[[], bool], seconds: float, what: Callable[[], str]) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: It did not in time; the message says how things stand.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what()}"
        time.sleep(0.2)
