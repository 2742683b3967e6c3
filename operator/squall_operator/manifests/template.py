"""`runner.template`: what a LoadTest may change about its pods, and what it must not.

A LoadTest is written by people who may not create pods as they like. So the template is merged by an allow-list, and what has come of it is
checked again: whatever way leads to more privileges than a restricted pod has, the outcome is refused.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from squall.errors import SquallError
from squall_operator.pods import RUNNER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
OWN_CONTAINER: Final = frozenset({"env", "envFrom", "name", "volumeMounts"})
"""What may be added to the runner itself; its image and resources have fields of their own."""
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


class TemplateError(SquallError):
    """`runner.template` asks for what it must not; the message names each place."""


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
    problems = list(_problems(template, host_network=host_network))
    if problems:
        raise TemplateError("runner.template: " + "; ".join(problems))
    result = copy.deepcopy(dict(base))
    for key, value in template.get("metadata", {}).items():
        result["metadata"][key] = {**value, **result["metadata"].get(key, {})}
    pod = result["spec"]
    for key, value in template.get("spec", {}).items():
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
        for key in ("env", "envFrom", "volumeMounts"):
            if key in each:
                own[key] = [*own.get(key, []), *each[key]]


def _restricted(container: Mapping[str, Any]) -> dict[str, Any]:
    """A container of the LoadTest's own, with the restrictions that it did not write."""
    context = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        **container.get("securityContext", {}),
    }
    return {**container, "securityContext": context}


def _problems(template: Mapping[str, Any], *, host_network: bool) -> Iterator[str]:
    spec = template.get("spec", {})
    yield from _unknown("", template, frozenset({"metadata", "spec"}))
    yield from _unknown("metadata.", template.get("metadata", {}), METADATA)
    yield from _unknown("spec.", spec, POD)
    for key in ("labels", "annotations"):
        for name in template.get("metadata", {}).get(key, {}):
            if name.startswith((_RESERVED, _LABELS)):
                yield f"metadata.{key}.{name} is Squall's own"
    if spec.get("hostNetwork") and not host_network:
        yield "spec.hostNetwork: this installation does not let runners use the node's network"
    for number, volume in enumerate(spec.get("volumes", [])):
        yield from _unknown(f"spec.volumes[{number}].", volume, VOLUMES)
    for kind in ("containers", "initContainers"):
        for number, container in enumerate(spec.get(kind, [])):
            own = container.get("name") == RUNNER
            place = f"spec.{kind}[{number}]."
            if own and kind == "initContainers":
                yield f"{place}name: {RUNNER} is the runner's own name"
            yield from _unknown(place, container, OWN_CONTAINER if own else CONTAINER)
            yield from _privileges(f"{place}securityContext.", container.get("securityContext", {}))


def _unknown(place: str, given: Mapping[str, Any], allowed: frozenset[str]) -> Iterator[str]:
    for key in given:
        if key not in allowed:
            yield f"{place}{key} may not be set (allowed: {', '.join(sorted(allowed))})"


def _privileges(place: str, context: Mapping[str, Any]) -> Iterator[str]:
    """What restricted Pod Security forbids in a container's security context."""
    if context.get("privileged"):
        yield f"{place}privileged may not be true"
    if context.get("allowPrivilegeEscalation"):
        yield f"{place}allowPrivilegeEscalation may not be true"
    if context.get("runAsNonRoot") is False or context.get("runAsUser") == 0:
        yield f"{place}runAsUser: nothing may run as root"
    if set(context.get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"}:
        yield f"{place}capabilities.add: only NET_BIND_SERVICE may be added"
    if context.get("capabilities") and "ALL" not in context["capabilities"].get("drop", []):
        yield f"{place}capabilities.drop must hold ALL"
    for key in ("procMount", "seLinuxOptions", "windowsOptions"):
        if key in context:
            yield f"{place}{key} may not be set"
    if context.get("seccompProfile", {}).get("type") == "Unconfined":
        yield f"{place}seccompProfile.type may not be Unconfined"
