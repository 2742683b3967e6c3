"""Squall on the test cluster: a hub and an operator as processes beside it, runners as real pods.

The operator and the hub run on the machine, where a test can kill, freeze and restart them at the moment it wants; runners run where users'
run. Each installation looks after namespaces of its own, so several test on one cluster side by side. Load goes to a target within each
runner's own pod, or, where a test wants to count every request itself, from the node's own network to a target on its loopback address. What
`restricted` of Pod Security forbids to pods, the API server refuses: all but that network, which is to be had in a namespace beside.
"""

import copy
import gzip
import json
import os
import secrets
import time
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from support.cluster.access import Access
from support.cluster.built import IMAGES
from support.cluster.hosttarget import Target
from support.kubeclient import ApiError, Json, KubeClient
from support.manifests import committed_crds
from support.processes import Process, free_ports

BIN = Path(__file__).resolve().parents[3] / ".venv" / "bin"
RUN = "squall.dev/run"
ENDED = ("Passed", "Failed", "Invalid", "Aborted", "Error", "Rejected")
TARGET = """
import http.server, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
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
_POD_SECURITY = "pod-security.kubernetes.io/enforce"
RESTRICTED = {_POD_SECURITY: "restricted"}
_PRIVILEGED = {_POD_SECURITY: "privileged"}
LISTENS = "import socket; socket.create_connection(('127.0.0.1', 8080), 1)"


class Installation:
    """A hub and operators for namespaces of a cluster.

    Args:
        access: To the cluster.
        folder: For state and logs.
        hub_options: Of the hub, beside those that it always has.

    Attributes:
        namespace: Where LoadTests are, unless they say otherwise.
    """

    def __init__(self, access: Access, folder: Path, hub_options: Sequence[str] = ()) -> None:
        self.access = access
        self._hub_options = hub_options
        self.kube: KubeClient = access.client
        self.namespace = ""
        self._namespaces: list[str] = []
        self._watched: tuple[str, ...] = ()
        self._folder = folder
        self._key = folder / "key"
        self._key.write_text(secrets.token_hex(16), encoding="ascii")
        (self.hub_port,) = free_ports(1)
        self._hub: list[Process] = []  # shared with what stands beside
        self.operators: list[Process] = []

    @property
    def hub(self) -> Process | None:
        """The hub, once it was started."""
        return self._hub[-1] if self._hub else None

    @property
    def on_node(self) -> "Installation":
        """The same, for LoadTests with a target on the node: in a namespace whose pods may have the node's network."""
        assert self.access.node_here, "the node is another machine"
        other = copy.copy(self)
        other.namespace = self._watched[-1]
        return other

    @property
    def hub_url(self) -> str:
        """Where pods reach the hub."""
        return f"http://{self.access.address}:{self.hub_port}"

    def install_crds(self) -> None:
        """Make Squall's kinds known."""
        for crd in committed_crds():
            name, group = crd["metadata"]["name"], crd["spec"]["group"]
            self.kube.apply(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}", crd)
            self._wait_for_kind(f"/apis/{group}/v1alpha1/{crd['spec']['names']['plural']}")

    def _wait_for_kind(self, served: str) -> None:
        until(lambda: self.kube.exists(served), 30, lambda: f"{served} is not served")

    def make_namespaces(self) -> None:
        """Make the namespace that it looks after, and one for pods on the node's network where that is this machine's."""
        self.namespace = f"squall-{secrets.token_hex(3)}"
        wanted = {self.namespace: RESTRICTED}
        if self.access.node_here:
            wanted[f"{self.namespace}-node"] = _PRIVILEGED
        for name, labels in wanted.items():
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
            self.kube.create("/api/v1/namespaces", body)
            self._namespaces.append(name)
        self._watched = tuple(wanted)

    def start_hub(self) -> Process:
        """Start the hub, or start it again over what the last one has left."""
        address = f"{self.access.address}:{self.hub_port}"
        options = ["--listen", address, "--key-file", str(self._key)]
        options += ["--state-dir", str(self._folder / "hub"), *self._hub_options]
        command = [str(BIN / "python"), "-m", "squall.hub", *options]
        self._hub.append(Process(command, log=self._folder / "hub.log"))
        return self._hub[-1]

    def start_operator(self, *options: str) -> Process:
        """Start one operator more."""
        number = len(self.operators)
        (health,) = free_ports(1)
        command = [str(BIN / "squall-operator"), "--hub", self.hub_url, "--key-file", str(self._key)]
        command += ["--runner-image", IMAGES["runner"], "--runner-evm-image", IMAGES["runner-evm"]]
        command += ["--runner-pull-policy", "Never"]
        command += ["--runner-memory", "256Mi", "--listen", f"127.0.0.1:{health}"]
        command += [part for each in self._watched for part in ("--watch-namespace", each)]
        command += ["--lease-namespace", self._watched[0], "--allow-host-network"]
        operator = Process(
            [*command, *options],
            log=self._folder / f"operator-{number}.log",
            environment={**os.environ, "KUBECONFIG": str(self.access.kubeconfig)},
        )
        self.operators.append(operator)
        return operator

    def beside(self, *options: str) -> "Installation":
        """Other namespaces on the same hub, with an operator of their own."""
        other = copy.copy(self)
        other.make_namespaces()
        other.start_operator(*options)
        return other

    def kill_operators(self) -> None:
        """End them as a crash would."""
        for operator in self.operators:
            operator.kill()

    def stop(self) -> None:
        """End all processes, and take away what they have made."""
        for process in (*self.operators, self.hub):
            if process is not None:
                process.stop()
        for name in self._namespaces:
            with suppress(ApiError, OSError):
                self.kube.delete(f"/api/v1/namespaces/{name}")

    # -- LoadTests --------------------------------------------------------------------------------------------

    def apply(self, manifest: Json) -> Json:
        """Apply a LoadTest, or another of Squall's kinds."""
        if manifest["kind"] != "LoadTestPolicy":
            metadata = {"namespace": self.namespace, **manifest["metadata"]}
            manifest = {**manifest, "metadata": metadata}
        return self.kube.apply(_path(manifest), manifest)

    @contextmanager
    def policy(self, **spec: object) -> Iterator[str]:
        """A LoadTestPolicy for the installation's namespace, until the end of the block; yields its path."""
        name = f"policy-{self.namespace}"
        path = f"/apis/squall.dev/v1alpha1/loadtestpolicies/{name}"
        body = {"apiVersion": "squall.dev/v1alpha1", "kind": "LoadTestPolicy", "metadata": {"name": name}}
        self.apply({**body, "spec": {"namespaces": [self.namespace], **spec}})
        try:
            yield path
        finally:
            self.kube.delete(path)

    def path(self, name: str = "", namespace: str | None = None) -> str:
        """The path of a LoadTest, or of all of them."""
        return load_test(name, namespace or self.namespace).rstrip("/")

    def core(self, plural: str, name: str = "", namespace: str | None = None) -> str:
        """The path of objects of Kubernetes' core, or of one of them."""
        path = f"/api/v1/namespaces/{namespace or self.namespace}/{plural}"
        return f"{path}/{name}" if name else path

    def status(self, name: str, namespace: str | None = None) -> Json:
        """The status of a LoadTest; empty before there is any."""
        return dict(self.kube.get(self.path(name, namespace)).get("status") or {})

    def wait(self, name: str, *phases: str, seconds: float = 90.0, namespace: str | None = None) -> Json:
        """Wait until a LoadTest is in one of the phases; returns its status."""
        found: Json = {}

        def there() -> bool:
            found.clear()
            found.update(self.status(name, namespace))
            return found.get("phase") in phases

        until(there, seconds, lambda: f"{name} is {found.get('phase')}: {found.get('message')}")
        return found

    def summary(self, status: Json) -> Json:
        """The report of the last run that a status tells of."""
        report = self.kube.get(self.core("configmaps", status["history"][0]["report"]))
        return dict(json.loads(gzip.decompress(b64decode(report["binaryData"]["summary.json.gz"]))))

    def pods(self, run: str, namespace: str | None = None) -> list[Json]:
        """The pods of a run."""
        return list(self.kube.get(f"{self.core('pods', '', namespace)}?labelSelector={RUN}%3D{run}")["items"])

    def left(self, run: str, namespace: str | None = None) -> list[str]:
        """What is still there of a run, its report excepted."""
        within, found = f"namespaces/{namespace or self.namespace}", []
        kinds = {"apis/batch/v1": ["jobs"], "apis/policy/v1": ["poddisruptionbudgets"]}
        kinds["api/v1"] = ["pods", "secrets", "configmaps"]
        for group, plurals in kinds.items():
            for plural in plurals:
                query = f"labelSelector={RUN}%3D{run},!squall.dev/report"
                items = self.kube.get(f"/{group}/{within}/{plural}?{query}")["items"]
                found += [f"{plural}/{item['metadata']['name']}" for item in items]
        return sorted(found)

    def wait_until_gone(self, run: str, seconds: float = 60.0, namespace: str | None = None) -> None:
        """Wait until nothing is left of a run but its report."""
        until(lambda: not self.left(run, namespace), seconds, lambda: f"left: {self.left(run, namespace)}")

    def events(self, name: str, namespace: str | None = None) -> list[str]:
        """The reasons of the Events about a LoadTest."""
        items = self.kube.get(self.core("events", "", namespace))["items"]
        return [
            item["reason"]
            for item in items
            if item["involvedObject"].get("kind") == "LoadTest" and item["involvedObject"]["name"] == name
        ]


@contextmanager
def installation(
    access: Access, folder: Path, *, hub: Sequence[str] = (), operator: Sequence[str] = ()
) -> Iterator[Installation]:
    """A hub and one operator for a namespace of their own, with options of theirs, until the end of the block."""
    squall = Installation(access, folder, hub)
    try:
        squall.install_crds()
        squall.make_namespaces()
        squall.start_hub()
        squall.start_operator(*operator)
        yield squall
    finally:
        squall.stop()


def load_test(name: str, namespace: str) -> str:
    """The path of a LoadTest."""
    return f"/apis/squall.dev/v1alpha1/namespaces/{namespace}/loadtests/{name}"


def _path(manifest: Json) -> str:
    metadata = manifest["metadata"]
    plural = f"{manifest['kind'].lower()}s".replace("policys", "policies")
    within = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    return f"/apis/{manifest['apiVersion']}{within}/{plural}/{metadata['name']}"


def manifest(name: str, *, template: Json | None = None, target: Target | None = None, **spec: Any) -> Json:
    """A LoadTest that sends little, to a target in its pods or to one on the node.

    Args:
        name: Of the LoadTest.
        template: Fields of the pods.
        target: On the node; by default each pod has one. Only `Installation.on_node` has pods that reach it.
        spec: Fields of the spec, replacing those that are here.
    """
    sidecar: Json = {
        "name": "target",
        "image": IMAGES["runner"],
        "imagePullPolicy": "Never",
        "restartPolicy": "Always",
        "command": ["python3", "-c", TARGET],
        "startupProbe": {
            "exec": {"command": ["python3", "-c", LISTENS]},
            "periodSeconds": 1,
            "failureThreshold": 60,
        },
    }
    pods: Json = {"initContainers": [sidecar]} if target is None else {"hostNetwork": True}
    base: Json = {
        "shards": 2,
        "http": {"baseUrl": target.url if target else "http://127.0.0.1:8080"},
        # The machine of the tests is small and busy: what is tried here is control, not speed.
        "safety": {"saturation": {"tolerated": "100%"}},
        "scenarios": [scenario()],
        "runner": {
            "resources": {"requests": {"cpu": "50m", "memory": "100Mi"}, "limits": {"memory": "256Mi"}},
            "template": {"spec": pods | (template or {})},
        },
    }
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": name},
        "spec": {**base, **spec},
    }


def scenario(duration: str = "5s", url: str = "/") -> Json:
    """Two VUs that look at a page five times a second each."""
    return {
        "name": "look",
        "executor": "constant-vus",
        "vus": 2,
        "duration": duration,
        "steps": [{"name": "home", "http": {"url": url}}, {"think": {"duration": "200ms"}}],
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
