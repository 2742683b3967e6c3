"""`runner.template`: what a LoadTest may change about its pods, and what it must not.

A LoadTest is written by people who may not create pods as they like. So the template is merged by an allow-list, and what has come of it is
checked again: whatever way leads to more privileges than a restricted pod has, the outcome is refused.

The runner's own container is the place where policies are kept: it is what does not run Python and does not connect to hosts that a policy
excludes. So nothing may be added there that would have it run other code, or read another assignment. The other containers of a
pod are whatever their images are; what they may reach is a NetworkPolicy's business.
"""

from __future__ import annotations

import copy
import posixpath
from typing import TYPE_CHECKING, Any, Final

from squall.errors import SquallError
from squall_operator.pods import RUNNER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

METADATA: Final = frozenset({"labels", "annotations"})
POD: Final = frozenset(
    {
        "affinity",
        "containers",
        "dnsConfig",
        "dnsPolicy",
        "hostAliases",
        "hostNetwork",
        "imagePullSecrets",
        "initContainers",
        "nodeSelector",
        "preemptionPolicy",
        "priorityClassName",
        "runtimeClassName",
        "schedulerName",
        "serviceAccountName",
        "tolerations",
        "topologySpreadConstraints",
        "volumes",
    }
)
CONTAINER: Final = frozenset(
    {
        "args",
        "command",
        "env",
        "envFrom",
        "image",
        "imagePullPolicy",
        "livenessProbe",
        "name",
        "ports",
        "readinessProbe",
        "resources",
        "restartPolicy",
        "securityContext",
        "startupProbe",
        "volumeMounts",
        "workingDir",
    }
)
OWN_CONTAINER: Final = frozenset({"env", "name", "volumeMounts"})
"""What may be added to the runner itself; its image and resources have fields of their own. No `envFrom`: nobody sees here which names it
brings."""
_STEERING: Final = ("GLIBC_", "LD_", "OPENSSL_", "PYTHON", "RESOLV_", "SQUALL_")
"""What the names begin with of variables that tell loader, libraries or interpreter which code to load, or how."""
_STEERING_NAMES: Final = frozenset(
    {
        *("GCONV_PATH", "HOME", "JOB_COMPLETION_INDEX", "LOCPATH", "PATH"),
        # These have names mean other hosts than those that a policy allows.
        *("HOSTALIASES", "LOCALDOMAIN", "RES_OPTIONS"),
    }
)
_SYSTEM: Final = frozenset(
    {
        "",
        "bin",
        "boot",
        "dev",
        "etc",
        "lib",
        "lib32",
        "lib64",
        "libx32",
        "opt",
        "proc",
        "root",
        "run",
        "sbin",
        "sys",
        "tmp",
        "usr",
        "var",
    }
)
"""Folders of the root that the runner or its image use; the empty one is the root itself."""
VOLUMES: Final = frozenset(
    {
        "configMap",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "name",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
"""Restricted Pod Security's list; above all no hostPath."""
_RESERVED: Final = "squall.dev/"
_LABELS: Final = "app.kubernetes.io/"
_APPARMOR: Final = "container.apparmor.security.beta.kubernetes.io/"
_PROJECTED: Final = frozenset({"clusterTrustBundle", "configMap", "downwardAPI", "secret"})
"""What may be projected; no tokens of service accounts: whoever may write a LoadTest must not thereby act as one."""
_OWN_VOLUMES: Final = frozenset({"run", "scratch"})
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")


class TemplateError(SquallError):
    """`runner.template` asks for what it must not.

    Attributes:
        problems: Each names its place.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("runner.template: " + "; ".join(self.problems))


def apply_template(
    base: Mapping[str, Any], template: Mapping[str, Any], *, host_network: bool
) -> dict[str, Any]:
    """Merge a template over a pod template.

    Args:
        base: The pod template as Squall makes it.
        template: What the LoadTest wants.
        host_network: Whether the installation lets pods use the node's network.

    Raises:
        TemplateError: It asks for what it must not.
    """
    try:
        problems = list(_problems(template, host_network=host_network))
    except (AttributeError, TypeError, ValueError) as error:
        raise TemplateError(["it does not have the shape of a pod template"]) from error
    if problems:
        raise TemplateError(problems)
    result = copy.deepcopy(dict(base))
    for key, value in (template.get("metadata") or {}).items():
        result["metadata"][key] = {**(value or {}), **result["metadata"].get(key, {})}
    pod = result["spec"]
    for key, value in (template.get("spec") or {}).items():
        if value is None:
            continue
        if key == "containers":
            _merge_containers(pod, value)
        elif key == "initContainers":
            pod[key] = [_restricted(each) for each in value]
        elif key in ("volumes", "imagePullSecrets"):
            pod[key] = [*pod.get(key, []), *value]
        else:
            pod[key] = value
    if pod.get("hostNetwork"):
        pod.setdefault("dnsPolicy", "ClusterFirstWithHostNet")
    return result


def _merge_containers(pod: dict[str, Any], containers: list[dict[str, Any]]) -> None:
    for each in containers:
        if each.get("name") != RUNNER:
            pod["containers"].append(_restricted(each))
            continue
        own = pod["containers"][0]
        for key in ("env", "volumeMounts"):
            if each.get(key):
                own[key] = [*own.get(key, []), *each[key]]


def _restricted(container: Mapping[str, Any]) -> dict[str, Any]:
    """A container of the LoadTest's own, with the restrictions that it did not write."""
    # What is given as null or empty is not given: it must not take a restriction away.
    given = {key: value for key, value in (container.get("securityContext") or {}).items() if value}
    return {
        **container,
        "securityContext": {
            **given,
            "allowPrivilegeEscalation": False,
            "capabilities": {**given.get("capabilities", {}), "drop": ["ALL"]},
        },
    }


def _problems(template: Mapping[str, Any], *, host_network: bool) -> Iterator[str]:
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    yield from _unknown("", template, frozenset({"metadata", "spec"}))
    yield from _unknown("metadata.", metadata, METADATA)
    yield from _unknown("spec.", spec, POD)
    for key in ("labels", "annotations"):
        for name in metadata.get(key) or {}:
            if name.startswith((_RESERVED, _LABELS)):
                yield f"metadata.{key}.{name} is Squall's own"
            if name.startswith(_APPARMOR):
                yield f"metadata.{key}.{name} may not be set"
    if spec.get("hostNetwork") and not host_network:
        yield "spec.hostNetwork: this installation does not let runners use the node's network"
    for number, volume in enumerate(spec.get("volumes") or []):
        yield from _unknown(f"spec.volumes[{number}].", volume, VOLUMES)
        if volume.get("name") in _OWN_VOLUMES:
            yield f"spec.volumes[{number}].name: {volume['name']} is Squall's own"
        for source in (volume.get("projected") or {}).get("sources") or []:
            yield from _unknown(f"spec.volumes[{number}].projected.sources.", source, _PROJECTED)
    for kind in ("containers", "initContainers"):
        for number, container in enumerate(spec.get(kind) or []):
            place = f"spec.{kind}[{number}]."
            if kind == "initContainers" and container.get("name") == RUNNER:
                yield f"{place}name: {RUNNER} is the runner's own name"
            yield from _contents(place, container)
            yield from _privileges(f"{place}securityContext.", container.get("securityContext") or {})
            yield from _host(place, container, host_network=host_network)


def _unknown(place: str, given: Mapping[str, Any], allowed: frozenset[str]) -> Iterator[str]:
    for key in given:
        if key not in allowed:
            yield f"{place}{key} may not be set (allowed: {', '.join(sorted(allowed))})"


def _contents(place: str, container: Mapping[str, Any]) -> Iterator[str]:
    """What may not be written into a container, whether it is the runner's or another."""
    own = container.get("name") == RUNNER
    yield from _unknown(place, container, OWN_CONTAINER if own else CONTAINER)
    for mount in container.get("volumeMounts") or []:
        if mount.get("name") in _OWN_VOLUMES:
            yield f"{place}volumeMounts: the volume {mount['name']} is Squall's own"
    if own:
        yield from _steering(place, container)


def _steering(place: str, runner: Mapping[str, Any]) -> Iterator[str]:
    """What would have the runner run other code than its image's, or read another assignment."""
    for variable in runner.get("env") or []:
        name = variable.get("name") or ""
        if name.startswith(_STEERING) or name in _STEERING_NAMES:
            yield f"{place}env: {name} may not be set, it changes which code the runner runs, what it reads, or where names lead"
    for mount in runner.get("volumeMounts") or []:
        path = mount.get("mountPath") or ""
        # Whatever way a path is written, and relative to the root as the kubelet takes it.
        folder = posixpath.normpath(f"/{path.lstrip('/')}").split("/")[1]
        if folder in _SYSTEM:
            yield f"{place}volumeMounts: {path or '/'} may not be mounted over, take a folder of your own such as /data"


def _privileges(place: str, context: Mapping[str, Any]) -> Iterator[str]:
    """What restricted Pod Security forbids in a container's security context."""
    if context.get("privileged"):
        yield f"{place}privileged may not be true"
    if context.get("allowPrivilegeEscalation"):
        yield f"{place}allowPrivilegeEscalation may not be true"
    if context.get("runAsNonRoot") is False or context.get("runAsUser") == 0:
        yield f"{place}runAsUser: nothing may run as root"
    capabilities = context.get("capabilities") or {}
    if set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}:
        yield f"{place}capabilities.add: only NET_BIND_SERVICE may be added"
    if capabilities and "ALL" not in (capabilities.get("drop") or []):
        yield f"{place}capabilities.drop must hold ALL"
    for key in ("procMount", "seLinuxOptions", "windowsOptions"):
        if key in context:
            yield f"{place}{key} may not be set"
    for key in ("seccompProfile", "appArmorProfile"):
        if (context.get(key) or {}).get("type") == "Unconfined":
            yield f"{place}{key}.type may not be Unconfined"


def _host(place: str, container: Mapping[str, Any], *, host_network: bool) -> Iterator[str]:
    """What restricted Pod Security forbids because it reaches the node, or others from the node."""
    for port in container.get("ports") or []:
        if port.get("hostPort") and not host_network:
            yield f"{place}ports.hostPort may not be set"
    for probe in _PROBES:
        for way in ("httpGet", "tcpSocket"):
            if ((container.get(probe) or {}).get(way) or {}).get("host"):
                yield f"{place}{probe}.{way}.host may not be set"
