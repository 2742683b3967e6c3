"""Operators whose webhook a real API server calls: as processes, with the very rights that deploy/ gives them, and on loopback."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from support.controlplane import ControlPlane, write_kubeconfig
from support.kubeclient import ApiError, Json, KubeClient
from support.processes import Process, free_ports
from support.rights import DEPLOY, rules_of

BIN = Path(__file__).resolve().parents[2] / ".venv" / "bin"
WEBHOOK = DEPLOY / "components" / "webhook"
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
NAMESPACE = "default"
SECRET = f"/api/v1/namespaces/{NAMESPACE}/secrets/squall-webhook"
TESTS = f"/apis/squall.dev/v1alpha1/namespaces/{NAMESPACE}/loadtests"
SCHEDULES = f"/apis/squall.dev/v1alpha1/namespaces/{NAMESPACE}/loadtestschedules"
POLICIES = "/apis/squall.dev/v1alpha1/loadtestpolicies"
OPERATOR = f"system:serviceaccount:{NAMESPACE}:squall-operator"


def configuration(url: str, **changes: Any) -> Json:
    """The configuration of deploy/, with the webhook at a URL instead of behind a Service."""
    found: Json = yaml.safe_load((WEBHOOK / "configuration.yaml").read_text(encoding="utf-8"))
    for each in found["webhooks"]:
        each["clientConfig"] = {"url": url}
        each.update(changes)
    return found


def load_test(name: str, **spec: Any) -> Json:
    """A LoadTest that is right, and that nobody runs: there is no hub."""
    scenario = {"name": "look", "executor": "constant-vus", "vus": 4, "duration": "10s"}
    base = {
        "http": {"baseUrl": "http://127.0.0.1:8080"},
        "scenarios": [{**scenario, "steps": [{"name": "home", "http": {"url": "/"}}]}],
        "thresholds": [{"metric": "http_req_failed", "expression": "rate<1%"}],
    }
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {**base, **spec},
    }


class Roles:
    """Rights that are taken away again at the end."""

    def __init__(self, kube: KubeClient) -> None:
        self._kube = kube
        self._made: list[str] = []

    def give(self, user: str, name: str, rules: list[Json], namespace: str = "") -> str:
        """Give rights to a user, in a namespace or everywhere; returns the path of the role."""
        kind = "Role" if namespace else "ClusterRole"
        within = f"/namespaces/{namespace}" if namespace else ""
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name}}
        subject = {"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}
        binding = {
            **role,
            "kind": f"{kind}Binding",
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
            "subjects": [subject],
        }
        path = f"{RBAC}{within}/{kind.lower()}s/{name}"
        self._kube.apply(path, {**role, "rules": rules})
        self._kube.apply(f"{RBAC}{within}/{kind.lower()}bindings/{name}", binding)
        self._made += [path, f"{RBAC}{within}/{kind.lower()}bindings/{name}"]
        return path

    def close(self) -> None:
        """Take them away."""
        for path in self._made:
            with suppress(ApiError):
                self._kube.delete(path)


def give_operator_its_rights(roles: Roles) -> None:
    """What deploy/ gives to the operator of a whole cluster."""
    everywhere = {
        "operator": rules_of(DEPLOY / "everywhere" / "operator-role.yaml", "squall-operator"),
        "policies": rules_of(DEPLOY / "shared" / "policies.yaml", "squall-policies"),
        "webhook": objects_of("ClusterRole"),
    }
    for name, rules in everywhere.items():
        roles.give(OPERATOR, f"hooked-{name}", rules)
    roles.give(
        OPERATOR, "hooked-leader", rules_of(DEPLOY / "base" / "lease.yaml", "squall-leader"), NAMESPACE
    )
    roles.give(OPERATOR, "hooked-secret", objects_of("Role"), NAMESPACE)


def objects_of(kind: str) -> list[Json]:
    """The rules of the webhook's role of a kind."""
    every = yaml.safe_load_all((WEBHOOK / "rights.yaml").read_text(encoding="utf-8"))
    return next(list(each["rules"]) for each in every if each["kind"] == kind)


class Hooked:
    """Operators with webhooks.

    Args:
        plane: The control plane.
        folder: For logs and credentials.

    Attributes:
        operators: The processes, and the URL of each one's webhook.
    """

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.kube = plane.client
        self.roles = Roles(plane.client)
        self._folder = folder
        self.operators: list[tuple[Process, str]] = []
        account = plane.authority.issue("hooked-operator", name=OPERATOR)
        self._kubeconfig = write_kubeconfig(folder / "kubeconfig", plane.url, plane.authority, account)
        self._key = folder / "key"
        self._key.write_text("k", encoding="ascii")

    def start(self, *options: str) -> tuple[Process, str]:
        """Start one operator more."""
        number = len(self.operators)
        hub, health, port = free_ports(3)
        command = [str(BIN / "squall-operator"), "--hub", f"http://127.0.0.1:{hub}"]
        command += ["--key-file", str(self._key), "--runner-image", "runner"]
        command += ["--lease-namespace", NAMESPACE, "--listen", f"127.0.0.1:{health}"]
        command += ["--webhook-listen", f"127.0.0.1:{port}", "--webhook-host", "127.0.0.1", *options]
        operator = Process(
            command,
            log=self._folder / f"operator-{number}.log",
            environment={**os.environ, "KUBECONFIG": str(self._kubeconfig)},
        )
        self.operators.append((operator, f"https://127.0.0.1:{port}/review"))
        return self.operators[-1]

    def call(self, url: str, **changes: Any) -> None:
        """Have the API server call a webhook, and wait until it does and knows the answer to be true."""
        self.kube.apply(f"{CONFIGURATIONS}/squall", configuration(url, **changes))
        self.until_called()

    def until_called(self) -> None:
        """Wait until the webhook answers: what is wrong for the models alone is refused in its words."""
        wrong = load_test("probe", scenarios=[{**load_test("x")["spec"]["scenarios"][0], "duration": "0s"}])

        def answered() -> bool:
            return "denied the request" in refusal(self.kube, wrong)

        until(answered, lambda: f"{refusal(self.kube, wrong)}\n{self.told()}")

    def told(self) -> str:
        """What the operators have said."""
        return "\n".join(process.log_end() for process, _ in self.operators)

    def close(self) -> None:
        """Take away everything."""
        with suppress(ApiError):
            self.kube.delete(f"{CONFIGURATIONS}/squall")
        for process, _ in self.operators:
            process.stop()
        self.roles.close()
        for collection in (TESTS, SCHEDULES, POLICIES):
            for each in self.kube.get(collection)["items"]:
                self.kube.delete(f"{collection}/{each['metadata']['name']}")
        for path in (SECRET, f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/squall-operator"):
            with suppress(ApiError):
                self.kube.delete(path)


@contextmanager
def hooked(plane: ControlPlane, folder: Path) -> Iterator[Hooked]:
    """Operators with the rights that deploy/ gives, until the end of the block."""
    found = Hooked(plane, folder)
    try:
        give_operator_its_rights(found.roles)
        yield found
    finally:
        found.close()


def refusal(client: KubeClient, body: Json, *, dry_run: bool = True) -> str:
    """Why a resource is refused; empty when it is taken."""
    kind = {"LoadTest": TESTS, "LoadTestSchedule": SCHEDULES, "LoadTestPolicy": POLICIES}[body["kind"]]
    try:
        client.apply(f"{kind}/{body['metadata']['name']}", body, dry_run=dry_run)
    except ApiError as error:
        return str(error)
    return ""


def until(holds: Any, told: Any, seconds: float = 60.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, told()
        time.sleep(0.1)
