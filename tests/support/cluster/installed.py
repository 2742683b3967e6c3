"""Squall as users install it: `kubectl apply -k deploy/`, operator and hub in pods.

What differs from a user's cluster is where images come from, and that a cluster without storage is given a volume by hand.
"""

import gzip
import json
import os
import secrets
from base64 import b64decode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from support.cluster.access import Access
from support.cluster.built import IMAGES
from support.cluster.operated import RESTRICTED, load_test, manifest, until
from support.kubeclient import ApiError, Json, KubeClient
from support.kubectl import Kubectl
from support.manifests import ROOT

OPERATOR = "squall-operator"
HUB = "squall-hub-0"
ROLLOUT = "150s"
LABEL = "squall.dev/test"
_NEVER: Json = {"imagePullPolicy": "Never"}


class Installed:
    """One installation.

    Args:
        access: To the cluster.
        folder: For the user's own kustomization, and for the hub's volume where the cluster has no storage.
        base: The folder below `deploy/` that is installed; empty for all of it.
        namespace: Where operator and hub are.
        components: Below `deploy/components/`.
    """

    def __init__(
        self, access: Access, folder: Path, base: str, namespace: str, components: Sequence[str] = ()
    ) -> None:
        self.access = access
        self.kube: KubeClient = access.client
        self.kubectl = Kubectl(access.kubeconfig)
        self.namespace = namespace
        self._folder = folder
        self._namespaces: list[str] = []
        self.overlay = folder / "squall"
        self.overlay.mkdir()
        self._write(ROOT / "deploy" / base, [ROOT / "deploy" / "components" / each for each in components])

    def _write(self, base: Path, components: Sequence[Path]) -> None:
        """What a user writes beside the repository."""
        kinds = {"Deployment": "operator", "StatefulSet": "hub"}
        name, _, tag = IMAGES["operator"].rpartition(":")
        options = {
            "SQUALL_RUNNER_IMAGE": IMAGES["runner"],
            "SQUALL_RUNNER_PULL_POLICY": "Never",
            "SQUALL_RUNNER_MEMORY": "256Mi",
        }
        written = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": self.namespace,
            "resources": [os.path.relpath(base, self.overlay)],
            "components": [os.path.relpath(each, self.overlay) for each in components],
            "images": [{"name": OPERATOR, "newName": name, "newTag": tag}],
            "configMapGenerator": [
                {
                    "name": "squall-options",
                    "behavior": "merge",
                    "literals": [f"{key}={value}" for key, value in options.items()],
                }
            ],
            "patches": [
                {
                    "target": {"kind": kind},
                    "patch": json.dumps(
                        {
                            "apiVersion": "apps/v1",
                            "kind": kind,
                            "metadata": {"name": "any"},
                            "spec": {"template": {"spec": {"containers": [{"name": container, **_NEVER}]}}},
                        }
                    ),
                }
                for kind, container in kinds.items()
            ],
        }
        (self.overlay / "kustomization.yaml").write_text(yaml.safe_dump(written), encoding="utf-8")

    # -- steps of the documentation ---------------------------------------------------------------------------

    def make_key(self) -> None:
        """Make the installation's key."""
        key = f"--from-literal=key={secrets.token_hex(32)}"
        self.kubectl("create", "secret", "generic", "squall-key", "-n", self.namespace, key)

    def apply(self) -> None:
        """Install it, or bring it up to date."""
        self.kubectl("apply", "-k", str(self.overlay))

    def wait(self) -> None:
        """Wait until all of it is ready."""
        for workload in ("statefulset/squall-hub", f"deployment/{OPERATOR}"):
            done = self.kubectl.attempt(
                "rollout", "status", workload, "-n", self.namespace, f"--timeout={ROLLOUT}"
            )
            assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{self.told()}"
        until(self._answered, 30, lambda: f"the webhook does not answer\n{self.told()}")

    def _answered(self) -> bool:
        """Whether LoadTests can be applied: the API server hears of the webhook's certificate and of its pods a moment later than others."""
        made = {**manifest("probe"), "metadata": {"name": "probe", "namespace": self.namespace}}
        try:
            self.kube.apply(load_test("probe", self.namespace), made, dry_run=True)
        except ApiError as error:
            if "failed calling webhook" not in str(error):
                raise
            return False
        return True

    def remove(self) -> None:
        """Take it away again."""
        self.kubectl("delete", "-k", str(self.overlay), "--ignore-not-found", "--wait=false")

    # -- what a test looks at ---------------------------------------------------------------------------------

    def make_namespace(self, name: str = "") -> str:
        """Make a namespace that lets in restricted pods only, and goes with the installation."""
        name = name or f"squall-{secrets.token_hex(3)}"
        metadata = {"name": name, "labels": RESTRICTED}
        self.kube.create(
            "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        )
        self._namespaces.append(name)
        return name

    def make_volume(self) -> None:
        """Give the hub a volume, where the cluster has no storage of its own: a folder of the node, which is this machine."""
        if self.kube.get("/apis/storage.k8s.io/v1/storageclasses")["items"] or not self.access.node_here:
            return
        place = self._folder / "volume"
        place.mkdir()
        anywhere = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "Exists"}]}]
        self.kube.create(
            "/api/v1/persistentvolumes",
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": f"squall-{secrets.token_hex(3)}", "labels": {LABEL: self.namespace}},
                "spec": {
                    "capacity": {"storage": "1Gi"},
                    "accessModes": ["ReadWriteOnce"],
                    "persistentVolumeReclaimPolicy": "Retain",
                    "local": {"path": str(place)},
                    "nodeAffinity": {"required": {"nodeSelectorTerms": anywhere}},
                    "claimRef": {"namespace": self.namespace, "name": f"state-{HUB}"},
                },
            },
        )

    def start(self, name: str, namespace: str, **spec: Any) -> None:
        """Apply a LoadTest."""
        made = {**manifest(name, **spec), "metadata": {"name": name, "namespace": namespace}}
        self.kube.apply(load_test(name, namespace), made)

    def status(self, name: str, namespace: str) -> Json:
        """The status of a LoadTest; empty before there is any."""
        return dict(self.kube.get(load_test(name, namespace)).get("status") or {})

    def wait_for(self, name: str, namespace: str, *phases: str, seconds: float = 120) -> Json:
        """Wait until a LoadTest is in one of the phases; returns its status."""

        def told() -> str:
            return f"{self.status(name, namespace)}\n{self.told()}"

        until(lambda: self.status(name, namespace).get("phase") in phases, seconds, told)
        return self.status(name, namespace)

    def summary(self, status: Json, namespace: str) -> Json:
        """The report of the last run that a status tells of."""
        report = status["history"][0]["report"]
        found = self.kube.get(f"/api/v1/namespaces/{namespace}/configmaps/{report}")
        return dict(json.loads(gzip.decompress(b64decode(found["binaryData"]["summary.json.gz"]))))

    def operators(self) -> list[str]:
        """The names of the operator's pods that are not about to go."""
        query = "labelSelector=app.kubernetes.io/component%3Doperator"
        pods = self.kube.get(f"/api/v1/namespaces/{self.namespace}/pods?{query}")["items"]
        return [pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def leader(self) -> str:
        """The name of the pod that leads; empty when none does."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases/{OPERATOR}"
        holder = str(self.kube.get(path)["spec"].get("holderIdentity") or "")
        return holder.rpartition("_")[0]

    def told(self) -> str:
        """How the pods are and what they say, for the message of a test that fails."""
        told = [self.kubectl.attempt("get", "pods,events", "-n", self.namespace, "-o", "wide").stdout]
        for name in (*self.operators(), HUB):
            command = ("logs", name, "-n", self.namespace, "--tail=40", "--all-containers")
            told.append(f"{name}:\n{self.kubectl.attempt(*command).stdout}")
        return "\n".join(told)

    def gone(self, path: str, seconds: float = 90.0) -> None:
        """Wait until an object is no more."""
        until(lambda: not self.kube.exists(path), seconds, lambda: json.dumps(self.kube.get(path), indent=1))

    def close(self) -> None:
        """Take away everything that tests have made."""
        self.remove()
        for name in self._namespaces:
            self.kubectl.attempt("delete", "namespace", name, "--ignore-not-found", "--wait=false")
        self.kubectl.attempt("delete", "persistentvolume", "-l", f"{LABEL}={self.namespace}", "--wait=false")
